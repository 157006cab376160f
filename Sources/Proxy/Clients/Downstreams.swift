internal import EventLoops
internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import Streams
internal import TLS
internal import TelemetryModel

/// All connections of a worker's clients, and the listeners that they come in by.
@safe
struct Downstreams: ~Copyable {
    var connections: Slab<DownstreamConnection>
    private(set) var listeners: [ListenerSocket] = []
    /// Connections to look at again before the loop sleeps: budget spent, or room again behind them.
    private(set) var resumed = WorkList<SlotID>()
    /// Connections with something to send: HTTP/1.1 after each event, HTTP/2 at the end of the turn.
    var dirty = WorkList<SlotID>()
    var dirtySessions = WorkList<SlotID>()
    private var closed = WorkList<SlotID>()
    /// What records show of secured connections under the current configuration.
    var wantedTexts: ConnectionTextSet = []
    private let handle: WorkerHandle
    private let limits: ProxyLimits
    private let inbox: UnsafeMutablePointer<HTTPInbox>

    init(_ handle: WorkerHandle, inbox: UnsafeMutablePointer<HTTPInbox>) {
        self.handle = handle
        limits = handle.limits
        unsafe self.inbox = unsafe inbox
        connections = Slab(countMax: handle.limits.downstreamConnectionsMax)
    }

    @inline(__always)
    mutating func isOpen(_ id: SlotID) -> Bool { connections.contains(id) && !connections[id].stream.isClosed }

    // MARK: Listeners

    /// Opens listeners that are new, closes those that went, keeps the rest with all their connections. `opens`: false while draining.
    mutating func adoptListeners(_ plans: [ListenerPlan], opens: Bool, _ loop: inout WorkerLoop) {
        for place in listeners.indices { listeners[place].index = -1 }
        for (index, plan) in plans.enumerated() {
            let place = listenerPlace(of: plan)
            listeners[place].index = index
            listeners[place].plan = plan
            if listeners[place].fd < 0, opens { openListener(place, &loop) }
        }
        for place in listeners.indices where listeners[place].index < 0 { closeListener(place, &loop) }
    }

    private mutating func listenerPlace(of plan: ListenerPlan) -> Int {
        for place in listeners.indices where listeners[place].plan.endpoint == plan.endpoint && listeners[place].plan.side == plan.side {
            return place
        }
        listeners.append(ListenerSocket(plan: plan, fd: -1, index: -1))
        return listeners.count - 1
    }

    private mutating func openListener(_ place: Int, _ loop: inout WorkerLoop) {
        do throws(SystemError) {
            listeners[place].fd = try Socket.listen(on: listeners[place].plan.endpoint, reusePort: true)
            try awaitConnections(place, &loop)
        } catch {
            listeners[place].close()
            cannotListen(place, error)
        }
    }

    private mutating func cannotListen(_ place: Int, _ error: SystemError) {
        handle.statistics.add(handle.statistics.acceptFailures)
        handle.note(problem: "listener \(listeners[place].plan.name) on \(listeners[place].plan.endpoint): \(error)")
    }

    private mutating func awaitConnections(_ place: Int, _ loop: inout WorkerLoop) throws(SystemError) {
        let token = LoopToken(.listener, place: place).rawValue
        if listeners[place].isShared {
            try loop.poller.add(sharedListener: listeners[place].fd, token: token)
        } else {
            try loop.poller.add(readable: listeners[place].fd, token: token)
        }
    }

    private mutating func closeListener(_ place: Int, _ loop: inout WorkerLoop) {
        guard listeners[place].fd >= 0 else { return }
        loop.poller.remove(listeners[place].fd)
        listeners[place].close()
    }

    mutating func closeListeners(_ loop: inout WorkerLoop) {
        for place in listeners.indices { closeListener(place, &loop) }
    }

