public import TelemetryModel
public import TelemetryWire

/// Makes batches of the pages of one target, and remembers what its series are called, so that labels are made once and not at each scrape.
/// A series that a page no longer has ends there with a staleness marker (prometheus.io/docs/prometheus/latest/querying/basics,
/// "Staleness"). Confined to its owner's thread.
///
/// Buckets, sum and count of a classic histogram become one series of whole vectors.
public struct ScrapedSeries {
    /// Series of one page; more is an error of the whole page, as Prometheus' `sample_limit`.
    public static let seriesMax = 200_000

    /// What a text of the page stands for.
    private enum Place {
        case number(Int)
        case bucket(Int, Int)
        case sum(Int)
        case count(Int)
    }

    /// One series of the target: its identity, and what the page being read says of it.
    private struct Series {
        var identity: [UInt8]
        var kind: SeriesKind
        /// When it began to count from zero, milliseconds since 1970; 0 = unknown.
        var created: Int64
        /// Number of the last page that had it.
        var page: UInt64 = 0
        var time: Int64 = 0
        var value = 0.0
        /// A sample was given out and no end since.
        var isLive = false
        var exemplars: [SeriesExemplar] = []
    }

    private let target: [LabelSet.Label]
    private let honorsLabels, honorsTimestamps: Bool
    private let sampleLimit: Int
    private var places: [ArraySlice<UInt8>: Place] = [:]
    private var series: [Series] = []
    private var histograms: [ScrapedHistogram] = []
    /// By the histogram's labels.
    private var histogramPlaces: [LabelSet: Int] = [:]
    private var kinds: [String: String] = [:]
    private var help: [String: String] = [:]
    private var page: UInt64 = 0
    /// The last page was.
    private var isOpenMetrics = false
    /// Series that are new on the page being read began to count then; 0 = unknown.
    private var created: Int64 = 0
    /// Series were forgotten: one that looks new may have counted before.
    private var hasForgotten = false

    /// `target` are the labels that every series gets: `job` and `instance`. A label of the page that has one of their names is kept as
    /// `exported_…`, or stays with `honorsLabels` (Prometheus: `honor_labels`). `sampleLimit`: of one page; 0 = no limit but `seriesMax`.
    public init(target: [LabelSet.Label], honorsLabels: Bool = false, honorsTimestamps: Bool = true, sampleLimit: Int = 0) {
        self.target = target
        self.honorsLabels = honorsLabels
        self.honorsTimestamps = honorsTimestamps
        self.sampleLimit = sampleLimit
    }

    /// Kinds and helps of the families of the last page, in the words of the format, under the names that their samples have: a counter of
    /// OpenMetrics is asked for with its `_total`.
    public var families: [String: (kind: String, help: String)] {
        var all = kinds.mapValues { (kind: $0, help: "") }
        for (family, text) in help { all[family] = (all[family]?.kind ?? "unknown", text) }
        guard isOpenMetrics else { return all }
        return Dictionary(all.map { ($1.kind == "counter" ? $0 + "_total" : $0, $1) }) { first, _ in first }
    }

    /// Adds the page's samples to `batch`. `time` is the scrape's, milliseconds since 1970. A page with a fault adds nothing, and all
    /// series end. Returns how many samples the page had, and how many series are new.
    ///
    /// `newSince`: who reads every count of the target knows that what it has never seen was not there at the page before. Milliseconds
    /// since 1970; 0 = unknown. The store then takes all that a new series has counted for an increase.
    public mutating func read(
        _ text: [UInt8], isOpenMetrics: Bool, at time: Int64, newSince: Int64 = 0, into batch: inout SeriesBatch
    ) throws(ExpositionFault) -> (samples: Int, added: Int) {
        if places.count > Self.seriesMax / 2 { forgetDead() }
        let known = places.count
        page += 1
        self.isOpenMetrics = isOpenMetrics
        created = hasForgotten ? 0 : newSince
        var reader = ExpositionReader(text, isOpenMetrics: isOpenMetrics)
        var samples = 0
        do throws(ExpositionFault) {
            while let entry = try reader.next() {
                switch entry {
                case .kind(let family, let kind): kinds[family] = kind
                case .help(let family, let text): help[family] = text
                case .unit: break
                case .sample(let sample):
                    samples += 1
                    if sampleLimit > 0, samples > sampleLimit {
                        throw ExpositionFault(line: 0, reason: "more than \(sampleLimit) samples (sample_limit)")
                    }
                    try take(sample, reader, time)
                }
            }
        } catch {
            end(at: time, into: &batch)
            throw error
        }
        append(to: &batch)
        endAll(but: page, at: time, into: &batch)
        return (samples, places.count - known)
    }

    /// The target did not answer: its series end.
    public mutating func end(at time: Int64, into batch: inout SeriesBatch) {
        endAll(but: nil, at: time, into: &batch)
    }

    // MARK: Samples

