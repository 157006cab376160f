internal import EventLoops
internal import HTTP
internal import Primitives
internal import TelemetryModel

/// What upstreams send: connection established, response heads and bodies, the end.
extension ProxyWorker {
    mutating func upstreamReady(_ id: SlotID, _ events: ReadyEvents) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        if unsafe upstream.pointee.state == .connecting {
            if events.isDisjoint(with: [.writable, .error, .hangUp]) { return }
            let error = unsafe Socket.pendingError(upstream.pointee.fd)
            guard error == 0, !events.contains(.error) else {
                connectFailed(id)
                return
            }
            connected(id)
        } else if events.contains(.writable), unsafe !upstream.pointee.output.isEmpty {
            flushUpstream(id)
        }
        if !events.isDisjoint(with: [.readHangUp, .hangUp, .error]) { unsafe upstream.pointee.sawHangUp = true }
        if !events.isDisjoint(with: [.readable, .readHangUp, .hangUp, .error]) {
            unsafe upstream.pointee.isReadable = true
            if unsafe upstream.pointee.state == .idle {
                // An idle connection has nothing to say: it ended, or it breaks the protocol.
                closeUpstream(id)
                return
            }
            readUpstream(id)
        }
    }

    private mutating func connected(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id) else { return }
        unsafe upstream.pointee.state = .active
        unsafe upstream.pointee.local = Socket.localEndpoint(upstream.pointee.fd)
        setDeadline(ofUpstream: id, after: .max)
        guard let exchange = unsafe exchanges.pointer(upstream.pointee.exchange) else { return }
        let elapsed = unsafe now.nanoseconds(since: exchange.pointee.start)
        unsafe exchange.pointee.record.times.upstreamConnectEnd = elapsed
        unsafe exchange.pointee.record.times.upstreamSendBegin = elapsed
        unsafe exchange.pointee.record.upstreamLocal = upstream.pointee.local
        unsafe exchange.pointee.record.attemptCount &+= 1
        flushUpstream(id)
    }

    private mutating func connectFailed(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id) else { return }
        let exchange = unsafe upstream.pointee.exchange
        abandonUpstream(id)
        if let waiting = unsafe exchanges.pointer(exchange) {
            unsafe waiting.pointee.upstream = .none
            unsafe waiting.pointee.record.attemptCount &+= 1
            failConnect(exchange)
        }
    }

    // MARK: Writing

    mutating func sendUpstream(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        var offset = 0
        if unsafe upstream.pointee.output.isEmpty && upstream.pointee.state == .active {
            switch unsafe Socket.write(upstream.pointee.fd, bytes) {
            case .bytes(let count): offset = count
            case .wouldBlock: break
            case .endOfStream, .failed:
                upstreamEnded(id, wasClean: false)
                return
            }
        }
        if offset < bytes.count {
            unsafe upstream.pointee.output.append(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
            if unsafe upstream.pointee.state == .active && offset == 0 { flushUpstream(id) }
        }
    }

    mutating func flushUpstream(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state == .active else { return }
        while unsafe !upstream.pointee.output.isEmpty {
            switch unsafe Socket.write(upstream.pointee.fd, upstream.pointee.output.readable) {
            case .bytes(let count): unsafe upstream.pointee.output.consume(count)
            case .wouldBlock:
                unsafe wakeDownstream(behind: upstream)
                return
            case .endOfStream, .failed:
                upstreamEnded(id, wasClean: false)
                return
            }
        }
        unsafe upstream.pointee.output.clear(keeping: 4096)
        if let exchange = unsafe exchanges.pointer(upstream.pointee.exchange) {
            if unsafe exchange.pointee.flags.contains(.requestComplete) {
                unsafe exchange.pointee.record.times.upstreamSendEnd = now.nanoseconds(since: exchange.pointee.start)
            }
            if unsafe exchange.pointee.flags.contains(.isTunnel) && exchange.pointee.flags.contains(.downstreamEnded) {
                unsafe Socket.shutdownWrite(upstream.pointee.fd)
            }
        }
        unsafe wakeDownstream(behind: upstream)
    }

    /// A slow upstream has taken enough: read its client again.
    private mutating func wakeDownstream(behind upstream: UnsafeMutablePointer<UpstreamConnection>) {
        guard unsafe upstream.pointee.output.count <= limits.outputLowWatermark,
            let exchange = unsafe exchanges.pointer(upstream.pointee.exchange),
            let downstream = unsafe downstreams.pointer(exchange.pointee.downstream), unsafe downstream.pointee.isReadable || !downstream.pointee.input.isEmpty
        else { return }
        unsafe resumeLater(downstream: exchange.pointee.downstream)
    }

    // MARK: Reading

    mutating func readUpstream(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id) else { return }
        var reads = 0
        while unsafe upstream.pointee.isReadable && !upstream.pointee.isPaused && upstream.pointee.state == .active {
            if reads == limits.readsPerTurnMax {
                resumeUpstream.append(id)
                return
            }
            reads += 1
            let usesScratch = unsafe upstream.pointee.input.isEmpty
            let buffer =
                unsafe usesScratch
                ? scratch
                : UnsafeMutableRawBufferPointer(start: upstream.pointee.input.reserve(16 * 1024), count: upstream.pointee.input.spare)
            switch unsafe Socket.read(upstream.pointee.fd, into: buffer) {
            case .bytes(let count):
                if unsafe count < buffer.count && !upstream.pointee.sawHangUp { unsafe upstream.pointee.isReadable = false }
                let consumed: Int
                if usesScratch {
                    let bytes = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
                    consumed = unsafe processResponse(id, bytes)
                    if unsafe upstream.pointee.state == .active && consumed < count {
                        unsafe upstream.pointee.input.append(UnsafeRawBufferPointer(rebasing: bytes[consumed...]))
                    }
                } else {
                    unsafe upstream.pointee.input.commit(count)
                    consumed = unsafe processResponse(id, upstream.pointee.input.readable)
                    if unsafe upstream.pointee.state != .closed {
                        unsafe upstream.pointee.input.consume(consumed)
                        if unsafe upstream.pointee.input.isEmpty { unsafe upstream.pointee.input.release() }
                    }
                }
            case .wouldBlock:
                unsafe upstream.pointee.isReadable = false
            case .endOfStream:
                unsafe upstream.pointee.isReadable = false
                unsafe upstream.pointee.sawHangUp = true
                upstreamEnded(id, wasClean: true)
            case .failed:
                upstreamEnded(id, wasClean: false)
            }
        }
    }

    /// Consumes response bytes and passes them on with as few writes as possible. Returns how many were consumed.
    private mutating func processResponse(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let upstream = unsafe upstreams.pointer(id) else { return bytes.count }
        let exchangeID = unsafe upstream.pointee.exchange
        guard let exchange = unsafe exchanges.pointer(exchangeID) else {
            closeUpstream(id)
            return bytes.count
        }
        let downstream = unsafe exchange.pointee.downstream
        setDeadline(ofDownstream: downstream, .stream, after: limits.streamIdleTimeoutNanoseconds)
        if unsafe exchange.pointee.record.times.upstreamReceiveBegin == RequestTimes.absent {
            unsafe exchange.pointee.record.times.upstreamReceiveBegin = now.nanoseconds(since: exchange.pointee.start)
        }
        assembly.clear(keeping: 256 * 1024)
        var offset = 0
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            if unsafe exchange.pointee.flags.contains(.isTunnel) {
                unsafe exchange.pointee.record.responseBodyBytes &+= UInt64(rest.count)
                unsafe assembly.append(rest)
                offset = bytes.count
                break
            }
            if unsafe !exchange.pointee.flags.contains(.responseStarted) {
                switch unsafe HeadParser.parseResponse(rest, scan: &upstream.pointee.scan, limits: limits.http, into: &head) {
                case .incomplete:
                    return offset
                case .failed:
                    upstreamBrokeProtocol(exchangeID)
                    return bytes.count
                case .complete:
                    unsafe upstream.pointee.scan = HeadScan()
                    offset += head.byteCount
                    if head.statusCode < 200 {
                        if head.statusCode == 101 {
                            guard unsafe exchange.pointee.flags.contains(.wantsUpgrade) else {
                                upstreamBrokeProtocol(exchangeID)
                                return bytes.count
                            }
                            unsafe beginTunnel(exchange)
                        }
                        // Any other interim response was for us: 100 was already answered, and 1xx may be dropped (RFC 9110 15.2).
                        continue
                    }
                    unsafe writeResponseHead(exchange)
                    if unsafe exchange.pointee.responseFraming == .none {
                        responseCompleted(exchangeID, leftover: bytes.count - offset)
                        return bytes.count
                    }
                    continue
                }
            }
            let used = unsafe takeBody(exchangeID, exchange, rest)
            if used < 0 { return bytes.count }
            offset += used
            if unsafe exchange.pointee.flags.contains(.upstreamEnded) {
                responseCompleted(exchangeID, leftover: bytes.count - offset)
                return bytes.count
            }
            if used == 0 { break }
        }
        sendAssembly(downstream)
        unsafe pauseIfSlow(upstream, downstream)
        return offset
    }

    /// Takes body bytes into `assembly`. `upstreamEnded` is set when the body is complete; -1 means that the exchange was given up.
    private mutating func takeBody(
        _ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer
    ) -> Int {
        switch unsafe exchange.pointee.responseFraming {
        case .length:
            let count = Int(min(UInt64(bytes.count), unsafe exchange.pointee.responseRemaining))
            unsafe exchange.pointee.responseRemaining -= UInt64(count)
            unsafe passBody(exchange, UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            if unsafe exchange.pointee.responseRemaining == 0 { unsafe exchange.pointee.flags.insert(.upstreamEnded) }
            return count
        case .untilClose:
            unsafe passBody(exchange, bytes)
            return bytes.count
        case .none:
            unsafe exchange.pointee.flags.insert(.upstreamEnded)
            return 0
        case .chunked:
            break
        }
        if unsafe exchange.pointee.flags.contains(.responseInTrailers) {
            switch unsafe HeadParser.parseTrailers(bytes, scan: &exchange.pointee.trailerScan, limits: limits.http, into: &head) {
            case .incomplete: return 0
            case .failed:
                upstreamBrokeProtocol(id)
                return -1
            case .complete:
                if unsafe exchange.pointee.flags.contains(.chunksResponse) {
                    assembly.append("0\r\n")
                    Self.appendTrailers(head, to: &assembly)
                }
                unsafe exchange.pointee.flags.insert(.upstreamEnded)
                return head.byteCount
            }
        }
        let (consumed, event) = unsafe exchange.pointee.responseDecoder.next(bytes, limits: limits.http)
        switch event {
        case .needMore: return consumed
        case .data(let count):
            unsafe passBody(exchange, UnsafeRawBufferPointer(rebasing: bytes[consumed..<consumed + count]))
            return consumed + count
        case .trailers:
            unsafe exchange.pointee.flags.insert(.responseInTrailers)
            unsafe exchange.pointee.trailerScan = HeadScan()
            // The empty line may be all there is, and may already be here.
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[consumed...])
            if rest.count == 0 { return consumed }
            let more = unsafe takeBody(id, exchange, rest)
            return more < 0 ? -1 : consumed + more
        case .malformed:
            upstreamBrokeProtocol(id)
            return -1
        }
    }

    private mutating func passBody(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer) {
        unsafe exchange.pointee.record.responseBodyBytes &+= UInt64(bytes.count)
        if unsafe exchange.pointee.flags.contains(.chunksResponse) {
            unsafe Self.appendChunk(bytes, to: &assembly)
        } else if bytes.count >= 16 * 1024 {
            // Large pieces go out from where they are.
            unsafe sendAssembly(exchange.pointee.downstream)
            unsafe sendDownstream(exchange.pointee.downstream, bytes)
        } else {
            unsafe assembly.append(bytes)
        }
    }

    mutating func sendAssembly(_ downstream: SlotID) {
        guard !assembly.isEmpty else { return }
        unsafe sendDownstream(downstream, assembly.readable)
        assembly.clear(keeping: 256 * 1024)
    }

    private mutating func pauseIfSlow(_ upstream: UnsafeMutablePointer<UpstreamConnection>, _ downstream: SlotID) {
        guard let connection = unsafe downstreams.pointer(downstream) else { return }
        if unsafe connection.pointee.output.count >= limits.outputHighWatermark { unsafe upstream.pointee.isPaused = true }
    }

    // MARK: The response head

    private mutating func writeResponseHead(_ exchange: UnsafeMutablePointer<Exchange>) {
        let framing = unsafe BodyFraming.response(head, toHEAD: exchange.pointee.flags.contains(.isHEAD))
        unsafe exchange.pointee.responseFraming = framing
        if case .length(let count) = framing { unsafe exchange.pointee.responseRemaining = count }
        unsafe exchange.pointee.flags.insert(.responseStarted)
        // An upstream that will not keep its connection is not pooled; the client's own connection is another matter.
        let isHTTP10 = unsafe exchange.pointee.flags.contains(.isHTTP10)
        var chunks = false
        switch framing {
        case .chunked, .untilClose:
            if isHTTP10 { unsafe exchange.pointee.flags.remove(.keepsAlive) } else { chunks = true }
        case .none, .length: break
        }
        if chunks { unsafe exchange.pointee.flags.insert(.chunksResponse) }
        if unsafe !exchange.pointee.flags.contains(.requestComplete) || isDraining { unsafe exchange.pointee.flags.remove(.keepsAlive) }
        unsafe exchange.pointee.record.responseCode = head.statusCode
        unsafe exchange.pointee.record.details = .viaUpstream

        assembly.append("HTTP/1.1 ")
        assembly.append(decimal: UInt64(head.statusCode))
        assembly.append(byte: UInt8(ascii: " "))
        unsafe assembly.append(head.reason)
        assembly.append("\r\n")
        appendResponseFields()
        if !head.has(.date) { dateCache.append(to: &assembly, unixNanoseconds: unix(now)) }
        unsafe appendServiceTime(exchange)
        if chunks {
            assembly.append("Transfer-Encoding: chunked\r\n")
        } else if let length = head.contentLength, head.statusCode != 204 {
            assembly.append("Content-Length: ")
            assembly.append(decimal: length)
            assembly.append("\r\n")
        }
        if unsafe !exchange.pointee.flags.contains(.keepsAlive) {
            assembly.append("Connection: close\r\n")
        } else if isHTTP10 {
            assembly.append("Connection: keep-alive\r\n")
        }
        assembly.append("\r\n")
        unsafe exchange.pointee.record.responseHeaderBytes = UInt32(clamping: assembly.count)
        unsafe exchange.pointee.record.times.downstreamSendBegin = now.nanoseconds(since: exchange.pointee.start)
        unsafe captureResponseHeaders(exchange)
        if !head.keepsAlive || framing == .untilClose, let upstream = unsafe upstreams.pointer(exchange.pointee.upstream) {
            unsafe upstream.pointee.sawHangUp = true
            unsafe upstream.pointee.isReadable = true
        }
    }

    private mutating func appendResponseFields() {
        for index in 0..<head.fieldCount {
            let name = unsafe head.field(index).name
            switch name {
            case .other:
                if head.connection.contains(.namesOthers), unsafe isNamedByConnection(head.name(at: index)) { continue }
            case .contentLength, .upstreamServiceTime: continue
            default: if name.isHopByHop { continue }
            }
            Self.appendField(head, index, to: &assembly)
        }
    }

    private mutating func appendServiceTime(_ exchange: UnsafeMutablePointer<Exchange>) {
        let begin = unsafe exchange.pointee.record.times.upstreamReceiveBegin
        let sent = unsafe exchange.pointee.record.times.upstreamSendBegin
        guard begin != RequestTimes.absent, sent != RequestTimes.absent else { return }
        assembly.append("X-Envoy-Upstream-Service-Time: ")
        assembly.append(decimal: begin > sent ? (begin - sent) / 1_000_000 : 0)
        assembly.append("\r\n")
    }

    func captureResponseHeaders(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe needsRecord(exchange) else { return }
        for index in plan.responseHeaders.indices {
            unsafe plan.responseHeaders[index].withUnsafeBytes { name in
                unsafe exchange.pointee.append(text: head.value(named: name), limits: limits)
            }
        }
    }

    // MARK: Ends

    private mutating func responseCompleted(_ id: SlotID, leftover: Int) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.record.times.upstreamReceiveEnd = now.nanoseconds(since: exchange.pointee.start)
        unsafe sendAssembly(exchange.pointee.downstream)
        // Bytes nobody asked for make the connection unfit for another request.
        let isReusable = unsafe leftover == 0 && exchange.pointee.flags.contains(.requestComplete)
        completeExchange(id, upstreamReusable: isReusable)
    }

    /// The upstream closed (`wasClean`) or failed.
    mutating func upstreamEnded(_ id: SlotID, wasClean: Bool) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        let exchangeID = unsafe upstream.pointee.exchange
        guard let exchange = unsafe exchanges.pointer(exchangeID) else {
            closeUpstream(id)
            return
        }
        if unsafe exchange.pointee.flags.contains(.isTunnel) {
            if wasClean {
                unsafe tunnelEnded(fromDownstream: false, exchange)
            } else {
                unsafe closeTunnel(exchange)
            }
            return
        }
        if unsafe exchange.pointee.flags.contains(.responseStarted) {
            if wasClean, unsafe exchange.pointee.responseFraming == .untilClose {
                if unsafe exchange.pointee.flags.contains(.chunksResponse) { assembly.append("0\r\n\r\n") }
                responseCompleted(exchangeID, leftover: 0)
            } else {
                unsafe exchange.pointee.record.flags.insert(.upstreamConnectionTermination)
                unsafe exchange.pointee.record.details = .connectionTerminationAfterResponse
                cutResponse(exchangeID)
            }
            return
        }
        abandonUpstream(id)
        unsafe exchange.pointee.upstream = .none
        if unsafe canSendAgain(exchange) && !(upstream.pointee.input.count > 0) {
            handle.statistics.add(handle.statistics.staleRetries)
            unsafe exchange.pointee.flags.insert(.wasRetried)
            unsafe exchange.pointee.record.times.upstreamReceiveBegin = RequestTimes.absent
            attachUpstream(exchangeID, freshConnection: true, hasMore: false)
            return
        }
        reply(
            exchangeID, 503, .connectionTerminationBeforeResponse, [.upstreamConnectionTermination],
            body: "upstream connect error or disconnect/reset before headers. reset reason: connection termination", closes: false)
    }

    /// A kept connection may have been closed while our request was on its way. RFC 9110 9.2.2 lets a proxy send an idempotent request again
    /// then; once, on a new connection, and only if none of its body is gone.
    private func canSendAgain(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let flags = unsafe exchange.pointee.flags
        return flags.contains(.onReusedConnection) && flags.contains(.isIdempotent) && !flags.contains(.wasRetried)
            && !flags.contains(.bodyForwarded) && flags.contains(.requestComplete)
    }

    private mutating func upstreamBrokeProtocol(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        handle.statistics.add(handle.statistics.upstreamProtocolErrors)
        unsafe exchange.pointee.record.flags.insert(.upstreamProtocolError)
        if unsafe exchange.pointee.flags.contains(.responseStarted) {
            cutResponse(id)
        } else {
            reply(
                id, 502, .protocolErrorBeforeResponse, [.upstreamProtocolError],
                body: "upstream connect error or disconnect/reset before headers. reset reason: protocol error", closes: false)
        }
    }
}