    mutating func resumeListener(_ place: Int, _ loop: inout WorkerLoop) {
        guard place < listeners.count, listeners[place].fd >= 0, listeners[place].isPaused else { return }
        listeners[place].isPaused = false
        awaitAgain(place, &loop)
    }

    private mutating func awaitAgain(_ place: Int, _ loop: inout WorkerLoop) {
        do throws(SystemError) {
            try awaitConnections(place, &loop)
        } catch {
            closeListener(place, &loop)
            cannotListen(place, error)
        }
    }

    // MARK: Accepting

    /// Takes connections that wait at a listener; those that are there now are appended to `accepted`.
    mutating func acceptWaiting(_ place: Int, into accepted: inout WorkList<SlotID>, _ loop: inout WorkerLoop) {
        guard place < listeners.count, listeners[place].fd >= 0, !listeners[place].isPaused else { return }
        for _ in 0..<limits.acceptsPerTurnMax {
            switch Socket.accept(listeners[place].fd) {
            case .none: return
            case .exhausted: return pauseListener(place, &loop)
            case .connection(let fd, let peer):
                if let id = addConnection(ByteStream(descriptor: fd), peer, place, &loop) { accepted.append(id) }
                if listeners[place].isShared { return letOthersAccept(place, &loop) }
            }
        }
    }

    /// Level-triggered epoll would turn the loop at full speed for a connection that cannot be taken.
    private mutating func pauseListener(_ place: Int, _ loop: inout WorkerLoop) {
        loop.countEvent { $0.add($0.acceptFailures) }
        loop.poller.remove(listeners[place].fd)
        listeners[place].isPaused = true
        _ = loop.timers.arm(LoopToken(.listenerResume, place: place).rawValue, at: loop.now + limits.acceptPauseNanoseconds)
    }

    /// The kernel wakes whoever waits first in the line of a shared listener: without this, one worker would get all connections of a quiet
    /// time. Who has taken one goes to the end, so that they come round in turn; whatever else waits makes the next event.
    private mutating func letOthersAccept(_ place: Int, _ loop: inout WorkerLoop) {
        loop.poller.remove(listeners[place].fd)
        awaitAgain(place, &loop)
    }

    /// Takes a connection over; nil when there is no room for it.
    mutating func addConnection(_ stream: consuming ByteStream, _ peer: SocketEndpoint, _ place: Int, _ loop: inout WorkerLoop) -> SlotID? {
        guard connections.count < connections.countMax else {
            loop.countEvent { $0.add($0.acceptFailures) }
            stream.close()
            return nil
        }
        let local = listeners[place].isShared ? listeners[place].plan.endpoint : stream.localEndpoint
        let http = unsafe HTTPServerConnection(inbox: inbox, pipelinedMax: 1)
        guard let id = connections.insert(
            DownstreamConnection(stream: stream, http: http, listener: place, remote: peer, local: local))
        else { return nil }
        do throws(SystemError) {
            try loop.add(connections[id].stream, token: LoopToken(.downstream, id))
        } catch {
            loop.countEvent { $0.add($0.acceptFailures) }
            connections[id].stream.close()
            connections.remove(id)
            return nil
        }
        loop.countEvent { $0.add($0.downstreamTotal) }
        setDeadline(id, .idle, after: limits.idleTimeoutNanoseconds, &loop)
        return id
    }

    // MARK: Connections

    /// Settles whose requests come on a connection, once its layer has verified the peer. To the counters what goes out is the workload's
    /// own, whoever its gateway's clients are.
    mutating func settleSource(_ id: SlotID) {
        if let agreement = connections[id].stream.agreement {
            let identity = connections[id].stream.peerIdentity?.uris.first
            connections[id].secured.peer.note(identity: identity, serverName: agreement.serverName)
        }
        guard listeners[connections[id].listener].plan.side == .inbound,
            let principal = connections[id].stream.peerIdentity?.uris.first
        else { return }
        var labels = SourceLabels()
        labels.principal = principal
        connections[id].source = handle.sources.id(ofPeer: labels)
    }

