internal import EventLoops
internal import Glibc
internal import Primitives
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

enum PumpCommand: Sendable {
    case apply(CollectorPlan, Signal)
    case reopen(Signal)
    case flush(Signal)
    case stop(deadline: MonotonicInstant)
}

/// The pump's thread: rings in; files, spans and the tail out.
///
/// The rings have no bell, because ringing it would cost each request a system call. The thread sleeps between drains instead, shorter
/// when it finds rings filling and longer when it does not.
struct PumpLoop: ~Copyable {
    private let rings: [RecordRing]
    private let mailbox: Mailbox<PumpCommand>
    private let poller: Poller
    private let limits: CollectorLimits
    private let statistics: CollectorStatistics
    private let tail: LogTail
    private let exemplars: RequestExemplars
    private let say: @Sendable (String) -> Void
    private let outstanding = OutstandingBatches()

    private var names: NameCache
    private var outbound: SideState
    private var inbound: SideState
    private var files: [String: AccessLogFile] = [:]
    private var sleepNanoseconds: UInt64
    private var saidAt: MonotonicInstant
    private var now: MonotonicInstant
    private var emitUnixNanoseconds: UInt64 = 0
    private var stopDeadline: MonotonicInstant?

    private let records: CollectorCounter
    private let recordsLost: CollectorCounter
    private let recordsMalformed: CollectorCounter
    private let ringBytes: CollectorCounter

    private struct Output {
        let file: AccessLogFile
        /// By how many headers the record captured.
        let programs: [Program?]
    }

    /// A program where it can be used without a copy, which would count five references for each line.
    private final class Program {
        let program: AccessLogProgram

        init(_ program: AccessLogProgram) { self.program = program }
    }

    private struct SideState {
        var outputs: [Output] = []
        var builder: ProxySpanBuilder?
        var exporters: [Exporter<SpanBatch>] = []
        var reporter: SpanReporter

        /// Lines and span of one record.
        @inline(__always)
        mutating func take(
            _ view: borrowing RequestRecordView, names: borrowing NameTable, emitUnixNanoseconds: UInt64, now: MonotonicInstant
        ) {
            let captured = Int(view.record.textCount) - Int(RequestText.firstCaptured)
            for place in outputs.indices {
                // A capture that no plan ever had would be our bug; its captured headers are left out.
                let count = outputs[place].programs.count
                let index = captured >= 0 && captured < count && outputs[place].programs[captured] != nil ? captured : 0
                guard let line = outputs[place].programs[index] else { continue }
                outputs[place].file.append { line.program.append(view, names: names, emitUnixNanoseconds: emitUnixNanoseconds, to: &$0) }
            }
            if view.record.isSampled, let builder { reporter.append(view, builder, names: names, now: now) }
        }
    }

    init(
        rings: [RecordRing], mailbox: Mailbox<PumpCommand>, poller: consuming Poller, plan: CollectorPlan, sink: any BatchSink<SpanBatch>,
        catalogs: Catalogs, tail: LogTail, exemplars: RequestExemplars, statistics: CollectorStatistics,
        limits: CollectorLimits,
        say: @escaping @Sendable (String) -> Void
    ) {
        self.rings = rings
        self.mailbox = mailbox
        self.poller = poller
        self.limits = limits
        self.statistics = statistics
        self.tail = tail
        self.exemplars = exemplars
        self.say = say
        names = NameCache(catalogs)
        let counters = SpanReportCounters(statistics)
        let outstanding = outstanding
        func reporter() -> SpanReporter {
            SpanReporter(sink: sink, catalogs: catalogs, limits: limits, outstanding: outstanding, counters: counters)
        }
        outbound = SideState(reporter: reporter())
        inbound = SideState(reporter: reporter())
        sleepNanoseconds = limits.sleepNanosecondsMin
        now = SystemClock.monotonicNow()
        saidAt = now
        records = statistics.counter(.records)
        recordsLost = statistics.counter(.recordsDropped, [("reason", "ring_full")])
        recordsMalformed = statistics.counter(.recordsDropped, [("reason", "malformed")])
        ringBytes = statistics.counter(.ringBytes)
        adopt(plan)
    }

    mutating func run() {
        // A pipe whose reader has gone is an error to count, not a reason to end.
        var signals = sigset_t()
        unsafe sigemptyset(&signals)
        unsafe sigaddset(&signals, SIGPIPE)
        unsafe pthread_sigmask(SIG_BLOCK, &signals, nil)
        try? poller.add(readable: mailbox.descriptor, token: 0)
        while stopDeadline == nil {
            turn()
            takeCommands()
            if stopDeadline == nil { _ = poller.wait(timeoutMilliseconds: Int32(clamping: sleepNanoseconds / 1_000_000)) }
        }
        finish()
    }

    // MARK: One turn

    private mutating func turn() {
        drain()
        submit(.turn)
        for file in files.values {
            file.writeOut(now: now)
            if let notice = file.takeNotice() { say(notice) }
        }
        tail.deliver(now: now)
        if now.nanoseconds(since: saidAt) >= limits.reportIntervalNanoseconds { report() }
    }

