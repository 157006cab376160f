internal import Primitives
internal import TelemetryModel

/// Calls, errors and latency of spans, by service, operation, kind and status, and of calls between services (semantics 3.2).
///
/// Takes the spans of batches that were stored, each once, when they come and whatever they are timestamped, and gives running totals as
/// series. A span counts as many times as its sender's sampling says it stands for (`SamplingWeight`). Spans of proxies count like any
/// others: as many as were sampled. Their sampling percentage is no weight, because only the first proxy of a trace has drawn by it and the
/// others follow; what a proxy served is counted exactly in `istio_requests_total`. How edges are found: `EdgePairing`.
///
/// A span of unknown duration counts as a call, and is in no histogram. Names are those of the store: in lower case.
///
/// A value, confined to its owner; no clock, no I/O. Costs one look at each tag, two or three look-ups, and no allocation once its texts
/// and rows are known. Every table is bounded by `SpanMetricsLimits`.
struct SpanMetrics {
    /// What it counts of its own work.
    struct Counters {
        var spans: UInt64 = 0
        /// Spans and calls that are summed up in series for the rest.
        var overflowed: UInt64 = 0
        /// Trace states with a threshold that is none, or too large a weight.
        var weightsRefused: UInt64 = 0
    }

    private(set) var counters = Counters()
    private(set) var pairing: EdgePairing
    private let limits: SpanMetricsLimits
    private let names: SpanMetricsNames
    private var texts: InternedTexts
    private var operations: TotalsTable
    private var edges: TotalsTable
    /// The text `user`.
    private let user: UInt32

    /// Places in the tables' lists of families.
    private enum OperationFamily { static let calls = 0, latency = 1 }
    private enum EdgeFamily { static let requests = 0, failed = 1, server = 2, client = 3 }

    init(_ names: SpanMetricsNames = .tempo, limits: SpanMetricsLimits = SpanMetricsLimits()) {
        precondition(limits.problem == nil, limits.problem ?? "")
        self.limits = limits
        self.names = names
        texts = InternedTexts(countMax: limits.textsMax, bytesMax: limits.textBytesMax)
        user = texts.number(of: "user") ?? InternedTexts.none
        pairing = EdgePairing(limits, user: user)
        operations = TotalsTable(
            [.init(name: names.calls, isHistogram: false), .init(name: names.latency, isHistogram: true)],
            bounds: names.latencyBounds, unit: names.latencyUnit, rowsMax: limits.operationsMax)
        edges = TotalsTable(
            [
                .init(name: SpanMetricsNames.requests, isHistogram: false), .init(name: SpanMetricsNames.failedRequests, isHistogram: false),
                .init(name: SpanMetricsNames.serverSeconds, isHistogram: true),
                .init(name: SpanMetricsNames.clientSeconds, isHistogram: true),
            ],
            bounds: SpanMetricsNames.edgeBounds, unit: SpanMetricsNames.edgeUnit, rowsMax: limits.edgesMax)
    }

    /// Series that a recording has.
    var seriesCount: Int { operations.seriesCount + edges.seriesCount }

    // MARK: Spans

    /// Counts a batch that was stored.
    mutating func observe(_ batch: borrowing SpanBatch, at moment: SpanMetricsMoment) {
        pairing.expire(now: moment.monotonic)
        // Neighbours are of the same service more often than not.
        var endpoint = EndpointRow.absent
        var service: UInt32? = InternedTexts.none
        for index in batch.spans.indices {
            let span = batch.spans[index]
            if span.localEndpoint != endpoint {
                endpoint = span.localEndpoint
                service = endpoint == EndpointRow.absent ? InternedTexts.none : number(batch.endpoints[Int(endpoint)].serviceName, batch)
            }
            observe(span, of: service, in: batch, at: moment)
        }
        counters.spans &+= UInt64(batch.spans.count)
        countCalls(at: moment)
    }

    /// `service` is nil when there is no room for its name.
    @inline(__always)
    private mutating func observe(
        _ span: SpanRow, of service: UInt32?, in batch: borrowing SpanBatch, at moment: SpanMetricsMoment
    ) {
        let traits = SpanTraits(span, in: batch)
        let weight = weight(traits.traceState, batch)
        let key = OperationKey(service, number(span.name, batch), span.kind, traits.status)
        var row = key.isOverflow ? nil : operations.row(key.packed, at: moment)
        if row == nil {
            counters.overflowed &+= 1
            row = operations.row(OperationKey(nil, nil, span.kind, traits.status).packed, isExempt: true, at: moment)
        }
        if let row {
            operations.add(weight, to: OperationFamily.calls, of: row)
            if span.duration > 0 {
                operations.observe(microseconds: span.duration, weight: weight, in: OperationFamily.latency, of: row)
            }
        }
        if span.kind != .unspecified { pair(span, service, traits, weight, batch, moment.monotonic) }
    }

