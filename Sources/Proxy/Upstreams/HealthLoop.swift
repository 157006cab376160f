internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Streams
internal import Synchronization
internal import TLS

/// The thread of `HealthProber`: what is due is probed, and what comes of it goes to the workers' shared state. Confined to that thread.
struct HealthLoop: ~Copyable {
    private struct Probe {
        var target: ProbeTarget
        var checker: HealthChecker
        /// Under way; none = nothing is.
        var connection = SlotID.none
        /// Due, but too many others are under way.
        var isWaiting = false
    }

    private let prober: HealthProber
    private let poller: Poller
    private var probes: [Probe] = []
    private var connections = Slab<ProbeConnection>(countMax: HealthProber.probesMax)
    private var timers: TimerWheel
    private var random: RandomSource
    private var waiting: [Int] = []
    /// Targets of an older list have other indices; their timers mean nothing.
    private var epoch: UInt32 = 0
    private var now: MonotonicInstant
    private var request = MessageHead()
    /// Outlives the connections, which tell it what has come.
    private var inbox: OwnedInbox
    private var securities = UpstreamSecurities()
    /// Slot of each kind of TLS, by its key.
    private var securitySlots: [String: Int32] = [:]

    private static var mailboxToken: UInt64 { .max }

    init(prober: HealthProber, poller: consuming Poller, seed: UInt64) {
        self.prober = prober
        self.poller = poller
        random = RandomSource(seed: seed)
        now = SystemClock.monotonicNow()
        timers = TimerWheel(now: now)
        var limits = HTTPLimits()
        limits.headBytesMax = HealthProber.answerBytesMax
        inbox = OwnedInbox(limits: limits)
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
                if token != Self.mailboxToken {
                    ready(SlotID(index: UInt32(truncatingIfNeeded: token >> 32), generation: UInt32(truncatingIfNeeded: token)), events)
                } else if !takeCommands() {
                    return closeAll()
                }
            }
            fired.removeAll(keepingCapacity: true)
            timers.advance(to: now, fired: &fired)
            for token in fired where UInt32(truncatingIfNeeded: token) == epoch { due(Int(token >> 32)) }
            startWaiting()
        }
    }

    // MARK: Targets

    /// False when the thread is to end.
    private mutating func takeCommands() -> Bool {
        for command in prober.mailbox.take() {
            switch command {
            case .apply(let targets, let security):
                let slots = securities.adopt(security, keepsOld: false)
                securitySlots = Dictionary(zip(security.outbound.map(\.key), slots), uniquingKeysWith: { first, _ in first })
                apply(targets)
            case .stop: return false
            }
        }
        return true
    }

    private mutating func apply(_ targets: [ProbeTarget]) {
        closeAll()
        var known: [EndpointSlot: Probe] = [:]
        for probe in probes { known[probe.target.endpoint] = probe }
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

    // MARK: Time

    private mutating func arm(_ place: Int) {
        _ = timers.arm(UInt64(place) << 32 | UInt64(epoch), at: probes[place].checker.nextDeadline)
    }

    private mutating func due(_ place: Int) {
        guard place < probes.count, !probes[place].isWaiting, probes[place].checker.nextDeadline <= now else { return }
        // A timer of an earlier phase comes too early, and finds nothing to do.
        if connections.count >= HealthProber.probesMax, probes[place].connection.isNone {
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
        while connections.count < HealthProber.probesMax, let place = waiting.popLast() {
            probes[place].isWaiting = false
            due(place)
        }
    }

    // MARK: One probe

    private mutating func begin(_ place: Int) {
        do throws(SystemError) {
            let stream = ByteStream(descriptor: try Socket.connect(to: probes[place].target.address))
            let http = unsafe HTTPClientConnection(isHTTP2: false, inbox: inbox.pointer, now: now)
            let descriptor = stream.descriptor
            guard let id = connections.insert(ProbeConnection(place: place, stream: stream, http: http)) else {
                Socket.close(descriptor)
                return complete(place, passed: false)
            }
            probes[place].connection = id
            try poller.add(stream: descriptor, token: UInt64(id.index) << 32 | UInt64(id.generation))
        } catch {
            complete(place, passed: false)
        }
    }

    private mutating func ready(_ id: SlotID, _ events: ReadyEvents) {
        guard connections.contains(id) else { return }
        let place = connections[id].place
        switch connections[id].phase {
        case .connecting:
            guard connections[id].stream.pendingError == 0 else { return complete(place, passed: false) }
            guard events.contains(.writable) else { return }
            guard begin(id, place) else { return complete(place, passed: false) }
            guard connections.contains(id) else { return }
        case .securing:
            guard goOn(id, place) else { return }
        case .sent:
            if events.contains(.writable), connections[id].stream.flush() == .failed { return complete(place, passed: false) }
        }
        connections[id].stream.note(events)
        if connections[id].phase == .sent { read(id, place) }
    }

    /// The connection is there: its TLS begins, or its request. False = it came to nothing.
    private mutating func begin(_ id: SlotID, _ place: Int) -> Bool {
        let target = probes[place].target
        if target.security.isEmpty { return ask(id, place) }
        let slot = securitySlots[target.security] ?? -1
        let seconds = Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000)
        let descriptor = connections[id].stream.descriptor
        let session = securities.session(
            Int(slot), with: target.address, descriptor: descriptor, unixSeconds: seconds, speaksHTTP1: true)
        guard let session else { return false }
        connections[id].stream.secure(by: SecureLayer(session, descriptor: descriptor))
        connections[id].phase = .securing
        _ = goOn(id, place)
        return true
    }

    /// Goes on with TLS' handshake. False = it goes on later, or the probe is over.
    private mutating func goOn(_ id: SlotID, _ place: Int) -> Bool {
        switch connections[id].stream.handshake() {
        case .waiting: return false
        case .failed:
            complete(place, passed: false)
            return false
        case .done:
            if !ask(id, place) { complete(place, passed: false) }
            return connections.contains(id)
        }
    }

    /// Sends the request; where there is none, the connection was all that was wanted.
    private mutating func ask(_ id: SlotID, _ place: Int) -> Bool {
        if probes[place].target.request.isEmpty {
            complete(place, passed: true)
            return true
        }
        return load(probes[place].target.request) && connections[id].send(request)
    }

    /// Takes the structure of a request out of its bytes. False when they are no request.
    private mutating func load(_ bytes: [UInt8]) -> Bool {
        var parsed = MessageHead()
        var scan = HeadScan()
        let isWhole = unsafe bytes.withUnsafeBytes { bytes in
            let limits = inbox.contents.limits
            guard unsafe HeadParser.parseRequest(bytes, scan: &scan, limits: limits, into: &parsed) == .complete else { return false }
            request.keep(copyOf: parsed)
            return true
        }
        guard isWhole else { return false }
        request.sentTarget = request.targetPlace
        request.sentAuthority = request.place(of: .host) ?? 0..<0
        request.filter { head, index in head.fieldName(at: index) != .host }
        return true
    }

    private mutating func read(_ id: SlotID, _ place: Int) {
        while connections.contains(id), connections[id].stream.isReadable {
            switch connections[id].read() {
            case .bytes: judge(id, place)
            case .wouldBlock: return
            case .endOfStream, .failed: complete(place, passed: false)
            }
        }
    }

    /// The head of the answer is all that counts; interim responses come before it (RFC 9110 15.2).
    private mutating func judge(_ id: SlotID, _ place: Int) {
        let isBroken = connections[id].receive(now: now) == .broken
        var status: UInt16 = 0
        for index in 0..<inbox.contents.events.count {
            let event = inbox.contents.events[index]
            guard event.kind == .head, status == 0 else { continue }
            let section = inbox.contents.block(of: event)
            if section.status >= 200 || section.status == 101 { status = section.status }
        }
        inbox.contents.clear()
        if status > 0 {
            complete(place, passed: probes[place].target.statuses.contains { $0.contains(status) })
        } else if isBroken {
            complete(place, passed: false)
        }
    }

    // MARK: Its end

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
        let id = probes[place].connection
        guard connections.contains(id) else { return }
        connections[id].stream.close()
        connections.remove(id)
        probes[place].connection = .none
    }

    private mutating func closeAll() {
        for place in probes.indices { closeConnection(place) }
    }
}
