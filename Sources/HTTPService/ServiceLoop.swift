internal import EventLoops
internal import HTTP
internal import Primitives
internal import Streams
internal import Synchronization

/// The server's thread: accepts, reads requests, hands them over, writes answers. One turn: what became ready is read, handlers answer,
/// then every connection that has something to send sends it.
@safe
struct ServiceLoop: ~Copyable {
    let poller: Poller
    let mailbox: Mailbox<ServerCommand>
    var listeners: [Int32]
    let limits: ServiceLimits
    let handler: any ServiceHandler
    let statistics: ServiceStatistics
    var handshakes: ServiceHandshakes
    var connections: Slab<ServiceConnection>
    var exchanges: Slab<ServiceExchange>
    var timers: TimerWheel
    var now: MonotonicInstant
    /// Events of the connection being served; empty between two of them.
    var inbox: OwnedInbox
    var head = MessageHead()
    let scratch: UnsafeMutableRawBufferPointer
    /// Fields of an answer being put together.
    var lines = ByteBuffer()
    var bodyBytes = 0
    var closed: [SlotID] = []
    /// Connections to go on with in the next turn, and those with something to send in this one.
    var resumed: [SlotID] = []
    var dirty: [SlotID] = []
    var fired: [UInt64] = []
    var isDraining = false
    var mustStop = false

    private static let mailboxToken = UInt64.max
    private static let listenerBit = UInt64(1) << 63

    init(
        poller: consuming Poller, mailbox: Mailbox<ServerCommand>, listeners: [Int32], limits: ServiceLimits, handler: any ServiceHandler,
        statistics: ServiceStatistics, handshakes: consuming ServiceHandshakes
    ) {
        self.poller = poller
        self.mailbox = mailbox
        self.listeners = listeners
        self.limits = limits
        self.handler = handler
        self.statistics = statistics
        self.handshakes = handshakes
        inbox = OwnedInbox(limits: limits.http)
        connections = Slab(countMax: limits.connectionsMax)
        exchanges = Slab(countMax: limits.exchangesMax)
        now = SystemClock.monotonicNow()
        timers = TimerWheel(now: now)
        unsafe scratch = .allocate(byteCount: limits.readBytes, alignment: 64)
    }

    deinit { unsafe scratch.deallocate() }

    /// Connection tokens are index << 32 | generation with the top bit clear.
    func token(_ id: SlotID) -> UInt64 { UInt64(id.index) << 32 | UInt64(id.generation) }
    func slot(_ token: UInt64) -> SlotID {
        SlotID(index: UInt32(truncatingIfNeeded: token >> 32), generation: UInt32(truncatingIfNeeded: token))
    }

    mutating func run() {
        try? poller.add(readable: mailbox.descriptor, token: Self.mailboxToken)
        for (index, fd) in listeners.enumerated() { try? poller.add(readable: fd, token: Self.listenerBit | UInt64(index)) }
        while !mustStop {
            let timeout: Int32
            if !resumed.isEmpty {
                timeout = 0
            } else if let nanoseconds = timers.nanosecondsUntilNext(now: SystemClock.monotonicNow()) {
                timeout = Int32(clamping: nanoseconds / 1_000_000 + 1)
            } else {
                timeout = -1
            }
            let count = poller.wait(timeoutMilliseconds: timeout)
            now = SystemClock.monotonicNow()
            for index in 0..<count {
                let (token, events) = poller.event(index)
                if token == Self.mailboxToken {
                    takeCommands()
                } else if token & Self.listenerBit != 0 {
                    accept(Int(token & ~Self.listenerBit))
                } else {
                    ready(slot(token), events)
                }
            }
            let waiting = resumed
            resumed.removeAll(keepingCapacity: true)
            for id in waiting { proceed(id) }
            fired.removeAll(keepingCapacity: true)
            timers.advance(to: now, fired: &fired)
            for index in fired.indices { timerFired(fired[index]) }
            settleDirty()
            for id in closed { connections.remove(id) }
            closed.removeAll(keepingCapacity: true)
            statistics.connectionsActive.store(connections.count, ordering: .relaxed)
            if isDraining, connections.count == 0 { mustStop = true }
        }
        for fd in listeners where fd >= 0 { Socket.close(fd) }
        for id in connections.identifiers() {
            connections[id].stream.close()
            // Now: a session gives its streams back to the inbox.
            connections.remove(id)
        }
    }

    private mutating func takeCommands() {
        for command in mailbox.take() {
            switch command {
            case .respond(let id, let response): respond(id, response)
            case .begin(let id, let response): beginStream(id, response)
            case .write(let id, let bytes): writeStream(id, bytes)
            case .end(let id): endStream(id)
            case .abandon(let id): abandon(id)
            case .judgeClients: endRevoked()
            case .stopAccepting: stopAccepting()
            case .drain: beginDraining()
            case .stop: mustStop = true
            }
        }
    }

