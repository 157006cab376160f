public import EventLoops
internal import HTTP
public import OutlierDetection
public import Policy
public import Primitives
internal import Routing
internal import Synchronization
public import TelemetryModel

/// What other threads may ask of a worker.
public enum WorkerCommand: Sendable {
    case adopt(ProxyConfiguration)
    /// Stop accepting, finish what is in flight, then end.
    case drain
    /// The same, where another process listens already: idle connections get time for one more request.
    case handOver
    /// End now.
    case stop
    case expire([(key: SeriesKey, requests: UInt64)])
    /// Another worker's requests wait for a connection of this cluster: close one that idles.
    case shedIdle(ClusterSlot)
}

/// What all workers of a process know and decide together about upstreams.
public final class SharedUpstreams: Sendable {
    public let state: UpstreamState
    public let judge: OutlierJudge
    public let limiter = RateLimiter()
    /// Workers, to be asked for idle connections that another one needs. Set once, before the first request.
    let peers = Mutex<[WorkerHandle]>([])

    public init(seed: UInt64, state: UpstreamState = UpstreamState()) {
        self.state = state
        judge = OutlierJudge(state: state, seed: seed)
    }

    public func setWorkers(_ workers: [WorkerHandle]) { peers.withLock { $0 = workers } }
}

/// The parts of a worker that other threads hold.
public final class WorkerHandle: Sendable {
    public let mailbox: Mailbox<WorkerCommand>
    public let ring: RecordRing
    public let shard: REDShard
    public let tcpShard = TCPShard()
    public let statistics = WorkerStatistics()
    public let limits: ProxyLimits
    public let shared: SharedUpstreams
    /// Configurations that the worker is done with. Freeing one, with its tables and regular expressions, takes longer than a worker may pause.
    private let retired = Mutex<[ProxyConfiguration]>([])

    /// The worker, between two turns: gives configurations away. The last reference of the worker's goes while it holds the lock, so that whoever takes
    /// them from here, however soon, is the one who frees them.
    func retire(_ configurations: inout [ProxyConfiguration]) {
        retired.withLock { list in
            list += configurations
            configurations.removeAll(keepingCapacity: true)
        }
    }

    /// Configurations that wait to be freed.
    var retiredCount: Int { retired.withLock { $0.count } }

    /// The control thread, now and then: frees what the worker is done with.
    public func freeRetired() {
        let done = retired.withLock { list in
            let taken = list
            list = []
            return taken
        }
        // Freed here, outside the lock.
        _ = done.count
    }

    /// Why listeners are not there, in words; few, as they are made between requests.
    private let problems = Mutex<[String]>([])

    func note(problem: String) { problems.withLock { $0.append(problem) } }

    /// The control thread, now and then: what a log should tell.
    public func takeProblems() -> [String] {
        problems.withLock { list in
            defer { list = [] }
            return list
        }
    }

    /// `ringBytes` bounds the records waiting for the collector.
    public init(limits: ProxyLimits, ringBytes: Int, shared: SharedUpstreams) throws(SystemError) {
        self.limits = limits
        self.shared = shared
        mailbox = try Mailbox()
        ring = RecordRing(capacity: ringBytes)
        shard = REDShard(seriesMax: limits.seriesMax)
    }
}

/// One proxy thread: its loop and everything it owns. See `ProxyOverview.swift`.
///
/// Every method is `mutating`, also one that changes nothing: so the worker is passed by its address. A borrowed `self` of this size would be copied, whole, at
/// each call (LayerTests hold it to that).
@safe
public struct ProxyWorker: ~Copyable {
    let handle: WorkerHandle
    /// Of the handle, as the request path asks them.
    let ring: Held<RecordRing>
    let shard: Held<REDShard>
    let upstreamState: Held<UpstreamState>
    let limits: ProxyLimits
    let poller: Poller
    var timers: TimerWheel
    var now: MonotonicInstant
    /// Wall clock minus monotonic clock, nanoseconds; read once per turn.
    var unixOffset: UInt64

