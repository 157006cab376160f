internal import EventLoops
internal import Primitives
internal import Streams
internal import TelemetryModel

/// The time of a worker and what waits for it: the poller, the timers, the clock as it was read last. Confined to the worker's thread.
struct WorkerLoop: ~Copyable {
    let poller: Poller
    /// What stands for the kernel and its clock; nil = they do.
    let network: (any StreamNetwork)?
    var timers: TimerWheel
    /// Read once for each event.
    private(set) var now: MonotonicInstant
    /// Wall clock minus monotonic clock, nanoseconds; read once per turn.
    private var unixOffset: UInt64
    let statistics: Held<WorkerStatistics>
    private var fired: [UInt64] = []

    init(poller: consuming Poller, statistics: Held<WorkerStatistics>, network: (any StreamNetwork)?) {
        self.poller = poller
        self.network = network
        now = network?.now ?? SystemClock.monotonicNow()
        unixOffset = (network?.unixNanoseconds ?? SystemClock.unixNanoseconds()) &- now.nanoseconds
        timers = TimerWheel(now: now)
        self.statistics = statistics
    }

    /// A new turn begins.
    mutating func beginTurn() {
        tick()
        unixOffset = (network?.unixNanoseconds ?? SystemClock.unixNanoseconds()) &- now.nanoseconds
    }

    mutating func tick() { now = clock }

    /// The clock, read now.
    var clock: MonotonicInstant { network?.now ?? SystemClock.monotonicNow() }

    /// Begins a connection to an endpoint.
    func connect(to endpoint: SocketEndpoint) throws(SystemError) -> ByteStream {
        if let network { return try ByteStream(connectingTo: endpoint, in: network) }
        return ByteStream(descriptor: try Socket.connect(to: endpoint))
    }

    /// Has what happens to a stream told under `token`.
    func add(_ stream: borrowing ByteStream, token: LoopToken) throws(SystemError) {
        if let network { return stream.register(in: network, token: token.rawValue) }
        try poller.add(stream: stream.descriptor, token: token.rawValue)
    }

    /// For tests: time moves without a clock.
    mutating func set(now instant: MonotonicInstant) { now = instant }

    /// Nanoseconds since 1970 of this moment.
    var unixNow: UInt64 { now.nanoseconds &+ unixOffset }

    /// Adds to a counter of the worker.
    @inline(__always)
    func countEvent(_ body: (WorkerStatistics) -> Void) { statistics.use(body) }

    mutating func arm(_ kind: LoopToken.Kind, _ id: SlotID, at deadline: MonotonicInstant) -> TimerWheel.TimerID {
        timers.arm(LoopToken(kind, id).rawValue, at: deadline)
    }

    mutating func cancel(_ timer: inout TimerWheel.TimerID) {
        if timer == .none { return }
        timers.cancel(timer)
        timer = .none
    }

    /// Moves the timers on; `firedToken` says which have come.
    mutating func advanceTimers() -> Int {
        if !fired.isEmpty { fired.removeAll(keepingCapacity: true) }
        timers.advance(to: now, fired: &fired)
        return fired.count
    }

    func firedToken(_ index: Int) -> LoopToken { LoopToken(rawValue: fired[index]) }
}
