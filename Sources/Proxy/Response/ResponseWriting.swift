internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// The response on its way to the client, in either version of HTTP. What goes to an HTTP/1.1 client is put together in `assembly`.
extension ProxyWorker {
    /// Writes the response head in `head` to the client. False when it cannot be sent.
    mutating func writeResponseHead(_ exchange: UnsafeMutablePointer<Exchange>, framing: BodyFraming) -> Bool {
        unsafe exchange.pointee.responseFraming = framing
        if case .length(let count) = framing { unsafe exchange.pointee.responseRemaining = count }
        unsafe exchange.pointee.flags.insert(.responseStarted)
        unsafe exchange.pointee.record.responseCode = head.statusCode
        unsafe exchange.pointee.record.details = .viaUpstream
        unsafe exchange.pointee.record.times.downstreamSendBegin = now.nanoseconds(since: exchange.pointee.start)
        if unsafe exchange.pointee.isHTTP2Downstream {
            guard unsafe writeHTTP2ResponseHead(exchange, framing) else { return false }
        } else {
            unsafe writeHTTP1ResponseHead(exchange, framing)
        }
        unsafe captureResponseHeaders(exchange)
        return true
    }

    mutating func appendStatusLine() {
        assembly.append("HTTP/1.1 ")
        assembly.append(decimal: UInt64(head.statusCode))
        assembly.append(byte: UInt8(ascii: " "))
        let reason = unsafe head.reason
        if unsafe reason.isEmpty { assembly.append(StatusText.reason(head.statusCode)) } else { unsafe assembly.append(reason) }
        assembly.append("\r\n")
    }

    /// The fields of policies and of the configuration, behind the others of a head in `assembly`, which begin at `start`.
    mutating func finishFields(_ exchange: UnsafeMutablePointer<Exchange>, from start: Int) {
        guard unsafe addsResponseFields(exchange) else { return }
        unsafe forEachPolicyField(exchange) { worker, name, value in unsafe Self.appendLine(name, value, to: &worker.assembly) }
        let edits = unsafe responseEdits(exchange)
        if edits.isActive {
            let tables = unsafe tables(exchange)
            unsafe FieldLines.remove(from: &assembly, in: start..<assembly.count) { unsafe tables.drops(edits, $0) }
        }
        unsafe forEachAddition(exchange, edits) { worker, name, value in unsafe Self.appendLine(name, value, to: &worker.assembly) }
    }

    private mutating func writeHTTP1ResponseHead(_ exchange: UnsafeMutablePointer<Exchange>, _ framing: BodyFraming) {
        let isHTTP10 = unsafe exchange.pointee.flags.contains(.isHTTP10)
        var chunks = false
        switch framing {
        case .chunked, .untilClose:
            if isHTTP10 { unsafe exchange.pointee.flags.remove(.keepsAlive) } else { chunks = true }
        case .none, .length: break
        }
        if chunks { unsafe exchange.pointee.flags.insert(.chunksResponse) }
        if unsafe !exchange.pointee.flags.contains(.requestComplete) || isDraining { unsafe exchange.pointee.flags.remove(.keepsAlive) }
        let start = assembly.count
        appendStatusLine()
        let fieldsStart = assembly.count
        for index in 0..<head.fieldCount where unsafe passes(responseField: index, exchange) {
            Self.appendField(head, index, to: &assembly)
        }
        if !head.has(.date) { dateCache.append(to: &assembly, unixNanoseconds: unix(now)) }
        if let time = unsafe serviceTime(exchange) {
            assembly.append("X-Envoy-Upstream-Service-Time: ")
            assembly.append(decimal: time)
            assembly.append("\r\n")
        }
        unsafe finishFields(exchange, from: fieldsStart)
        if chunks {
            assembly.append("Transfer-Encoding: chunked\r\n")
        } else if let length = head.contentLength, head.statusCode != 204 {
            assembly.append("Content-Length: ")
            assembly.append(decimal: length)
            assembly.append("\r\n")
        } else if framing == .none, head.statusCode >= 200, head.statusCode != 204, head.statusCode != 304, unsafe !exchange.pointee.flags.contains(.isHEAD) {
            // An HTTP/2 response that ended with its head, which HTTP/1.1 must be told.
            assembly.append("Content-Length: 0\r\n")
        }
        if unsafe !exchange.pointee.flags.contains(.keepsAlive) {
            assembly.append("Connection: close\r\n")
        } else if isHTTP10 {
            assembly.append("Connection: keep-alive\r\n")
        }
        assembly.append("\r\n")
        unsafe exchange.pointee.record.responseHeaderBytes = UInt32(clamping: assembly.count - start)
    }

