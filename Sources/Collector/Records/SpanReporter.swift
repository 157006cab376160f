internal import Primitives
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// Batches that the sink has taken and not answered yet; answers come from any thread.
final class OutstandingBatches: Sendable {
    let count = Atomic<Int>(0)
}

/// The spans of one side of the proxy on their way to the sink and the exporters. Confined to the pump's thread.
struct SpanReporter {
    private let sink: any BatchSink<SpanBatch>
    private let limits: CollectorLimits
    private let outstanding: OutstandingBatches
    private let counters: SpanReportCounters
    private var batch = SpanBatch()
    /// When the first span of `batch` came.
    private var since = MonotonicInstant(nanoseconds: 0)
    private var operations: OperationNames

    init(
        sink: any BatchSink<SpanBatch>, catalogs: Catalogs, limits: CollectorLimits, outstanding: OutstandingBatches,
        counters: SpanReportCounters
    ) {
        self.sink = sink
        self.limits = limits
        self.outstanding = outstanding
        self.counters = counters
        operations = OperationNames(catalogs)
    }

    var waitingSpans: Int { batch.spans.count }

    mutating func append(
        _ view: borrowing RequestRecordView, _ builder: ProxySpanBuilder, names: borrowing NameTable, now: MonotonicInstant
    ) {
        if batch.spans.count >= limits.spansWaitingMax {
            counters.backlog.add()
            return
        }
        if batch.spans.isEmpty { since = now }
        let operation = operations.operation(cluster: view.record.cluster, destination: view.record.labels.destination, names: names)
        if !builder.append(view, names: names, operation: operation, to: &batch) { counters.withoutContext.add() }
    }

    enum Occasion {
        /// A full batch, or one whose first span has waited long enough.
        case turn
        /// Whatever there is, unless too many batches are outstanding.
        case flush
        /// Whatever there is: the last chance.
        case end
    }

    mutating func submit(_ occasion: Occasion, now: MonotonicInstant, exporters: [Exporter<SpanBatch>]) {
        let count = batch.spans.count
        guard count > 0 else { return }
        if occasion == .turn {
            guard count >= limits.spansPerBatchMax || now.nanoseconds(since: since) >= limits.spanDelayNanosecondsMax else { return }
        }
        guard occasion == .end || outstanding.count.load(ordering: .relaxed) < limits.batchesOutstandingMax else { return }
        let full = batch
        batch = SpanBatch()
        for exporter in exporters { exporter.offer(full) }
        outstanding.count.wrappingAdd(1, ordering: .relaxed)
        sink.submit(full) { [outstanding, counters] result in
            switch result {
            case .success: counters.stored.add(count)
            case .failure(.overloaded): counters.overloaded.add(count)
            case .failure(.unavailable): counters.unavailable.add(count)
            }
            outstanding.count.wrappingSubtract(1, ordering: .releasing)
        }
    }
}

/// Where the proxy's spans went.
struct SpanReportCounters: Sendable {
    let stored: CollectorCounter
    /// The sink's queue was full, or its disk.
    let overloaded: CollectorCounter
    let unavailable: CollectorCounter
    /// Too many waited for the sink to answer earlier batches.
    let backlog: CollectorCounter
    /// Sampled without identifiers: our bug.
    let withoutContext: CollectorCounter

    init(_ statistics: CollectorStatistics) {
        stored = statistics.counter(.proxySpans)
        overloaded = statistics.counter(.proxySpansDropped, [("reason", "overloaded")])
        unavailable = statistics.counter(.proxySpansDropped, [("reason", "unavailable")])
        backlog = statistics.counter(.proxySpansDropped, [("reason", "backlog")])
        withoutContext = statistics.counter(.proxySpansDropped, [("reason", "no_context")])
    }
}

/// Span names as Istio's route decorators write them: `reviews.default.svc.cluster.local:9080/*`.
struct OperationNames {
    private let catalogs: Catalogs
    private var known: [UInt64: [UInt8]] = [:]
    /// Pairs of cluster and destination kept; then it begins anew.
    static let countMax = 4096

    init(_ catalogs: Catalogs) { self.catalogs = catalogs }

    /// Empty when the cluster says nothing about the service, and the authority has to do.
    mutating func operation(cluster: NameID, destination: DestinationLabelsID, names: borrowing NameTable) -> [UInt8] {
        let key = UInt64(cluster.rawValue) << 32 | UInt64(destination.rawValue)
        if let operation = known[key] { return operation }
        if known.count >= Self.countMax { known.removeAll() }
        let operation = make(names[cluster], destination)
        known[key] = operation
        return operation
    }

    private func make(_ cluster: [UInt8], _ destination: DestinationLabelsID) -> [UInt8] {
        let parts = cluster.split(separator: UInt8(ascii: "|"), omittingEmptySubsequences: false)
        guard parts.count == 4, !parts[1].isEmpty else { return [] }
        var host = Array(parts[3])
        // An inbound cluster has no host: the identity of the destination has.
        if host.isEmpty { host = Array(catalogs.labels(destination).service.utf8) }
        guard !host.isEmpty else { return [] }
        return host + [UInt8(ascii: ":")] + parts[1] + Array("/*".utf8)
    }
}
