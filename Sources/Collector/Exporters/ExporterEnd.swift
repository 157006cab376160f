internal import Primitives
internal import Synchronization

/// The moment when an exporter has to be done.
final class ExporterEnd: Sendable {
    private let nanoseconds = Atomic<UInt64>(.max)

    /// Not `Atomic.min`, which compares as if signed: `.max` would stay the least.
    func lower(to instant: MonotonicInstant) {
        if instant < self.instant { nanoseconds.store(instant.nanoseconds, ordering: .relaxed) }
    }
    var instant: MonotonicInstant { MonotonicInstant(nanoseconds: nanoseconds.load(ordering: .relaxed)) }
    var isSet: Bool { instant < .distantFuture }
}
