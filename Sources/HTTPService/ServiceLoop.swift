internal import EventLoops
internal import HTTP
internal import Primitives
internal import Synchronization

/// The server's thread: accepts, reads requests, hands them over, writes answers.
@safe
struct ServiceLoop: ~Copyable {
    let poller: Poller
    let mailbox: Mailbox<ServerCommand>
    var listeners: [Int32]
    let limits: ServiceLimits
    let handler: any ServiceHandler
    let statistics: ServiceStatistics
    var connections: Slab<ServiceConnection>
    var timers: TimerWheel
    var now: MonotonicInstant
    var head = MessageHead()
    let scratch: UnsafeMutableRawBufferPointer
    var bodyBytes = 0
    var closed: [SlotID] = []
    var resumed: [SlotID] = []
    var fired: [UInt64] = []
    var isDraining = false
    var mustStop = false

    private static let mailboxToken = UInt64.max
    private static let listenerBit = UInt64(1) << 63

    init(
        poller: consuming Poller, mailbox: Mailbox<ServerCommand>, listeners: [Int32], limits: ServiceLimits, handler: any ServiceHandler,
        statistics: ServiceStatistics
    ) {
        self.poller = poller
        self.mailbox = mailbox
        self.listeners = listeners
        self.limits = limits
        self.handler = handler
        self.statistics = statistics
        connections = Slab(countMax: limits.connectionsMax)
        now = SystemClock.monotonicNow()
        timers = TimerWheel(now: now)
        unsafe scratch = .allocate(byteCount: limits.readBytes, alignment: 64)
    }

    deinit { unsafe scratch.deallocate() }

    /// Connection tokens are index << 32 | generation with the top bit clear.
    private func token(_ id: SlotID) -> UInt64 { UInt64(id.index) << 32 | UInt64(id.generation) }
    private func slot(_ token: UInt64) -> SlotID {
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
            for id in closed { connections.remove(id) }
            closed.removeAll(keepingCapacity: true)
            statistics.connectionsActive.store(connections.count, ordering: .relaxed)
            if isDraining, connections.count == 0 { mustStop = true }
        }
        for fd in listeners where fd >= 0 { Socket.close(fd) }
        for id in connections.identifiers() {
            if let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed { unsafe Socket.close(connection.pointee.fd) }
        }
    }

    private mutating func takeCommands() {
        for command in mailbox.take() {
            switch command {
            case .respond(let request, let response):
                if let id = current(request) { respond(id, response) }
            case .begin(let request, let response):
                if let id = current(request) { beginStream(id, response) }
            case .write(let request, let bytes):
                if let id = current(request) { writeStream(id, bytes) }
            case .end(let request):
                if let id = current(request) { endStream(id) }
            case .abandon(let request):
                if let id = current(request) { abandon(id) }
            case .stopAccepting: stopAccepting()
            case .drain: beginDraining()
            case .stop: mustStop = true
            }
        }
    }

    /// The connection of a request that is the one it has now; nil when that was answered, or the connection is gone.
    private func current(_ request: RequestID) -> SlotID? {
        guard let connection = unsafe connections.pointer(request.connection), unsafe connection.pointee.requestNumber == request.number else { return nil }
        return request.connection
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
        for id in connections.identifiers() {
            guard let connection = unsafe connections.pointer(id) else { continue }
            if unsafe connection.pointee.state == .streaming {
                endStream(id)
            } else if unsafe connection.pointee.state == .head && connection.pointee.input.isEmpty {
                close(id)
            }
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
                let connection = ServiceConnection(fd: fd, listener: index, peer: peer, deadline: now + limits.idleTimeoutNanoseconds)
                guard let id = connections.insert(connection) else {
                    statistics.add(statistics.acceptFailures)
                    Socket.close(fd)
                    continue
                }
                guard (try? poller.add(stream: fd, token: token(id))) != nil else {
                    Socket.close(fd)
                    connections.remove(id)
                    continue
                }
                setDeadline(id, after: limits.idleTimeoutNanoseconds)
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
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        unsafe connection.pointee.timerAt = .distantFuture
        if unsafe now < connection.pointee.deadline {
            let left = unsafe connection.pointee.deadline.nanoseconds(since: now)
            setDeadline(id, after: left)
            return
        }
        // A request being handled is our own slowness, not the client's.
        if unsafe connection.pointee.state == .handling || connection.pointee.state == .streaming {
            setDeadline(id, after: limits.stallTimeoutNanoseconds)
            return
        }
        let isMidRequest = unsafe connection.pointee.state == .body || !connection.pointee.input.isEmpty
        if unsafe isMidRequest && !connection.pointee.isLingering {
            refuse(id, 408, "the request did not arrive in time")
        } else {
            close(id)
        }
    }

    mutating func setDeadline(_ id: SlotID, after nanoseconds: UInt64) {
        guard let connection = unsafe connections.pointer(id) else { return }
        let deadline = now + nanoseconds
        unsafe connection.pointee.deadline = deadline
        guard unsafe deadline < connection.pointee.timerAt else { return }
        unsafe timers.cancel(connection.pointee.timer)
        unsafe connection.pointee.timerAt = deadline
        unsafe connection.pointee.timer = timers.arm(token(id), at: deadline)
    }

    private mutating func ready(_ id: SlotID, _ events: ReadyEvents) {
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        if !events.isDisjoint(with: [.error, .hangUp]) {
            close(id)
            return
        }
        if events.contains(.writable), unsafe !connection.pointee.output.isEmpty { flush(id) }
        if !events.isDisjoint(with: [.readable, .readHangUp]) {
            unsafe connection.pointee.isReadable = true
            if events.contains(.readHangUp) { unsafe connection.pointee.sawHangUp = true }
            proceed(id)
        }
    }

    mutating func close(_ id: SlotID) {
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        unsafe connection.pointee.isClosed = true
        unsafe connection.pointee.presence.leave()
        unsafe bodyBytes -= connection.pointee.countedBytes
        unsafe timers.cancel(connection.pointee.timer)
        unsafe Socket.close(connection.pointee.fd)
        closed.append(id)
    }
}
