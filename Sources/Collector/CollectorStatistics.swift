internal import Synchronization

/// One number of the collector, written by one part of it and readable from any thread.
public final class CollectorCounter: Sendable {
    private let storage = Atomic<UInt64>(0)

    init() {}

    public var value: UInt64 { storage.load(ordering: .relaxed) }

    func add(_ count: Int = 1) {
        guard count > 0 else { return }
        storage.wrappingAdd(UInt64(count), ordering: .relaxed)
    }

    /// For gauges, and for counters whose total is kept elsewhere.
    func set(_ value: UInt64) { storage.store(value, ordering: .relaxed) }
}

/// A metric family of the collector: name as in Prometheus, and what it means.
public struct CollectorFamily: Hashable, Sendable {
    public enum Kind: Sendable { case counter, gauge }

    public let name: String
    public let help: String
    public let kind: Kind

    static func counter(_ name: String, _ help: String) -> CollectorFamily { CollectorFamily(name: name, help: help, kind: .counter) }
    static func gauge(_ name: String, _ help: String) -> CollectorFamily { CollectorFamily(name: name, help: help, kind: .gauge) }

    static let records = counter("skein_records_total", "Request records taken from the workers' rings.")
    static let recordsDropped = counter("skein_records_dropped_total", "Request records lost before the collector, by reason.")
    static let logLines = counter("skein_access_log_lines_total", "Access-log lines written, by path.")
    static let logBytes = counter("skein_access_log_bytes_total", "Access-log bytes written, by path.")
    static let logLinesDropped = counter("skein_access_log_dropped_total", "Access-log lines not written, by path and reason.")
    static let proxySpans = counter("skein_proxy_spans_total", "Spans of this proxy that the store took.")
    static let proxySpansDropped = counter("skein_proxy_spans_dropped_total", "Spans of this proxy that were not stored, by reason.")
    static let requests = counter("skein_receiver_requests_total", "Requests to span receivers, by receiver, transport and outcome.")
    static let received = counter("skein_receiver_spans_total", "Spans received and stored, by receiver and transport.")
    static let rejected = counter("skein_receiver_spans_rejected_total", "Spans received and not stored, by receiver, transport and reason.")
    static let partsDropped = counter(
        "skein_receiver_parts_dropped_total",
        "Parts left out of spans that were stored, by receiver, transport and part.")
    static let receivedBytes = counter("skein_receiver_bytes_total", "Body bytes received, as sent, by receiver and transport.")
    static let exported = counter("skein_exporter_spans_total", "Spans that another server accepted, by exporter.")
    static let exportDropped = counter("skein_exporter_spans_dropped_total", "Spans given up by an exporter, by exporter and reason.")
    static let exportRequests = counter("skein_exporter_requests_total", "Requests of an exporter, by exporter and outcome.")
    static let exportQueue = gauge("skein_exporter_queue_spans", "Spans waiting in an exporter, by exporter.")
    static let tailCut = counter("skein_log_tail_dropped_total", "Lines not given to followers of the log, by reason.")
    static let ringBytes = gauge("skein_record_ring_bytes", "Bytes waiting in the fullest record ring at the last drain.")
}

/// One sample for an exposition. Samples of a family stand together.
public struct CollectorSample: Sendable {
    public let family: CollectorFamily
    public let labels: [(name: String, value: String)]
    public let value: UInt64
}

/// Everything that the collector counts, as one enumerable list. Label values come from configuration and from fixed lists of reasons,
/// never from the network.
public final class CollectorStatistics: Sendable {
    private struct Entry {
        let family: CollectorFamily
        let labels: [(name: String, value: String)]
        let counter: CollectorCounter
    }

    private let entries = Mutex<[Entry]>([])
    /// Series at most; configuration that is replaced again and again with new file names shares the last one beyond it.
    public static let seriesMax = 2048

    public init() {}

    /// The counter of a series, made on first use. Not for hot code: callers keep what they get.
    func counter(_ family: CollectorFamily, _ labels: [(name: String, value: String)] = []) -> CollectorCounter {
        entries.withLock { entries in
            if let known = entries.first(where: { $0.family == family && $0.labels.elementsEqual(labels, by: ==) }) { return known.counter }
            let isLast = entries.count >= Self.seriesMax
            if isLast, let shared = entries.first(where: { $0.family == family && $0.labels.contains { $0.value == "overflow" } }) {
                return shared.counter
            }
            let entry = Entry(
                family: family, labels: isLast ? labels.map { ($0.name, "overflow") } : labels, counter: CollectorCounter())
            // After the last of its family, so that an exposition can write them in order.
            let place = entries.lastIndex { $0.family == family }.map { $0 + 1 } ?? entries.count
            entries.insert(entry, at: place)
            return entry.counter
        }
    }

    /// All samples, families together, in the order of first use.
    public func samples() -> [CollectorSample] {
        entries.withLock { $0.map { CollectorSample(family: $0.family, labels: $0.labels, value: $0.counter.value) } }
    }

    /// The sum of the series of a family whose labels include all of `labels`; 0 when there is none. For tests and status pages.
    public func total(_ family: String, _ labels: [String: String] = [:]) -> UInt64 {
        samples().filter { sample in
            sample.family.name == family && labels.allSatisfy { want in sample.labels.contains { $0.name == want.key && $0.value == want.value } }
        }.reduce(0) { $0 &+ $1.value }
    }
}