    /// The URI in the certificate that a connection was secured with at this end; empty = there is none.
    mutating func ownName(_ id: SlotID) -> [UInt8] {
        isOpen(id) ? connections[id].stream.localCertificate?.alternativeNames(.uri).first ?? [] : []
    }

    /// What a connection tells in the records of its requests. A connection that outlives a configuration is described anew.
    @inline(__always)
    mutating func note(_ id: SlotID, in log: inout RequestLog) {
        guard connections[id].stream.isSecured else { return }
        connections[id].describe(wantedTexts)
        log.note(downstream: connections[id].secured.texts)
    }

    /// What is done with the request's `x-forwarded-client-cert`; an element that goes out with it is copied to `element`.
    @inline(__always)
    mutating func forwardCert(
        of origin: RequestOrigin, _ atEdges: ClientCertForwarding, into element: inout ByteBuffer
    ) -> ClientCertForwarding.Action {
        let id = origin.connection
        // As Istio: at a gateway what it says, where requests come in from the mesh the client's behind those before it, else nothing.
        let rule: ClientCertForwarding = origin.isEdge ? atEdges : origin.side == .inbound ? .appendForward : .sanitize
        guard connections[id].stream.isSecured else { return rule.action(isMutual: false) }
        connections[id].describeCert(isEdge: origin.isEdge)
        if connections[id].secured.forwardedCert.isEmpty { return rule.action(isMutual: false) }
        element.append(contentsOf: connections[id].secured.forwardedCert)
        return rule.action(isMutual: true)
    }

    @inline(__always)
    mutating func setDeadline(_ id: SlotID, _ meaning: DownstreamConnection.Deadline, after nanoseconds: UInt64, _ loop: inout WorkerLoop) {
        connections[id].setDeadline(id, meaning, after: nanoseconds, &loop)
    }

    /// Has a connection looked at again before the loop sleeps.
    mutating func resumeLater(_ id: SlotID) {
        guard connections.contains(id), !connections[id].isWaitingToResume else { return }
        connections[id].isWaitingToResume = true
        resumed.append(id)
    }

    mutating func takeResumed(_ taken: inout WorkList<SlotID>) {
        taken.removeAll()
        swap(&taken, &resumed)
    }

    @inline(__always)
    mutating func markDirty(_ id: SlotID) {
        guard connections.contains(id), connections[id].becomesDirty() else { return }
        if connections[id].http.isHTTP2 { dirtySessions.append(id) } else { dirty.append(id) }
    }

    // MARK: Requests

    /// A request has begun on a connection; `isOnly`: over HTTP/1.1, one at a time.
    @inline(__always)
    mutating func attach(_ request: SlotID, to id: SlotID, stream: Int32, isOnly: Bool) {
        connections[id].attach(request, stream: stream, isOnly: isOnly)
    }

    /// A request lets go of its stream; `unconsumed`: bytes of its body that the client may send anew.
    @inline(__always)
    mutating func detach(_ id: SlotID, stream: Int32, unconsumed: Int) {
        guard isOpen(id) else { return }
        connections[id].http.consume(unconsumed, stream: stream)
        connections[id].http.detach(stream: stream)
        markDirty(id)
    }

    /// The request of a connection of HTTP/1.1 is over.
    @inline(__always)
    mutating func forget(request: SlotID, of id: SlotID) {
        if connections.contains(id) { connections[id].forget(request: request) }
    }

    // MARK: What a connection turns out to be

    /// It speaks HTTP/2.
    mutating func noteHTTP2(_ id: SlotID, _ loop: inout WorkerLoop) {
        if !connections[id].isCounted {
            connections[id].isCounted = true
            loop.countEvent { $0.add($0.http2Connections) }
            setDeadline(id, .idle, after: limits.idleTimeoutNanoseconds, &loop)
        }
        // Resets that these bytes have earned go out first: a request that broke a rule in the same breath is then gone before it was begun
        // (CVE-2025-8671).
        if connections[id].http.wantsWrite, connections[id].stream.output.count < limits.outputHighWatermark {
            _ = connections[id].fill(bytesMax: limits.outputHighWatermark)
        }
        markDirty(id)
    }

