internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// From a parsed head to a request on its way: target, route, endpoint, trace context, and the head written anew.
extension ProxyWorker {
    /// Takes the request in `head`, whose bytes are still where they were parsed. `stream`: of an HTTP/2 connection, else 0. `hasMore`: body bytes are at hand.
    mutating func beginExchange(_ downstreamID: SlotID, stream: Int32, endsStream: Bool, isTooLarge: Bool, hasMore: Bool) {
        guard let connection = unsafe downstreams.pointer(downstreamID) else { return }
        guard let id = exchanges.reuse() ?? exchanges.insert(Exchange()), let exchange = unsafe exchanges.pointer(id) else {
            abandonDownstream(downstreamID)
            return
        }
        unsafe exchange.pointee.begin(downstream: downstreamID, stream: stream, start: now)
        unsafe enterEpoch(exchange)
        if let session = unsafe connection.pointee.session {
            unsafe session.pointee.attach(token: id.token, stream: stream)
        } else {
            unsafe connection.pointee.exchange = id
        }
        handle.statistics.add(handle.statistics.requestsTotal)
        unsafe touch(id, exchange)
        unsafe startRecord(exchange, connection)
        if stream == 0 { unsafe readFraming(exchange) } else { unsafe readHTTP2Framing(exchange, endsStream: endsStream) }
        unsafe exchange.pointee.record.isGRPC = exchange.pointee.flags.contains(.isGRPC)
        let listener = unsafe listeners[connection.pointee.listener].index
        if listener >= 0 { unsafe exchange.pointee.record.labels = tables.listener(listener).labels }
        if unsafe isTooLarge || head.target.count > limits.http.targetBytesMax {
            unsafe recordText(
                exchange, path: head.target, authority: head.authority.isEmpty ? head.value(of: .host) : head.authorityBytes,
                requestID: nil, forwardedFor: nil, isHTTPS: head.isHTTPS)
            // An HTTP/1.1 target was measured when it was parsed; `pathScratch` has room for no longer one.
            guard isTooLarge else {
                reply(id, 414, .requestURITooLong, [.downstreamProtocolError], body: HeadError.targetTooLong.reason, closes: false)
                return
            }
            reply(id, 431, .requestHeadersTooLarge, [.downstreamProtocolError], body: "header section too large", closes: false)
            return
        }

        let method = unsafe head.method
        guard let target = unsafe RequestTarget.parse(head.target, method: method) else {
            let reason: StaticString = "malformed request target (RFC 9112 3.2)"
            unsafe refuse(id, exchange, .http1CodecError, reason, path: head.target, authority: head.value(of: .host), isHTTPS: false, closes: true)
            return
        }
        let isEdge = unsafe listener >= 0 && tables.listener(listener).isEdge
        let isHTTPS = target.isHTTPS || head.isHTTPS || !isEdge && isForwardedHTTPS()
        let named = unsafe requestAuthority(target)
        guard let path = unsafe normalizedPath(target) else {
            let reason: StaticString = "path cannot be normalised: it has %00 or no leading slash"
            unsafe refuse(id, exchange, .pathNormalizationFailed, reason, path: head.target, authority: named, isHTTPS: isHTTPS)
            return
        }
        guard let named = unsafe named, named.count > 0 else {
            unsafe refuse(id, exchange, .missingHostHeader, "missing or empty Host", path: path, authority: nil, isHTTPS: isHTTPS)
            return
        }
        let brokeProtocol: ResponseCodeDetails = stream == 0 ? .http1CodecError : .http2ProtocolError
        guard let host = unsafe checkedHost(target, named) else {
            unsafe refuse(id, exchange, brokeProtocol, HeadError.malformedHost.reason, path: path, authority: named, isHTTPS: isHTTPS)
            return
        }
        let authority = unsafe UnsafeRawBufferPointer(rebasing: named[..<host.count])
        if unsafe namesAnotherHost(than: authority, isHTTPS: isHTTPS) {
            let reason: StaticString = "malformed host, or another than :authority (RFC 9113 8.3.1)"
            unsafe refuse(id, exchange, brokeProtocol, reason, path: path, authority: authority, isHTTPS: isHTTPS)
            return
        }
        if isEdge, head.hasUnderscores {
            let reason: StaticString = "header field name with an underscore, which applications take for a dash: not accepted at a gateway"
            unsafe refuse(id, exchange, brokeProtocol, reason, path: path, authority: authority, isHTTPS: isHTTPS)
            return
        }
        let query = unsafe normalizedQuery(target)
        if let left = forwardsLeft(), left == 0 {
            unsafe answerAsLast(id, exchange, path: path, query: query, authority: authority, isHTTPS: isHTTPS)
            return
        }

        var decision = RouteDecision.notFound
        let request = unsafe RouteRequest(method: method, path: path, query: query, authority: authority, host: host, isHTTPS: isHTTPS)
        if listener >= 0 {
            let entry = unsafe tables.listener(listener)
            if target.form != .authority { decision = unsafe tables.decide(listener: listener, request, head, draw: &routeDraw) }
            // A redirected client meant somebody; whom nobody declared it may reach all the same (ALLOW_ANY).
            if unsafe connection.pointee.isCaptured, entry.passthrough >= 0, decision.isNotFound || entry.side == .inbound {
                decision = .notFound
                unsafe exchange.pointee.clusterIndex = entry.passthrough
                unsafe exchange.pointee.flags.insert(.passesThrough)
            }
        } else {
            unsafe exchange.pointee.flags.remove(.keepsAlive)
        }
        unsafe take(decision, exchange)
        unsafe writeHead(exchange, connection, path: path, query: query, authority: authority, isHTTPS: isHTTPS)
        unsafe follow(decision, id, exchange, request, hasMore: hasMore)
    }