    var configuration: ProxyConfiguration
    var tables: RoutingTables
    var plan: CapturePlan
    var listeners: [ListenerSocket] = []
    var downstreams: Slab<DownstreamConnection>
    var upstreams: Slab<UpstreamConnection>
    var exchanges: Slab<Exchange>
    var pools: [UpstreamPool] = []
    var freePools: [Int] = []
    /// Of endpoints that all workers count; index = slot times two, plus one for HTTP/2; -1 = none.
    var poolOfSlot: [Int32] = []
    /// For tunnels that move much.
    var pipes: Slab<SplicePipe>
    /// Pools of addresses that no configuration names.
    var passthroughPools: [PoolKey: Int] = [:]
    /// The configurations that requests still live under; `epoch` is the current one.
    var epochs: [Epoch] = []
    var epoch = 0
    /// Configurations that ended during this turn; given away at its end, when no command still holds one.
    var endedConfigurations: [ProxyConfiguration] = []
    /// Pools with requests waiting for a connection, in the order in which they began to wait.
    var waitingPools: [Int] = []

    var head = MessageHead()
    /// What the HTTP/2 session that was just served had to tell; at an address that sessions keep.
    let inbox: UnsafeMutablePointer<HTTP2Inbox>
    /// The HTTP/2 header section being put together.
    var fieldList = HTTP2FieldList()
    /// Sessions with something to send at the end of the turn.
    var dirtyDownstream: [SlotID] = []
    var dirtyUpstream: [SlotID] = []
    /// Those being served; swapped with the above so that neither allocates.
    var pumpedDownstream: [SlotID] = []
    var pumpedUpstream: [SlotID] = []
    /// Trailer lines of the response whose end is the next event.
    var trailerScratch = ByteBuffer()
    var tokenScratch: [UInt64] = []
    let scratch: UnsafeMutableRawBufferPointer
    /// Response bytes being put together before one write.
    var assembly = ByteBuffer()
    var pathScratch: UnsafeMutablePointer<UInt8>
    var localReplyScratch = ByteBuffer()
    /// `Location` of a redirect.
    var answerScratch = ByteBuffer()
    var cookieScratch = ByteBuffer()
    var rateLimitScratch = ByteBuffer()
    /// A header value made of pieces; whoever is given it copies it.
    var valueScratch = ByteBuffer()
    /// Context of the request being begun.
    var traceContext = TraceContext()

    /// Connections to read again this turn: budget spent, or room again behind them.
    var resumeDownstream: [SlotID] = []
    var resumeUpstream: [SlotID] = []
    var closedDownstream: [SlotID] = []
    var closedUpstream: [SlotID] = []
    var finishedExchanges: [SlotID] = []
    var firedTimers: [UInt64] = []

    // Independent draws, so that one decision never steers another.
    var routeDraw: RandomSource
    var balanceDraw: RandomSource
    var sampleDraw: RandomSource
    var retryDraw: RandomSource
    var faultDraw: RandomSource
    var mirrorDraw: RandomSource
    var identifierDraw: RandomSource

    var isDraining = false
    var drainDeadline = MonotonicInstant.distantFuture
    /// While draining: when connections that idle are closed.
    var idleDeadline = MonotonicInstant.distantFuture
    var mustStop = false
    var dateCache = DateCache()

    /// `seed` pins every random draw.
    public init(handle: WorkerHandle, poller: consuming Poller, configuration: ProxyConfiguration, seed: UInt64) {
        self.handle = handle
        ring = Held(keptByCaller: handle.ring)
        shard = Held(keptByCaller: handle.shard)
        upstreamState = Held(keptByCaller: handle.shared.state)
        limits = handle.limits
        self.poller = poller
        now = SystemClock.monotonicNow()
        unixOffset = SystemClock.unixNanoseconds() &- now.nanoseconds
        timers = TimerWheel(now: now)
        self.configuration = configuration
        unsafe tables = unsafe configuration.routing.tables
        plan = CapturePlan(configuration.telemetry)
        downstreams = Slab(countMax: handle.limits.downstreamConnectionsMax)
        upstreams = Slab(countMax: handle.limits.upstreamConnectionsMax)
        exchanges = Slab(countMax: handle.limits.downstreamConnectionsMax)
        pipes = Slab(countMax: handle.limits.splicePipesMax)
        unsafe scratch = .allocate(byteCount: handle.limits.readBytes, alignment: 64)
        unsafe pathScratch = .allocate(capacity: PathNormalizer.growthMax * handle.limits.http.targetBytesMax + 1)
        unsafe inbox = .allocate(capacity: 1)
        unsafe inbox.initialize(to: HTTP2Inbox())
        var seeds = RandomSource(seed: seed)
        routeDraw = RandomSource(seed: seeds.next())
        balanceDraw = RandomSource(seed: seeds.next())
        sampleDraw = RandomSource(seed: seeds.next())
        identifierDraw = RandomSource(seed: seeds.next())
        retryDraw = RandomSource(seed: seeds.next())
        faultDraw = RandomSource(seed: seeds.next())
        mirrorDraw = RandomSource(seed: seeds.next())
        adopt(configuration)
    }

