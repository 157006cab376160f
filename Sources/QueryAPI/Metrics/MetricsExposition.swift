public import HTTPService
public import Primitives
internal import Synchronization
public import TelemetryModel
public import TelemetryWire

/// Bounds of a scrape.
public enum MetricsLimits {
    /// Bytes of one exposition. More is refused with 503 and the remedy: a smaller series budget. A RED series takes about 62 KB, because
    /// every line repeats 25 labels: this is room for some 4,000.
    public static let answerBytesMax = 256 << 20
}

/// `GET /metrics`, `/stats/prometheus` and `/prometheus`: RED series of all workers under Istio's names, and our own metrics.
///
/// Shards are read without holding a worker up; text is made on the pool. One scrape at a time: a second waits for the first.
public final class MetricsExposition: Sendable {
    private struct State {
        var labels: SeriesLabels
        var janitor: SeriesJanitor<SeriesKey>
        var routes: OutcomeRows
        var endpoints: OutcomeRows
        /// Size of the last exposition, so that the next is not grown step by step.
        var bytes = 4096
    }

    private let shards: [REDShard]
    private let selfMetrics: SelfMetrics
    private let pool: QueryPool
    private let exemplars: RequestExemplars
    private let tcp: @Sendable () -> [TCPSeries]
    private let outcomes: OutcomeShards
    private let catalogs: Catalogs
    private let now: @Sendable () -> MonotonicInstant
    private let state: Mutex<State>
    private let series = Atomic<Int>(0)

    /// `shards` are those of the workers, in worker order.
    public init(
        shards: [REDShard], catalogs: Catalogs, selfMetrics: SelfMetrics, pool: QueryPool, exemplars: RequestExemplars = RequestExemplars(),
        idleExpirySeconds: UInt64 = SeriesExpiryTimes.idleSecondsDefault, tcp: @escaping @Sendable () -> [TCPSeries] = { [] },
        outcomes: OutcomeShards = OutcomeShards(),
        now: @escaping @Sendable () -> MonotonicInstant = { SystemClock.monotonicNow() }
    ) {
        self.shards = shards
        self.selfMetrics = selfMetrics
        self.pool = pool
        self.exemplars = exemplars
        self.tcp = tcp
        self.outcomes = outcomes
        self.catalogs = catalogs
        self.now = now
        state = Mutex(State(
            labels: SeriesLabels(catalogs: catalogs), janitor: SeriesJanitor(idleSeconds: idleExpirySeconds),
            routes: OutcomeRows(outcomes.routes, idleSeconds: idleExpirySeconds),
            endpoints: OutcomeRows(outcomes.endpoints, idleSeconds: idleExpirySeconds)))
    }

    public func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome? {
        guard request.path == "/metrics" || request.path == "/stats/prometheus" || request.path == "/prometheus" else { return nil }
        if let refusal = APIReply.refusal(request.method) { return .respond(refusal) }
        let format = ExpositionFormat.negotiate(accept: request.header("accept"))
        let acceptsGzip = request.acceptsGzip
        return pool.answer(responder) { [self] in
            guard let body = exposition(format) else {
                return .text(
                    503,
                    "the exposition would be larger than \(MetricsLimits.answerBytesMax) bytes: lower the series budget or the idle expiry")
            }
            return ServiceResponse(status: 200, contentType: "\(format.contentType)", headers: [("Vary", "Accept")], body: body)
                .coded(acceptsGzip: acceptsGzip)
        }
    }

    /// The whole page; nil when it would be larger than `MetricsLimits.answerBytesMax`. Blocks; any thread.
    public func exposition(_ format: ExpositionFormat) -> [UInt8]? {
        var bytes: [UInt8] = []
        let isWhole = state.withLock { state in
            let visible = collect(&state).visible
            let size = visible.reduce(into: 0) { $0 += (state.labels.text($1.key).count + 64) * RequestFamilies.samplesPerSeries }
            guard size < MetricsLimits.answerBytesMax else { return false }
            bytes.reserveCapacity(max(state.bytes, size) + 64 * 1024)
            var writer = ExpositionWriter(format: format)
            let exemplars = format.isOpenMetrics ? latestExemplars(&state) : [:]
            RequestFamilies.write(visible, state.labels, exemplars, &writer, to: &bytes)
            TCPFamilies.write(tcp(), state.labels, &writer, to: &bytes)
            let (routes, endpoints) = collectOutcomes(&state)
            OutcomeFamilies.write(routes: routes.shown, endpoints: endpoints.shown, catalogs, &writer, to: &bytes)
            appendSelf(&writer, to: &bytes)
            writer.end(to: &bytes)
            state.bytes = bytes.count
            return true
        }
        return isWhole ? bytes : nil
    }

    /// What each worker should free, in worker order. Call every minute or so, from any thread that may block; scrapes do not need it to
    /// hide what is idle.
    public func idleRows() -> [IdleRows] {
        state.withLock { state in
            let series = collect(&state).idle
            let (routes, endpoints) = collectOutcomes(&state)
            var rows = [IdleRows](repeating: IdleRows(), count: max(series.count, routes.idle.count, endpoints.idle.count))
            for (worker, idle) in series.enumerated() { rows[worker].series = idle }
            for (worker, idle) in routes.idle.enumerated() { rows[worker].routes = idle }
            for (worker, idle) in endpoints.idle.enumerated() { rows[worker].endpoints = idle }
            return rows
        }
    }