    private mutating func writeHTTP2ResponseHead(_ exchange: UnsafeMutablePointer<Exchange>, _ framing: BodyFraming) -> Bool {
        guard let session = unsafe downstreamSession(exchange) else { return true }
        fieldList.begin()
        fieldList.add(":status", decimal: UInt64(head.statusCode))
        for index in 0..<head.fieldCount where unsafe passes(responseField: index, exchange) {
            unsafe fieldList.add(head.name(at: index), head.value(at: index))
        }
        if !head.has(.date) { addDate() }
        if let time = unsafe serviceTime(exchange) { fieldList.add("x-envoy-upstream-service-time", decimal: time) }
        unsafe finishHTTP2Fields(exchange)
        if let length = head.contentLength, head.statusCode != 204 { fieldList.add("content-length", decimal: length) }
        unsafe exchange.pointee.record.responseHeaderBytes = UInt32(clamping: fieldList.byteCount)
        let stopsPeer = unsafe !exchange.pointee.flags.contains(.requestComplete)
        unsafe markDirty(downstream: exchange.pointee.downstream)
        return unsafe session.pointee.submitResponse(
            fieldList, stream: exchange.pointee.downstreamStream, hasBody: framing != .none, stopsPeer: stopsPeer)
    }

    /// As `finishFields`, for the section in `fieldList`.
    mutating func finishHTTP2Fields(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe addsResponseFields(exchange) else { return }
        unsafe forEachPolicyField(exchange) { worker, name, value in unsafe worker.fieldList.add(name, copying: value) }
        let edits = unsafe responseEdits(exchange)
        if edits.isActive {
            let tables = unsafe tables(exchange)
            unsafe fieldList.remove { unsafe tables.drops(edits, $0) }
        }
        unsafe forEachAddition(exchange, edits) { worker, name, value in unsafe worker.fieldList.add(name, copying: value) }
    }

    mutating func downstreamSession(_ exchange: UnsafeMutablePointer<Exchange>) -> UnsafeMutablePointer<HTTP2Session>? {
        guard let connection = unsafe downstreams.pointer(exchange.pointee.downstream), unsafe !connection.pointee.isClosed else { return nil }
        return unsafe connection.pointee.session
    }

    /// Whether a field of the upstream's response goes to the client, as far as the configuration lets it.
    mutating func passes(responseField index: Int, _ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let name = unsafe head.field(index).name
        // What a CORS policy says replaces what the application says; of what it does not say, the application's stays.
        if unsafe exchange.pointee.flags.contains(.allowsOrigin), unsafe isSaidByCORS(head.name(at: index), exchange) { return false }
        switch name {
        case .other: return unsafe !(head.connection.contains(.namesOthers) && isNamedByConnection(head.name(at: index)))
        case .contentLength, .upstreamServiceTime: return false
        default: return !name.isHopByHop
        }
    }

    mutating func responseEdits(_ exchange: UnsafeMutablePointer<Exchange>) -> HeaderEdits {
        guard unsafe exchange.pointee.flags.contains(.editsResponse) else { return HeaderEdits() }
        return unsafe tables(exchange).responseEdits(destination: exchange.pointee.destination)
    }

    mutating func isSaidByCORS(_ name: UnsafeRawBufferPointer, _ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        if unsafe ASCII.equal(name, ignoringCase: "access-control-allow-origin") { return true }
        let tables = unsafe tables(exchange)
        let cors = unsafe tables.actions(UInt32(exchange.pointee.route)).cors
        if unsafe ASCII.equal(name, ignoringCase: "access-control-allow-credentials") { return unsafe tables.saysCredentials(cors: cors) }
        return unsafe ASCII.equal(name, ignoringCase: "access-control-expose-headers") && tables.saysExposed(cors: cors)
    }