    private mutating func take(_ sample: ExpositionReader.Sample, _ reader: ExpositionReader, _ time: Int64) throws(ExpositionFault) {
        let text = reader.page[sample.series]
        let place: Place
        if let known = places[text] {
            place = known
        } else {
            guard places.count < Self.seriesMax else { throw ExpositionFault(line: 0, reason: "more than \(Self.seriesMax) series") }
            place = makePlace(for: withTarget(try reader.labels(sample.series)))
            // A copy: the slice would keep the whole page.
            places[ArraySlice(Array(text))] = place
        }
        let time = honorsTimestamps ? sample.timeMilliseconds ?? time : time
        let exemplar = sample.exemplar.flatMap { reader.exemplar($0, at: time) }
        switch place {
        case .number(let index):
            series[index].page = page
            series[index].time = time
            series[index].value = sample.value
            if let exemplar { series[index].exemplars.append(exemplar) }
        case .bucket(let index, let bucket):
            note(index, time)
            histograms[index].buckets[bucket] = sample.value
            if let exemplar { histograms[index].exemplars.append(exemplar) }
        case .sum(let index):
            note(index, time)
            histograms[index].sum = sample.value
        case .count(let index):
            note(index, time)
            histograms[index].count = sample.value
        }
    }

    private mutating func note(_ histogram: Int, _ time: Int64) {
        histograms[histogram].page = page
        histograms[histogram].time = time
    }

    private func withTarget(_ labels: LabelSet) -> LabelSet {
        var all = labels
        for label in target {
            if let own = all[label.name] {
                if honorsLabels { continue }
                all[label.name] = nil
                all["exported_" + label.name] = own
            }
            all[label.name] = label.value
        }
        return all
    }

    private mutating func makePlace(for labels: LabelSet) -> Place {
        let name = labels[LabelSet.metricName] ?? ""
        for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
            let family = String(name.dropLast(suffix.utf8.count))
            guard kinds[family] == "histogram" else { continue }
            var shared = labels
            shared[LabelSet.metricName] = family
            if suffix == "_sum" { return .sum(histogram(shared)) }
            if suffix == "_count" { return .count(histogram(shared)) }
            guard let bound = labels["le"].flatMap({ ExpositionReader.number($0) }), !bound.isNaN else { continue }
            shared["le"] = nil
            let index = histogram(shared)
            histograms[index].bounds.append(bound)
            histograms[index].buckets.append(0)
            histograms[index].identity = []
            return .bucket(index, histograms[index].bounds.count - 1)
        }
        let kind = kind(of: name)
        series.append(Series(identity: SeriesIdentity.encode(labels, kind), kind: kind, created: kind == .counter ? created : 0))
        return .number(series.count - 1)
    }

    private mutating func histogram(_ labels: LabelSet) -> Int {
        if let known = histogramPlaces[labels] { return known }
        histograms.append(ScrapedHistogram(labels: labels, created: created))
        histogramPlaces[labels] = histograms.count - 1
        return histograms.count - 1
    }

    /// OpenMetrics names a counter's family without `_total`.
    private func kind(of name: String) -> SeriesKind {
        let kind = kinds[name] ?? (name.hasSuffix("_total") ? kinds[String(name.dropLast("_total".utf8.count))] : nil)
        switch kind {
        case "counter": return .counter
        case "gauge", "info", "stateset": return .gauge
        case "summary": return .gauge
        default: return .unknown
        }
    }

    // MARK: Batches

    private mutating func append(to batch: inout SeriesBatch) {
        for index in series.indices where series[index].page == page {
            let identity = batch.append(identity: series[index].identity, series[index].kind)
            batch.append(identity, time: series[index].time, value: series[index].value, created: series[index].created)
            for exemplar in series[index].exemplars { batch.append(identity, exemplar) }
            series[index].exemplars = []
            series[index].isLive = true
        }
        for index in histograms.indices where histograms[index].page == page {
            histograms[index].append(to: &batch)
            histograms[index].isLive = true
        }
    }

    /// Ends the series that live, but those of `page`.
    private mutating func endAll(but page: UInt64?, at time: Int64, into batch: inout SeriesBatch) {
        for index in series.indices where series[index].isLive && series[index].page != page {
            series[index].isLive = false
            batch.appendStale(batch.append(identity: series[index].identity, series[index].kind), time: time)
        }
        for index in histograms.indices where histograms[index].isLive && histograms[index].page != page {
            histograms[index].isLive = false
            let bounds = histograms[index].bounds.count(where: \.isFinite)
            batch.appendStale(batch.append(identity: histograms[index].identity, .classicHistogram, bounds: bounds), time: time)
        }
    }

    /// Forgets what has ended. Should it come back, it is found again by its text.
    private mutating func forgetDead() {
        hasForgotten = true
        let (kept, numbers) = Self.survivors(series, \.isLive)
        let (keptHistograms, histogramNumbers) = Self.survivors(histograms, \.isLive)
        series = kept
        histograms = keptHistograms
        histogramPlaces = histogramPlaces.compactMapValues { histogramNumbers[$0] }
        places = places.compactMapValues { place in
            switch place {
            case .number(let index): numbers[index].map { .number($0) }
            case .bucket(let index, let bucket): histogramNumbers[index].map { .bucket($0, bucket) }
            case .sum(let index): histogramNumbers[index].map { .sum($0) }
            case .count(let index): histogramNumbers[index].map { .count($0) }
            }
        }
    }

    /// Those that live, and their new places by their old ones.
    private static func survivors<Element>(_ all: [Element], _ isLive: (Element) -> Bool) -> ([Element], [Int: Int]) {
        let old = all.indices.filter { isLive(all[$0]) }
        return (old.map { all[$0] }, Dictionary(uniqueKeysWithValues: old.enumerated().map { ($1, $0) }))
    }
}