    /// Answers 400 to a request that no rule is asked for, and notes what it named.
    private mutating func refuse(
        _ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ details: ResponseCodeDetails, _ reason: StaticString, path: UnsafeRawBufferPointer,
        authority: UnsafeRawBufferPointer?, isHTTPS: Bool, closes: Bool = false
    ) {
        unsafe recordText(exchange, path: path, authority: authority, requestID: nil, forwardedFor: nil, isHTTPS: isHTTPS)
        let isOfProtocol = details == .http1CodecError || details == .http2ProtocolError
        reply(id, 400, details, isOfProtocol ? [.downstreamProtocolError] : [], body: reason, closes: closes)
    }

    /// Notes the rule that the request goes by.
    private mutating func take(_ decision: RouteDecision, _ exchange: UnsafeMutablePointer<Exchange>) {
        let choice: RouteChoice
        switch decision {
        case .notFound: return
        case .noCluster(let taken), .redirect(let taken), .directResponse(let taken): choice = taken
        case .cluster(let cluster, let taken):
            unsafe exchange.pointee.clusterIndex = Int32(clamping: cluster)
            choice = taken
        }
        unsafe exchange.pointee.route = Int32(clamping: choice.route)
        unsafe exchange.pointee.destination = choice.destination
        unsafe exchange.pointee.match = choice.match
        unsafe exchange.pointee.record.route = tables.route(choice.route).name
        if unsafe tables.responseEdits(destination: choice.destination).isActive { unsafe exchange.pointee.flags.insert(.editsResponse) }
    }

