internal import Primitives
public import TelemetryModel

/// The trace store: spans in, durable; traces, names and dependency links out. Any thread may call it.
///
/// Opening takes the data directory for this process alone, sets a damaged file aside, and brings the spans that the last process had
/// acknowledged but not compacted back into the head.
public final class TraceStore: Sendable {
    let configuration: StoreConfiguration
    let state: Monitor<StoreState>
    let readers: ReaderPool
    let headers = HeaderCache()
    let databasePath: String
    private let budget: StoreBudget
    private let directory: DataDirectory
    private let threads: Monitor<[StoreThread]>

    private static let maintenanceMilliseconds = 500
    private static let journalRowsMax = 4096
    private static let diskRetryMicroseconds: UInt64 = 250_000
    /// Segments smaller than this share of `headSpansMax` are merged when this many lie side by side.
    private static let mergeShare = 2
    private static let mergeCount = 8
    /// How often one look at the file's size may delete.
    private static let deletionRoundsMax = 8
    /// What is given back of an old peak at a time: the writer waits meanwhile.
    private static let givenBackBytesMax: UInt64 = 16 << 20

    /// Opens or creates the store in `configuration.directory`. Errors: `.locked`, `.directory`, `.newerSchema`, `.diskFull`, `.sqlite`.
    public static func open(_ configuration: StoreConfiguration) throws(StoreError) -> TraceStore {
        let directory = try DataDirectory(configuration.directory)
        var damage: [StoreDamage] = []
        /// Sets the file aside and remembers why; false when that has been tried, or cannot be done.
        func setAside(_ reason: String) -> Bool {
            guard damage.isEmpty, let path = directory.quarantine(now: WallClock.nowMicroseconds()) else { return false }
            damage.append(StoreDamage.file(reason, movedTo: path))
            return true
        }
        if let reason = directory.stub { _ = setAside(reason) }
        while true {
            do throws(StoreError) {
                let connection = try StoreSchema.openWriter(directory.databasePath, configuration)
                try StoreSchema.migrate(connection)
                let writer = try StoreWriter(
                    connection: connection, databasePath: directory.databasePath, budget: StoreBudget(configuration.retentionBytes))
                let contents = try writer.load()
                return try TraceStore(configuration, directory, writer, contents, damage)
            } catch {
                guard error.isDamage, setAside("\(directory.databasePath) is damaged (\(error))") else {
                    directory.removeUnfilled()
                    throw error
                }
            }
        }
    }

    private init(
        _ configuration: StoreConfiguration, _ directory: DataDirectory, _ writer: StoreWriter, _ contents: StoreWriter.Contents,
        _ damage: [StoreDamage]
    ) throws(StoreError) {
        self.configuration = configuration
        var initial = StoreState()
        initial.snapshot.head = contents.head
        initial.snapshot.segments = contents.segments
        for row in contents.head {
            initial.headSpans += row.batch.spanCount
            initial.headBytes += row.batch.memoryBytes
        }
        initial.statistics.corruptJournalRows = contents.damagedRows.count
        initial.statistics.quarantinedFiles = UInt64(damage.count)
        initial.statistics.damage = damage
        if let rows = contents.damagedRows.damage(in: directory.databasePath) { initial.statistics.note(rows) }
        state = Monitor(initial)
        databasePath = directory.databasePath
        budget = StoreBudget(configuration.retentionBytes)
        readers = ReaderPool(path: directory.databasePath)
        self.directory = directory
        threads = Monitor([StoreThread]())
        let writerThread = try StoreThread { [state, configuration] in
            var loop = WriterLoop(state: state, configuration: configuration, writer: writer)
            loop.run()
        }
        threads.withLock { $0.append(writerThread) }
        let compactorThread = try StoreThread { [weak self, state] in
            while TraceStore.waitForCompaction(state, configuration) {
                guard let self else { return }
                self.maintain()
            }
        }
        threads.withLock { $0.append(compactorThread) }
    }