    /// Listeners have other settings of TLS: clients that they revoke are cut off, whatever they are being sent.
    private mutating func endRevoked() {
        var ended = 0
        for id in connections.identifiers() where isOpen(id) && handshakes.isRevoked(connections[id]) {
            close(id)
            ended += 1
        }
        if ended > 0 { handshakes.noteRevoked(ended, now: now) }
    }

    /// No new connections; those that there are bring one more request at most.
    private mutating func stopAccepting() {
        isDraining = true
        for index in listeners.indices where listeners[index] >= 0 {
            poller.remove(listeners[index])
            Socket.close(listeners[index])
            listeners[index] = -1
        }
    }

    private mutating func beginDraining() {
        stopAccepting()
        for id in exchanges.identifiers() {
            if exchanges.contains(id), exchanges[id].phase == .streaming { endStream(id) }
        }
        for id in connections.identifiers() where isOpen(id) {
            connections[id].http.goAway()
            takeEvents(id)
            markDirty(id)
        }
    }

    private mutating func accept(_ index: Int) {
        guard index < listeners.count, listeners[index] >= 0 else { return }
        for _ in 0..<64 {
            switch Socket.accept(listeners[index]) {
            case .none: return
            case .exhausted:
                statistics.add(statistics.acceptFailures)
                poller.remove(listeners[index])
                _ = timers.arm(Self.listenerBit | UInt64(index), at: now + limits.acceptPauseNanoseconds)
                return
            case .connection(let fd, let peer):
                let http = unsafe HTTPServerConnection(inbox: inbox.pointer, pipelinedMax: limits.pipelinedMax)
                let stream = ByteStream(descriptor: fd)
                let connection = ServiceConnection(stream: stream, listener: index, peer: peer, http: http, now: now)
                guard let id = connections.insert(connection) else {
                    statistics.add(statistics.acceptFailures)
                    Socket.close(fd)
                    continue
                }
                guard (try? poller.add(stream: fd, token: token(id))) != nil else {
                    connections[id].stream.close()
                    connections.remove(id)
                    continue
                }
                let isSecured = handshakes.isSecured(connections[id])
                setTimer(id, at: now + (isSecured ? limits.handshakeTimeoutNanoseconds : limits.idleTimeoutNanoseconds))
            }
        }
    }

    private mutating func timerFired(_ token: UInt64) {
        if token & Self.listenerBit != 0 {
            let index = Int(token & ~Self.listenerBit)
            if listeners[index] >= 0 { try? poller.add(readable: listeners[index], token: token) }
            return
        }
        let id = slot(token)
        guard isOpen(id) else { return }
        connections[id].timerAt = .distantFuture
        checkTimes(id)
    }

    private mutating func ready(_ id: SlotID, _ events: ReadyEvents) {
        guard isOpen(id) else { return }
        // A handshake says itself why it failed.
        if !events.isDisjoint(with: [.error, .hangUp]), connections[id].opening != .handshake { return close(id) }
        if events.contains(.writable), connections[id].isBlocked {
            connections[id].isBlocked = false
            markDirty(id)
        }
        if !events.isDisjoint(with: [.readable, .readHangUp]) || connections[id].opening == .handshake {
            connections[id].stream.note(events)
            proceed(id)
        }
    }

    /// Whether a connection is there and has not been closed in this turn.
    func isOpen(_ id: SlotID) -> Bool { connections.contains(id) && !connections[id].isClosed }

    /// The connection of a request; nil when the request has its answer or is gone.
    func connection(of id: SlotID) -> SlotID? {
        guard exchanges.contains(id), connections.contains(exchanges[id].connection) else { return nil }
        return exchanges[id].connection
    }

    /// The connection is looked at once more in this turn, after everything that may give it something to send.
    mutating func markDirty(_ id: SlotID) {
        guard isOpen(id), !connections[id].isDirty else { return }
        connections[id].isDirty = true
        dirty.append(id)
    }

    private mutating func settleDirty() {
        // Settling one may close others' requests, never make others dirty; the list is read by index all the same.
        var index = 0
        while index < dirty.count {
            let id = dirty[index]
            index += 1
            guard connections.contains(id) else { continue }
            connections[id].isDirty = false
            settle(id)
        }
        dirty.removeAll(keepingCapacity: true)
    }

    mutating func close(_ id: SlotID) {
        guard isOpen(id) else { return }
        handshakes.end(&connections[id])
        connections[id].stream.close()
        let open = connections[id].exchanges
        for exchange in open { release(exchange) }
        connections[id].exchanges.removeAll()
        timers.cancel(connections[id].timer)
        closed.append(id)
    }
}
