internal import Collector
internal import EventLoops
internal import HTTPService
internal import Primitives
internal import QueryAPI
internal import TLS
internal import TelemetryModel
internal import TelemetryStore
internal import TelemetryWire

/// What brings series into the store of this process, and answers questions about them: own metrics and those from spans at an interval,
/// scrapes of others, and Prometheus' API. What senders bring comes by the receivers. Confined to the control thread, but for `api`.
final class SeriesService {
    private let stored: StoredSeries?
    private let recorders: [MetricsRecorder]
    /// Nil where none are made from spans; then there is a store.
    private let spanMetrics: SpanMetricsSink?
    private let reporter: MetricsReporter?
    /// Nil where nothing is scraped.
    private let scrapes: ScrapeReload?
    private let cardinality: CardinalityWatch?
    /// Who reports to this collector; nil where nobody can.
    private let reporters: Reporters?
    private let say: @Sendable (String) -> Void
    private let pool: QueryPool
    /// Not among queries, which wait for a processor: others wait for what a recording holds.
    private let recordings: QueryPool
    /// Nil where there is no store. Any thread.
    let api: PrometheusAPI?
    /// Verdicts on canaries, for who asks; nil where there is no store. Any thread.
    let canaries: CanaryAPI?
    private let canaryWatch: CanaryWatch?
    private static let canaryLookNanoseconds: UInt64 = 10_000_000_000
    /// Monotonic nanoseconds.
    private var nextCanaryLook: UInt64 = 0
    private let intervalNanoseconds: UInt64
    /// Monotonic nanoseconds.
    private var nextRecording: UInt64 = 0

    /// Queries that run at once, and that wait (Prometheus: `--query.max-concurrency`).
    private static let threads = 2
    private static let waitingMax = 20
    /// A query of a minute must cost neither ingest nor the proxy their share of a processor.
    private static let niceness: Int32 = 10
    /// The last recording at the end may take so long.
    private static let lastNanoseconds: UInt64 = 2_000_000_000

    /// `stored`: nil where there is no store; then metrics go to a collector elsewhere, or nowhere. Metrics from spans stay here: whoever
    /// has the spans makes them.
    init(
        _ stored: StoredSeries?, _ metrics: MetricsExposition, _ spanMetrics: SpanMetricsSink?, _ reporters: Reporters?,
        _ options: RuntimeOptions, _ tls: ServiceTLS, _ shared: SharedStatus, outliers: MeshOutliers?, version: String,
        _ statistics: CollectorStatistics, say: @escaping @Sendable (String) -> Void
    ) throws {
        self.stored = stored
        self.spanMetrics = spanMetrics
        self.reporters = reporters
        self.say = say
        let pool = try QueryPool(name: "promql", threads: Self.threads, queueMax: Self.waitingMax, niceness: Self.niceness)
        self.pool = pool
        recordings = try QueryPool(name: "recording", threads: 1, queueMax: 1)
        cardinality = stored.map { CardinalityWatch($0, pool, say: say) }
        api = stored.map { PrometheusAPI(store: $0, pool: pool, version: version) }
        canaries = stored.map { CanaryAPI(store: $0, pool: pool, routes: shared.weightedRoutes) }
        canaryWatch = try stored.flatMap { try Self.canaryWatch(options, $0, shared, say) }
        intervalNanoseconds = options.metricsIntervalSeconds * 1_000_000_000
        let port = options.metricsPort == 0 ? options.zipkinPort : options.metricsPort
        let instance = options.endpoint(port).map { "\($0)" } ?? options.bindAddress
        reporter = try options.collector.flatMap { RuntimeOptions.collectorAddress($0) }.map { collector in
            let secured = try collector.isSecure ? Self.tls(of: collector.host, tls, options) : nil
            return try MetricsReporter(
                to: (collector.host, collector.port), tls: secured, principal: secured == nil ? nil : tls.principal, instance: instance,
                outliers: outliers, statistics, say: say)
        }
        let sinks: [(any BatchSink<SeriesBatch>)?] = options.metricsIntervalSeconds == 0 ? [] : [stored, reporter?.sink]
        recorders = sinks.compactMap(\.self).map { MetricsRecorder(metrics, into: $0, instance: instance) }
        let isScraping = options.scrapeConfiguration != nil || !options.scrapeTargets.isEmpty
        scrapes = if let stored, isScraping { try ScrapeReload(options, tls, into: stored, statistics, say: say) } else { nil }
        if let recorder = recorders.first {
            let made = spanMetrics?.names.families ?? [:]
            stored?.describe { recorder.families.merging(made) { own, _ in own } }
        }
    }

