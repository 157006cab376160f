public import EventLoops
internal import Glibc
internal import Primitives
internal import Synchronization
public import TelemetryModel
internal import TelemetryWire

/// Where an exporter sends, and its bounds.
public struct ExporterSettings: Sendable, Equatable {
    /// Label of its counters: the provider's name.
    public var name: String
    /// A name or an address.
    public var host: String
    public var port: UInt16
    public var path = "/api/v2/spans"
    /// Spans waiting; further batches are dropped whole.
    public var queueSpansMax = 16_384
    public var queueBytesMax = 16 << 20
    public var spansPerRequestMax = 1024
    public var connectTimeoutNanoseconds: UInt64 = 5_000_000_000
    /// From the first byte of the request to the last of the answer.
    public var requestTimeoutNanoseconds: UInt64 = 10_000_000_000
    public var backoffNanosecondsMin: UInt64 = 200_000_000
    public var backoffNanosecondsMax: UInt64 = 10_000_000_000
    /// Attempts for one request before its spans are given up.
    public var attemptsMax = 10

    public init(name: String, host: String, port: UInt16) {
        self.name = name
        self.host = host
        self.port = port
    }
}

/// Sends spans to a Zipkin server elsewhere, as Zipkin v2 JSON, on a thread of its own.
///
/// `offer` is for any thread and never waits. What cannot be delivered is tried again with growing pauses (connection failures, 408, 429,
/// 5xx; `Retry-After` is honoured) and given up after `attemptsMax`, or at once when the server refuses it for good (other 4xx).
public final class ZipkinExporter: Sendable {
    public let settings: ExporterSettings
    private let queue: ExporterQueue
    private let mailbox: Mailbox<Bool>
    private let finished: Signal
    private let thread: WorkerThread
    private let isJoined = Atomic<Bool>(false)
    private let counters: ExporterCounters
    /// Until when work goes on; moves from "for ever" to a point in time when it is stopped.
    private let endNanoseconds: ExporterEnd

    /// Starts the thread. `say` gets a sentence when delivery begins to fail and when it works again, on the exporter's thread.
    public init(
        settings: ExporterSettings, statistics: CollectorStatistics, seed: UInt64 = .random(in: 1...UInt64.max),
        say: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        let queue = ExporterQueue(spansMax: settings.queueSpansMax, bytesMax: settings.queueBytesMax)
        let mailbox = try Mailbox<Bool>()
        let finished = try Signal()
        let end = ExporterEnd()
        let counters = ExporterCounters(settings.name, statistics)
        self.settings = settings
        self.queue = queue
        self.mailbox = mailbox
        self.finished = finished
        self.counters = counters
        endNanoseconds = end
        thread = try WorkerThread(name: "zipkin-export") {
            var loop = ZipkinExporterLoop(
                settings: settings, queue: queue, mailbox: mailbox, end: end, counters: counters, seed: seed, say: say)
            loop.run()
            finished.raise()
        }
    }

    /// Queues the spans, or drops and counts them. Keeps the batch's memory until they are sent.
    public func offer(_ batch: SpanBatch) {
        guard !batch.spans.isEmpty else { return }
        switch queue.offer(batch) {
        case .queued(let wakes): if wakes { mailbox.wake() }
        case .full: counters.queueFull.add(batch.spans.count)
        case .stopped: counters.shutdown.add(batch.spans.count)
        }
        counters.waiting.set(UInt64(clamping: queue.spansWaiting))
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

struct ExporterCounters: Sendable {
    let sent, waiting, queueFull, shutdown, rejected, exhausted: CollectorCounter
    let requestsAccepted, requestsRetried, requestsRejected: CollectorCounter

    init(_ name: String, _ statistics: CollectorStatistics) {
        func dropped(_ reason: String) -> CollectorCounter {
            statistics.counter(.exportDropped, [("exporter", name), ("reason", reason)])
        }
        func requests(_ outcome: String) -> CollectorCounter {
            statistics.counter(.exportRequests, [("exporter", name), ("outcome", outcome)])
        }
        sent = statistics.counter(.exported, [("exporter", name)])
        waiting = statistics.counter(.exportQueue, [("exporter", name)])
        queueFull = dropped("queue_full")
        shutdown = dropped("shutdown")
        rejected = dropped("rejected")
        exhausted = dropped("attempts_exhausted")
        requestsAccepted = requests("accepted")
        requestsRetried = requests("retried")
        requestsRejected = requests("rejected")
    }
}
