public import EventLoops
internal import HTTP
public import OutlierDetection
public import Primitives
public import Synchronization

/// One endpoint to be probed, and how.
public struct ProbeTarget: Sendable, Equatable {
    /// Where all workers see the verdict.
    public var endpoint: EndpointSlot
    public var address: SocketEndpoint
    public var settings: HealthCheckSettings
    /// What an HTTP probe sends; empty = a connection that is accepted is all that is wanted.
    public var request: [UInt8]
    /// Accepted ranges of an HTTP answer's status.
    public var statuses: [ClosedRange<UInt16>]

    public init(
        endpoint: EndpointSlot, address: SocketEndpoint, settings: HealthCheckSettings, request: [UInt8], statuses: [ClosedRange<UInt16>]
    ) {
        self.endpoint = endpoint
        self.address = address
        self.settings = settings
        self.request = request
        self.statuses = statuses
    }
}

/// Active health checks: a thread with an epoll loop of its own, so that no probe delays a request. Verdicts go to `UpstreamState`, where balancers see them.
public final class HealthProber: Sendable {
    enum Command: Sendable {
        case apply([ProbeTarget])
        case stop
    }

    /// Endpoints probed; further ones are taken to be healthy, and counted.
    public static let targetsMax = 10_000
    /// Probes under way at once; others wait their turn.
    static let probesMax = 512
    /// Bytes of an answer's head.
    static let answerBytesMax = 16 * 1024

    public let checks = Atomic<UInt64>(0)
    public let failures = Atomic<UInt64>(0)
    public let transitions = Atomic<UInt64>(0)
    public let targetsOmitted = Atomic<UInt64>(0)
    let mailbox: Mailbox<Command>
    let shared: SharedUpstreams

    public init(shared: SharedUpstreams) throws(SystemError) {
        mailbox = try Mailbox()
        self.shared = shared
    }

    /// Starts the thread; it ends after `stop`.
    public func start(seed: UInt64) throws(SystemError) -> WorkerThread {
        try WorkerThread(name: "health") { [self] in
            guard let poller = try? Poller() else { return }
            var loop = HealthLoop(prober: self, poller: poller, seed: seed)
            loop.run()
        }
    }

    /// Any thread: what is to be probed from now on. A target that stays the same keeps its history; an endpoint that is no longer probed is healthy again.
    public func apply(_ targets: [ProbeTarget]) {
        targetsOmitted.store(UInt64(max(0, targets.count - Self.targetsMax)), ordering: .relaxed)
        mailbox.send(.apply(Array(targets.prefix(Self.targetsMax))))
    }

    public func stop() { mailbox.send(.stop) }
}

/// The loop's side; confined to its thread.
private struct HealthLoop: ~Copyable {
    private struct Probe {
        var target: ProbeTarget
        var checker: HealthChecker
        var fd: Int32 = -1
        /// Tells events of this connection from those of the one before.
        var generation: UInt32 = 0
        var isSent = false
        var answer: [UInt8] = []
        var scan = HeadScan()
        /// Due, but too many others are under way.
        var isWaiting = false
    }

    private let prober: HealthProber
    private let poller: Poller
    private var probes: [Probe] = []
    private var timers: TimerWheel
    private var random: RandomSource
    private var running = 0
    private var waiting: [Int] = []
    /// Targets of an older list have other indices; their events and timers mean nothing.
    private var epoch: UInt32 = 0
    private var now: MonotonicInstant
    private var scratch = [UInt8](repeating: 0, count: 16 * 1024)
    private var head = MessageHead()
    private let limits = HTTPLimits()

    private static var mailboxToken: UInt64 { .max }

    init(prober: HealthProber, poller: consuming Poller, seed: UInt64) {
        self.prober = prober
        self.poller = poller
        random = RandomSource(seed: seed)
        now = SystemClock.monotonicNow()
        timers = TimerWheel(now: now)
    }

    mutating func run() {
        guard (try? poller.add(readable: prober.mailbox.descriptor, token: Self.mailboxToken)) != nil else { return }
        var fired: [UInt64] = []
        while true {
            let pause = timers.nanosecondsUntilNext(now: SystemClock.monotonicNow()).map { Int32(clamping: $0 / 1_000_000 + 1) } ?? -1
            let count = poller.wait(timeoutMilliseconds: pause)
            now = SystemClock.monotonicNow()
            for index in 0..<count {
                let (token, events) = poller.event(index)
                if token == Self.mailboxToken {
                    for command in prober.mailbox.take() {
                        switch command {
                        case .apply(let targets): apply(targets)
                        case .stop:
                            for place in probes.indices { closeConnection(place) }
                            return
                        }
                    }
                } else {
                    ready(Int(token >> 32), UInt32(truncatingIfNeeded: token), events)
                }
            }
            fired.removeAll(keepingCapacity: true)
            timers.advance(to: now, fired: &fired)
            for token in fired where UInt32(truncatingIfNeeded: token) == epoch { due(Int(token >> 32)) }
            startWaiting()
        }
    }