    private static func tls(of collector: String, _ tls: ServiceTLS, _ options: RuntimeOptions) throws(StartError) -> ClientTLS {
        do throws(TLSError) {
            return try tls.client(host: collector, name: options.serviceTLS.collectorName)
        } catch {
            throw StartError(status: SkeinProcess.badInput, lines: ["--collector \(options.collector ?? ""): \(error)"])
        }
    }

    /// Reads again whom to scrape.
    func reload() { scrapes?.readAnew() }

    /// Reads targets that have changed; says what overflows, and which proxies are silent.
    func watch() {
        scrapes?.look()
        cardinality?.look()
        let unix = Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000)
        for line in reporters?.look(now: SystemClock.monotonicNow(), unixMilliseconds: unix) ?? [] { say(line) }
    }

    /// Nil where none is asked for.
    private static func canaryWatch(
        _ options: RuntimeOptions, _ stored: StoredSeries, _ shared: SharedStatus, _ say: @escaping @Sendable (String) -> Void
    ) throws(StartError) -> CanaryWatch? {
        guard !options.judgedCanaries.isEmpty else { return nil }
        var questions: [CanaryQuestion] = []
        for text in options.judgedCanaries {
            do throws(CanaryProblem) {
                questions.append(try CanaryQuestion(specification: text))
            } catch {
                throw StartError(status: SkeinProcess.badInput, lines: ["--judge-canary \(text): \(error.text)"])
            }
        }
        let now = Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000)
        return CanaryWatch(questions, store: stored, routes: shared.weightedRoutes, now: now, say: say)
    }

    /// Looks at the watched canaries when it is time to. A pool that is full has the next look read what this one would have.
    private func lookAtCanaries(now: MonotonicInstant) {
        guard let canaryWatch, now.nanoseconds >= nextCanaryLook else { return }
        nextCanaryLook = now.nanoseconds + Self.canaryLookNanoseconds
        _ = pool.submit { canaryWatch.look(now: Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000)) }
    }

    /// Records this process' metrics, and looks at watched canaries, when it is time to.
    func recordIfDue(now: MonotonicInstant) {
        lookAtCanaries(now: now)
        guard !recorders.isEmpty, now.nanoseconds >= nextRecording else { return }
        nextRecording = nextRecording == 0 ? now.nanoseconds : nextRecording
        nextRecording += intervalNanoseconds * (1 + (now.nanoseconds - nextRecording) / intervalNanoseconds)
        let (recorders, spanMetrics, stored) = (recorders, spanMetrics, stored)
        let isSubmitted = recordings.submit {
            for recorder in recorders { recorder.record() }
            if let stored { spanMetrics?.record(into: stored) }
        }
        // While one takes longer than the interval, the next one that can begin brings all counts.
        if isSubmitted { return }
        for recorder in recorders { recorder.noteSkipped() }
        spanMetrics?.noteSkipped()
    }

    /// How the series are, for `/metrics`. Any thread.
    func register(in registry: SelfMetrics) {
        let stored = stored
        let recorders = recorders
        if let cardinality { registry.register { cardinality.samples() } }
        if let reporters { registry.register { Self.samples(reporters.counts(now: SystemClock.monotonicNow())) } }
        if let canaryWatch { registry.register { canaryWatch.metricSamples() } }
        registry.register {
            let recordings = recorders.map(\.counts)
            return (stored.map { Self.samples($0.statistics() ?? SeriesStatistics()) } ?? []) + [
                MetricSamples(
                    name: "skein_metric_recordings_total",
                    help: "Recordings of this process' own metrics for its store or collector, by outcome.", kind: .counter,
                    label: "outcome",
                    values: [
                        ("stored", Double(recordings.reduce(0) { $0 + $1.recorded })),
                        ("refused", Double(recordings.reduce(0) { $0 + $1.refused })),
                    ])
            ]
        }
    }

    private static func samples(_ counts: ReporterCounts) -> [MetricSamples] {
        [
            MetricSamples(
                name: "skein_reporters", help: "Proxies that report metrics to this collector, and those of them that are late.",
                kind: .gauge, label: "state", values: [("reporting", Double(counts.reporting)), ("late", Double(counts.late))]),
            MetricSamples(
                name: "skein_reporter_silence_seconds", help: "Time since the last report of proxies that are late.", kind: .gauge,
                label: "reporter", values: counts.silent.map { ($0.instance, $0.seconds) }),
            MetricSamples(
                name: "skein_reporter_gaps_total",
                help: "Proxies that ended without a last report: what they counted after the one before it is missing.",
                kind: .counter, value: Double(counts.gaps)),
            MetricSamples(
                name: "skein_reporters_unwatched_total", help: "Senders of reports that are not watched, because there are too many.",
                kind: .counter, value: Double(counts.unwatched)),
        ]
    }

    private static func samples(_ statistics: SeriesStatistics) -> [MetricSamples] {
        func gauge(_ name: String, _ help: String, _ value: UInt64) -> MetricSamples {
            MetricSamples(name: name, help: help, kind: .gauge, value: Double(value))
        }
        func counter(_ name: String, _ help: String, _ value: UInt64) -> MetricSamples {
            MetricSamples(name: name, help: help, kind: .counter, value: Double(value))
        }
        let drops = SeriesStatistics.Drop.allCases.map { ($0.rawValue, Double(statistics.samplesDropped[$0] ?? 0)) }
        let tiers = statistics.tierBytes.enumerated().map { ("\($0.offset)", Double($0.element)) }
        return [
            gauge("skein_series", "Series in the store.", statistics.series),
            counter("skein_series_samples_total", "Samples that the store took.", statistics.samplesAccepted),
            MetricSamples(
                name: "skein_series_samples_dropped_total", help: "Samples that were not kept although their batch was, by reason.",
                kind: .counter, label: "reason", values: drops),
            counter(
                "skein_series_samples_overflowed_total", "Samples summed up in an overflow series: their metric has too many.",
                statistics.samplesOverflowed),
            gauge("skein_series_exemplars", "Exemplars kept.", statistics.exemplars),
            counter("skein_series_exemplars_total", "Exemplars that the store took.", statistics.exemplarsStored),
            counter(
                "skein_series_exemplars_dropped_total",
                "Exemplars that were not kept: repeated, of a series that is not kept, or for want of room.", statistics.exemplarsDropped),
            counter(
                "skein_series_reports_repeated_total", "Reports that had come before, and were not counted again.",
                statistics.reportsRepeated),
            counter(
                "skein_series_points_refused_total", "Points of batches that the store refused; senders try again.",
                statistics.pointsRefused),
            gauge("skein_series_head_bytes", "Memory of samples that are not in a block of the first tier yet.", statistics.headBytes),
            gauge("skein_series_index_bytes", "Memory of the index of labels.", statistics.indexBytes),
            MetricSamples(
                name: "skein_series_tier_bytes", help: "Bytes of a tier's blocks; 0 is the finest.", kind: .gauge, label: "tier",
                values: tiers),
            counter(
                "skein_series_damaged_total", "Journal rows and blocks of series that could not be read; what was in them is missing.",
                statistics.damagedRows + statistics.damagedBlocks),
        ]
    }

    /// The counts of the last requests are stored; then nothing comes any more.
    func stop() {
        scrapes?.stop()
        recordings.stop()
        reporter?.sink.end()
        for recorder in recorders {
            guard let done = try? Signal() else { continue }
            recorder.record { done.raise() }
            _ = done.wait(deadline: SystemClock.monotonicNow() + Self.lastNanoseconds)
        }
        if let spanMetrics, let stored, let done = try? Signal() {
            spanMetrics.record(into: stored) { done.raise() }
            _ = done.wait(deadline: SystemClock.monotonicNow() + Self.lastNanoseconds)
        }
        reporter?.stop()
        pool.stop()
    }
}
