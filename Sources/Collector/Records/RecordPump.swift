public import EventLoops
public import Primitives
internal import Synchronization
public import TelemetryModel

/// Takes the workers' records out of their rings, on a thread of its own: access-log lines to files, spans to the sink and to
/// exporters, the last records to the tail.
///
/// Any thread may call it, one at a time (the control thread does). Workers never wait for it: a ring that it does not empty in time
/// drops records, which count as `skein_records_dropped_total{reason="ring_full"}`.
public final class RecordPump: Sendable {
    /// The last records, for `skein logs`.
    public let tail: LogTail
    /// The last sampled requests of each series.
    public let exemplars = RequestExemplars()
    private let mailbox: Mailbox<PumpCommand>
    private let finished: Signal
    private let thread: WorkerThread
    private let isStopping = Atomic<Bool>(false)
    private let isJoined = Atomic<Bool>(false)

    /// How long `apply`, `reopen` and `flush` wait for the thread before they give up.
    private static let commandWaitNanoseconds: UInt64 = 5_000_000_000

    /// Starts the thread. `say` gets one sentence for people now and then (lost lines and why), on the pump's thread.
    public init(
        rings: [RecordRing], plan: CollectorPlan, sink: any BatchSink<SpanBatch>, catalogs: Catalogs, statistics: CollectorStatistics,
        limits: CollectorLimits = CollectorLimits(), say: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        precondition(limits.problem == nil, limits.problem ?? "")
        let mailbox = try Mailbox<PumpCommand>()
        let finished = try Signal()
        let tail = LogTail(limits: limits, catalogs: catalogs, statistics: statistics)
        let exemplars = exemplars
        self.tail = tail
        self.mailbox = mailbox
        self.finished = finished
        // The poller is made on the thread that owns it; only exhausted descriptors make that fail, and this finds them here.
        _ = try Poller()
        thread = try WorkerThread(name: "records") {
            defer { finished.raise() }
            guard let poller = try? Poller() else {
                say("record pump: no descriptor left for its thread; no access log and no spans")
                return
            }
            var loop = PumpLoop(
                rings: rings, mailbox: mailbox, poller: poller, plan: plan, sink: sink, catalogs: catalogs, tail: tail,
                exemplars: exemplars, statistics: statistics, limits: limits, say: say)
            loop.run()
        }
    }

    /// Replaces the plan: records in the rings are still served by the old one. Returns when the new one counts; call it before the workers
    /// adopt what makes them capture more. False when the thread did not answer in time or has stopped.
    @discardableResult
    public func apply(_ plan: CollectorPlan) -> Bool { command { .apply(plan, $0) } }

    /// Opens all files anew, for logrotate (SIGHUP). Lines formatted before are in the old files. Returns when it is done.
    @discardableResult
    public func reopen() -> Bool { command { .reopen($0) } }

    /// Takes what is in the rings now and writes it out; for tests and status commands. Does not wait for the sink's answers.
    @discardableResult
    public func flush() -> Bool { command { .flush($0) } }

    /// Ends the thread after it has drained rings, files and spans, at the latest `nanoseconds` from now. The workers have stopped before.
    /// A second call only waits.
    public func stop(withinNanoseconds nanoseconds: UInt64 = 5_000_000_000) {
        let deadline = SystemClock.monotonicNow() + nanoseconds
        if !isStopping.exchange(true, ordering: .acquiringAndReleasing) { mailbox.send(.stop(deadline: deadline)) }
        // A file system that hangs must not hang us: the thread is left behind then.
        if finished.wait(deadline: deadline + 500_000_000), !isJoined.exchange(true, ordering: .relaxed) { thread.join() }
    }

    private func command(_ make: (Signal) -> PumpCommand) -> Bool {
        guard !isStopping.load(ordering: .relaxed), let done = try? Signal() else { return false }
        mailbox.send(make(done))
        return done.wait(deadline: SystemClock.monotonicNow() + Self.commandWaitNanoseconds)
    }
}
