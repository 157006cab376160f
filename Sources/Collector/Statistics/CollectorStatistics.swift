internal import Synchronization
public import TelemetryWire

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

/// Everything that the collector counts, as one enumerable list. Label values come from configuration and from fixed lists of reasons,
/// never from the network.
public final class CollectorStatistics: Sendable {
    private struct Entry {
        let family: MetricFamily
        let labels: [(name: String, value: String)]
        let counter: CollectorCounter
    }

    private let entries = Mutex<[Entry]>([])
    /// Series at most; configuration that is replaced again and again with new file names shares the last one beyond it.
    public static let seriesMax = 2048

    public init() {}

    /// The counter of a series, made on first use. Not for hot code: callers keep what they get.
    func counter(_ family: MetricFamily, _ labels: [(name: String, value: String)] = []) -> CollectorCounter {
        entries.withLock { entries in
            let known = entries.first { $0.family.name == family.name && $0.labels.elementsEqual(labels, by: ==) }
            if let known { return known.counter }
            let isLast = entries.count >= Self.seriesMax
            if isLast {
                let shared = entries.first { $0.family.name == family.name && $0.labels.contains { $0.value == "overflow" } }
                if let shared { return shared.counter }
            }
            let entry = Entry(
                family: family, labels: isLast ? labels.map { ($0.name, "overflow") } : labels, counter: CollectorCounter())
            // After the last of its family, so that an exposition can write them in order.
            let place = entries.lastIndex { $0.family.name == family.name }.map { $0 + 1 } ?? entries.count
            entries.insert(entry, at: place)
            return entry.counter
        }
    }

    /// All samples, one group a family, in the order of first use.
    public func samples() -> [MetricSamples] {
        entries.withLock { entries in
            var families: [MetricSamples] = []
            for entry in entries {
                let sample = MetricSamples.Sample(labels: entry.labels, value: Double(entry.counter.value))
                if let last = families.indices.last, families[last].family.name == entry.family.name {
                    families[last].samples.append(sample)
                } else {
                    families.append(MetricSamples(entry.family, samples: [sample]))
                }
            }
            return families
        }
    }

    /// The sum of the series of a family whose labels include all of `labels`; 0 when there is none. For tests and status pages.
    public func total(_ family: String, _ labels: [String: String] = [:]) -> UInt64 {
        entries.withLock { entries in
            entries.filter { entry in
                entry.family.name == family
                    && labels.allSatisfy { want in entry.labels.contains { $0.name == want.key && $0.value == want.value } }
            }.reduce(0) { $0 &+ $1.counter.value }
        }
    }
}
