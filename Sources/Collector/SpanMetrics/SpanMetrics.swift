internal import Primitives
internal import TelemetryModel

/// Calls, errors and latency of spans, by service, operation, kind and status, and of calls between services (semantics 3.2).
///
/// Takes the spans of batches that were stored, each once, when they come and whatever they are timestamped, and gives running totals as
/// series. A span counts as many times as its sender's sampling says it stands for (`SamplingWeight`). Spans of proxies count like any
/// others: as many as were sampled. Their sampling percentage is no weight, because only the first proxy of a trace has drawn by it and the
/// others follow; what a proxy served is counted exactly in `istio_requests_total`. How edges are found: `EdgePairing`.
///
/// A span of unknown duration counts as a call, and is in no histogram. Buckets have exemplars (`BucketExemplars`). Names are those of the
/// store: in lower case.
///
/// A value, confined to its owner; no clock, no I/O. Costs one look at each tag, two or three hashes, as many look-ups, and no allocation
/// for a span once its texts and rows are known. Every table is bounded by `SpanMetricsLimits`.
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
    /// What finds the facts in batches.
    let reader: SpanFactReader
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
        reader = SpanFactReader(limits)
        user = texts.number(reader.hashing.textHash("user")) { "user" } ?? InternedTexts.none
        pairing = EdgePairing(limits, user: user)
        operations = TotalsTable(
            [.init(name: names.calls, isHistogram: false), .init(name: names.latency, isHistogram: true)],
            bounds: names.latencyBounds, unit: names.latencyUnit, rowsMax: limits.operationsMax, exemplarsMax: limits.exemplarsMax)
        edges = TotalsTable(
            [
                .init(name: SpanMetricsNames.requests, isHistogram: false),
                .init(name: SpanMetricsNames.failedRequests, isHistogram: false),
                .init(name: SpanMetricsNames.serverSeconds, isHistogram: true),
                .init(name: SpanMetricsNames.clientSeconds, isHistogram: true),
            ],
            bounds: SpanMetricsNames.edgeBounds, unit: SpanMetricsNames.edgeUnit, rowsMax: limits.edgesMax,
            exemplarsMax: limits.exemplarsMax)
    }

    /// Series that a recording has.
    var seriesCount: Int { operations.seriesCount + edges.seriesCount }

    // MARK: Spans

    /// Counts a batch that was stored. `facts` are what the reader found in it: one for each span.
    mutating func observe(_ facts: [SpanFact], of batch: borrowing SpanBatch, at moment: SpanMetricsMoment) {
        precondition(facts.count == batch.spans.count, "facts of another batch")
        pairing.expire(now: moment.monotonic)
        for index in facts.indices { observe(facts[index], index, of: batch, at: moment) }
        counters.spans &+= UInt64(facts.count)
        countCalls(at: moment)
    }

    @inline(__always)
    private mutating func observe(_ fact: SpanFact, _ index: Int, of batch: borrowing SpanBatch, at moment: SpanMetricsMoment) {
        let row = operations.row(fact.operation) ?? newOperation(fact, index, of: batch, at: moment)
        operations.add(fact.weight, to: OperationFamily.calls, of: row)
        if fact.duration > 0 {
            operations.observe(
                fact.duration, weight: fact.weight, in: OperationFamily.latency, of: row,
                ObservedSpan(
                    traceID: TraceID(high: fact.traceHigh, low: fact.traceLow), spanID: SpanID(fact.id), time: moment.unixMilliseconds))
        }
        if fact.isWeightRefused { counters.weightsRefused &+= 1 }
        if fact.kind != .unspecified { pair(fact, index, OperationKey(packed: operations.subject(of: row)), of: batch, moment.monotonic) }
    }

    /// The row of a span that is in none yet.
    private mutating func newOperation(
        _ fact: SpanFact, _ index: Int, of batch: borrowing SpanBatch, at moment: SpanMetricsMoment
    ) -> Int {
        if operations.hasRoom {
            let span = batch.spans[index]
            let (service, name) = (Self.endpointName(span.localEndpoint, batch), batch.string(span.name))
            if let service = number(service), let name = number(name) {
                return operations.add(fact.operation, OperationKey(service, name, fact.kind, fact.status).packed, at: moment)
            }
        }
        counters.overflowed &+= 1
        let key = OperationKey.aboveBound(fact.kind, fact.status).packed
        return operations.row(key) ?? operations.add(key, key, at: moment)
    }

    private mutating func pair(
        _ fact: SpanFact, _ index: Int, _ operation: OperationKey, of batch: borrowing SpanBatch, _ now: MonotonicInstant
    ) {
        // All that is usual is in the fact: the span's row would have to come from memory once more.
        var half = EdgeHalf()
        half.service = operation.service
        if operation.isOverflow {
            half.service = number(Self.endpointName(batch.spans[index].localEndpoint, batch)) ?? OperationKey.overflowText
        }
        half.peer = texts.number(fact.peer) { Self.endpointName(batch.spans[index].remoteEndpoint, batch) } ?? OperationKey.overflowText
        half.duration = fact.duration
        half.parentID = fact.parentID
        half.weight = Float(fact.weight)
        if fact.isProxy { half.flags.insert(.proxy) }
        if fact.kind == .producer || fact.kind == .consumer { half.flags.insert(.messaging) }
        if fact.status == .error { half.flags.insert(.failed) }
        if fact.kind == .client || fact.kind == .producer { half.flags.formUnion([.client, .own]) }
        let own = CallID(traceLow: fact.traceLow, spanID: fact.id)
        let traceHigh = fact.traceHigh
        switch fact.kind {
        case .client where fact.database != 0:
            let name = texts.number(fact.database) { batch.string(fact.databaseName) }
            pairing.takeDatabase(own, traceHigh: traceHigh, half, named: name ?? OperationKey.overflowText)
        case .client, .producer: pairing.takeClient(own, traceHigh: traceHigh, half, now: now, &texts)
        case .server, .consumer:
            if fact.isShared { half.flags.insert(.own) }
            let id = fact.isShared ? own : CallID(traceLow: own.traceLow, spanID: fact.parentID)
            pairing.takeServer(id, traceHigh: traceHigh, half, now: now, &texts)
        case .unspecified: break
        }
    }

    private mutating func number(_ text: String) -> UInt32? { texts.number(reader.hashing.textHash(text)) { text } }

    private static func endpointName(_ endpoint: UInt32, _ batch: borrowing SpanBatch) -> String {
        endpoint == EndpointRow.absent ? "" : batch.string(batch.endpoints[Int(endpoint)].serviceName)
    }

    /// Adds the calls that are known by now.
    private mutating func countCalls(at moment: SpanMetricsMoment) {
        for call in pairing.calls {
            let row = edgeRow(call, moment)
            edges.add(call.weight, to: EdgeFamily.requests, of: row)
            if call.isFailed { edges.add(call.weight, to: EdgeFamily.failed, of: row) }
            let span = ObservedSpan(
                traceID: call.id.traceID(high: call.traceHigh), spanID: SpanID(call.id.spanID), time: moment.unixMilliseconds)
            if call.serverDuration > 0 { edges.observe(call.serverDuration, weight: call.weight, in: EdgeFamily.server, of: row, span) }
            if call.clientDuration > 0 { edges.observe(call.clientDuration, weight: call.weight, in: EdgeFamily.client, of: row, span) }
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
