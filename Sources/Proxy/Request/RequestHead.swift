internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// The head as the upstream gets it: written anew from the parsed one, in the form of HTTP/1.1, with what this hop adds and without what was for it alone.
extension ProxyWorker {
    mutating func writeHead(
        _ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<DownstreamConnection>,
        path: UnsafeRawBufferPointer, query: UnsafeRawBufferPointer, authority: UnsafeRawBufferPointer, isHTTPS: Bool
    ) {
        unsafe decideTrace(exchange)
        let route = unsafe exchange.pointee.route
        let rewrite = unsafe route >= 0 ? tables.actions(UInt32(route)).rewrite : RewriteEntry()
        let edits = unsafe route >= 0 ? tables.requestEdits(destination: exchange.pointee.destination) : HeaderEdits()
        let isEdited = edits.isActive
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
        let fieldsStart = unsafe exchange.pointee.requestHead.count
        let wantsUpgrade = unsafe exchange.pointee.flags.contains(.wantsUpgrade)
        let listener = unsafe listeners[connection.pointee.listener].index
        let isEdge = unsafe listener >= 0 && tables.listener(listener).isEdge
        var sawForwards = false
        for index in 0..<head.fieldCount {
            let name = unsafe head.field(index).name
            if isEdited, unsafe tables.removes(edits, head.name(at: index)) { continue }
            switch name {
            case .other:
                if head.connection.contains(.namesOthers), unsafe isNamedByConnection(head.name(at: index)) { continue }
                if unsafe head.field(index).hasUnderscore && HeaderName.isLookalike(head.name(at: index)) {
                    handle.statistics.add(handle.statistics.fieldsDropped)
                    continue
                }
            case .maxForwards:
                if let left = forwardsLeft() {
                    if sawForwards { continue }
                    sawForwards = true
                    unsafe exchange.pointee.requestHead.append("Max-Forwards: ")
                    unsafe exchange.pointee.requestHead.append(decimal: left &- 1)
                    unsafe exchange.pointee.requestHead.append("\r\n")
                    continue
                }
            case .envoyOther:
                if isEdited, unsafe tables.replaces(edits, head.name(at: index)) { continue }
                if unsafe isEdge || takeOverride(exchange, index) || Self.steersEnvoy(head.name(at: index)) { continue }
                if rewrite.hasAuthority, unsafe ASCII.equal(head.name(at: index), ignoringCase: "x-envoy-original-host") { continue }
            case .requestID:
                // An empty one names nothing; ours follows.
                if unsafe isEdge || head.value(at: index).isEmpty { continue }
            case .forwardedProto:
                if isEdge { continue }
            case .host, .contentLength, .forwardedFor, .b3TraceID, .b3SpanID, .b3ParentSpanID, .b3Sampled, .b3Flags, .b3,
                .envoyAttemptCount:
                continue
            case .expect:
                if unsafe !forwardsExpectation(exchange, index) { continue }
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
        if wantsUpgrade {
            unsafe exchange.pointee.requestHead.append("Connection: Upgrade\r\nUpgrade: ")
            unsafe limits.upgrades.append(exchange.pointee.upgrades, to: &exchange.pointee.requestHead)
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
        if isEdited { unsafe apply(edits, exchange, from: fieldsStart) }
        unsafe appendExpectedTime(exchange, edits)
        unsafe exchange.pointee.headEnd = exchange.pointee.requestHead.count
        if isEdited {
            unsafe recordEditedHeadText(exchange, targetEnd: targetEnd, from: fieldsStart, authority: sentAuthority, isHTTPS: isHTTPS)
            return
        }
        unsafe recordHeadText(
            exchange, targetEnd: targetEnd, original: original.isEmpty ? nil : original, query: query, authority: sentAuthority,
            requestID: requestID, forwarded: forwarded, isHTTPS: isHTTPS)
    }

    /// What the configuration says of the lines from `start` on. It has the last word on the proxy's own as on the client's (Envoy's
    /// router, `finalizeRequestHeaders`); lines that come later ask for themselves whether they may.
    private mutating func apply(_ edits: HeaderEdits, _ exchange: UnsafeMutablePointer<Exchange>, from start: Int) {
        let tables = unsafe self.tables
        var end = unsafe exchange.pointee.requestHead.count
        unsafe FieldLines.remove(from: &exchange.pointee.requestHead, in: start..<end) { unsafe tables.removes(edits, $0) }
        end = unsafe exchange.pointee.requestHead.count
        unsafe appendAdditions(edits, exchange)
        unsafe FieldLines.remove(from: &exchange.pointee.requestHead, in: start..<end) { unsafe tables.replaces(edits, $0) }
        if unsafe tables.drops(edits, "x-envoy-attempt-count") { unsafe exchange.pointee.flags.insert(.omitsAttemptCount) }
    }

    /// Whether the field asks for time limits or retries of this request's own, which a workload may and its callers may not.
    private mutating func takeOverride(_ exchange: UnsafeMutablePointer<Exchange>, _ index: Int) -> Bool {
        guard unsafe exchange.pointee.record.side == .outbound else { return false }
        if unsafe !exchange.pointee.flags.contains(.hasOverrides) { unsafe exchange.pointee.overrides = RequestOverrides() }
        guard unsafe exchange.pointee.overrides.take(head.name(at: index), head.value(at: index)) else { return false }
        unsafe exchange.pointee.flags.insert(.hasOverrides)
        return true
    }

    /// Time for the whole request; 0 = no limit.
    mutating func timeLimit(_ exchange: UnsafeMutablePointer<Exchange>, _ route: RouteEntry) -> UInt64 {
        if unsafe exchange.pointee.flags.contains(.hasOverrides), let asked = unsafe exchange.pointee.overrides.timeoutMilliseconds { return asked * 1_000_000 }
        return route.timeoutNanoseconds
    }

    private mutating func appendAdditions(_ edits: HeaderEdits, _ exchange: UnsafeMutablePointer<Exchange>) {
        for index in 0..<(unsafe tables.additionCount(edits)) {
            let (name, value) = unsafe tables.addition(edits, index)
            if let pieces = unsafe tables.pieces(edits, index) {
                unsafe makeValue(pieces, exchange, isResponse: false)
                // What comes to nothing is not sent, as in Envoy.
                if valueScratch.isEmpty { continue }
                unsafe Self.appendLine(name, valueScratch.readable, to: &exchange.pointee.requestHead)
                continue
            }
            unsafe Self.appendLine(name, value, to: &exchange.pointee.requestHead)
        }
    }

    /// The time the request has, and each try of it, from the route and from what a gRPC client asks for.
    private mutating func appendExpectedTime(_ exchange: UnsafeMutablePointer<Exchange>, _ edits: HeaderEdits) {
        let route = unsafe exchange.pointee.route
        guard route >= 0 else { return }
        var whole = unsafe timeLimit(exchange, tables.route(UInt32(route)))
        if let asked = unsafe grpcTimeout(exchange), whole == 0 || asked < whole { whole = asked }
        var perTry = unsafe tables.actions(UInt32(route)).retry.perTryTimeoutNanoseconds
        if unsafe exchange.pointee.flags.contains(.hasOverrides), let asked = unsafe exchange.pointee.overrides.perTryMilliseconds { perTry = asked * 1_000_000 }
        // A try may not take longer than all of them (semantics 2.3).
        if perTry > 0, whole == 0 || perTry < whole { unsafe exchange.pointee.perTryNanoseconds = perTry }
        let expected = unsafe exchange.pointee.perTryNanoseconds > 0 ? exchange.pointee.perTryNanoseconds : whole
        guard expected > 0, unsafe !edits.isActive || !tables.drops(edits, "x-envoy-expected-rq-timeout-ms") else { return }
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

    private mutating func listsTrailers(_ value: UnsafeRawBufferPointer) -> Bool {
        var isListed = false
        unsafe HeadParser.forEachListItem(value) { item in
            if unsafe ASCII.equal(item, ignoringCase: "trailers") { isListed = true }
        }
        return isListed
    }

    /// Whether a `Connection` field has this one left out. One that is for everybody on the way stays, whoever names it.
    mutating func isNamedByConnection(_ name: UnsafeRawBufferPointer) -> Bool {
        if unsafe FieldRules.isEndToEnd(name) { return false }
        var isNamed = false
        for index in 0..<head.fieldCount where unsafe head.field(index).name == .connection {
            unsafe HeadParser.forEachListItem(head.value(at: index)) { item in
                if unsafe ASCII.equalIgnoringCase(item, name) { isNamed = true }
            }
        }
        return isNamed
    }

    /// Writes X-Forwarded-For and -Proto; returns where in `requestHead` the value of the first stands. As Envoy's, it gets IP addresses only: the client of a Unix
    /// socket adds nothing, and without a value there is no field.
    private mutating func appendForwarded(
        _ exchange: UnsafeMutablePointer<Exchange>, _ connection: UnsafeMutablePointer<DownstreamConnection>, isHTTPS: Bool, isEdge: Bool
    ) -> Range<Int> {
        let hasAddress = unsafe connection.pointee.remote.family != .absent
        let begin = unsafe exchange.pointee.requestHead.count
        unsafe exchange.pointee.requestHead.append("X-Forwarded-For: ")
        let start = unsafe exchange.pointee.requestHead.count
        for index in 0..<head.fieldCount where unsafe head.field(index).name == .forwardedFor {
            unsafe exchange.pointee.requestHead.append(head.value(at: index))
            unsafe exchange.pointee.requestHead.append(",")
        }
        var end = unsafe exchange.pointee.requestHead.count
        if hasAddress {
            unsafe Self.appendAddress(connection.pointee.remote, to: &exchange.pointee.requestHead)
            end = unsafe exchange.pointee.requestHead.count
        } else if end > start {
            end -= 1
            unsafe exchange.pointee.requestHead.truncate(to: end)
        }
        if end > start {
            unsafe exchange.pointee.requestHead.append("\r\n")
        } else {
            unsafe exchange.pointee.requestHead.truncate(to: begin)
        }
        if isEdge || !head.has(.forwardedProto) {
            unsafe exchange.pointee.requestHead.append(isHTTPS ? "X-Forwarded-Proto: https\r\n" : "X-Forwarded-Proto: http\r\n")
        }
        return end > start ? start..<end : begin..<begin
    }

    static func appendAddress(_ endpoint: SocketEndpoint, to buffer: inout ByteBuffer) {
        guard endpoint.family == .ipv4 else {
            if endpoint.family == .unix {
                unsafe buffer.append(endpoint.unixPath)
                return
            }
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
        let out = unsafe exchange.pointee.requestHead.reserve(36)
        // 8-4-4-4-12 digits: what the dashes push aside is written again behind them.
        let digits = (
            HexCodec.encode8(UInt32(truncatingIfNeeded: high >> 32)), HexCodec.encode8(UInt32(truncatingIfNeeded: high)),
            HexCodec.encode8(UInt32(truncatingIfNeeded: low >> 32)), HexCodec.encode8(UInt32(truncatingIfNeeded: low))
        )
        unsafe out.storeBytes(of: digits.0.bigEndian, as: UInt64.self)
        unsafe out.storeBytes(of: digits.1.bigEndian, toByteOffset: 9, as: UInt64.self)
        unsafe out.storeBytes(of: UInt32(truncatingIfNeeded: digits.1).bigEndian, toByteOffset: 14, as: UInt32.self)
        unsafe out.storeBytes(of: digits.2.bigEndian, toByteOffset: 19, as: UInt64.self)
        unsafe out.storeBytes(of: UInt32(truncatingIfNeeded: digits.2).bigEndian, toByteOffset: 24, as: UInt32.self)
        unsafe out.storeBytes(of: digits.3.bigEndian, toByteOffset: 28, as: UInt64.self)
        unsafe out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 8, as: UInt8.self)
        unsafe out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 13, as: UInt8.self)
        unsafe out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 18, as: UInt8.self)
        unsafe out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 23, as: UInt8.self)
        unsafe exchange.pointee.requestHead.commit(36)
        unsafe exchange.pointee.requestHead.append("\r\n")
        return start..<start + 36
    }
}