    private mutating func apply(_ targets: [ProbeTarget]) {
        var known: [EndpointSlot: Probe] = [:]
        for place in probes.indices {
            closeConnection(place)
            known[probes[place].target.endpoint] = probes[place]
        }
        epoch &+= 1
        waiting = []
        probes = targets.map { target in
            if var old = known.removeValue(forKey: target.endpoint), old.target == target {
                old.checker.cancel(now: now)
                old.isWaiting = false
                return old
            }
            prober.shared.state.setHealthCheckFailed(target.endpoint, false)
            return Probe(target: target, checker: HealthChecker(settings: target.settings, now: now, seed: random.next()))
        }
        for gone in known.keys { prober.shared.state.setHealthCheckFailed(gone, false) }
        for place in probes.indices { arm(place) }
    }

    private mutating func arm(_ place: Int) {
        _ = timers.arm(UInt64(place) << 32 | UInt64(epoch), at: probes[place].checker.nextDeadline)
    }

    private mutating func due(_ place: Int) {
        guard place < probes.count, !probes[place].isWaiting, probes[place].checker.nextDeadline <= now else { return }
        // A timer of an earlier phase comes too early, and finds nothing to do.
        if running >= HealthProber.probesMax, probes[place].fd < 0 {
            probes[place].isWaiting = true
            waiting.append(place)
            return
        }
        switch probes[place].checker.poll(now: now) {
        case .none: break
        case .probe: begin(place)
        case .abandon: settle(place)
        }
        arm(place)
    }

    private mutating func startWaiting() {
        while running < HealthProber.probesMax, let place = waiting.popLast() {
            probes[place].isWaiting = false
            due(place)
        }
    }

    private mutating func begin(_ place: Int) {
        do throws(SystemError) {
            let fd = try Socket.connect(to: probes[place].target.address)
            probes[place].generation &+= 1
            probes[place].fd = fd
            probes[place].isSent = false
            probes[place].answer = []
            probes[place].scan = HeadScan()
            running += 1
            try poller.add(stream: fd, token: UInt64(place) << 32 | UInt64(probes[place].generation))
        } catch {
            complete(place, passed: false)
        }
    }

    private mutating func ready(_ place: Int, _ generation: UInt32, _ events: ReadyEvents) {
        guard place < probes.count, probes[place].fd >= 0, probes[place].generation == generation else { return }
        if !probes[place].isSent {
            guard Socket.pendingError(probes[place].fd) == 0 else {
                complete(place, passed: false)
                return
            }
            guard events.contains(.writable) else { return }
            if probes[place].target.request.isEmpty {
                complete(place, passed: true)
                return
            }
            probes[place].isSent = true
            let fd = probes[place].fd
            // A request of a few hundred bytes fits any fresh socket.
            let written = unsafe probes[place].target.request.withUnsafeBytes { unsafe Socket.write(fd, $0) }
            if case .bytes(probes[place].target.request.count) = written {} else {
                complete(place, passed: false)
                return
            }
        }
        read(place)
    }

    private mutating func read(_ place: Int) {
        while probes[place].fd >= 0 {
            let fd = probes[place].fd
            switch unsafe scratch.withUnsafeMutableBytes({ unsafe Socket.read(fd, into: $0) }) {
            case .bytes(let count):
                probes[place].answer.append(contentsOf: scratch[..<count])
                judge(place)
            case .wouldBlock: return
            case .endOfStream, .failed: complete(place, passed: false)
            }
        }
    }

    private mutating func judge(_ place: Int) {
        let result = unsafe probes[place].answer.withUnsafeBytes { bytes in
            unsafe HeadParser.parseResponse(bytes, scan: &probes[place].scan, limits: limits, into: &head)
        }
        switch result {
        case .incomplete:
            if probes[place].answer.count > HealthProber.answerBytesMax { complete(place, passed: false) }
        case .failed: complete(place, passed: false)
        case .complete:
            let status = head.statusCode
            complete(place, passed: probes[place].target.statuses.contains { $0.contains(status) })
        }
    }

    private mutating func complete(_ place: Int, passed: Bool) {
        probes[place].checker.completed(passed: passed, now: now)
        if passed { prober.shared.judge.activeHealthCheckSucceeded(probes[place].target.endpoint, now: now) }
        if !passed { prober.failures.wrappingAdd(1, ordering: .relaxed) }
        conclude(place)
        arm(place)
    }

    /// The checker itself has counted a timeout.
    private mutating func settle(_ place: Int) {
        prober.failures.wrappingAdd(1, ordering: .relaxed)
        conclude(place)
    }

    private mutating func conclude(_ place: Int) {
        closeConnection(place)
        prober.checks.wrappingAdd(1, ordering: .relaxed)
        let endpoint = probes[place].target.endpoint
        switch probes[place].checker.lastTransition {
        case .unchanged: break
        case .becameUnhealthy:
            prober.transitions.wrappingAdd(1, ordering: .relaxed)
            prober.shared.state.setHealthCheckFailed(endpoint, true)
        case .becameHealthy:
            prober.transitions.wrappingAdd(1, ordering: .relaxed)
            prober.shared.state.noteReturn(endpoint, now: now)
            prober.shared.state.setHealthCheckFailed(endpoint, false)
        }
    }

    private mutating func closeConnection(_ place: Int) {
        guard probes[place].fd >= 0 else { return }
        Socket.close(probes[place].fd)
        probes[place].fd = -1
        running -= 1
    }
}
