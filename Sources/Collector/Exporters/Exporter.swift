public import EventLoops
internal import Primitives
internal import Synchronization
public import TelemetryModel

/// Sends one signal's batches to a server elsewhere, on a thread of its own: a bounded queue, a connection, and the encoding it was given.
///
/// `offer` is for any thread and never waits. What cannot be delivered is tried again with growing pauses (connection failures, 408, 429,
/// 5xx; `Retry-After` is honoured) and given up after `attemptsMax`, or at once when the server refuses it for good (other 4xx).
public final class Exporter<Batch: TelemetryBatch>: Sendable {
    public let settings: ExporterSettings
    public let encoding: any ExporterEncoding<Batch>
    private let queue: SignalQueue<Batch>
    private let mailbox: Mailbox<Bool>
    private let finished: Signal
    private let thread: WorkerThread
    private let isJoined = Atomic<Bool>(false)
    /// Until when work goes on; moves from "for ever" to a point in time when it is stopped.
    private let endNanoseconds: ExporterEnd

    /// Starts the thread. `say` gets a sentence when delivery begins to fail and when it works again, on the exporter's thread.
    public init(
        settings: ExporterSettings, encoding: any ExporterEncoding<Batch>, statistics: CollectorStatistics,
        seed: UInt64 = .random(in: 1...UInt64.max),
        say: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        let counters = ExporterCounters(settings.name, Batch.signal, statistics)
        let queue = SignalQueue<Batch>(
            itemsMax: settings.queueItemsMax, bytesMax: settings.queueBytesMax,
            counters: SignalQueue.Counters(waiting: counters.waiting, full: counters.queueFull, stopped: counters.shutdown))
        let mailbox = try Mailbox<Bool>()
        let finished = try Signal()
        let end = ExporterEnd()
        self.settings = settings
        self.encoding = encoding
        self.queue = queue
        self.mailbox = mailbox
        self.finished = finished
        endNanoseconds = end
        thread = try WorkerThread(name: "\(encoding.name)-export") {
            var loop = ExporterLoop(
                settings: settings, encoding: encoding, queue: queue, mailbox: mailbox, end: end, counters: counters, seed: seed, say: say)
            loop.run()
            finished.raise()
        }
    }

    /// Queues the batch, or drops and counts it. Keeps the batch's memory until it is sent.
    public func offer(_ batch: Batch) {
        guard batch.itemCount > 0 else { return }
        if queue.offer(batch) { mailbox.wake() }
    }

    /// Sends what waits, at the latest until `nanoseconds` from now, and ends the thread. A second call only waits.
    public func stop(withinNanoseconds nanoseconds: UInt64 = 2_000_000_000) {
        let deadline = SystemClock.monotonicNow() + nanoseconds
        queue.stop()
        end(by: deadline)
        // Name resolution cannot be interrupted: the thread is left behind if it hangs there.
        if finished.wait(deadline: deadline + 200_000_000), !isJoined.exchange(true, ordering: .relaxed) { thread.join() }
    }

    private func end(by deadline: MonotonicInstant) {
        endNanoseconds.lower(to: deadline)
        mailbox.wake()
    }
}
