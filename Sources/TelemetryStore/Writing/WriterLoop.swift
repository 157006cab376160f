import TelemetryModel

/// The writer thread: gathers submissions into journal rows, commits them, publishes them to readers, then says so; and runs the
/// compactor's jobs in between, because the file has one writer.
struct WriterLoop: ~Copyable {
    private let state: Monitor<StoreState>
    private let configuration: StoreConfiguration
    private let writer: StoreWriter
    private var encoder = JournalEncoder()
    /// Microseconds since 1970.
    private var lastCommit: UInt64 = 0

    /// Spans per commit at most, so that a full queue does not become one long transaction.
    private static let commitSpansMax = 16_384
    /// A window ends early when this many batches wait.
    private static let windowBatches = 8
    private static let diskRetryMicroseconds: UInt64 = 250_000

    init(state: Monitor<StoreState>, configuration: StoreConfiguration, writer: StoreWriter) {
        self.state = state
        self.configuration = configuration
        self.writer = writer
    }

    private enum Work {
        case batches([StoreState.Submission])
        case job(StoreState.Job)
        case end
    }

    mutating func run() {
        while true {
            switch nextWork() {
            case .batches(let submissions): store(submissions)
            case .job(let job): job.run(writer)
            case .end:
                try? writer.settle()
                return
            }
        }
    }

    private mutating func nextWork() -> Work {
        let backlog = max(1, configuration.headBacklogMax)
        let headLimit = configuration.headSpansMax * backlog
        let headBytesLimit = StoreBudget(configuration.retentionBytes).headBytesMax * backlog
        let configuration = configuration
        let first = state.wait(as: .writer) { state -> Work? in
            state.writerWakesAt = 1
            if !state.jobs.isEmpty { return .job(state.jobs.removeFirst()) }
            if !state.queue.isEmpty, state.headSpans < headLimit && state.headBytes < headBytesLimit || state.isClosing || !configuration.compactsInBackground {
                return .batches([])
            }
            if state.isClosing, state.queue.isEmpty {
                state.isWriterDone = true
                return .end
            }
            return nil
        }
        guard let first else { return .end }
        guard case .batches = first else { return first }
        // At most one commit per window, because a commit costs the same for one batch as for twenty; the first after a pause goes at once.
        let window = UInt64(min(max(configuration.groupCommitMilliseconds, 0), 100)) * 1000
        let sinceLast = WallClock.nowMicroseconds() &- lastCommit
        if sinceLast < window {
            _ = state.wait(as: .writer, milliseconds: Int((window - sinceLast + 999) / 1000)) { state in
                state.writerWakesAt = WriterLoop.windowBatches
                return state.queue.count >= WriterLoop.windowBatches || state.isClosing || !state.jobs.isEmpty ? true : nil
            }
        }
        return .batches(state.notify { state, woken in
            woken = .callers
            var spans = 0
            var taken = 0
            while taken < state.queue.count, spans < WriterLoop.commitSpansMax {
                spans += state.queue[taken].batch.spans.count
                state.queueBytes -= state.queue[taken].bytes
                taken += 1
            }
            let submissions = Array(state.queue[..<taken])
            state.queue.removeFirst(taken)
            return submissions
        })
    }

    private mutating func store(_ submissions: [StoreState.Submission]) {
        var rows: [HeadBatch] = []
        var spans = 0
        for submission in submissions {
            spans += submission.batch.spans.count
            var next = 0
            while next < submission.batch.spans.count {
                next = encoder.append(submission.batch, from: next)
                if encoder.isFull, let row = encoder.finish() { rows.append(row) }
            }
        }
        if encoder.spanCount > 0, let row = encoder.finish() { rows.append(row) }
        let result: Result<Void, StoreError>
        do throws(StoreError) {
            let first = rows.isEmpty ? 0 : try writer.commit(rows)
            let now = WallClock.nowMicroseconds()
            lastCommit = now
            state.notify { [configuration] state, woken in
                for (index, row) in rows.enumerated() {
                    state.snapshot.head.append(StoreSnapshot.Row(number: first + Int64(index), batch: row, arrival: now))
                    state.headSpans += row.spanCount
                    state.headBytes += row.memoryBytes
                }
                state.statistics.spansAccepted += UInt64(spans)
                state.statistics.commits += 1
                state.statistics.isDiskFull = false
                if TraceStore.isCompactionDue(state, configuration) { woken = .compactor }
            }
            result = .success(())
        } catch {
            let count = UInt64(spans)
            state.notify { state in
                state.statistics.spansRefusedDiskFull += count
                state.statistics.isDiskFull = true
                state.diskRetryAt = WallClock.nowMicroseconds() &+ WriterLoop.diskRetryMicroseconds
            }
            result = .failure(error.isRetryable ? error : .diskFull)
        }
        for submission in submissions { submission.completion(result) }
    }
}