    /// Series in the shards at the last look, overflow series included.
    public var seriesCount: Int { series.load(ordering: .relaxed) }
    /// Requests that were counted in an overflow series because a shard's budget was spent.
    public var overflowedRequests: UInt64 { shards.reduce(0) { $0 &+ $1.overflowed.load(ordering: .relaxed) } }

    private func collectOutcomes(
        _ state: inout State
    ) -> (routes: (shown: [OutcomeSnapshot], idle: [IdleOutcomes]), endpoints: (shown: [OutcomeSnapshot], idle: [IdleOutcomes])) {
        let known = outcomes.known()
        let now = now()
        return (state.routes.collect(known, now: now), state.endpoints.collect(known, now: now))
    }

    /// Sums all shards and asks the janitor. What is to be shown is in the order of the keys, what is idle by shard.
    private func collect(
        _ state: inout State
    ) -> (visible: [SeriesSnapshot], idle: [[(key: SeriesKey, requests: UInt64)]]) {
        state.labels.trim()
        var places: [SeriesKey: Int] = [:]
        var sums: [SeriesSnapshot] = []
        /// Rows behind each sum, with the key and the count in their shard.
        var rows: [[(shard: Int, key: SeriesKey, requests: UInt64, token: UInt64)]] = []
        for (shard, source) in shards.enumerated() {
            source.read { snapshot in
                let key = state.labels.representative(snapshot.key)
                if let place = places[key] {
                    sums[place].add(snapshot)
                    rows[place].append((shard, snapshot.key, snapshot.requests, snapshot.token))
                } else {
                    places[key] = sums.count
                    var first = snapshot
                    first.key = key
                    sums.append(first)
                    rows.append([(shard, snapshot.key, snapshot.requests, snapshot.token)])
                }
            }
        }
        series.store(sums.count, ordering: .relaxed)
        let now = now()
        var visible: [SeriesSnapshot] = []
        visible.reserveCapacity(sums.count)
        var idle = [[(key: SeriesKey, requests: UInt64)]](repeating: [], count: shards.count)
        state.janitor.beginPass()
        for place in sums.indices {
            let key = sums[place].key
            let tokens = rows[place].reduce(0) { $0 &+ SeriesJanitor<SeriesKey>.weighted($1.token, ofShard: $1.shard) }
            if key.labels != .overflow, state.janitor.isIdle(key, tokens: tokens, now: now) {
                for row in rows[place] { idle[row.shard].append((row.key, row.requests)) }
            } else {
                visible.append(sums[place])
            }
        }
        state.janitor.endPass()
        visible.sort { $0.key.precedes($1.key) }
        return (visible, idle)
    }

    /// Per series as it is printed, the last exemplar of each bucket.
    private func latestExemplars(_ state: inout State) -> [SeriesKey: [Exemplar?]] {
        var places: [SeriesKey: [Exemplar?]] = [:]
        for (key, found) in exemplars.latest() {
            let key = state.labels.representative(key)
            for (bucket, one) in found {
                let time = one.unixMilliseconds.multipliedReportingOverflow(by: 1_000_000)
                let exemplar = Exemplar(
                    traceID: one.traceID, spanID: one.spanID, value: Double(one.durationMicroseconds) / 1000,
                    unixNanoseconds: time.overflow ? 0 : time.partialValue)
                let before = places[key]?[bucket]?.unixNanoseconds ?? 0
                guard exemplar.unixNanoseconds >= before else { continue }
                places[key, default: [Exemplar?](repeating: nil, count: HistogramBuckets.count)][bucket] = exemplar
            }
        }
        return places
    }

    private func appendSelf(_ writer: inout ExpositionWriter, to bytes: inout [UInt8]) {
        var families = selfMetrics.collect()
        families.append(
            MetricSamples(
                name: "skein_metric_series", help: "RED series of all workers, overflow series included.", kind: .gauge,
                value: Double(seriesCount)))
        families.append(
            MetricSamples(
                name: "skein_metric_series_overflowed_total", help: "Requests counted in an overflow series because the budget was spent.",
                kind: .counter,
                value: Double(overflowedRequests)))
        families.append(
            MetricSamples(
                name: "skein_outcomes_overflowed_total",
                help: "Requests whose route or endpoint has no series of its own, because the budget was spent.", kind: .counter,
                value: Double(outcomes.overflowed)))
        for family in families {
            writer.begin(family.family, to: &bytes)
            for sample in family.samples {
                let labels = SelfMetrics.labelText(sample.labels)
                if family.family.kind == .counter {
                    writer.counter(labels: labels, value: sample.value, to: &bytes)
                } else {
                    writer.gauge(labels: labels, value: sample.value, to: &bytes)
                }
            }
        }
    }
}

extension SeriesSnapshot {
    mutating func add(_ other: SeriesSnapshot) {
        requests &+= other.requests
        duration += other.duration
        requestBytes += other.requestBytes
        responseBytes += other.responseBytes
    }
}

extension SeriesKey {
    /// An order that keeps pages comparable from scrape to scrape: what nobody is known of comes first, overflow last.
    func precedes(_ other: SeriesKey) -> Bool {
        if labels != other.labels {
            if labels == .none || other.labels == .overflow { return true }
            if other.labels == .none || labels == .overflow { return false }
        }
        if side != other.side { return side.rawValue < other.side.rawValue }
        if labels.destination != other.labels.destination {
            return labels.destination.rawValue < other.labels.destination.rawValue
        }
        if labels.source != other.labels.source { return labels.source.rawValue < other.labels.source.rawValue }
        if responseCode != other.responseCode { return responseCode < other.responseCode }
        if flags != other.flags { return flags.rawValue < other.flags.rawValue }
        return grpcStatus < other.grpcStatus
    }
}