    deinit {
        // Sessions use the inbox as they go.
        for id in downstreams.identifiers() { unsafe downstreams.pointer(id)?.pointee.endSession() }
        for id in upstreams.identifiers() { unsafe upstreams.pointer(id)?.pointee.endSession() }
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
        unsafe scratch.deallocate()
        unsafe pathScratch.deallocate()
    }

    /// What an epoll event or a timer is about: kind in the top bits, then the slot.
    struct Token {
        enum Kind: UInt64 {
            case mailbox, listener, downstream, upstream, exchange, listenerResume, attempt, streamIdle
        }

        let rawValue: UInt64

        init(rawValue: UInt64) { self.rawValue = rawValue }

        /// 4 bits of kind, 28 of index, 32 of generation.
        init(_ kind: Kind, _ id: SlotID) {
            rawValue = kind.rawValue << 60 | UInt64(id.index & 0x0FFF_FFFF) << 32 | UInt64(id.generation)
        }

        var kind: Kind? { Kind(rawValue: rawValue >> 60) }
        var id: SlotID { SlotID(index: UInt32(truncatingIfNeeded: rawValue >> 32) & 0x0FFF_FFFF, generation: UInt32(truncatingIfNeeded: rawValue)) }
    }

    /// Serves until told to stop. Runs on the worker's own thread.
    public mutating func run() throws(SystemError) {
        try poller.add(readable: handle.mailbox.descriptor, token: Token(.mailbox, SlotID(index: 0, generation: 1)).rawValue)
        while !mustStop {
            let count = poller.wait(timeoutMilliseconds: nextTimeout())
            let turnStart = SystemClock.monotonicNow()
            now = turnStart
            unixOffset = SystemClock.unixNanoseconds() &- now.nanoseconds
            for index in 0..<count {
                let (token, events) = poller.event(index)
                if index > 0 { now = SystemClock.monotonicNow() }
                dispatch(Token(rawValue: token), events)
            }
            resume()
            fireTimers()
            if !waitingPools.isEmpty { serveWaiting() }
            flushSessions()
            reap()
            if isDraining { continueDraining() }
            publish(turnStart)
        }
        closeEverything()
    }

    private mutating func nextTimeout() -> Int32 {
        if !resumeDownstream.isEmpty || !resumeUpstream.isEmpty || !dirtyDownstream.isEmpty || !dirtyUpstream.isEmpty { return 0 }
        // A connection that another worker gives up makes no event here.
        let patience: Int32 = waitingPools.isEmpty ? .max : 2
        guard let nanoseconds = timers.nanosecondsUntilNext(now: SystemClock.monotonicNow()) else {
            return isDraining ? min(50, patience) : patience == .max ? -1 : patience
        }
        let milliseconds = min(patience, Int32(clamping: nanoseconds / 1_000_000 + 1))
        return isDraining ? min(50, milliseconds) : milliseconds
    }

    private mutating func dispatch(_ token: Token, _ events: ReadyEvents) {
        switch token.kind {
        case .downstream: downstreamReady(token.id, events)
        case .upstream: upstreamReady(token.id, events)
        case .listener: acceptConnections(Int(token.id.index))
        case .mailbox: takeCommands()
        case .exchange, .listenerResume, .attempt, .streamIdle, nil: break
        }
    }

    private mutating func takeCommands() {
        for command in handle.mailbox.take() {
            switch command {
            case .adopt(let next): adopt(next)
            case .drain: beginDraining(idleFor: 0)
            case .handOver: beginDraining(idleFor: limits.handOverNanoseconds)
            case .stop: mustStop = true
            case .expire(let keys): shard.use { $0.expire(keys) }
            case .shedIdle(let cluster): shedIdle(cluster)
            }
        }
    }

    /// Serves the connections that have something waiting but no event to say so. Bounded by the reads each may do.
    private mutating func resume() {
        if !resumeUpstream.isEmpty {
            let waiting = resumeUpstream
            resumeUpstream.removeAll(keepingCapacity: true)
            for id in waiting { readUpstream(id) }
        }
        if !resumeDownstream.isEmpty {
            let waiting = resumeDownstream
            resumeDownstream.removeAll(keepingCapacity: true)
            for id in waiting { resumeDownstream(id) }
        }
    }

