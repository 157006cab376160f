internal import EventLoops
internal import HTTP
internal import Policy
internal import Primitives
internal import Routing
internal import Streams
internal import Synchronization
internal import TLS
internal import TelemetryModel

/// What all traffic of a worker has in common: its time, its configurations, and the connections on both of its sides.
@safe
struct Sides: ~Copyable {
    let limits: ProxyLimits
    let handle: WorkerHandle
    let recorder: Recorder
    var loop: WorkerLoop
    var epochs = Epochs()
    var context: RequestContext
    var downstreams: Downstreams
    var upstreams: Upstreams
    /// What is read to be dropped.
    private let dropScratch = ScratchBytes(capacity: 16 * 1024)
    /// Connections to endpoints to read again this turn.
    var resumedUpstreams = WorkList<SlotID>()
    var refusals = RefusedConnections()
    var checks: AuthorizationChecks
    let authorizerCounters: Held<AuthorizerCounters>
    /// Of gateways, under the current configuration.
    private(set) var edgeCerts = ClientCertForwarding.sanitizeSet
    /// Of the mesh's authorities, under the current configuration.
    private var revocations: RevocationLists?
    /// All that peers are looked up in, under the current configuration.
    private var revocationLists: [RevocationLists] = []
    /// What the connection that was just served had to tell. Connections use it to their end, so it goes last.
    var inbox: OwnedInbox

    init(_ handle: WorkerHandle, poller: consuming Poller, seed: UInt64, network: (any StreamNetwork)?) {
        self.handle = handle
        limits = handle.limits
        recorder = Recorder(handle)
        loop = WorkerLoop(poller: poller, statistics: Held(keptByCaller: handle.statistics), network: network)
        context = RequestContext(
            limits: handle.limits, limiter: handle.shared.limiter, authorizations: handle.authorizations, keys: handle.shared.issuerKeys,
            seed: seed)
        checks = AuthorizationChecks(handle.limits)
        authorizerCounters = Held(keptByCaller: handle.authorizers)
        inbox = OwnedInbox(limits: handle.limits.http)
        unsafe downstreams = Downstreams(handle, inbox: inbox.pointer)
        unsafe upstreams = Upstreams(handle, inbox: inbox.pointer)
    }

    // MARK: Configurations

    /// Makes a configuration the current one; between two turns only.
    mutating func adoptConfiguration(_ next: ProxyConfiguration) {
        let keepsOld = epochs.count > 1 || epochs.count == 1 && epochs.all[epochs.current].users > 0
        let pools = upstreams.assignPools(next, keepsOld: keepsOld, &loop)
        guard epochs.begin(Epoch(next, pools: pools, draw: &context.draws.balance)) else {
            return handle.note(problem: "configuration \(next.routing.generation): too many older ones still have requests; send it again")
        }
        noteEpochs()
        context.tokens.forget()
        context.tokens.refreshKeys()
        edgeCerts = next.edgeCerts
        revocations = next.security.revocations
        revocationLists = next.security.revocationLists
        downstreams.wantedTexts = next.telemetry.connections.downstream
        upstreams.wantedTexts = next.telemetry.connections.upstream
        // The clients of a network of its own come without listeners.
        downstreams.adoptListeners(next.routing.listeners, opens: !context.isDraining && loop.network == nil, &loop)
        handle.statistics.configurationGeneration.store(next.routing.generation, ordering: .releasing)
    }

    private mutating func noteEpochs() {
        upstreams.noteEpochs(areOld: epochs.count > 1)
    }

    mutating func leaveEpoch(_ id: SlotID) {
        epochs.leave(id)
        if upstreams.hasOldEpochs { noteEpochs() }
    }

    // MARK: Connections

    /// Whether a configuration would look peers up in a list that the current one does not have.
    mutating func bringsLists(_ next: SecurityPlan) -> Bool {
        let known = Set(revocationLists.map { ObjectIdentifier($0) })
        return next.revocationLists.contains { !known.contains(ObjectIdentifier($0)) }
    }

    /// Whether the certificate of a client's connection, or of an authority above it, is taken back: by the mesh's lists, or by those of
    /// the server that its handshake was for.
    mutating func isRevoked(downstream id: SlotID) -> Bool {
        guard downstreams.connections[id].stream.isSecured else { return false }
        if let revocations, downstreams.connections[id].stream.isRevoked(by: revocations) { return true }
        guard downstreams.connections[id].serverKey != 0, listenerRow(id) >= 0 else { return false }
        let place = Int(downstreams.connections[id].secured.server.security)
        guard epochs.all[epochs.current].gateways.indices.contains(place),
            let lists = epochs.all[epochs.current].gateways[place].revocations
        else { return false }
        return downstreams.connections[id].stream.isRevoked(by: lists)
    }

    /// The same of a connection to an endpoint, by the lists of the kind of TLS that it has.
    mutating func isRevoked(upstream id: SlotID) -> Bool {
        guard upstreams.connections[id].stream.isSecured else { return false }
        if let revocations, upstreams.connections[id].stream.isRevoked(by: revocations) { return true }
        return UpstreamSecuring.isRevoked(id, &upstreams)
    }

