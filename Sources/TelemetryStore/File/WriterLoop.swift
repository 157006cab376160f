/// The writer thread: gathers batches of all queues into one commit, shows them to readers, then says so; and runs jobs in between, because
/// the file has one writer.
struct WriterLoop: ~Copyable {
    private let state: Monitor<FileState>
    private let sets: [any TableSet]
    private let queues: [any CommitQueue]
    private let database: WriteConnection
    private let windowMicroseconds: UInt64
    /// Which queues' writers take more; index as in `queues`.
    private var hasRoom: [Bool]
    /// The queues that take part in the commit in progress.
    private var group: [any CommitQueue] = []
    /// Microseconds since 1970.
    private var lastCommit: UInt64 = 0

    /// A window ends early when this many batches wait.
    private static let windowBatches = 8

    init(state: Monitor<FileState>, configuration: StoreConfiguration, sets: [any TableSet], database: WriteConnection) {
        self.state = state
        self.sets = sets
        self.database = database
        queues = sets.map(\.queue)
        hasRoom = queues.map { _ in true }
        windowMicroseconds = UInt64(min(max(configuration.groupCommitMilliseconds, 0), 100)) * 1000
    }

    private enum Work {
        case batches
        case job(FileState.Job)
        case end
    }

    mutating func run() {
        while true {
            switch nextWork() {
            case .batches:
                awaitWindow()
                takeGroup()
                commitGroup()
            case .job(let job): job.run(database)
            case .end:
                for set in sets { set.finish(database) }
                try? database.giveAllBack()
                return
            }
        }
    }

    /// Waits for work. Jobs come first.
    private mutating func nextWork() -> Work {
        // Only this thread changes the answers, so they hold while it waits.
        for index in queues.indices { hasRoom[index] = queues[index].hasRoom }
        let work = state.wait(as: .writer) { state -> Work? in
            state.writerWakesAt = 1
            if !state.jobs.isEmpty { return .job(state.jobs.removeFirst()) }
            for index in queues.indices where (hasRoom[index] || state.isClosing) && queues[index].hasBatches(state) { return .batches }
            if state.isClosing, state.batchesWaiting == 0 {
                state.isWriterDone = true
                return .end
            }
            return nil
        }
        return work ?? .end
    }

    /// At most one commit per window, because a commit costs the same for one batch as for twenty; the first after a pause goes at once.
    private func awaitWindow() {
        let sinceLast = WallClock.nowMicroseconds() &- lastCommit
        guard sinceLast < windowMicroseconds else { return }
        _ = state.wait(as: .writer, milliseconds: Int((windowMicroseconds - sinceLast + 999) / 1000)) { state in
            state.writerWakesAt = WriterLoop.windowBatches
            return state.batchesWaiting >= WriterLoop.windowBatches || state.isClosing || !state.jobs.isEmpty ? true : nil
        }
    }

    private mutating func takeGroup() {
        var taken = group
        taken.removeAll(keepingCapacity: true)
        state.notify { state, woken in
            woken = .callers
            for index in queues.indices where hasRoom[index] || state.isClosing {
                if queues[index].takeGroup(&state) { taken.append(queues[index]) }
            }
        }
        group = taken
    }

    private mutating func commitGroup() {
        let result = commit(group)
        guard case .failure = result, group.count > 1 else { return finish(group, result, isDisk: true) }
        // What one set of tables cannot write is not the others' fault; where any of them can be written, it is not the disk's.
        var results: [(queue: any CommitQueue, result: Result<Void, StoreError>)] = []
        for queue in group { results.append((queue, commit([queue]))) }
        let isDisk = !results.contains { if case .success = $0.result { true } else { false } }
        for (queue, result) in results { finish([queue], result, isDisk: isDisk) }
    }

    /// Writes what `members` have taken in one transaction, and shows it to readers.
    private mutating func commit(_ members: [any CommitQueue]) -> Result<Void, StoreError> {
        let bytes = members.reduce(0) { $0 + $1.encode() }
        do throws(StoreError) {
            if bytes > 0 {
                try database.transaction { () throws(StoreError) in
                    for queue in members { try queue.write(database) }
                }
                database.checkpointIfLarge(bytes)
            }
        } catch {
            for queue in members { queue.discard() }
            return .failure(error.isRetryable ? error : .diskFull)
        }
        lastCommit = WallClock.nowMicroseconds()
        for queue in members { queue.publish(now: lastCommit) }
        return .success(())
    }

    /// Counts the commit, wakes who has to do with it, and tells the senders. `isDisk`: a failure is the disk's.
    private func finish(_ members: [any CommitQueue], _ result: Result<Void, StoreError>, isDisk: Bool) {
        let isDue = sets.contains { $0.isMaintenanceDue }
        state.notify { state, woken in
            switch result {
            case .success:
                state.commits += 1
                state.isDiskFull = false
                guard isDue else { return }
                state.isMaintenanceDue = true
                woken = .maintenance
            case .failure:
                for queue in members { queue.noteRefused(&state) }
                if isDisk { state.noteDiskFull() }
                woken = .all
            }
        }
        for queue in members { queue.complete(result) }
    }
}
