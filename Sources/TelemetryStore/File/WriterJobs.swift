/// Work for the writer thread that is not a batch, and what came of it. Any thread but the writer's.
final class WriterJobs: Sendable {
    private let state: Monitor<FileState>

    init(_ state: Monitor<FileState>) { self.state = state }

    /// Runs `body` on the writer thread, between two commits, and waits for it. Nil when it failed, which has been noted as a full disk, or
    /// when the file is closed.
    func run<Value: Sendable>(_ body: @escaping @Sendable (WriteConnection) throws(StoreError) -> Value) -> Value? {
        let done = Monitor<Result<Value, StoreError>?>(nil)
        let taken = state.notify { state in
            guard !state.isWriterDone else { return false }
            state.jobs.append(FileState.Job { database in
                do throws(StoreError) {
                    let value = try body(database)
                    done.notify { $0 = .success(value) }
                } catch {
                    done.notify { $0 = .failure(error) }
                }
            })
            return true
        }
        guard taken, let result = done.wait(until: { $0 }) else { return nil }
        switch result {
        case .success(let value): return value
        case .failure:
            state.notify { $0.noteDiskFull() }
            return nil
        }
    }

    /// Whether the last write failed.
    var isDiskFull: Bool { state.withLock { $0.isDiskFull } }
    /// A job could write: the disk has room.
    func noteDiskHasRoom() { state.notify { $0.isDiskFull = false } }
    /// A job has deleted something, and its pages may be given back.
    func noteDeleted() { state.notify { $0.mayGiveBack = true } }
}