    /// Frees what was closed during the turn; nothing holds a pointer to it any more.
    private mutating func reap() {
        for id in finishedExchanges { exchanges.park(retired: id) }
        finishedExchanges.removeAll(keepingCapacity: true)
        for id in closedDownstream { downstreams.remove(id) }
        closedDownstream.removeAll(keepingCapacity: true)
        for id in closedUpstream { upstreams.remove(id) }
        closedUpstream.removeAll(keepingCapacity: true)
        if !endedConfigurations.isEmpty { handle.retire(&endedConfigurations) }
    }

    private mutating func publish(_ turnStart: MonotonicInstant) {
        let statistics = handle.statistics
        statistics.downstreamActive.store(downstreams.count, ordering: .relaxed)
        statistics.upstreamActive.store(upstreams.count, ordering: .relaxed)
        statistics.requestsActive.store(exchanges.count, ordering: .relaxed)
        let turn = SystemClock.monotonicNow().nanoseconds(since: turnStart)
        if turn > statistics.turnNanosecondsMax.load(ordering: .relaxed) {
            statistics.turnNanosecondsMax.store(turn, ordering: .relaxed)
        }
    }

    private mutating func closeEverything() {
        for index in listeners.indices { listeners[index].close() }
        for id in downstreams.identifiers() {
            if let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed { unsafe Socket.close(connection.pointee.fd) }
        }
        for id in upstreams.identifiers() {
            if let connection = unsafe upstreams.pointer(id), unsafe connection.pointee.state != .closed {
                unsafe Socket.close(connection.pointee.fd)
            }
        }
    }

    // MARK: Configuration

    mutating func adopt(_ next: ProxyConfiguration) {
        configuration = next
        unsafe tables = unsafe next.routing.tables
        plan = CapturePlan(next.telemetry)
        beginEpoch(next)
        adoptListeners(next.routing.listeners)
        handle.statistics.configurationGeneration.store(next.routing.generation, ordering: .releasing)
    }

    // MARK: Draining

    /// `idleFor`: nanoseconds that connections without a request are left open.
    private mutating func beginDraining(idleFor patience: UInt64) {
        if isDraining {
            mustStop = true
            return
        }
        isDraining = true
        drainDeadline = now + limits.drainNanoseconds
        idleDeadline = now + patience
        for index in listeners.indices { closeListener(index) }
        if patience == 0 {
            closeIdle()
            return
        }
        for id in downstreams.identifiers() {
            guard let connection = unsafe downstreams.pointer(id), let session = unsafe connection.pointee.session else { continue }
            unsafe session.pointee.announceEnd()
            markDirty(downstream: id)
        }
    }

    /// Ends what waits for a request.
    private mutating func closeIdle() {
        idleDeadline = .distantFuture
        for id in downstreams.identifiers() {
            guard let connection = unsafe downstreams.pointer(id) else { continue }
            if unsafe connection.pointee.isHTTP2 {
                drainHTTP2(id)
                continue
            }
            if unsafe connection.pointee.exchange.isNone && connection.pointee.input.isEmpty && !connection.pointee.isClosed {
                // A request that is already in the kernel's buffer is served; only a silent connection is closed.
                readDownstream(id)
                if unsafe connection.pointee.exchange.isNone && connection.pointee.input.isEmpty { closeDownstream(id) }
            }
        }
    }

    private mutating func continueDraining() {
        if now >= idleDeadline { closeIdle() }
        if downstreams.count == 0 || now >= drainDeadline { mustStop = true }
    }

    /// Nanoseconds since 1970 of an instant of this turn.
    mutating func unix(_ instant: MonotonicInstant) -> UInt64 { instant.nanoseconds &+ unixOffset }
}

/// The header names that records capture, as bytes.
struct CapturePlan {
    var requestHeaders: [[UInt8]]
    var responseHeaders: [[UInt8]]
    var outbound: TelemetryPlan.Side
    var inbound: TelemetryPlan.Side
    var option: TraceContextOption
    var uses128BitTraceIDs: Bool

    init(_ plan: TelemetryPlan) {
        requestHeaders = plan.capture.requestHeaders.map { Array($0.utf8) }
        responseHeaders = plan.capture.responseHeaders.map { Array($0.utf8) }
        outbound = plan.outbound
        inbound = plan.inbound
        option = plan.contextOption
        uses128BitTraceIDs = plan.uses128BitTraceIDs
    }
}