    private mutating func pair(
        _ span: SpanRow, _ service: UInt32?, _ traits: SpanTraits, _ weight: Double, _ batch: borrowing SpanBatch, _ now: MonotonicInstant
    ) {
        var half = EdgeHalf()
        half.service = service ?? OperationKey.overflowText
        half.duration = span.duration
        half.parentID = span.parentID.rawValue
        half.spanID = span.id.rawValue
        half.weight = weight
        half.isProxy = traits.isProxy
        half.isMessaging = span.kind == .producer || span.kind == .consumer
        half.isFailed = traits.status == .error
        if span.remoteEndpoint != EndpointRow.absent {
            half.peer = number(batch.endpoints[Int(span.remoteEndpoint)].serviceName, batch) ?? OperationKey.overflowText
        }
        let own = CallID(traceLow: span.traceID.low, spanID: span.id.rawValue)
        switch span.kind {
        case .client where !traits.database.isEmpty:
            pairing.database(own, half, named: number(traits.database, batch) ?? OperationKey.overflowText)
        case .client, .producer:
            pairing.client(own, half, now: now, &texts)
        case .server, .consumer:
            // A server that shares its client's id has its client's parent as well; one at the root may have forgotten to say so.
            let isShared = span.flags.contains(.shared) || span.parentID.isNone
            let id = isShared ? own : CallID(traceLow: own.traceLow, spanID: span.parentID.rawValue)
            pairing.server(id, half, now: now, &texts)
        case .unspecified: break
        }
    }

    @inline(__always)
    private mutating func number(_ text: TextRef, _ batch: borrowing SpanBatch) -> UInt32? {
        texts.number(of: batch.text, at: Int(text.offset), count: Int(text.count))
    }

    @inline(__always)
    private mutating func weight(_ traceState: TextRef, _ batch: borrowing SpanBatch) -> Double {
        if traceState.isEmpty { return 1 }
        let start = Int(traceState.offset)
        switch SamplingWeight(batch.text, start..<start + Int(traceState.count), weightMax: limits.weightMax) {
        case .unknown: return 1
        case .weight(let weight): return weight
        case .refused:
            counters.weightsRefused &+= 1
            return 1
        }
    }

    /// Adds the calls that are known by now.
    private mutating func countCalls(at moment: SpanMetricsMoment) {
        for call in pairing.calls {
            let key = EdgeKey(call)
            var row = key.isOverflow ? nil : edges.row(key.packed, at: moment)
            if row == nil {
                counters.overflowed &+= 1
                row = edges.row(EdgeKey.overflow(call.connection).packed, isExempt: true, at: moment)
            }
            guard let row else { continue }
            edges.add(call.weight, to: EdgeFamily.requests, of: row)
            if call.isFailed { edges.add(call.weight, to: EdgeFamily.failed, of: row) }
            if call.serverDuration > 0 {
                edges.observe(microseconds: call.serverDuration, weight: call.weight, in: EdgeFamily.server, of: row)
            }
            if call.clientDuration > 0 {
                edges.observe(microseconds: call.clientDuration, weight: call.weight, in: EdgeFamily.client, of: row)
            }
        }
        pairing.removeCalls()
    }

    // MARK: Recording

    /// Adds the totals of this moment to `batch`: a point of every series, and the end of those that were idle for too long.
    mutating func record(into batch: inout SeriesBatch, at moment: SpanMetricsMoment) {
        pairing.expire(now: moment.monotonic)
        countCalls(at: moment)
        if moment.monotonic.nanoseconds > limits.idleNanoseconds {
            let oldest = MonotonicInstant(nanoseconds: moment.monotonic.nanoseconds - limits.idleNanoseconds)
            operations.endIdle(since: oldest, in: &batch, time: moment.unixMilliseconds)
            edges.endIdle(since: oldest, in: &batch, time: moment.unixMilliseconds)
        }
        let labels = SpanMetricsLabels(names, texts)
        operations.append(to: &batch, time: moment.unixMilliseconds) { labels.labels(OperationKey(packed: $0)) }
        edges.append(to: &batch, time: moment.unixMilliseconds) { labels.labels(EdgeKey(packed: $0)) }
        texts.keep { [operations, edges, pairing, user] in
            var used: Set<UInt32> = [user]
            for key in operations.keys.map(OperationKey.init(packed:)) { used.formUnion([key.service, key.operation]) }
            for key in edges.keys.map(EdgeKey.init(packed:)) { used.formUnion([key.client, key.server]) }
            pairing.forEachText { used.insert($0) }
            return used
        }
    }
}
