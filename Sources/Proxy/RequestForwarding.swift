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
        if isTooLarge {
            for _ in 0..<Int(RequestText.firstCaptured) + plan.requestHeaders.count { unsafe exchange.pointee.append(text: nil, limits: limits) }
            reply(id, 431, .requestHeadersTooLarge, [.downstreamProtocolError], body: "header section too large", closes: false)
            return
        }

        let method = unsafe head.method
        guard let target = unsafe RequestTarget.parse(head.target, method: method) else {
            unsafe recordText(exchange, path: head.target, authority: head.value(of: .host), requestID: nil, forwardedFor: nil, isHTTPS: false)
            reply(id, 400, .http1CodecError, [.downstreamProtocolError], body: "malformed request target (RFC 9112 3.2)", closes: true)
            return
        }
        let listener = unsafe listeners[connection.pointee.listener].index
        let isEdge = unsafe listener >= 0 && tables.listener(listener).isEdge
        let isHTTPS = target.isHTTPS || head.isHTTPS || !isEdge && isForwardedHTTPS()
        let authority = unsafe requestAuthority(target)
        let query = unsafe UnsafeRawBufferPointer(rebasing: head.target[target.query])
        guard let path = unsafe normalizedPath(target) else {
            unsafe recordText(exchange, path: head.target, authority: authority, requestID: nil, forwardedFor: nil, isHTTPS: isHTTPS)
            reply(id, 400, .pathNormalizationFailed, [], body: "path cannot be normalised: it has %00 or no leading slash", closes: false)
            return
        }
        guard let authority = unsafe authority, authority.count > 0 else {
            unsafe recordText(exchange, path: path, authority: nil, requestID: nil, forwardedFor: nil, isHTTPS: false)
            reply(id, 400, .missingHostHeader, [], body: "missing or empty Host", closes: false)
            return
        }

        var decision = RouteDecision.notFound
        let request = unsafe RouteRequest(method: method, path: path, query: query, authority: authority, isHTTPS: isHTTPS)
        if listener >= 0 {
            let entry = unsafe tables.listener(listener)
            unsafe exchange.pointee.record.labels = entry.labels
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

    /// Notes the rule that the request goes by.
    private func take(_ decision: RouteDecision, _ exchange: UnsafeMutablePointer<Exchange>) {
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
    private func isForwardedHTTPS() -> Bool {
        guard head.has(.forwardedProto), let value = unsafe head.value(of: .forwardedProto) else { return false }
        return unsafe ASCII.equal(value, ignoringCase: "https")
    }

    /// Host and port the request is for. In HTTP/2 `:authority`, which beats `Host` (RFC 9113 8.3.1).
    private func requestAuthority(_ target: RequestTarget) -> UnsafeRawBufferPointer? {
        if !target.authority.isEmpty { return unsafe UnsafeRawBufferPointer(rebasing: head.target[target.authority]) }
        if !head.authority.isEmpty { return unsafe head.authorityBytes }
        return unsafe head.value(of: .host)
    }

    private func startRecord(_ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<DownstreamConnection>) {
        unsafe exchange.pointee.record.startUnixNanoseconds = unix(now)
        unsafe exchange.pointee.record.downstreamRemote = connection.pointee.remote
        unsafe exchange.pointee.record.downstreamLocal = connection.pointee.local
        unsafe exchange.pointee.record.side = listeners[connection.pointee.listener].plan.side
        unsafe exchange.pointee.record.protocolVersion = exchange.pointee.isHTTP2Downstream ? .http2 : head.minorVersion == 0 ? .http10 : .http11
        unsafe exchange.pointee.record.requestHeaderBytes = UInt32(clamping: head.byteCount)
    }

    /// What the method and the kind of content say of the request.
    private func requestTraits() -> Exchange.Flags {
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

    private func readHTTP2Framing(_ exchange: UnsafeMutablePointer<Exchange>, endsStream: Bool) {
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

    private func readFraming(_ exchange: UnsafeMutablePointer<Exchange>) {
        var flags = requestTraits()
        if head.minorVersion == 0 { flags.insert(.isHTTP10) }
        if head.keepsAlive, !isDraining { flags.insert(.keepsAlive) }
        if head.connection.contains(.upgrade), head.has(.upgrade), head.minorVersion == 1 { flags.insert(.wantsUpgrade) }
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
    private func normalizedPath(_ target: RequestTarget) -> UnsafeRawBufferPointer? {
        if target.form == .asterisk || target.form == .authority { return unsafe head.target }
        if target.path.isEmpty {
            unsafe pathScratch[0] = UInt8(ascii: "/")
            return unsafe UnsafeRawBufferPointer(start: pathScratch, count: 1)
        }
        let path = unsafe UnsafeRawBufferPointer(rebasing: head.target[target.path])
        switch unsafe PathNormalizer.normalize(path, mode: configuration.pathNormalization, into: pathScratch) {
        case .unchanged: return unsafe path
        case .changed(let count): return unsafe UnsafeRawBufferPointer(start: pathScratch, count: count)
        case .rejected: return nil
        }
    }

    // MARK: The head as the upstream gets it

    private mutating func writeHead(
        _ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<DownstreamConnection>,
        path: UnsafeRawBufferPointer, query: UnsafeRawBufferPointer, authority: UnsafeRawBufferPointer, isHTTPS: Bool
    ) {
        unsafe decideTrace(exchange)
        let route = unsafe exchange.pointee.route
        let rewrite = unsafe route >= 0 ? tables.actions(UInt32(route)).rewrite : RewriteEntry()
        let edits = unsafe route >= 0 ? tables.requestEdits(destination: exchange.pointee.destination) : HeaderEdits()
        let sentAuthority = unsafe tables.rewrittenAuthority(rewrite) ?? authority
        // Each `exchange.pointee.requestHead` below is one inlined append to the same buffer.
        unsafe exchange.pointee.requestHead.append(head.method)
        unsafe exchange.pointee.requestHead.append(byte: UInt8(ascii: " "))
        if rewrite.path == .unchanged {
            unsafe exchange.pointee.requestHead.append(path)
        } else {
            unsafe tables.rewrite(rewrite, match: exchange.pointee.match, path: path, into: &exchange.pointee.requestHead)
        }
        unsafe exchange.pointee.requestHead.append(query)
        let targetEnd = unsafe exchange.pointee.requestHead.count
        unsafe exchange.pointee.requestHead.append(" HTTP/1.1\r\nHost: ")
        unsafe exchange.pointee.requestHead.append(sentAuthority)
        unsafe exchange.pointee.requestHead.append("\r\n")
        let wantsUpgrade = unsafe exchange.pointee.flags.contains(.wantsUpgrade)
        let listener = unsafe listeners[connection.pointee.listener].index
        let isEdge = unsafe listener >= 0 && tables.listener(listener).isEdge
        for index in 0..<head.fieldCount {
            let name = unsafe head.field(index).name
            if edits.isActive, unsafe tables.removes(edits, head.name(at: index)) { continue }
            switch name {
            case .other:
                if head.connection.contains(.namesOthers), unsafe isNamedByConnection(head.name(at: index)) { continue }
            case .envoyOther:
                if unsafe isEdge || takeOverride(exchange, index) || Self.steersEnvoy(head.name(at: index)) { continue }
                if rewrite.hasAuthority, unsafe ASCII.equal(head.name(at: index), ignoringCase: "x-envoy-original-host") { continue }
            case .requestID:
                // An empty one names nothing; ours follows.
                if unsafe isEdge || head.value(at: index).isEmpty { continue }
            case .forwardedProto:
                if isEdge { continue }
            case .host, .contentLength, .forwardedFor, .b3TraceID, .b3SpanID, .b3ParentSpanID, .b3Sampled, .b3Flags, .b3, .expect,
                .envoyAttemptCount:
                continue
            case .envoyOriginalPath:
                if rewrite.path != .unchanged { continue }
            case .traceparent:
                if plan.option == .useB3WithW3CPropagation { continue }
            case .tracestate:
                if plan.option == .useB3WithW3CPropagation, !traceContext.keepsTracestate { continue }
            case .te:
                // RFC 9110 10.1.4: TE is for one hop; `trailers` is what we can promise ourselves, as we forward them.
                if unsafe listsTrailers(head.value(at: index)) {
                    unsafe exchange.pointee.requestHead.append("TE: trailers\r\n")
                }
                continue
            default:
                if name.isHopByHop { continue }
            }
            unsafe Self.appendField(head, index, to: &exchange.pointee.requestHead)
        }
        if wantsUpgrade, let upgrade = unsafe head.value(of: .upgrade) {
            unsafe exchange.pointee.requestHead.append("Connection: Upgrade\r\nUpgrade: ")
            unsafe exchange.pointee.requestHead.append(upgrade)
            unsafe exchange.pointee.requestHead.append("\r\n")
        }
        switch unsafe exchange.pointee.requestFraming {
        case .length(let count):
            unsafe exchange.pointee.requestHead.append("Content-Length: ")
            unsafe exchange.pointee.requestHead.append(decimal: count)
            unsafe exchange.pointee.requestHead.append("\r\n")
        case .chunked: unsafe exchange.pointee.requestHead.append("Transfer-Encoding: chunked\r\n")
        case .none:
            // An explicit zero is kept: it means something for POST (RFC 9110 8.6).
            if head.contentLength != nil { unsafe exchange.pointee.requestHead.append("Content-Length: 0\r\n") }
        case .untilClose: break
        }
        let forwarded = unsafe appendForwarded(exchange, connection, isHTTPS: isHTTPS, isEdge: isEdge)
        let requestID = unsafe isEdge || head.value(of: .requestID)?.isEmpty ?? true ? appendRequestID(exchange) : nil
        unsafe appendTrace(exchange)
        var original = 0..<0
        if rewrite.path != .unchanged {
            unsafe exchange.pointee.requestHead.append("X-Envoy-Original-Path: ")
            let start = unsafe exchange.pointee.requestHead.count
            unsafe exchange.pointee.requestHead.append(path)
            unsafe exchange.pointee.requestHead.append(query)
            original = unsafe start..<exchange.pointee.requestHead.count
            unsafe exchange.pointee.requestHead.append("\r\n")
        }
        if rewrite.hasAuthority {
            unsafe exchange.pointee.requestHead.append("X-Envoy-Original-Host: ")
            unsafe exchange.pointee.requestHead.append(authority)
            unsafe exchange.pointee.requestHead.append("\r\n")
        }
        if edits.isActive { unsafe appendAdditions(edits, exchange) }
        unsafe appendExpectedTime(exchange)
        unsafe exchange.pointee.headEnd = exchange.pointee.requestHead.count
        unsafe recordHeadText(
            exchange, targetEnd: targetEnd, original: original.isEmpty ? nil : original, query: query, authority: sentAuthority,
            requestID: requestID, forwarded: forwarded, isHTTPS: isHTTPS)
    }

    /// Whether the field asks for time limits or retries of this request's own, which a workload may and its callers may not.
    private func takeOverride(_ exchange: UnsafeMutablePointer<Exchange>, _ index: Int) -> Bool {
        guard unsafe exchange.pointee.record.side == .outbound else { return false }
        if unsafe !exchange.pointee.flags.contains(.hasOverrides) { unsafe exchange.pointee.overrides = RequestOverrides() }
        guard unsafe exchange.pointee.overrides.take(head.name(at: index), head.value(at: index)) else { return false }
        unsafe exchange.pointee.flags.insert(.hasOverrides)
        return true
    }

    /// Time for the whole request; 0 = no limit.
    private func timeLimit(_ exchange: UnsafeMutablePointer<Exchange>, _ route: RouteEntry) -> UInt64 {
        if unsafe exchange.pointee.flags.contains(.hasOverrides), let asked = unsafe exchange.pointee.overrides.timeoutMilliseconds { return asked * 1_000_000 }
        return route.timeoutNanoseconds
    }

    private func appendAdditions(_ edits: HeaderEdits, _ exchange: UnsafeMutablePointer<Exchange>) {
        for index in 0..<(unsafe tables.additionCount(edits)) {
            let (name, value) = unsafe tables.addition(edits, index)
            unsafe exchange.pointee.requestHead.append(name)
            unsafe exchange.pointee.requestHead.append(": ")
            unsafe exchange.pointee.requestHead.append(value)
            unsafe exchange.pointee.requestHead.append("\r\n")
        }
    }

    /// The time the request has, and each try of it, from the route and from what a gRPC client asks for.
    private func appendExpectedTime(_ exchange: UnsafeMutablePointer<Exchange>) {
        let route = unsafe exchange.pointee.route
        guard route >= 0 else { return }
        var whole = unsafe timeLimit(exchange, tables.route(UInt32(route)))
        if let asked = unsafe grpcTimeout(exchange), whole == 0 || asked < whole { whole = asked }
        var perTry = unsafe tables.actions(UInt32(route)).retry.perTryTimeoutNanoseconds
        if unsafe exchange.pointee.flags.contains(.hasOverrides), let asked = unsafe exchange.pointee.overrides.perTryMilliseconds { perTry = asked * 1_000_000 }
        // A try may not take longer than all of them (semantics 2.3).
        if perTry > 0, whole == 0 || perTry < whole { unsafe exchange.pointee.perTryNanoseconds = perTry }
        let expected = unsafe exchange.pointee.perTryNanoseconds > 0 ? exchange.pointee.perTryNanoseconds : whole
        guard expected > 0 else { return }
        unsafe exchange.pointee.requestHead.append("X-Envoy-Expected-Rq-Timeout-Ms: ")
        unsafe exchange.pointee.requestHead.append(decimal: expected / 1_000_000)
        unsafe exchange.pointee.requestHead.append("\r\n")
    }

    /// Further fields by which Envoy's internal callers steer it, and on the inbound side those that a request's own limits are asked for by: for one hop, or the next
    /// proxy might obey.
    private static func steersEnvoy(_ name: UnsafeRawBufferPointer) -> Bool {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: name[8...])
        return switch rest.count {
        case 7: unsafe ASCII.equal(rest, ignoringCase: "ip-tags")
        case 8: unsafe ASCII.equal(rest, ignoringCase: "retry-on") || ASCII.equal(rest, ignoringCase: "internal")
        case 11: unsafe ASCII.equal(rest, ignoringCase: "max-retries") || ASCII.equal(rest, ignoringCase: "force-trace")
        case 12: unsafe ASCII.equal(rest, ignoringCase: "original-url")
        case 13: unsafe ASCII.equal(rest, ignoringCase: "retry-grpc-on")
        case 22:
            unsafe ASCII.equal(rest, ignoringCase: "upstream-rq-timeout-ms") || ASCII.equal(rest, ignoringCase: "expected-rq-timeout-ms")
                || ASCII.equal(rest, ignoringCase: "retriable-status-codes") || ASCII.equal(rest, ignoringCase: "retriable-header-names")
                || ASCII.equal(rest, ignoringCase: "upstream-alt-stat-name")
        case 24: unsafe ASCII.equal(rest, ignoringCase: "hedge-on-per-try-timeout")
        case 30: unsafe ASCII.equal(rest, ignoringCase: "upstream-rq-per-try-timeout-ms")
        case 32: unsafe ASCII.equal(rest, ignoringCase: "upstream-rq-timeout-alt-response")
        default: false
        }
    }

    private func listsTrailers(_ value: UnsafeRawBufferPointer) -> Bool {
        var isListed = false
        unsafe HeadParser.forEachListItem(value) { item in
            if unsafe ASCII.equal(item, ignoringCase: "trailers") { isListed = true }
        }
        return isListed
    }

    func isNamedByConnection(_ name: UnsafeRawBufferPointer) -> Bool {
        var isNamed = false
        for index in 0..<head.fieldCount where unsafe head.field(index).name == .connection {
            unsafe HeadParser.forEachListItem(head.value(at: index)) { item in
                if unsafe ASCII.equalIgnoringCase(item, name) { isNamed = true }
            }
        }
        return isNamed
    }

    /// Writes X-Forwarded-For and -Proto; returns where in `requestHead` the value of the first stands.
    private func appendForwarded(
        _ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<DownstreamConnection>, isHTTPS: Bool, isEdge: Bool
    ) -> Range<Int> {
        unsafe exchange.pointee.requestHead.append("X-Forwarded-For: ")
        let start = unsafe exchange.pointee.requestHead.count
        for index in 0..<head.fieldCount where unsafe head.field(index).name == .forwardedFor {
            unsafe exchange.pointee.requestHead.append(head.value(at: index))
            unsafe exchange.pointee.requestHead.append(",")
        }
        unsafe Self.appendAddress(connection.pointee.remote, to: &exchange.pointee.requestHead)
        let end = unsafe exchange.pointee.requestHead.count
        unsafe exchange.pointee.requestHead.append("\r\n")
        if isEdge || !head.has(.forwardedProto) {
            unsafe exchange.pointee.requestHead.append(isHTTPS ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n")
        }
        return start..<end
    }

    static func appendAddress(_ endpoint: SocketEndpoint, to buffer: inout ByteBuffer) {
        guard endpoint.family == .ipv4 else {
            // Rare, and not worth a formatter of its own: this one makes a String.
            buffer.append(string: endpoint.addressText)
            return
        }
        for octet in 0..<4 {
            if octet > 0 { buffer.append(byte: UInt8(ascii: ".")) }
            buffer.append(decimal: endpoint.low >> UInt64(24 - 8 * octet) & 255)
        }
    }

    /// Writes an X-Request-Id of our own (a version 4 UUID); returns where it stands.
    private mutating func appendRequestID(_ exchange: UnsafeMutablePointer<Exchange>) -> Range<Int> {
        unsafe exchange.pointee.requestHead.append("X-Request-Id: ")
        let start = unsafe exchange.pointee.requestHead.count
        let high = identifierDraw.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        let low = identifierDraw.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        let out = unsafe exchange.pointee.requestHead.reserve(36).assumingMemoryBound(to: UInt8.self)
        var position = 0
        for digit in 0..<32 {
            if digit == 8 || digit == 12 || digit == 16 || digit == 20 {
                unsafe out[position] = UInt8(ascii: "-")
                position += 1
            }
            let word = digit < 16 ? high : low
            let nibble = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * (digit & 15))) & 15
            unsafe out[position] = nibble < 10 ? 48 + nibble : 87 + nibble
            position += 1
        }
        unsafe exchange.pointee.requestHead.commit(36)
        unsafe exchange.pointee.requestHead.append("\r\n")
        return start..<start + 36
    }

    // MARK: Trace context

    /// Reads the incoming context and decides for this hop: an incoming decision always wins (semantics 2.10).
    private mutating func decideTrace(_ exchange: UnsafeMutablePointer<Exchange>) {
        let side = unsafe exchange.pointee.record.side == .outbound ? plan.outbound : plan.inbound
        let incoming = extractContext()
        var context = incoming
        if !context.hasIdentifiers {
            context.traceID = TraceID(high: plan.uses128BitTraceIDs ? identifierDraw.next() : 0, low: identifierDraw.next() | 1)
            context.spanID = .none
            context.keepsTracestate = false
        }
        if context.decision == .none {
            context.decision = (sampleDraw.next() >> 32) < side.samplingThreshold ? .accept : .reject
        }
        traceContext = context.child(SpanID(identifierDraw.next() | 1))
        unsafe exchange.pointee.record.traceID = traceContext.traceID
        unsafe exchange.pointee.record.spanID = traceContext.spanID
        unsafe exchange.pointee.record.parentSpanID = traceContext.parentSpanID
        unsafe exchange.pointee.record.isSampled = side.isTraced && (context.decision == .accept || context.decision == .debug)
        unsafe exchange.pointee.record.isDebug = context.decision == .debug
    }

    private func extractContext() -> TraceContext {
        // The common request carries none of them, and that is one comparison each.
        guard head.has(.b3TraceID) || head.has(.b3) || head.has(.b3Sampled) || head.has(.b3Flags) || head.has(.traceparent) else {
            return TraceContext()
        }
        return TraceContext.extract(
            option: plan.option, b3: span(.b3), b3TraceID: span(.b3TraceID), b3SpanID: span(.b3SpanID),
            b3ParentSpanID: span(.b3ParentSpanID), b3Sampled: span(.b3Sampled), b3Flags: span(.b3Flags), traceparent: span(.traceparent),
            tracestate: span(.tracestate))
    }

    @_lifetime(borrow self)
    private func span(_ name: HeaderName) -> RawSpan? {
        guard let value = unsafe head.value(of: name) else { return nil }
        return unsafe _overrideLifetime(RawSpan(_unsafeBytes: value), borrowing: self)
    }

    private func appendTrace(_ exchange: UnsafeMutablePointer<Exchange>) {
        for header in TraceHeader.allCases where traceContext.sends(header, option: plan.option) {
            unsafe exchange.pointee.requestHead.append(header.name)
            unsafe exchange.pointee.requestHead.append(": ")
            let room = unsafe exchange.pointee.requestHead.reserve(TraceHeader.valueBytesMax)
            let count = unsafe traceContext.write(header, into: UnsafeMutableRawBufferPointer(start: room, count: TraceHeader.valueBytesMax))
            unsafe exchange.pointee.requestHead.commit(count)
            unsafe exchange.pointee.requestHead.append("\r\n")
        }
    }

    // MARK: Text of the record

    private mutating func recordHeadText(
        _ exchange: UnsafeMutablePointer<Exchange>, targetEnd: Int, original: Range<Int>?, query: UnsafeRawBufferPointer,
        authority: UnsafeRawBufferPointer, requestID: Range<Int>?, forwarded: Range<Int>, isHTTPS: Bool
    ) {
        guard unsafe needsRecord(exchange) else { return }
        let written = unsafe exchange.pointee.requestHead.readable
        let identifier = unsafe requestID.map { unsafe UnsafeRawBufferPointer(rebasing: written[$0]) } ?? head.value(of: .requestID)
        // Path and query stand next to each other in the head just written.
        let target = unsafe UnsafeRawBufferPointer(rebasing: written[head.method.count + 1..<targetEnd])
        unsafe recordText(
            exchange, original: original.map { unsafe UnsafeRawBufferPointer(rebasing: written[$0]) }, path: target, authority: authority, requestID: identifier,
            forwardedFor: UnsafeRawBufferPointer(rebasing: written[forwarded]), isHTTPS: isHTTPS)
    }

    func needsRecord(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let side = unsafe exchange.pointee.record.side == .outbound ? plan.outbound : plan.inbound
        return unsafe side.isLogged || exchange.pointee.record.isSampled
    }

    /// The eight standard slots in the order of `RequestText`, then the captured request headers.
    private mutating func recordText(
        _ exchange: UnsafeMutablePointer<Exchange>, original: UnsafeRawBufferPointer? = nil, path: UnsafeRawBufferPointer,
        authority: UnsafeRawBufferPointer?,
        requestID: UnsafeRawBufferPointer?, forwardedFor: UnsafeRawBufferPointer?, isHTTPS: Bool
    ) {
        let scheme: StaticString = isHTTPS ? "https" : "http"
        unsafe exchange.pointee.append(text: head.method, limits: limits)
        // As Envoy: the original path is recorded only where a rewrite changed it.
        unsafe exchange.pointee.append(text: original, limits: limits)
        unsafe exchange.pointee.append(text: path, limits: limits)
        unsafe exchange.pointee.append(text: authority, limits: limits)
        unsafe exchange.pointee.append(text: head.value(of: .userAgent), limits: limits)
        unsafe exchange.pointee.append(text: requestID, limits: limits)
        unsafe exchange.pointee.append(text: forwardedFor, limits: limits)
        unsafe exchange.pointee.append(text: UnsafeRawBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount), limits: limits)
        for index in plan.requestHeaders.indices {
            unsafe plan.requestHeaders[index].withUnsafeBytes { name in
                unsafe exchange.pointee.append(text: head.value(named: name), limits: limits)
            }
        }
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
        if unsafe exchange.pointee.flags.contains(.expectsContinue), let still = unsafe exchanges.pointer(id),
            unsafe !still.pointee.flags.contains(.responseStarted)
        {
            unsafe sendContinue(still)
        }
    }

    /// What a gRPC client gave the call (gRPC over HTTP/2, "Timeout"); nil = nothing, or nothing legible.
    private func grpcTimeout(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt64? {
        guard unsafe exchange.pointee.flags.contains(.isGRPC) else { return nil }
        let text = unsafe exchange.pointee.requestHead.readable
        guard let value = unsafe GRPCTimeout.find(in: text) else { return nil }
        return unsafe GRPCTimeout.nanoseconds(value)
    }

    private mutating func sendContinue(_ exchange: UnsafeMutablePointer<Exchange>) {
        if let session = unsafe downstreamSession(exchange) {
            fieldList.begin()
            fieldList.add(":status", "100")
            unsafe session.pointee.submitInterim(fieldList, stream: exchange.pointee.downstreamStream)
            unsafe markDirty(downstream: exchange.pointee.downstream)
            return
        }
        let downstream = unsafe exchange.pointee.downstream
        let text: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"
        unsafe sendDownstream(downstream, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
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
        guard handle.shared.state.tryAcquire(.connections, cluster: pools[pool].settings.cluster, limit: pools[pool].settings.maxConnections) else {
            unsafe wait(id, exchange, pool)
            return
        }
        guard let upstreamID = connect(pool), let upstream = unsafe upstreams.pointer(upstreamID) else {
            handle.shared.state.release(.connections, cluster: pools[pool].settings.cluster)
            connectRefused(id)
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
    mutating func connectRefused(_ id: SlotID) {
        if upstreams.count >= limits.upstreamConnectionsMax {
            reply(id, 503, .overflowBeforeResponse, [.upstreamOverflow], body: "too many upstream connections", closes: false)
        } else {
            attemptFailed(id, .connectFailure)
        }
    }

    /// The connection is there: the head goes out, at once if nothing will follow it in this turn.
    private mutating func startSending(_ exchange: UnsafeMutablePointer<Exchange>, _ upstreamID: SlotID, hasMore: Bool) {
        guard let upstream = unsafe upstreams.pointer(upstreamID) else { return }
        let elapsed = unsafe now.nanoseconds(since: exchange.pointee.start)
        unsafe exchange.pointee.record.times.upstreamSendBegin = elapsed
        unsafe exchange.pointee.record.upstreamLocal = upstream.pointee.local
        unsafe exchange.pointee.record.attemptCount &+= 1
        if unsafe hasMore && !exchange.pointee.flags.contains(.requestComplete) {
            unsafe upstream.pointee.output.append(exchange.pointee.requestHead.readable)
        } else {
            unsafe sendUpstream(upstreamID, exchange.pointee.requestHead.readable)
        }
        if unsafe exchange.pointee.flags.contains(.requestComplete) { unsafe exchange.pointee.record.times.upstreamSendEnd = elapsed }
    }
}