    /// Milliseconds that the upstream took to its first byte.
    private mutating func serviceTime(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt64? {
        let begin = unsafe exchange.pointee.record.times.upstreamReceiveBegin
        let sent = unsafe exchange.pointee.record.times.upstreamSendBegin
        guard begin != RequestTimes.absent, sent != RequestTimes.absent else { return nil }
        return begin > sent ? (begin - sent) / 1_000_000 : 0
    }

    mutating func captureResponseHeaders(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe needsRecord(exchange) else { return }
        for index in plan.responseHeaders.indices {
            unsafe plan.responseHeaders[index].withUnsafeBytes { name in
                unsafe exchange.pointee.append(text: head.value(named: name), upTo: limits.recordTextBytesMax)
            }
        }
    }

    /// Passes body bytes on.
    mutating func passBody(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer) {
        if unsafe exchange.pointee.flags.contains(.isShadow) { return }
        unsafe exchange.pointee.record.responseBodyBytes &+= UInt64(bytes.count)
        if unsafe exchange.pointee.isHTTP2Downstream {
            guard let session = unsafe downstreamSession(exchange) else { return }
            unsafe session.pointee.append(bytes, stream: exchange.pointee.downstreamStream)
            unsafe markDirty(downstream: exchange.pointee.downstream)
        } else if unsafe exchange.pointee.flags.contains(.chunksResponse) {
            unsafe Self.appendChunk(bytes, to: &assembly)
        } else if bytes.count >= 16 * 1024 {
            // Large pieces go out from where they are.
            unsafe sendAssembly(exchange.pointee.downstream)
            unsafe sendDownstream(exchange.pointee.downstream, bytes)
        } else {
            unsafe assembly.append(bytes)
        }
    }

    /// The body is complete. `trailers`: lines without the empty one at the end.
    mutating func endBody(_ exchange: UnsafeMutablePointer<Exchange>, trailers: UnsafeRawBufferPointer) {
        if unsafe exchange.pointee.isHTTP2Downstream {
            guard let session = unsafe downstreamSession(exchange) else { return }
            let stopsPeer = unsafe !exchange.pointee.flags.contains(.requestComplete)
            unsafe session.pointee.end(stream: exchange.pointee.downstreamStream, trailers: trailers, stopsPeer: stopsPeer)
            unsafe markDirty(downstream: exchange.pointee.downstream)
        } else if unsafe exchange.pointee.flags.contains(.chunksResponse) {
            assembly.append("0\r\n")
            unsafe assembly.append(trailers)
            assembly.append("\r\n")
        }
    }

    /// Bytes of the response that the client has not taken yet.
    mutating func downstreamWaiting(_ exchange: UnsafeMutablePointer<Exchange>) -> Int {
        guard let connection = unsafe downstreams.pointer(exchange.pointee.downstream) else { return 0 }
        guard let session = unsafe connection.pointee.session else {
            return unsafe connection.pointee.pipe.isNone ? connection.pointee.output.count : limits.outputHighWatermark
        }
        return unsafe session.pointee.waiting(stream: exchange.pointee.downstreamStream)
    }

    /// Lets the upstream go on if the client has room, and has it told when there is.
    mutating func resumeResponse(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let upstream = unsafe upstreams.pointer(exchange.pointee.upstream) else { return }
        if unsafe downstreamWaiting(exchange) >= limits.outputHighWatermark {
            if let session = unsafe downstreamSession(exchange) { unsafe session.pointee.watch(stream: exchange.pointee.downstreamStream) }
            unsafe upstream.pointee.isPaused = unsafe upstream.pointee.session == nil
            return
        }
        if let session = unsafe upstream.pointee.session {
            if unsafe exchange.pointee.upstreamUnconsumed > 0 {
                unsafe session.pointee.consume(exchange.pointee.upstreamUnconsumed, stream: exchange.pointee.upstreamStream)
                unsafe exchange.pointee.upstreamUnconsumed = 0
                unsafe markDirty(upstream: exchange.pointee.upstream)
            }
        } else if unsafe upstream.pointee.isPaused {
            unsafe upstream.pointee.isPaused = false
            unsafe resumeUpstream.append(exchange.pointee.upstream)
        }
    }

    mutating func sendAssembly(_ downstream: SlotID) {
        guard !assembly.isEmpty else { return }
        unsafe sendDownstream(downstream, assembly.readable)
        assembly.clear(keeping: 256 * 1024)
    }
}
