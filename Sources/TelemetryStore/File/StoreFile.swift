internal import TelemetryModel

/// The store's file: one SQLite database in a locked data directory, one thread that writes it, one that keeps it in order, and sets of
/// tables side by side (`TableSet`), whose batches share its commits.
///
/// It knows no signal. What is written, read, compacted and forgotten is the table sets' business; when that is committed, and how large
/// all of it may be, is decided here. Any thread may call it. Next file: `TableSet.swift`, then `WriterLoop.swift`.
final class StoreFile: Sendable {
    let configuration: StoreConfiguration
    private let directory: DataDirectory
    private let sets: [any TableSet]
    private let budget: StoreBudget
    private let state: Monitor<FileState>
    /// Work for the writer thread.
    let jobs: WriterJobs
    private let threads: Monitor<[StoreThread]>

    private static let maintenanceMilliseconds = 500
    /// How often one look at the file's size may delete.
    private static let deletionRoundsMax = 8
    /// What is given back of an old peak at a time: the writer waits meanwhile.
    private static let givenBackBytesMax: UInt64 = 16 << 20

    // MARK: Life cycle

    /// Takes the data directory for this process alone, opens or creates the file and loads `sets` from it. A damaged file is set aside
    /// once, and a new one begun. Errors: `.locked`, `.directory`, `.newerSchema`, `.diskFull`, `.sqlite`.
    static func open(_ configuration: StoreConfiguration, _ sets: [any TableSet]) throws(StoreError) -> StoreFile {
        let directory = try DataDirectory(configuration.directory)
        var damage: [StoreDamage] = []
        /// Sets the file aside and remembers why; false when that has been tried, or cannot be done.
        func setAside(_ reason: String) -> Bool {
            guard damage.isEmpty, let path = directory.quarantine(now: WallClock.nowMicroseconds()) else { return false }
            damage.append(Self.damage(reason, movedTo: path, sets))
            return true
        }
        if let reason = directory.stub { _ = setAside(reason) }
        while true {
            do throws(StoreError) {
                let database = try WriteConnection(directory.databasePath, configuration, sets.map(\.schema))
                for set in sets { try set.load(database) }
                return try StoreFile(configuration, directory, sets, database, damage)
            } catch {
                guard error.isDamage, setAside("\(directory.databasePath) is damaged (\(error))") else {
                    directory.removeUnfilled()
                    throw error
                }
            }
        }
    }

    private init(
        _ configuration: StoreConfiguration, _ directory: DataDirectory, _ sets: [any TableSet], _ database: WriteConnection,
        _ damage: [StoreDamage]
    ) throws(StoreError) {
        self.configuration = configuration
        self.directory = directory
        self.sets = sets
        budget = StoreBudget(configuration.retentionBytes)
        var initial = FileState()
        initial.damage = damage
        state = Monitor(initial)
        jobs = WriterJobs(state)
        threads = Monitor([StoreThread]())
        let writer = try StoreThread { [state] in
            var loop = WriterLoop(state: state, configuration: configuration, sets: sets, database: database)
            loop.run()
        }
        threads.withLock { $0.append(writer) }
        let keeper = try StoreThread { [weak self, state] in
            while StoreFile.waitForMaintenance(state, configuration, sets) {
                guard let self else { return }
                self.maintain()
            }
        }
        threads.withLock { $0.append(keeper) }
    }

    deinit { closeThreads() }

    /// Commits what is queued, ends the threads, empties the log into the file and releases the directory. Closing twice is harmless.
    func close() {
        closeThreads()
        for set in sets { set.close() }
    }

    private func closeThreads() {
        state.notify { $0.isClosing = true }
        let running = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in running.reversed() { thread.join() }
        state.notify { $0.isClosed = true }
        directory.unlock()
    }

    /// What was in the damaged file that now lies at `path`, as far as it still says.
    static func damage(_ reason: String, movedTo path: String, _ sets: [any TableSet]) -> StoreDamage {
        var damage = StoreDamage(
            kind: .file, what: "\(reason); it is now \(path), and a new one was begun", spans: nil,
            command: "sqlite3 '\(path)' .recover > recovered.sql")
        guard DataDirectory.fileBytes(path) >= DataDirectory.databaseBytesMin,
            let connection = try? SQLiteConnection(path: path, access: .readOnly)
        else { return damage }
        for set in sets {
            guard let found = try? set.remains(connection) else { continue }
            (damage.spans, damage.earliest, damage.latest) = (found.count, found.earliest, found.latest)
            break
        }
        return damage
    }

    // MARK: Writing

    /// Takes a batch for the next group commit. Never blocks. `completion` is called exactly once: on the writer thread once the batch is
    /// committed and readable, or at once with `.overloaded`, `.diskFull` or `.closed`. It must be short: the next commit waits for it.
    func submit<Batch: TelemetryBatch>(
        _ batch: consuming Batch, to queue: WriteQueue<Batch>, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void
    ) {
        let bytes = batch.byteCount
        let submission = WriteQueue<Batch>.Submission(batch: batch, bytes: bytes, completion: completion)
        let refusal = state.notify { state, woken -> StoreError? in
            let refusal = queue.offer(submission, &state)
            if refusal == nil, state.batchesWaiting >= state.writerWakesAt { woken = .writer }
            return refusal
        }
        if let refusal { completion(.failure(refusal)) }
    }