    /// Does what the rule says: policies that may answer first, then faults, then the endpoint.
    private mutating func follow(
        _ decision: RouteDecision, _ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ request: borrowing RouteRequest, hasMore: Bool
    ) {
        let place = unsafe downstreams.pointer(exchange.pointee.downstream).map { unsafe listeners[$0.pointee.listener].index } ?? -1
        if place >= 0 {
            let limits = unsafe tables.listener(place).rateLimits
            if limits.count > 0, unsafe limitRate(id, exchange, limits, request) { return }
        }
        let route = unsafe exchange.pointee.route
        guard route >= 0 else {
            if unsafe exchange.pointee.flags.contains(.passesThrough) {
                let cluster = unsafe tables.cluster(Int(exchange.pointee.clusterIndex))
                unsafe exchange.pointee.record.cluster = cluster.name
                unsafe exchange.pointee.record.labels = cluster.labels
                beginAttempt(id, hasMore: hasMore)
                return
            }
            reply(id, 404, .routeNotFound, [.noRouteFound], body: "", closes: false)
            return
        }
        let actions = unsafe tables.actions(UInt32(route))
        if actions.cors >= 0 { unsafe readCORS(exchange, actions.cors) }
        if case .redirect(let choice) = decision {
            // Rules that redirect have no faults (IST0106).
            if unsafe !answerPreflight(id, exchange) { unsafe redirect(id, choice, request) }
            return
        }
        if case .cluster = decision {
            let cluster = unsafe tables.cluster(Int(exchange.pointee.clusterIndex))
            if cluster.hash.key != .none { unsafe hash(exchange, cluster.hash, request.query) }
        }
        // Faults come before all else that the rule says, as in Istio's chain of filters.
        if unsafe injectFault(id, exchange, actions.fault) { return }
        proceed(id, hasMore: hasMore)
    }

