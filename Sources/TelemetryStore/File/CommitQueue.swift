import TelemetryModel

/// A queue of batches as the writer thread sees it, whatever they are batches of. Calls with a `FileState` are made under the file's lock.
protocol CommitQueue: AnyObject, Sendable {
    /// See `BatchWriter`. Writer thread.
    var hasRoom: Bool { get }
    func hasBatches(_ state: borrowing FileState) -> Bool

    /// Takes the oldest batches out of the queue: the queue's part of the next group commit. False = there are none.
    func takeGroup(_ state: inout FileState) -> Bool
    /// Makes rows of what was taken; returns their bytes. Writer thread, as what follows.
    func encode() -> Int
    func write(_ database: WriteConnection) throws(StoreError)
    func publish(now: UInt64)
    /// The commit failed.
    func discard()
    /// Tells the senders of what was taken.
    func complete(_ result: Result<Void, StoreError>)
    /// What a failed commit refused.
    func noteRefused(_ state: inout FileState)
}

/// Batches of one signal on their way into the file, bounded in number and bytes; what does not fit is refused and counted.
///
/// `@unchecked Sendable`: the queue proper is touched only with the file's `FileState` at hand, which is to say under its lock; `group` and
/// `writer` only on the writer thread.
final class WriteQueue<Batch: TelemetryBatch>: CommitQueue, @unchecked Sendable {
    struct Submission {
        var batch: Batch
        var bytes: Int
        var completion: @Sendable (Result<Void, StoreError>) -> Void
    }

    /// A moment's figures.
    struct Figures {
        var batches = 0
        var bytes = 0
        /// Items refused, by reason.
        var refused: [StoreStatistics.Refusal: UInt64] = [:]
    }

    let batchesMax: Int
    let bytesMax: Int
    /// Items per commit at most, but for those of the last batch, so that a full queue does not become one long transaction.
    let commitItemsMax: Int
    private let writer: any BatchWriter<Batch>
    /// Oldest first.
    private var waiting: [Submission] = []
    private var bytesWaiting = 0
    private var refused: [StoreStatistics.Refusal: UInt64] = [.overloaded: 0, .diskFull: 0, .closed: 0]
    /// What was taken for the commit in progress.
    private var group: [Submission] = []
    private var groupItems = 0

    init(batchesMax: Int, bytesMax: Int, commitItemsMax: Int = 16_384, writer: any BatchWriter<Batch>) {
        self.batchesMax = batchesMax
        self.bytesMax = bytesMax
        self.commitItemsMax = commitItemsMax
        self.writer = writer
    }

    // MARK: Under the file's lock

    /// Takes a batch, or says why not.
    func offer(_ submission: consuming Submission, _ state: inout FileState) -> StoreError? {
        if state.isClosing { return refuse(submission.batch, .closed, .closed) }
        if state.isDiskFull, WallClock.nowMicroseconds() < state.diskRetryAt { return refuse(submission.batch, .diskFull, .diskFull) }
        // One batch larger than the bound is taken when nothing else waits, or it could never be stored.
        let isTooMuch = bytesWaiting + submission.bytes > bytesMax && !waiting.isEmpty
        if waiting.count >= batchesMax || isTooMuch { return refuse(submission.batch, .overloaded, .overloaded) }
        bytesWaiting += submission.bytes
        state.batchesWaiting += 1
        waiting.append(submission)
        return nil
    }

    private func refuse(_ batch: borrowing Batch, _ reason: StoreStatistics.Refusal, _ error: StoreError) -> StoreError {
        refused[reason, default: 0] += UInt64(batch.itemCount)
        return error
    }

    /// Whether half of it is free.
    func isRoomy(_ state: borrowing FileState) -> Bool { waiting.count < batchesMax / 2 }

    func figures(_ state: borrowing FileState) -> Figures { Figures(batches: waiting.count, bytes: bytesWaiting, refused: refused) }

    func hasBatches(_ state: borrowing FileState) -> Bool { !waiting.isEmpty }

    func takeGroup(_ state: inout FileState) -> Bool {
        groupItems = 0
        var taken = 0
        while taken < waiting.count, groupItems < commitItemsMax {
            groupItems += waiting[taken].batch.itemCount
            bytesWaiting -= waiting[taken].bytes
            taken += 1
        }
        group = Array(waiting[..<taken])
        waiting.removeFirst(taken)
        state.batchesWaiting -= taken
        return taken > 0
    }

    func noteRefused(_ state: inout FileState) { refused[.diskFull, default: 0] += UInt64(groupItems) }

    // MARK: On the writer thread

    var hasRoom: Bool { writer.hasRoom }

    func encode() -> Int {
        for submission in group { writer.encode(submission.batch) }
        return writer.finishEncoding()
    }

    func write(_ database: WriteConnection) throws(StoreError) { try writer.write(database) }
    func publish(now: UInt64) { writer.publish(now: now) }
    func discard() { writer.discard() }

    func complete(_ result: Result<Void, StoreError>) {
        for submission in group { submission.completion(result) }
        group = []
    }
}