    /// Takes what the rings hold; at most so much that commands do not wait for ever on a ring that fills as fast.
    private mutating func drain() {
        now = SystemClock.monotonicNow()
        emitUnixNanoseconds = SystemClock.unixNanoseconds()
        var fullest = 0
        for ring in rings {
            fullest = max(fullest, ring.bytesWaiting)
            pace(waiting: ring.bytesWaiting, capacity: ring.capacity, isFirst: ring === rings.first)
        }
        ringBytes.set(UInt64(fullest))
        var lost: UInt64 = 0
        for ring in rings {
            var rounds = 0
            while drain(ring) == limits.recordsPerTurnMax, rounds < 256 { rounds += 1 }
            lost &+= ring.dropped.load(ordering: .relaxed)
        }
        recordsLost.set(lost)
    }

    /// Aims at rings an eighth full when the thread wakes: then a burst of eight times the rate still fits.
    private mutating func pace(waiting: Int, capacity: Int, isFirst: Bool) {
        if isFirst { sleepNanoseconds = min(limits.sleepNanosecondsMax, sleepNanoseconds + sleepNanoseconds / 2) }
        if waiting > capacity / 4 {
            sleepNanoseconds = max(limits.sleepNanosecondsMin, sleepNanoseconds / 4)
        } else if waiting > capacity / 8 {
            sleepNanoseconds = max(limits.sleepNanosecondsMin, sleepNanoseconds / 2)
        }
    }

    private mutating func drain(_ ring: RecordRing) -> Int {
        let count = tail.withState { state in
            unsafe ring.drain(limit: limits.recordsPerTurnMax) { entry in unsafe take(entry, &state) }
        }
        records.add(count)
        for file in files.values where file.waitingBytes >= limits.logWriteBytes { file.writeOut(now: now) }
        return count
    }

    @inline(__always)
    private mutating func take(_ entry: UnsafeRawBufferPointer, _ state: inout LogTail.State) {
        guard let view = RequestRecordView(unsafe RawSpan(_unsafeBytes: entry)) else {
            recordsMalformed.add()
            return
        }
        names.resolve(view.record)
        if view.record.side == .outbound {
            outbound.take(view, names: names.table, emitUnixNanoseconds: emitUnixNanoseconds, now: now)
        } else {
            inbound.take(view, names: names.table, emitUnixNanoseconds: emitUnixNanoseconds, now: now)
        }
        if view.record.isSampled { exemplars.note(view.record) }
        unsafe state.append(entry, view, names: names.table, tail: tail)
    }

    private mutating func submit(_ occasion: SpanReporter.Occasion) {
        outbound.reporter.submit(occasion, now: now, exporters: outbound.exporters)
        inbound.reporter.submit(occasion, now: now, exporters: inbound.exporters)
    }

    // MARK: Commands

    private mutating func takeCommands() {
        for command in mailbox.take() {
            switch command {
            case .apply(let plan, let done):
                // Everything written so far is of the old plan.
                drain()
                adopt(plan)
                done.raise()
            case .reopen(let done):
                for file in files.values { file.reopen(now: now) }
                done.raise()
            case .flush(let done):
                drain()
                submit(.flush)
                for file in files.values { file.writeOut(now: now) }
                tail.deliver(now: now)
                done.raise()
            case .stop(let deadline): stopDeadline = deadline
            }
        }
    }

    private mutating func adopt(_ plan: CollectorPlan) {
        submit(.flush)
        let paths = Set((plan.outbound.outputs + plan.inbound.outputs).map(\.path))
        for path in paths where files[path] == nil {
            let file = AccessLogFile(path: path, limits: limits, statistics: statistics)
            file.begin(now: now)
            files[path] = file
        }
        outbound.outputs = bind(plan.outbound.outputs)
        outbound.builder = plan.outbound.builder
        outbound.exporters = plan.outbound.exporters
        inbound.outputs = bind(plan.inbound.outputs)
        inbound.builder = plan.inbound.builder
        inbound.exporters = plan.inbound.exporters
        for (path, file) in files where !paths.contains(path) {
            file.finish(deadline: now)
            if let text = file.report() { say(text) }
            files[path] = nil
        }
    }

    private func bind(_ outputs: [CollectorPlan.Bound]) -> [Output] {
        outputs.compactMap { output in files[output.path].map { Output(file: $0, programs: output.programs.map { $0.map(Program.init) }) } }
    }

    private mutating func report() {
        saidAt = now
        for file in files.values {
            if let text = file.report() { say(text) }
        }
    }

    /// The producers have stopped: take the rest, hand everything over, wait for the sink's answers while there is time.
    private mutating func finish() {
        let deadline = stopDeadline ?? now
        drain()
        while rings.contains(where: { $0.bytesWaiting > 0 }), SystemClock.monotonicNow() < deadline { drain() }
        submit(.end)
        for file in files.values { file.finish(deadline: deadline) }
        tail.deliver(now: now)
        report()
        while outstanding.count.load(ordering: .acquiring) > 0, SystemClock.monotonicNow() < deadline {
            _ = poller.wait(timeoutMilliseconds: 1)
            _ = mailbox.take()
        }
    }
}