    /// Where a request or connection has come in.
    @inline(__always)
    mutating func makeOrigin(_ id: SlotID, _ stream: Int32) -> RequestOrigin {
        let listener = listenerRow(id)
        var origin = downstreams.connections[id].origin(id, stream)
        origin.listener = listener
        origin.side = downstreams.listeners[downstreams.connections[id].listener].plan.side
        if listener >= 0 {
            let entry = epochs.all[epochs.current].tables.listener(listener)
            origin.isEdge = entry.isEdge
            origin.labels = entry.labels
        }
        if let source = downstreams.connections[id].source { origin.labels.source = source }
        // Policies judge no others.
        context.peer = Authorising.isGuarded(origin) ? downstreams.connections[id].peer : PeerView()
        return origin
    }

    /// Who the client of a request is to policies, once other requests may have begun behind it.
    mutating func notePeer(of origin: RequestOrigin) {
        context.peer = downstreams.isOpen(origin.connection) ? downstreams.connections[origin.connection].peer : PeerView()
    }

    /// The listener in the current tables that a connection is served by: its own, or the row of the server that its handshake was for.
    /// -1 = the configuration has it no longer, or another set of clients is let in there.
    mutating func listenerRow(_ id: SlotID) -> Int {
        let own = downstreams.listeners[downstreams.connections[id].listener].index
        let key = downstreams.connections[id].serverKey
        guard own >= 0, key != 0 else { return own }
        if downstreams.connections[id].secured.serverEpoch != epochs.current {
            var server = epochs.all[epochs.current].gatewayServer(listener: own, key: key) ?? GatewayServer()
            server.key = key
            downstreams.connections[id].secured.server = server
            downstreams.connections[id].secured.serverEpoch = epochs.current
        }
        return Int(downstreams.connections[id].secured.server.row)
    }

    /// What a request's connection tells, to its record and to the endpoint.
    @inline(__always)
    mutating func noteClient(of request: inout Request) {
        downstreams.note(request.origin.connection, in: &request.log)
        request.certAction = downstreams.forwardCert(of: request.origin, edgeCerts, into: &request.cert)
    }

    /// Closes a connection that its client has given up.
    mutating func abandonClient(_ id: SlotID) { unsafe downstreams.abandon(id, dropping: dropScratch.room, &loop) }

    /// HTTP/2 has something to send.
    var hasDirtySessions: Bool { !downstreams.dirtySessions.isEmpty || !upstreams.dirtySessions.isEmpty }

    // MARK: Flow

    /// Lets an HTTP/2 client send as many bytes of a request again as have found a place.
    mutating func allowMoreBody(of request: inout Request) {
        guard request.body.unconsumed > 0 else { return }
        let attempt = request.attempt
        // Without an attempt the bytes rest with us, and the window bounds them; those that are checked, the provider's bound.
        guard upstreams.isOpen(attempt.upstream) || checks.isCollecting(request.check) else { return }
        guard RequestSending.waiting(attempt, &upstreams) < limits.outputHighWatermark else {
            return upstreams.connections[attempt.upstream].http.watch(stream: attempt.stream)
        }
        let origin = request.origin
        guard downstreams.isOpen(origin.connection) else { return }
        downstreams.connections[origin.connection].http.consume(request.body.unconsumed, stream: origin.stream)
        request.body.unconsumed = 0
        downstreams.markDirty(origin.connection)
    }

    /// Lets the endpoint of a response go on if the client has room, and has it told when there is.
    mutating func resumeResponse(of request: inout Request) {
        let origin = request.origin
        let attempt = request.attempt
        guard upstreams.isOpen(attempt.upstream), downstreams.isOpen(origin.connection) else { return }
        let isHTTP2 = upstreams.connections[attempt.upstream].http.isHTTP2
        if downstreams.connections[origin.connection].waiting(stream: origin.stream) >= limits.outputHighWatermark {
            downstreams.connections[origin.connection].http.watch(stream: origin.stream)
            upstreams.connections[attempt.upstream].isPaused = !isHTTP2
            return
        }
        if isHTTP2, attempt.unconsumed > 0 {
            upstreams.connections[attempt.upstream].http.consume(attempt.unconsumed, stream: attempt.stream)
            request.attempt.unconsumed = 0
            upstreams.markDirty(attempt.upstream)
        } else if upstreams.connections[attempt.upstream].isPaused {
            upstreams.connections[attempt.upstream].isPaused = false
            resumedUpstreams.append(attempt.upstream)
        }
    }

    /// Whether the endpoint of a request has taken enough of its body; otherwise it is told when it has.
    mutating func endpointHasRoom(_ attempt: Attempt) -> Bool {
        if RequestSending.waiting(attempt, &upstreams) < limits.outputHighWatermark { return true }
        upstreams.connections[attempt.upstream].http.watch(stream: attempt.stream)
        return false
    }
}