    /// Stores a batch and waits for the commit; waits, too, while the queue is full. Not for event-loop threads.
    func append<Batch: TelemetryBatch>(_ batch: Batch, to queue: WriteQueue<Batch>) throws(StoreError) {
        while true {
            let done = Monitor<Result<Void, StoreError>?>(nil)
            submit(batch, to: queue) { result in done.notify { $0 = result } }
            switch done.wait(until: { $0 }) {
            case .success, nil: return
            case .failure(.overloaded): _ = state.wait(milliseconds: 50) { queue.isRoomy($0) || $0.isClosing ? true : nil }
            case .failure(let error): throw error
            }
        }
    }

    /// Changes `pageCountMax` of the open file; false when it is closing.
    func limitPages(_ count: UInt32) -> Bool {
        jobs.run { database throws(StoreError) in
            try database.limitPages(count)
            return true
        } ?? false
    }

    /// Brings every table set into its compact form, applies retention and gives free pages back; returns when that is done.
    func flush() throws(StoreError) {
        let target = state.notify { state -> Int? in
            guard !state.isClosing else { return nil }
            state.flushesWanted += 1
            return state.flushesWanted
        }
        guard let target else { throw .closed }
        let finished = state.wait { $0.flushesDone >= target ? true : ($0.isClosed ? false : nil) }
        if finished != true { throw .closed }
        if jobs.isDiskFull { throw .diskFull }
    }

    /// What the file as a whole has to say, and the queue of one signal.
    func describe<Batch>(_ queue: WriteQueue<Batch>, in result: inout StoreStatistics) {
        let (figures, state) = state.withLock { (queue.figures($0), $0) }
        result.spansRefused = figures.refused
        result.queuedBatches = UInt64(figures.batches)
        result.queuedBytes = UInt64(figures.bytes)
        result.commits = state.commits
        result.isDiskFull = state.isDiskFull
        if state.isDiskFull { result.problem = "the disk of the data directory is full or failing" }
        result.quarantined[.file] = UInt64(state.damage.count)
        result.damage = Array((state.damage + result.damage).prefix(StoreStatistics.damageMax))
        result.fileBytes = fileBytes + logBytes
    }

    // MARK: Maintenance (on its own thread)

    /// False when the file is closing.
    private static func waitForMaintenance(
        _ state: Monitor<FileState>, _ configuration: StoreConfiguration, _ sets: [any TableSet]
    ) -> Bool {
        let isDue = configuration.compactsInBackground && sets.contains { $0.isMaintenanceDue }
        _ = state.wait(as: .maintenance, milliseconds: maintenanceMilliseconds) { state in
            let hasWork = configuration.compactsInBackground && (isDue && !state.isDiskFull || state.isMaintenanceDue)
            return state.isClosing || state.flushesWanted > state.flushesDone || hasWork ? true : nil
        }
        return state.withLock { state in
            state.isMaintenanceDue = false
            return !state.isClosing
        }
    }

    private func maintain() {
        let (target, done) = state.withLock { ($0.flushesWanted, $0.flushesDone) }
        let isFlush = target > done
        guard isFlush || configuration.compactsInBackground else { return }
        for set in sets { set.maintain(MaintenanceTurn(isFlush: isFlush, jobs: jobs) { self.boundSize() }) }
        if isFlush {
            _ = jobs.run { database throws(StoreError) in try database.giveAllBack() }
            state.notify { $0.flushesDone = max($0.flushesDone, target) }
        }
    }

    private var fileBytes: UInt64 { DataDirectory.fileBytes(directory.databasePath) }
    private var logBytes: UInt64 { DataDirectory.fileBytes(directory.databasePath + "-wal") }

    /// Deletes the oldest where there are too many bytes, and cuts the file where it is larger than it has to be.
    private func boundSize() {
        if let used = budget.databaseBytesMax { shed(toBytes: used) }
        if state.withLock({ $0.mayGiveBack }) || isOverBudget { giveBack() }
    }

    /// What the file system says is enough to know that nothing is to be done.
    private var isOverBudget: Bool {
        guard let total = budget.total else { return false }
        let log = logBytes
        return fileBytes + log > total || log > UInt64(budget.logBytesMax) * 2
    }

    private func shed(toBytes used: UInt64) {
        var rounds = 0
        // Pages are not bytes, so it is measured anew after each deletion.
        while rounds < Self.deletionRoundsMax {
            rounds += 1
            guard fileBytes + logBytes > used else { return }
            guard let space = jobs.run({ database throws(StoreError) in try database.space() }) else { return }
            guard space.used > used else { return }
            // The first set is the largest: what it can give is asked for first.
            guard sets.contains(where: { $0.shed(space.used - used, jobs) }) else { return }
        }
    }

    /// Cuts the file where free pages or the log make it larger than it may be, or where an old peak left much of it empty.
    private func giveBack() {
        guard let space = jobs.run({ database throws(StoreError) in try database.space() }) else { return }
        let excess = budget.total.map { space.onDisk > $0 ? space.onDisk - $0 : 0 } ?? 0
        let bytes = excess > 0 ? min(excess, space.free) : space.hasMuchFree ? min(space.free, Self.givenBackBytesMax) : 0
        let isLongLog = space.log > UInt64(budget.logBytesMax) * 2
        guard bytes > 0 || excess > 0 || isLongLog else {
            state.notify { $0.mayGiveBack = false }
            return
        }
        _ = jobs.run { database throws(StoreError) in try database.giveBack(bytes) }
    }
}
