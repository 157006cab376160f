internal import TelemetryModel
internal import TelemetryWire

/// What Prometheus' API says about the server itself, under `status/`, and our report of cardinality. Blocks on the store.
struct PrometheusStatus {
    let store: any SeriesQuerying
    let version: String
    let startMilliseconds: Int64

    /// The version of Prometheus whose API this is, for clients that ask before they use something.
    static let prometheusVersion = "3.4.0"

    /// Items of each list of `status/tsdb` and families of `status/cardinality` when no `limit` is asked for, and with one (Prometheus:
    /// 10, and 10,000).
    private static let itemsDefault = 10
    private static let itemsMax = 10_000

    /// The page's JSON; nil = there is no such page.
    func statusJSON(_ page: String, _ parameters: PrometheusParameters) throws -> [UInt8]? {
        switch page {
        case "buildinfo":
            // The version is that of the API and language that are spoken.
            return Array(
                ("{\"version\":\"\(Self.prometheusVersion)\",\"revision\":\"skein \(version)\",\"branch\":\"\",\"buildUser\":\"\","
                    + "\"buildDate\":\"\",\"goVersion\":\"\"}").utf8)
        case "runtimeinfo":
            let start = UTCText.rfc3339(startMilliseconds)
            return Array(
                ("{\"startTime\":\"\(start)\",\"CWD\":\"\",\"reloadConfigSuccess\":true,\"lastConfigTime\":\"\(start)\","
                    + "\"corruptionCount\":0,\"goroutineCount\":0,\"GOMAXPROCS\":0,\"GOMEMLIMIT\":0,\"GOGC\":\"\",\"GODEBUG\":\"\","
                    + "\"storageRetention\":\"\"}").utf8)
        case "flags": return Array("{}".utf8)
        case "tsdb": return censusJSON(try store.census(limit: Self.itemCount(parameters)))
        case "cardinality": return familiesJSON(try store.cardinalityReport(limit: Self.itemCount(parameters)))
        default: return nil
        }
    }

    private static func itemCount(_ parameters: PrometheusParameters) throws -> Int {
        guard let text = parameters.text("limit") else { return itemsDefault }
        guard let limit = Int(text), limit >= 1, limit <= itemsMax else {
            throw PrometheusError.badData("limit must be a positive number not above \(itemsMax)")
        }
        return limit
    }

    private func censusJSON(_ census: SeriesCensus) -> [UInt8] {
        let sizes = store.sizes()
        var bytes: [UInt8] = []
        bytes.append(text: "{\"headStats\":{\"numSeries\":\(census.series),\"numLabelPairs\":\(census.labelPairs),\"chunkCount\":0,")
        bytes.append(text: "\"minTime\":\(sizes.earliest ?? 0),\"maxTime\":\(sizes.latest ?? 0)}")
        for (name, counts) in [
            ("seriesCountByMetricName", census.seriesByMetric), ("labelValueCountByLabelName", census.valuesByLabel),
            ("memoryInBytesByLabelName", census.bytesByLabel), ("seriesCountByLabelValuePair", census.seriesByLabelPair),
        ] {
            bytes.append(text: ",\"\(name)\":")
            PrometheusJSON.appendList(counts, to: &bytes) { count, bytes in
                bytes.append(text: "{\"name\":")
                bytes.append(jsonString: count.name)
                bytes.append(text: ",\"value\":\(count.value)}")
            }
        }
        bytes.append(text: "}")
        return bytes
    }

    /// Which metrics have most series, which labels make them so many, and who sends them (docs/operations.md).
    private func familiesJSON(_ families: [SeriesFamily]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(text: "{\"series\":\(store.sizes().seriesCount),\"families\":")
        PrometheusJSON.appendList(families, to: &bytes) { family, bytes in
            bytes.append(text: "{\"metric\":")
            bytes.append(jsonString: family.metric)
            bytes.append(text: ",\"series\":\(family.series),\"seriesMax\":\(family.seriesMax)")
            bytes.append(text: ",\"overflowedSeries\":\(family.overflow.series),\"overflowedSamples\":\(family.overflow.samples)")
            bytes.append(text: ",\"refusedSamples\":\(family.overflow.refused),\"labels\":")
            PrometheusJSON.appendList(family.labels, to: &bytes) { label, bytes in
                bytes.append(text: "{\"name\":")
                bytes.append(jsonString: label.name)
                bytes.append(text: ",\"values\":\(label.values)}")
            }
            bytes.append(text: ",\"senders\":")
            PrometheusJSON.appendList(family.senders, to: &bytes) { sender, bytes in
                bytes.append(text: "{\"job\":")
                bytes.append(jsonString: sender.job)
                bytes.append(text: ",\"instance\":")
                bytes.append(jsonString: sender.instance)
                bytes.append(text: ",\"series\":\(sender.series)}")
            }
            bytes.append(text: "}")
        }
        bytes.append(text: "}")
        return bytes
    }
}