    deinit { closeThreads() }

    // MARK: Writing

    /// Takes a batch for storing. Never blocks. `completion` is called exactly once: on the writer thread once the batch is committed and
    /// readable, or at once with `.overloaded`, `.diskFull` or `.closed`. It must be short: the next commit waits for it.
    public func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        let spans = UInt64(batch.spans.count)
        let bytes = batch.text.count + batch.spans.count * 96 + batch.tags.count * 16 + batch.annotations.count * 16 + batch.endpoints.count * 40
        let taken = batch
        let refusal: StoreError? = state.notify { state, woken in
            if state.isClosing {
                state.statistics.spansRefusedClosed += spans
                return .closed
            }
            if state.statistics.isDiskFull, WallClock.nowMicroseconds() < state.diskRetryAt {
                state.statistics.spansRefusedDiskFull += spans
                return .diskFull
            }
            // One batch larger than the bound is taken when nothing else waits, or it could never be stored.
            let isTooMuch = state.queueBytes + bytes > configuration.queueBytesMax && !state.queue.isEmpty
            if state.queue.count >= configuration.queueBatchesMax || isTooMuch {
                state.statistics.spansRefusedOverloaded += spans
                return .overloaded
            }
            state.queue.append(StoreState.Submission(batch: taken, bytes: bytes, completion: completion))
            state.queueBytes += bytes
            if state.queue.count >= state.writerWakesAt { woken = .writer }
            return nil
        }
        if let refusal { completion(.failure(refusal)) }
    }

    /// Stores a batch and waits for the commit; waits, too, while the queue is full. Not for event-loop threads.
    public func append(_ batch: SpanBatch) throws(StoreError) {
        while true {
            let done = Monitor<Result<Void, StoreError>?>(nil)
            submit(batch) { result in done.notify { $0 = result } }
            switch done.wait(until: { $0 }) {
            case .success, nil: return
            case .failure(.overloaded):
                let limit = configuration.queueBatchesMax
                _ = state.wait(milliseconds: 50) { $0.queue.count < limit / 2 || $0.isClosing ? true : nil }
            case .failure(let error): throw error
            }
        }
    }

    /// Compacts the head into a segment, applies retention and gives free pages back; returns when the file is in its compact form.
    public func flush() throws(StoreError) {
        let target = state.notify { state -> Int? in
            guard !state.isClosing else { return nil }
            state.flushesWanted += 1
            return state.flushesWanted
        }
        guard let target else { throw .closed }
        let finished = state.wait { $0.flushesDone >= target ? true : ($0.isClosed ? false : nil) }
        if finished != true { throw .closed }
        if state.withLock({ $0.statistics.isDiskFull }) { throw .diskFull }
    }

    /// Commits what is queued, ends the threads, empties the log into the file and releases the directory. Closing twice is harmless.
    public func close() {
        closeThreads()
        readers.close()
    }

    private func closeThreads() {
        state.notify { $0.isClosing = true }
        let running = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in running.reversed() { thread.join() }
        state.notify { $0.isClosed = true }
        directory.release()
    }

    /// A moment's counters.
    public func statistics() -> StoreStatistics {
        var result = state.withLock { state in
            var result = state.statistics
            result.headSpans = UInt64(state.headSpans)
            result.headBytes = UInt64(state.headBytes)
            result.journalRows = UInt64(state.snapshot.head.count)
            result.queuedBatches = UInt64(state.queue.count)
            result.queuedBytes = UInt64(state.queueBytes)
            result.segments = UInt64(state.snapshot.segments.count)
            for segment in state.snapshot.segments {
                result.spansStored += UInt64(segment.spanCount)
                result.segmentBytes += UInt64(segment.byteCount)
            }
            result.spansStored += result.headSpans
            return result
        }
        result.fileBytes = DataDirectory.fileBytes(directory.databasePath) + DataDirectory.fileBytes(directory.databasePath + "-wal")
        return result
    }

    /// Changes `pageCountMax` of the running store; false when the store is closing.
    func limitPages(_ count: UInt32) -> Bool {
        onWriter { writer throws(StoreError) in
            try writer.limitPages(count)
            return true
        } ?? false
    }

    // MARK: Compaction (on the compactor thread)

    /// False when the store is closing.
    private static func waitForCompaction(_ state: Monitor<StoreState>, _ configuration: StoreConfiguration) -> Bool {
        _ = state.wait(as: .compactor, milliseconds: maintenanceMilliseconds) { state in
            state.isClosing || state.flushesWanted > state.flushesDone
                || (configuration.compactsInBackground && isCompactionDue(state, configuration)) ? true : nil
        }
        return !state.withLock { $0.isClosing }
    }

    static func isCompactionDue(_ state: StoreState, _ configuration: StoreConfiguration) -> Bool {
        guard let first = state.snapshot.head.first, !state.statistics.isDiskFull else { return false }
        return state.headSpans >= configuration.headSpansMax || state.snapshot.head.count >= journalRowsMax
            || state.headBytes >= StoreBudget(configuration.retentionBytes).headBytesMax
            || WallClock.nowMicroseconds() &- first.arrival > configuration.headAgeSecondsMax &* 1_000_000
    }

    private func maintain() {
        let (flushTarget, isDue) = state.withLock { ($0.flushesWanted, TraceStore.isCompactionDue($0, configuration)) }
        let isFlush = flushTarget > state.withLock { $0.flushesDone }
        guard isFlush || configuration.compactsInBackground else { return }
        if isFlush || isDue {
            let wanted = state.withLock { $0.headSpans }
            var done = 0
            while done < wanted, let compacted = compactOnce() {
                done += compacted
                expire()
            }
            // A quiet store needs the builder's memory again only in a while; a busy one at once.
            if done > 0, done < configuration.headSpansMax / 2 { HeapMemory.giveBackFreePages() }
        }
        expire()
        merge()
        if isFlush {
            _ = onWriter { writer throws(StoreError) in try writer.settle() }
            state.notify { $0.flushesDone = max($0.flushesDone, flushTarget) }
        }
    }

    /// Runs `body` on the writer thread and waits for it; nil when it failed, which has been counted.
    private func onWriter<Value: Sendable>(_ body: @escaping @Sendable (StoreWriter) throws(StoreError) -> Value) -> Value? {
        let done = Monitor<Result<Value, StoreError>?>(nil)
        let taken = state.notify { state in
            guard !state.isWriterDone else { return false }
            state.jobs.append(StoreState.Job { writer in
                do throws(StoreError) {
                    let value = try body(writer)
                    done.notify { $0 = .success(value) }
                } catch {
                    done.notify { $0 = .failure(error) }
                }
            })
            return true
        }
        guard taken, let result = done.wait(until: { $0 }) else { return nil }
        switch result {
        case .success(let value):
            return value
        case .failure:
            state.notify { state in
                state.statistics.isDiskFull = true
                state.diskRetryAt = WallClock.nowMicroseconds() &+ TraceStore.diskRetryMicroseconds
            }
            return nil
        }
    }

    /// Compacts the oldest `headSpansMax` spans of the head; returns how many, or nil when there are none or the disk refused.
    private func compactOnce() -> Int? {
        var rows: [StoreSnapshot.Row] = []
        var spans = 0
        var bytes = 0
        for row in state.withLock({ $0.snapshot.head }) {
            if spans > 0, spans + row.batch.spanCount > configuration.headSpansMax + configuration.headSpansMax / 4 || bytes > budget.headBytesMax { break }
            rows.append(row)
            spans += row.batch.spanCount
            bytes += row.batch.memoryBytes
        }
        guard let last = rows.last else { return nil }
        var builder = SegmentBuilder(blockSpansMax: configuration.blockSpansMax, autocompleteKeys: configuration.autocompleteKeys)
        let built = builder.build(rows.map(\.batch), arrival: last.arrival)
        let rowCount = rows.count
        let through = last.number
        let state = state
        let stored = onWriter { writer throws(StoreError) in
            let number = try writer.commit(built, journalThrough: through, replacing: [])
            state.notify { state in
                let segment = TraceStore.segment(number, built, after: state.snapshot.segments[...])
                state.snapshot.segments.append(segment)
                for row in state.snapshot.head.prefix(rowCount) {
                    state.headSpans -= row.batch.spanCount
                    state.headBytes -= row.batch.memoryBytes
                }
                state.snapshot.head.removeFirst(rowCount)
                state.statistics.compactions += 1
                state.statistics.isDiskFull = false
            }
            return true
        }
        return stored == true ? spans : nil
    }

    private static func segment(_ number: Int64, _ built: BuiltSegment, after segments: ArraySlice<Segment>) -> Segment {
        let hashBytes = segments.reduce(0) { $0 + ($1.index?.memoryBytes ?? 0) }
        let facts = Segment.Facts(
            number: number, spanCount: built.spanCount, timestampMin: built.timestampMin, timestampMax: built.timestampMax, newest: built.newest,
            arrival: built.arrival, byteCount: built.byteCount, blockCount: built.blocks.count)
        return Segment(facts, index: hashBytes < Segment.hashBytesMax ? TraceHashes(sorted: built.hashes) : nil, recent: segments)
    }

    // MARK: Retention (on the compactor thread)

    /// Deletes the segments that are too old, then the oldest while there are too many bytes; never the newest for its bytes.
    private func expire() {
        let now = WallClock.nowMicroseconds()
        let age = configuration.retentionAgeSeconds.multipliedReportingOverflow(by: 1_000_000)
        if age.partialValue > 0, !age.overflow { delete(state.withLock { $0.snapshot.segments }.filter { $0.isDue(age: age.partialValue, now: now) }) }
        if let used = budget.databaseBytesMax { expire(toBytes: used) }
        if state.withLock({ $0.mayGiveBack }) || isOverBudget { giveBack() }
    }

    /// What the file system says is enough to know that nothing is to be done.
    private var isOverBudget: Bool {
        guard let total = budget.total else { return false }
        let log = DataDirectory.fileBytes(databasePath + "-wal")
        return DataDirectory.fileBytes(databasePath) + log > total || log > UInt64(budget.logBytesMax) * 2
    }

    private func expire(toBytes used: UInt64) {
        var rounds = 0
        // Pages are not bytes, so it is measured anew after each deletion.
        while rounds < TraceStore.deletionRoundsMax {
            rounds += 1
            guard DataDirectory.fileBytes(databasePath) + DataDirectory.fileBytes(databasePath + "-wal") > used else { return }
            guard let space = onWriter({ writer throws(StoreError) in try writer.space() }) else { return }
            var excess = space.used > used ? space.used - used : 0
            var gone: [Segment] = []
            for segment in state.withLock({ $0.snapshot.segments }).dropLast() where excess > 0 {
                gone.append(segment)
                excess -= min(excess, UInt64(segment.byteCount))
            }
            guard !gone.isEmpty else { return }
            delete(gone)
        }
    }

    /// Cuts the file where free pages or the log make it larger than it may be, or where an old peak left much of it empty.
    private func giveBack() {
        guard let space = onWriter({ writer throws(StoreError) in try writer.space() }) else { return }
        let excess = budget.total.map { space.onDisk > $0 ? space.onDisk - $0 : 0 } ?? 0
        let bytes = excess > 0 ? min(excess, space.free) : space.hasMuchFree ? min(space.free, TraceStore.givenBackBytesMax) : 0
        let isLongLog = space.log > UInt64(budget.logBytesMax) * 2
        guard bytes > 0 || excess > 0 || isLongLog else {
            state.notify { $0.mayGiveBack = false }
            return
        }
        _ = onWriter { writer throws(StoreError) in try writer.giveBack(bytes) }
    }

    private func delete(_ gone: [Segment]) {
        guard !gone.isEmpty else { return }
        let numbers = Set(gone.map(\.number))
        let state = state
        _ = onWriter { writer throws(StoreError) in
            // Rows that are gone before the snapshot says so are not damage.
            state.withLock { $0.rewrites &+= 1 }
            defer { state.notify { $0.rewrites &+= 1 } }
            try writer.delete(gone)
            state.notify { state in
                state.snapshot.segments.removeAll { numbers.contains($0.number) }
                state.mayGiveBack = true
                state.statistics.spansExpired += gone.reduce(0) { $0 + UInt64($1.spanCount) }
            }
        }
        for segment in gone { headers.remove(segment.number) }
    }

    /// Merges neighbouring small segments, which quiet periods leave behind. A span is rewritten at most once per factor of `mergeCount`.
    private func merge() {
        let segments = state.withLock { $0.snapshot.segments }
        let limit = configuration.headSpansMax / TraceStore.mergeShare
        guard let group = TraceStore.mergeable(segments, limit: limit, bytesMax: budget.mergedBytesMax) else { return }
        var encoder = JournalEncoder()
        var batches: [HeadBatch] = []
        for segment in group {
            // A damaged segment is left where it is and named in the statistics.
            guard let spans = decodeAll(segment) else { return }
            var next = 0
            while next < spans.spans.count {
                next = encoder.append(spans, from: next)
                if encoder.isFull, let batch = encoder.finish() { batches.append(batch) }
            }
        }
        if encoder.spanCount > 0, let batch = encoder.finish() { batches.append(batch) }
        var builder = SegmentBuilder(blockSpansMax: configuration.blockSpansMax, autocompleteKeys: configuration.autocompleteKeys)
        let built = builder.build(batches, arrival: group.reduce(0) { max($0, $1.arrival) })
        let numbers = Set(group.map(\.number))
        let state = state
        _ = onWriter { writer throws(StoreError) in
            state.withLock { $0.rewrites &+= 1 }
            defer { state.notify { $0.rewrites &+= 1 } }
            let number = try writer.commit(built, journalThrough: nil, replacing: group)
            state.notify { state in
                guard let at = state.snapshot.segments.firstIndex(where: { $0.number == number }) else { return }
                let segment = TraceStore.segment(number, built, after: state.snapshot.segments[..<at])
                state.snapshot.segments.removeAll { numbers.contains($0.number) }
                state.snapshot.segments.insert(segment, at: at)
                state.statistics.merges += 1
            }
        }
        for segment in group { headers.remove(segment.number) }
    }

    static func mergeable(_ segments: [Segment], limit: Int, bytesMax: Int = Int.max) -> [Segment]? {
        // Tiers by powers of `mergeCount` keep the work per span logarithmic.
        var tier = 64
        while tier <= max(limit, 64) {
            var run: [Segment] = []
            var spans = 0
            var bytes = 0
            for segment in segments.suffix(4 * mergeCount * mergeCount) {
                if segment.spanCount <= tier, spans + segment.spanCount <= limit * mergeShare, bytes + segment.byteCount <= bytesMax {
                    run.append(segment)
                    spans += segment.spanCount
                    bytes += segment.byteCount
                    if run.count == mergeCount { return run }
                } else {
                    run = []
                    spans = 0
                    bytes = 0
                }
            }
            if tier == limit { break }
            tier = min(tier * mergeCount, max(limit, 64))
        }
        return nil
    }
}

extension StoreError {
    /// Whether the file itself is bad, and a new one would work.
    var isDamage: Bool {
        guard case .sqlite(let code, _, _) = self else { return false }
        // SQLITE_CORRUPT, SQLITE_NOTADB; and SQLITE_ERROR when the tables are not ours.
        return code & 0xFF == 11 || code & 0xFF == 26 || code & 0xFF == 1
    }
}
