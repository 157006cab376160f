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
/// A value, confined to its owner; no clock, no I/O. Costs one look at each tag, two hashes, one or two look-ups, and no allocation once its
/// texts and rows are known. Every table is bounded by `SpanMetricsLimits`.
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
        user = texts.number(of: LentBytes("user")) ?? InternedTexts.none
        pairing = EdgePairing(limits, user: user)
        operations = TotalsTable(
            [.init(name: names.calls, isHistogram: false), .init(name: names.latency, isHistogram: true)],
            bounds: names.latencyBounds, unit: names.latencyUnit, rowsMax: limits.operationsMax)
        edges = TotalsTable(
            [
                .init(name: SpanMetricsNames.requests, isHistogram: false),
                .init(name: SpanMetricsNames.failedRequests, isHistogram: false),
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
        unsafe batch.text.withUnsafeBytes { unsafe observe(batch, LentBytes($0), moment) }
        counters.spans &+= UInt64(batch.spans.count)
        countCalls(at: moment)
    }

    private mutating func observe(_ batch: borrowing SpanBatch, _ text: LentBytes, _ moment: SpanMetricsMoment) {
        // Neighbours are of the same service more often than not.
        var endpoint = EndpointRow.absent
        var service = LentBytes()
        var serviceHash = texts.textHash(service)
        for index in batch.spans.indices {
            let span = batch.spans[index]
            if span.localEndpoint != endpoint {
                endpoint = span.localEndpoint
                service = endpoint == EndpointRow.absent ? LentBytes() : text[batch.endpoints[Int(endpoint)].serviceName]
                serviceHash = texts.textHash(service)
            }
            let traits = SpanTraits(span, in: batch, text)
            let weight = spanWeight(traits.traceState, text)
            let row = operationRow(span, service, serviceHash, traits.status, text, moment)
            operations.add(weight, to: OperationFamily.calls, of: row)
            if span.duration > 0 { operations.observe(span.duration, weight: weight, in: OperationFamily.latency, of: row) }
            if span.kind == .unspecified { continue }
            let own = OperationKey(packed: operations.subject(of: row)).service
            let remote = span.remoteEndpoint == EndpointRow.absent
                ? LentBytes() : text[batch.endpoints[Int(span.remoteEndpoint)].serviceName]
            pair(span, own == OperationKey.overflowText ? number(service) : own, remote, traits, weight, text, moment.monotonic)
        }
    }

    /// The row that a span counts in.
    @inline(__always)
    private mutating func operationRow(
        _ span: SpanRow, _ service: LentBytes, _ serviceHash: UInt64, _ status: SpanStatus, _ text: LentBytes, _ moment: SpanMetricsMoment
    ) -> Int {
        let name = text[span.name]
        let fingerprint = ByteHash.mix(
            serviceHash ^ OperationKey.aboveBound(span.kind, status).packed, texts.textHash(name) ^ OperationKey.nameSalt)
        return operations.row(fingerprint) ?? newOperation(fingerprint, service, name, span.kind, status, moment)
    }

    private mutating func newOperation(
        _ fingerprint: UInt64, _ service: LentBytes, _ name: LentBytes, _ kind: SpanKind, _ status: SpanStatus, _ moment: SpanMetricsMoment
    ) -> Int {
        if operations.hasRoom, let service = texts.number(of: service), let name = texts.number(of: name) {
            return operations.add(fingerprint, OperationKey(service, name, kind, status).packed, at: moment)
        }
        counters.overflowed &+= 1
        let key = OperationKey.aboveBound(kind, status).packed
        return operations.row(key) ?? operations.add(key, key, at: moment)
    }

    private mutating func pair(
        _ span: SpanRow, _ service: UInt32, _ remote: LentBytes, _ traits: SpanTraits, _ weight: Double, _ text: LentBytes,
        _ now: MonotonicInstant
    ) {
        var half = EdgeHalf()
        half.service = service
        half.peer = number(remote)
        half.duration = span.duration
        half.parentID = span.parentID.rawValue
        half.spanID = span.id.rawValue
        half.weight = weight
        half.isProxy = traits.isProxy
        half.isMessaging = span.kind == .producer || span.kind == .consumer
        half.isFailed = traits.status == .error
        let own = CallID(traceLow: span.traceID.low, spanID: span.id.rawValue)
        switch span.kind {
        case .client where !traits.database.isEmpty: pairing.takeDatabase(own, half, named: number(text[traits.database]))
        case .client, .producer: pairing.takeClient(own, half, now: now, &texts)
        case .server, .consumer:
            // A server that shares its client's id has its client's parent as well; one at the root may have forgotten to say so.
            let isShared = span.flags.contains(.shared) || span.parentID.isNone
            let id = isShared ? own : CallID(traceLow: own.traceLow, spanID: span.parentID.rawValue)
            pairing.takeServer(id, half, now: now, &texts)
        case .unspecified: break
        }
    }

    @inline(__always)
    private mutating func number(_ text: LentBytes) -> UInt32 { texts.number(of: text) ?? OperationKey.overflowText }

    @inline(__always)
    private mutating func spanWeight(_ traceState: TextRef, _ text: LentBytes) -> Double {
        if traceState.isEmpty { return 1 }
        switch SamplingWeight(text[traceState], weightMax: limits.weightMax) {
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
            let row = edgeRow(call, moment)
            edges.add(call.weight, to: EdgeFamily.requests, of: row)
            if call.isFailed { edges.add(call.weight, to: EdgeFamily.failed, of: row) }
            if call.serverDuration > 0 { edges.observe(call.serverDuration, weight: call.weight, in: EdgeFamily.server, of: row) }
            if call.clientDuration > 0 { edges.observe(call.clientDuration, weight: call.weight, in: EdgeFamily.client, of: row) }
        }
        pairing.removeCalls()
    }

    /// The row that a call counts in.
    private mutating func edgeRow(_ call: EdgeCall, _ moment: SpanMetricsMoment) -> Int {
        let key = EdgeKey(call)
        if let known = edges.row(key.packed), !key.isOverflow { return known }
        if edges.hasRoom, !key.isOverflow { return edges.add(key.packed, key.packed, at: moment) }
        counters.overflowed &+= 1
        let rest = EdgeKey.aboveBound(call.connection).packed
        return edges.row(rest) ?? edges.add(rest, rest, at: moment)
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
        operations.append(to: &batch, at: moment) { labels.seriesLabels(OperationKey(packed: $0)) }
        edges.append(to: &batch, at: moment) { labels.seriesLabels(EdgeKey(packed: $0)) }
        texts.keepUsed { [operations, edges, pairing, user] in
            var used: Set<UInt32> = [user]
            for key in operations.subjects.map(OperationKey.init(packed:)) { used.formUnion([key.service, key.operation]) }
            for key in edges.subjects.map(EdgeKey.init(packed:)) { used.formUnion([key.client, key.server]) }
            pairing.forEachText { used.insert($0) }
            return used
        }
    }
}
