import TelemetryModel

/// The index with its lock. The writer thread changes it under the lock and reads it without, so that no query ever keeps a report waiting
/// for longer than it takes to note a new series; all others read under the lock, a piece at a time.
///
/// `@unchecked Sendable`: `index` is changed only by `change`, on the writer thread or before there is one.
final class SharedIndex: @unchecked Sendable {
    private var index = SeriesIndex()
    private let lock = Monitor(())

    /// On the writer thread.
    func look<Result>(_ body: (borrowing SeriesIndex) -> Result) -> Result { body(index) }

    /// On the writer thread.
    func change<Result>(_ body: (inout SeriesIndex) -> Result) -> Result { lock.withLock { _ in body(&index) } }

    /// Any thread.
    func read<Result>(_ body: (borrowing SeriesIndex) -> Result) -> Result { lock.withLock { _ in body(index) } }

    /// Forgets everything; before there is a writer thread.
    func removeAll() { change { $0 = SeriesIndex() } }
}
