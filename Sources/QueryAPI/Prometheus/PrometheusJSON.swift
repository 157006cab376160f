internal import Glibc
internal import Primitives
internal import PromQL
internal import TelemetryModel
internal import TelemetryWire

/// Results as Prometheus' API writes them (web/api/v1; util/jsonutil for numbers and times).
enum PrometheusJSON {
    /// Bytes of a point, about, and points of a result that are reckoned with from the beginning.
    private static let pointBytes = 34
    private static let reservedPointsMax = 1 << 20

    /// `{"status":"success","data":…}` with what is to be said of it.
    static func successAnswer(warnings: [String] = [], infos: [String] = [], _ data: (inout [UInt8]) -> Void) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(text: "{\"status\":\"success\",\"data\":")
        data(&bytes)
        if !warnings.isEmpty {
            bytes.append(text: ",\"warnings\":")
            bytes.append(jsonStrings: warnings)
        }
        if !infos.isEmpty {
            bytes.append(text: ",\"infos\":")
            bytes.append(jsonStrings: infos)
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    static func errorAnswer(_ error: PrometheusError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(text: "{\"status\":\"error\",\"errorType\":\"\(error.kind.rawValue)\",\"error\":")
        bytes.append(jsonString: error.text)
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }

    static func append(_ value: QueryValue, time: Int64, _ statistics: QueryStatistics?, to bytes: inout [UInt8]) {
        switch value {
        case .scalar(let time, let number):
            bytes.append(text: "{\"resultType\":\"scalar\",\"result\":")
            append(point: number, time, to: &bytes)
        case .string(let time, let text):
            bytes.append(text: "{\"resultType\":\"string\",\"result\":[")
            PointBeginnings.appendSeconds(time, to: &bytes)
            bytes.append(UInt8(ascii: ","))
            bytes.append(jsonString: text)
            bytes.append(UInt8(ascii: "]"))
        case .vector(let samples):
            bytes.append(text: "{\"resultType\":\"vector\",\"result\":")
            appendList(samples, to: &bytes) { append($0, time, to: &$1) }
        case .matrix(let series):
            bytes.append(text: "{\"resultType\":\"matrix\",\"result\":")
            bytes.reserveCapacity(bytes.count + min(series.reduce(0) { $0 + $1.times.count }, reservedPointsMax) * pointBytes)
            var points = PointBeginnings()
            appendList(series, to: &bytes) { append($0, &points, to: &$1) }
        }
        if let statistics {
            bytes.append(text: ",\"stats\":")
            statistics.append(to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    static func append(_ labels: LabelSet, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "{"))
        for (index, label) in labels.labels.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(jsonString: label.name)
            bytes.append(UInt8(ascii: ":"))
            bytes.append(jsonString: label.value)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    static func appendList<Element>(_ items: [Element], to bytes: inout [UInt8], _ append: (Element, inout [UInt8]) -> Void) {
        bytes.append(UInt8(ascii: "["))
        for (index, item) in items.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(item, &bytes)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    /// What `query_exemplars` says of one series.
    static func append(exemplars: [SeriesExemplar], of labels: LabelSet, to bytes: inout [UInt8]) {
        bytes.append(text: "{\"seriesLabels\":")
        append(labels, to: &bytes)
        bytes.append(text: ",\"exemplars\":")
        appendList(exemplars, to: &bytes) { exemplar, bytes in
            bytes.append(text: "{\"labels\":{\"trace_id\":\"")
            HexCodec.append(exemplar.traceID, to: &bytes)
            if !exemplar.spanID.isNone {
                bytes.append(text: "\",\"span_id\":\"")
                HexCodec.append16(exemplar.spanID.rawValue, to: &bytes)
            }
            bytes.append(text: "\"},\"value\":")
            append(quoted: exemplar.value, to: &bytes)
            bytes.append(text: ",\"timestamp\":")
            PointBeginnings.appendSeconds(exemplar.time, to: &bytes)
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: "}"))
    }

    // MARK: Samples

    private static func append(_ sample: VectorSample, _ time: Int64, to bytes: inout [UInt8]) {
        bytes.append(text: "{\"metric\":")
        append(sample.labels, to: &bytes)
        if let histogram = sample.histogram {
            bytes.append(text: ",\"histogram\":")
            append(histogram, time, to: &bytes)
        } else {
            bytes.append(text: ",\"value\":")
            append(point: sample.value, time, to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private static func append(_ series: SeriesSamples, _ points: inout PointBeginnings, to bytes: inout [UInt8]) {
        bytes.append(text: "{\"metric\":")
        append(series.labels, to: &bytes)
        var next = 0
        var isFirst = true
        points.startSeries()
        for index in series.times.indices {
            if next < series.histograms.count, series.histograms[next].index == index {
                next += 1
                continue
            }
            if isFirst { bytes.append(text: ",\"values\":[") } else { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
            points.append(series.times[index], to: &bytes)
            append(quoted: series.values[index], to: &bytes)
            bytes.append(UInt8(ascii: "]"))
        }
        if !isFirst { bytes.append(UInt8(ascii: "]")) }
        if !series.histograms.isEmpty {
            bytes.append(text: ",\"histograms\":")
            appendList(series.histograms, to: &bytes) { append($0.histogram, series.times[$0.index], to: &$1) }
        }
        bytes.append(UInt8(ascii: "}"))
    }

    private static func append(point value: Double, _ time: Int64, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        PointBeginnings.appendSeconds(time, to: &bytes)
        bytes.append(UInt8(ascii: ","))
        append(quoted: value, to: &bytes)
        bytes.append(UInt8(ascii: "]"))
    }

    private static func append(_ histogram: NativeHistogram, _ time: Int64, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "["))
        PointBeginnings.appendSeconds(time, to: &bytes)
        bytes.append(text: ",{\"count\":")
        append(quoted: histogram.count, to: &bytes)
        bytes.append(text: ",\"sum\":")
        append(quoted: histogram.sum, to: &bytes)
        let buckets = FilledBucket.all(of: histogram)
        if !buckets.isEmpty {
            bytes.append(text: ",\"buckets\":")
            appendList(buckets, to: &bytes) { bucket, bytes in
                bytes.append(text: "[\(bucket.rule),")
                append(quoted: bucket.lower, to: &bytes)
                bytes.append(UInt8(ascii: ","))
                append(quoted: bucket.upper, to: &bytes)
                bytes.append(UInt8(ascii: ","))
                append(quoted: bucket.count, to: &bytes)
                bytes.append(UInt8(ascii: "]"))
            }
        }
        bytes.append(text: "}]")
    }

    private static func append(quoted value: Double, to bytes: inout [UInt8]) {
        let size = value.magnitude
        bytes.append(UInt8(ascii: "\""))
        if size != 0 && size < 1e-6 || size >= 1e21 {
            GoFloat.append(scientific: value, to: &bytes)
        } else {
            GoFloat.append(plain: value, to: &bytes)
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