    mutating func endSession(_ id: SlotID, _ loop: inout WorkerLoop) {
        connections[id].closesAfterFlush = true
        setDeadline(id, .linger, after: limits.lingerNanoseconds, &loop)
        markDirty(id)
    }

    /// The beginning of a head is here: its end must come in time.
    mutating func awaitRest(_ id: SlotID, _ loop: inout WorkerLoop) {
        guard isOpen(id), connections[id].request.isNone, !connections[id].http.isHTTP2,
            connections[id].meaning != .header
        else { return }
        setDeadline(id, .header, after: limits.headerTimeoutNanoseconds, &loop)
    }

    mutating func dropBytes(_ id: SlotID, _ count: Int, _ loop: inout WorkerLoop) {
        connections[id].lingeredBytes += count
        if connections[id].lingeredBytes > limits.lingerBytesMax { return close(id, &loop) }
        connections[id].stream.lookAgain()
    }

    /// Nothing is asked for on this connection of HTTP/1.1, and nothing is being sent.
    mutating func isQuiet(_ id: SlotID) -> Bool {
        connections[id].request.isNone && connections[id].tunnel.isNone && connections[id].input.isEmpty
            && connections[id].stream.isFlushed
    }

    // MARK: Ends

    /// Closes a connection whose client has said all it will say, and has got everything.
    mutating func closeIfEnded(_ id: SlotID, _ loop: inout WorkerLoop) {
        guard isOpen(id), connections[id].stream.isEnded, connections[id].stream.isFlushed, !connections[id].isDirty,
            connections[id].request.isNone, connections[id].tunnel.isNone
        else { return }
        close(id, &loop)
    }

    /// Ends a connection whose last answer is written. If the client may still be sending, its bytes are read and dropped for a moment:
    /// closing on unread bytes would make the kernel reset the connection and destroy the answer.
    mutating func lingerOrClose(_ id: SlotID, _ loop: inout WorkerLoop) {
        guard isOpen(id), !connections[id].isLingering else { return }
        if connections[id].stream.isEnded { return close(id, &loop) }
        connections[id].isLingering = true
        connections[id].input.release()
        connections[id].stream.shutdownWrite()
        setDeadline(id, .linger, after: limits.lingerNanoseconds, &loop)
        connections[id].stream.lookAgain()
        resumeLater(id)
    }

    mutating func close(_ id: SlotID, _ loop: inout WorkerLoop) { endConnection(id, &loop) { $0.close() } }

    /// Closes so that the client cannot take what it got for whole.
    mutating func resetClient(_ id: SlotID, _ loop: inout WorkerLoop) { endConnection(id, &loop) { $0.reset() } }

    /// Closes a connection that its client has given up.
    mutating func abandon(_ id: SlotID, dropping scratch: UnsafeMutableRawBufferPointer, _ loop: inout WorkerLoop) {
        endConnection(id, &loop) { unsafe $0.abandon(dropping: scratch) }
    }

    private mutating func endConnection(_ id: SlotID, _ loop: inout WorkerLoop, _ body: (inout ByteStream) -> Void) {
        guard isOpen(id) else { return }
        connections[id].deadline.cancel(&loop)
        body(&connections[id].stream)
        closed.append(id)
    }

    /// The end of a turn: frees what was closed.
    mutating func reap() {
        for index in 0..<closed.count { connections.remove(closed[index]) }
        closed.removeAll()
    }

    mutating func closeAll() {
        for place in listeners.indices { listeners[place].close() }
        for id in connections.identifiers() { connections[id].stream.close() }
    }
}