    /// Does what the rule says once faults are through with the request.
    mutating func proceed(_ id: SlotID, hasMore: Bool) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        if unsafe answerPreflight(id, exchange) { return }
        if unsafe tables(exchange).actions(UInt32(exchange.pointee.route)).kind == .directResponse {
            unsafe answerDirectly(id, exchange)
        } else if unsafe exchange.pointee.clusterIndex < 0 {
            reply(id, 503, .clusterNotFound, [.noClusterFound], body: "no such cluster", closes: false)
        } else {
            forward(id, hasMore: hasMore)
        }
    }

    /// Notes what consistent hashing goes by; a client without the cookie gets one with its response.
    private mutating func hash(_ exchange: UnsafeMutablePointer<Exchange>, _ policy: HashPolicy, _ query: UnsafeRawBufferPointer) {
        if let known = unsafe tables.hash(policy, head, query: query, source: exchange.pointee.record.downstreamRemote) {
            unsafe exchange.pointee.hash = known
            unsafe exchange.pointee.flags.insert(.hasHash)
            return
        }
        guard policy.key == .cookie, policy.cookieSeconds >= 0 else { return }
        let value = identifierDraw.next()
        unsafe exchange.pointee.cookieValue = value
        var digits = InlineArray<16, UInt8>(repeating: 0)
        for place in 0..<16 {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * place)) & 15
            digits[place] = nibble < 10 ? 48 + nibble : 87 + nibble
        }
        let tables = unsafe self.tables
        unsafe withUnsafeBytes(of: &digits) { unsafe exchange.pointee.hash = unsafe tables.hash(cookieValue: $0) }
        unsafe exchange.pointee.flags.formUnion([.hasHash, .setsCookie])
    }

    /// Whoever ended the client's TLS says so (Envoy takes the scheme from there).
    private mutating func isForwardedHTTPS() -> Bool {
        guard head.has(.forwardedProto), let value = unsafe head.value(of: .forwardedProto) else { return false }
        return unsafe ASCII.equal(value, ignoringCase: "https")
    }

    /// Host and port the request is for, as it was written. An absolute target beats `Host` (RFC 9112 3.2.2).
    private mutating func requestAuthority(_ target: RequestTarget) -> UnsafeRawBufferPointer? {
        if !target.authority.isEmpty { return unsafe UnsafeRawBufferPointer(rebasing: head.target[target.authority]) }
        if !head.authority.isEmpty { return unsafe head.authorityBytes }
        return unsafe head.value(of: .host)
    }

    /// Whether an HTTP/2 request has a `host` besides `:authority` that is another, or none (RFC 9113 8.3.1).
    private mutating func namesAnotherHost(than authority: UnsafeRawBufferPointer, isHTTPS: Bool) -> Bool {
        guard !head.authority.isEmpty, let second = unsafe head.value(of: .host) else { return false }
        return unsafe !Authority.same(authority, second, isHTTPS: isHTTPS)
    }

    /// The parts of the request's host and port; nil = it is none.
    private mutating func checkedHost(_ target: RequestTarget, _ named: UnsafeRawBufferPointer) -> Authority? {
        // `Host` was looked at with the head.
        head.host.count > 0 && target.authority.isEmpty ? head.host : unsafe Authority.parse(named)
    }

    private mutating func startRecord(_ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<DownstreamConnection>) {
        unsafe exchange.pointee.record.startUnixNanoseconds = unix(now)
        unsafe exchange.pointee.record.downstreamRemote = connection.pointee.remote
        unsafe exchange.pointee.record.downstreamLocal = connection.pointee.local
        unsafe exchange.pointee.record.side = listeners[connection.pointee.listener].plan.side
        unsafe exchange.pointee.record.protocolVersion = exchange.pointee.isHTTP2Downstream ? .http2 : head.minorVersion == 0 ? .http10 : .http11
        unsafe exchange.pointee.record.requestHeaderBytes = UInt32(clamping: head.byteCount)
    }

    /// What the method and the kind of content say of the request.
    private mutating func requestTraits() -> Exchange.Flags {
        var flags: Exchange.Flags = []
        let method = unsafe head.method
        if unsafe ASCII.equal(method, "HEAD") { flags.insert(.isHEAD) }
        if unsafe ASCII.equal(method, "GET") || ASCII.equal(method, "HEAD") || ASCII.equal(method, "PUT") || ASCII.equal(method, "DELETE")
            || ASCII.equal(method, "OPTIONS") || ASCII.equal(method, "TRACE")
        {
            flags.insert(.isIdempotent)
        }
        if let type = unsafe head.value(of: .contentType), unsafe Self.isGRPC(type) { flags.insert(.isGRPC) }
        return flags
    }

    /// `application/grpc`, alone or with a `+` or `;` behind it.
    static func isGRPC(_ type: UnsafeRawBufferPointer) -> Bool {
        let text: StaticString = "application/grpc"
        let count = text.utf8CodeUnitCount
        guard type.count >= count, unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: type[..<count]), ignoringCase: text) else { return false }
        return unsafe type.count == count || type[count] == UInt8(ascii: "+") || type[count] == UInt8(ascii: ";")
    }

    private mutating func readHTTP2Framing(_ exchange: UnsafeMutablePointer<Exchange>, endsStream: Bool) {
        var flags = requestTraits()
        flags.insert(.keepsAlive)
        if endsStream {
            flags.insert(.requestComplete)
            unsafe exchange.pointee.requestFraming = .none
            unsafe exchange.pointee.record.times.downstreamReceiveEnd = 0
        } else {
            unsafe exchange.pointee.requestFraming = head.contentLength.map { .length($0) } ?? .chunked
            if let expect = unsafe head.value(of: .expect), unsafe ASCII.equal(expect, ignoringCase: "100-continue") { flags.insert(.expectsContinue) }
        }
        unsafe exchange.pointee.flags = flags
    }

    private mutating func readFraming(_ exchange: UnsafeMutablePointer<Exchange>) {
        var flags = requestTraits()
        if head.minorVersion == 0 { flags.insert(.isHTTP10) }
        if head.keepsAlive, !isDraining { flags.insert(.keepsAlive) }
        if head.connection.contains(.upgrade), head.has(.upgrade), head.minorVersion == 1 {
            // An unknown protocol is not asked for further: the request goes on without it (RFC 9110 7.8).
            var others = false
            unsafe exchange.pointee.upgrades = upgradeChoice(&others)
            if unsafe exchange.pointee.upgrades != 0 { flags.insert(.wantsUpgrade) }
        }
        let framing = BodyFraming.request(head)
        switch framing {
        case .none: flags.insert(.requestComplete)
        case .length(let count): unsafe exchange.pointee.requestRemaining = count
        case .chunked, .untilClose: break
        }
        if framing != .none, head.minorVersion == 1, let expect = unsafe head.value(of: .expect),
            unsafe ASCII.equal(expect, ignoringCase: "100-continue")
        {
            flags.insert(.expectsContinue)
        }
        unsafe exchange.pointee.requestFraming = framing
        unsafe exchange.pointee.flags = flags
        if framing == .none { unsafe exchange.pointee.record.times.downstreamReceiveEnd = 0 }
    }

    /// The path to route by and to forward, or nil when it must be refused. Lives until the next request of this worker.
    private mutating func normalizedPath(_ target: RequestTarget) -> UnsafeRawBufferPointer? {
        if target.form == .asterisk || target.form == .authority { return unsafe head.target }
        if target.path.isEmpty {
            // RFC 9112 3.2.4: OPTIONS for the server itself, in the absolute form.
            let isForServer = unsafe target.query.isEmpty && ASCII.equal(head.method, "OPTIONS")
            unsafe pathScratch[0] = isForServer ? UInt8(ascii: "*") : UInt8(ascii: "/")
            return unsafe UnsafeRawBufferPointer(start: pathScratch, count: 1)
        }
        let path = unsafe UnsafeRawBufferPointer(rebasing: head.target[target.path])
        switch unsafe PathNormalizer.normalize(path, mode: configuration.pathNormalization, into: pathScratch) {
        case .unchanged: return unsafe path
        case .changed(let count): return unsafe UnsafeRawBufferPointer(start: pathScratch, count: count)
        case .rejected: return nil
        }
    }

    /// The query to route by and to forward; lives as long as the path.
    private mutating func normalizedQuery(_ target: RequestTarget) -> UnsafeRawBufferPointer {
        let query = unsafe UnsafeRawBufferPointer(rebasing: head.target[target.query])
        guard query.count > 0 else { return unsafe query }
        // Behind the most that the path may have come to.
        let output = unsafe pathScratch + PathNormalizer.growthMax * target.path.count + 1
        guard let count = unsafe PathNormalizer.encode(query: query, mode: configuration.pathNormalization, into: output) else { return unsafe query }
        return unsafe UnsafeRawBufferPointer(start: output, count: count)
    }

    // MARK: To an endpoint

    /// Sends the request on its way to the cluster it was given; from here on the route's time runs.
    mutating func forward(_ id: SlotID, hasMore: Bool) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let cluster = unsafe tables(exchange).cluster(Int(exchange.pointee.clusterIndex))
        let route = unsafe tables(exchange).route(UInt32(exchange.pointee.route))
        let actions = unsafe tables(exchange).actions(UInt32(exchange.pointee.route))
        unsafe exchange.pointee.record.cluster = cluster.name
        unsafe exchange.pointee.record.labels = cluster.labels
        var timeout = unsafe timeLimit(exchange, route)
        if let asked = unsafe grpcTimeout(exchange), timeout == 0 || asked < timeout {
            timeout = asked
            unsafe exchange.pointee.flags.insert(.hasGRPCTimeout)
        }
        if timeout > 0 { unsafe exchange.pointee.timer = timers.arm(Token(.exchange, id).rawValue, at: now + timeout) }
        if unsafe exchange.pointee.requestFraming != .none && retryPolicy(exchange).attempts > 0 { unsafe exchange.pointee.flags.insert(.keepsBody) }
        if actions.mirrors.count > 0 { unsafe mirror(id, exchange, actions.mirrors, hasMore: hasMore) }
        beginAttempt(id, hasMore: hasMore)
    }

    /// What a gRPC client gave the call (gRPC over HTTP/2, "Timeout"); nil = nothing, or nothing legible.
    mutating func grpcTimeout(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt64? {
        guard unsafe exchange.pointee.flags.contains(.isGRPC) else { return nil }
        let text = unsafe exchange.pointee.requestHead.readable
        guard let value = unsafe GRPCTimeout.find(in: text) else { return nil }
        return unsafe GRPCTimeout.nanoseconds(value)
    }

    /// Gives the request a connection of its pool, kept or new, and sends the head on it.
    mutating func attachUpstream(_ id: SlotID, freshConnection: Bool, hasMore: Bool) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let pool = unsafe exchange.pointee.pool
        unsafe exchange.pointee.flags.remove(.endSent)
        unsafe exchange.pointee.bodySent = 0
        if pools[pool].settings.isHTTP2 {
            attachStream(id, freshConnection: freshConnection)
            if let attached = unsafe exchanges.pointer(id), unsafe !attached.pointee.upstream.isNone { unsafe sendPending(attached) }
            return
        }
        if !freshConnection, let upstreamID = takeIdle(pool), let upstream = unsafe upstreams.pointer(upstreamID) {
            unsafe exchange.pointee.flags.insert(.onReusedConnection)
            unsafe stopPending(exchange)
            unsafe upstream.pointee.exchange = id
            unsafe exchange.pointee.upstream = upstreamID
            unsafe startSending(exchange, upstreamID, hasMore: hasMore)
            sendPendingHTTP1(id, upstreamID)
            return
        }
        unsafe exchange.pointee.flags.remove(.onReusedConnection)
        unsafe exchange.pointee.record.times.upstreamConnectBegin = now.nanoseconds(since: exchange.pointee.start)
        guard unsafe startPending(exchange, pool) else {
            overflow(id)
            return
        }
        guard upstreamState.use({ $0.tryAcquire(.connections, cluster: pools[pool].settings.cluster, limit: pools[pool].settings.maxConnections) }) else {
            unsafe wait(id, exchange, pool)
            return
        }
        var failure = AttemptFailure.connectFailure(code: 0)
        guard let upstreamID = connect(pool, &failure), let upstream = unsafe upstreams.pointer(upstreamID) else {
            upstreamState.use { $0.release(.connections, cluster: pools[pool].settings.cluster) }
            connectRefused(id, failure)
            return
        }
        unsafe upstream.pointee.exchange = id
        unsafe exchange.pointee.upstream = upstreamID
        let version = pools[pool].settings.proxyProtocol
        if version > 0 { unsafe announceClient(exchange, to: upstreamID, version: version) }
        unsafe upstream.pointee.output.append(exchange.pointee.requestHead.readable)
        sendPendingHTTP1(id, upstreamID)
    }

    /// What came of the body while no attempt was there for it; for most requests nothing.
    private mutating func sendPendingHTTP1(_ id: SlotID, _ upstreamID: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe exchange.pointee.upstream == upstreamID else { return }
        if unsafe exchange.pointee.requestFraming == .none {
            unsafe exchange.pointee.flags.insert(.endSent)
        } else {
            unsafe sendPending(exchange)
        }
    }

    /// No connection could even be begun.
    mutating func connectRefused(_ id: SlotID, _ failure: AttemptFailure) {
        if upstreams.count >= limits.upstreamConnectionsMax {
            reply(id, 503, .overflowBeforeResponse, [.upstreamOverflow], body: "too many upstream connections", closes: false)
        } else {
            unsafe exchanges.pointer(id)?.pointee.record.attemptCount &+= 1
            attemptFailed(id, failure)
        }
    }

    /// The connection is there: the head goes out, at once if nothing will follow it in this turn.
    private mutating func startSending(_ exchange: UnsafeMutablePointer<Exchange>, _ upstreamID: SlotID, hasMore: Bool) {
        guard let upstream = unsafe upstreams.pointer(upstreamID) else { return }
        let elapsed = unsafe now.nanoseconds(since: exchange.pointee.start)
        unsafe exchange.pointee.record.times.upstreamSendBegin = elapsed
        unsafe exchange.pointee.record.upstreamLocal = upstream.pointee.local
        unsafe exchange.pointee.record.upstreamProtocol = .http11
        unsafe exchange.pointee.record.attemptCount &+= 1
        if unsafe hasMore && !exchange.pointee.flags.contains(.requestComplete) {
            unsafe upstream.pointee.output.append(exchange.pointee.requestHead.readable)
        } else {
            unsafe sendUpstream(upstreamID, exchange.pointee.requestHead.readable)
        }
        if unsafe exchange.pointee.flags.contains(.requestComplete) { unsafe exchange.pointee.record.times.upstreamSendEnd = elapsed }
    }
}
