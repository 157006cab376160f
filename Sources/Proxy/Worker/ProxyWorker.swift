public import EventLoops
internal import Primitives
public import Streams
internal import Synchronization
internal import TelemetryModel

/// One proxy thread: its loop, its commands, and its traffic. See `ProxyOverview.swift`. Nothing of it is shared, so nothing is locked:
/// it is made and used on one thread, which debug builds check at every turn.
@safe
public struct ProxyWorker: ~Copyable {
    let handle: WorkerHandle
    var traffic: Traffic
    private let owner = OwnerThread()
    private var drainDeadline = MonotonicInstant.distantFuture
    private(set) var mustStop = false
    private var turnStart = MonotonicInstant(nanoseconds: 0)
    /// When the last turn was over; read once for its length and for the wait behind it.
    private var turnEnd = MonotonicInstant(nanoseconds: 0)

    /// `seed` pins every random draw. `network`: what it is connected to instead of the system's sockets; nil = nothing else.
    public init(
        handle: WorkerHandle, poller: consuming Poller, configuration: ProxyConfiguration, seed: UInt64, network: (any StreamNetwork)? = nil
    ) {
        self.handle = handle
        traffic = Traffic(handle, poller: poller, seed: seed, network: network)
        traffic.sides.adoptConfiguration(configuration)
    }

    /// Serves until told to stop. Runs on the worker's own thread.
    public mutating func run() throws(SystemError) {
        let mailbox = LoopToken(.mailbox, place: 0)
        try traffic.sides.loop.poller.add(readable: handle.mailbox.descriptor, token: mailbox.rawValue)
        turnEnd = traffic.sides.loop.clock
        while !mustStop {
            let count = traffic.sides.loop.poller.wait(timeoutMilliseconds: nextTimeout(at: turnEnd))
            beginTurn()
            for index in 0..<count {
                let (token, events) = traffic.sides.loop.poller.event(index)
                if index > 0 { traffic.sides.loop.tick() }
                if token == mailbox.rawValue { takeCommands() } else { traffic.dispatch(LoopToken(rawValue: token), events) }
            }
            endTurn()
        }
        traffic.sides.downstreams.closeAll()
        traffic.sides.upstreams.closeAll()
    }

    // A turn is what has happened, between these two. A simulated world makes its own turns.

    mutating func beginTurn() {
        owner.check("A proxy worker")
        traffic.sides.loop.beginTurn()
        turnStart = traffic.sides.loop.now
    }

    mutating func endTurn() {
        traffic.finishTurn()
        if traffic.sides.context.isDraining { continueDraining() }
        turnEnd = traffic.sides.loop.clock
        publishStatistics()
    }

    /// Milliseconds that the next turn may be waited for from `now` on; -1 = for ever.
    mutating func nextTimeout(at now: MonotonicInstant) -> Int32 {
        if traffic.hasWork { return 0 }
        // A connection that another worker gives up makes no event here.
        let patience: Int32 = traffic.sides.upstreams.lines.isEmpty ? .max : 2
        guard let nanoseconds = traffic.sides.loop.timers.nanosecondsUntilNext(now: now) else {
            return traffic.sides.context.isDraining ? min(50, patience) : patience == .max ? -1 : patience
        }
        let milliseconds = min(patience, Int32(clamping: nanoseconds / 1_000_000 + 1))
        return traffic.sides.context.isDraining ? min(50, milliseconds) : milliseconds
    }

    mutating func takeCommands() {
        for command in handle.mailbox.take() {
            switch command {
            case .adopt(let next):
                let bringsLists = traffic.sides.bringsLists(next.security)
                traffic.sides.adoptConfiguration(next)
                if bringsLists { RevokedPeers.end(&traffic) }
            case .drain: beginDraining(idleFor: 0)
            case .handOver: beginDraining(idleFor: handle.limits.handOverNanoseconds)
            case .stop: mustStop = true
            case .expire(let rows): traffic.sides.recorder.expire(rows)
            case .keysChanged: KeyWaiting.takeKeys(&traffic)
            case .shedIdle(let cluster): traffic.sides.upstreams.closeOneIdle(cluster, &traffic.sides.loop)
            }
        }
    }

    /// `idleFor`: nanoseconds that connections without a request are left open.
    private mutating func beginDraining(idleFor patience: UInt64) {
        if traffic.sides.context.isDraining {
            mustStop = true
            return
        }
        drainDeadline = traffic.sides.loop.now + handle.limits.drainNanoseconds
        traffic.beginDraining(idleFor: patience)
    }

    private mutating func continueDraining() {
        if traffic.sides.loop.now >= traffic.idleDeadline { traffic.closeIdle() }
        if traffic.sides.downstreams.connections.count == 0 || traffic.sides.loop.now >= drainDeadline { mustStop = true }
    }

    private mutating func publishStatistics() {
        let clients = traffic.sides.downstreams.connections.count
        let endpoints = traffic.sides.upstreams.connections.count
        let requests = traffic.requests.count + traffic.tunnelTraffic.tunnels.count
        let turn = turnEnd.nanoseconds(since: turnStart)
        traffic.sides.loop.countEvent { statistics in
            statistics.downstreamActive.store(clients, ordering: .relaxed)
            statistics.upstreamActive.store(endpoints, ordering: .relaxed)
            statistics.requestsActive.store(requests, ordering: .relaxed)
            guard turn > statistics.turnNanosecondsMax.load(ordering: .relaxed) else { return }
            statistics.turnNanosecondsMax.store(turn, ordering: .relaxed)
        }
    }
}
