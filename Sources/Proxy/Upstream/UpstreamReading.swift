internal import EventLoops
internal import HTTP
internal import OutlierDetection
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
                connectFailed(id, Socket.isRefusal(error) ? .connectionRefused : Socket.isTimeout(error) ? .connectionTimeout : .connectFailure(code: error))
                return
            }
            connected(id)
        } else if events.contains(.writable), unsafe !upstream.pointee.isFlushed {
            flushUpstream(id)
            markDirty(upstream: id)
        }
        if !events.isDisjoint(with: [.readHangUp, .hangUp, .error]) { unsafe upstream.pointee.sawHangUp = true }
        if !events.isDisjoint(with: [.readable, .readHangUp, .hangUp, .error]) {
            unsafe upstream.pointee.isReadable = true
            if unsafe upstream.pointee.isHTTP2 {
                readHTTP2Upstream(id)
                return
            }
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
        // Our end of a connection to a path has no name.
        if unsafe pools[upstream.pointee.pool].endpoint.family != .unix { unsafe upstream.pointee.local = Socket.localEndpoint(upstream.pointee.fd) }
        // An HTTP proxy must have connected further by then, too.
        let awaitsTunnel = unsafe exchanges.pointer(upstream.pointee.exchange)?.pointee.flags.contains(.awaitsTunnel) ?? false
        if !awaitsTunnel { setDeadline(ofUpstream: id, after: .max) }
        if let session = unsafe upstream.pointee.session {
            unsafe http2Connected(id, session)
            return
        }
        guard let exchange = unsafe exchanges.pointer(upstream.pointee.exchange) else { return }
        unsafe stopPending(exchange)
        if unsafe exchange.pointee.flags.contains(.isTCP) { unsafe judge(exchange, .connected) }
        let elapsed = unsafe now.nanoseconds(since: exchange.pointee.start)
        unsafe exchange.pointee.record.times.upstreamConnectEnd = elapsed
        unsafe exchange.pointee.record.times.upstreamSendBegin = elapsed
        unsafe exchange.pointee.record.upstreamLocal = upstream.pointee.local
        unsafe exchange.pointee.record.upstreamProtocol = .http11
        unsafe exchange.pointee.record.attemptCount &+= 1
        flushUpstream(id)
    }

    /// Requests that were given to this connection have waited in its session.
    private mutating func http2Connected(_ id: SlotID, _ session: UnsafeMutablePointer<HTTP2Session>) {
        guard let upstream = unsafe upstreams.pointer(id) else { return }
        tokenScratch.removeAll(keepingCapacity: true)
        unsafe session.pointee.tokens(into: &tokenScratch)
        for index in tokenScratch.indices {
            guard let exchange = unsafe exchanges.pointer(SlotID(token: tokenScratch[index])) else { continue }
            unsafe stopPending(exchange)
            let elapsed = unsafe now.nanoseconds(since: exchange.pointee.start)
            unsafe exchange.pointee.record.times.upstreamConnectEnd = elapsed
            unsafe exchange.pointee.record.times.upstreamSendBegin = elapsed
            unsafe exchange.pointee.record.upstreamLocal = upstream.pointee.local
            unsafe exchange.pointee.record.upstreamProtocol = .http2
        }
        markDirty(upstream: id)
    }

    /// The connection could not be established, or not in time.
    mutating func connectFailed(_ id: SlotID, _ failure: AttemptFailure) {
        guard let upstream = unsafe upstreams.pointer(id) else { return }
        if unsafe upstream.pointee.isHTTP2 {
            http2UpstreamEnded(id, failure)
            return
        }
        let exchange = unsafe upstream.pointee.exchange
        abandonUpstream(id)
        if let waiting = unsafe exchanges.pointer(exchange) {
            unsafe waiting.pointee.upstream = .none
            unsafe waiting.pointee.record.attemptCount &+= 1
            attemptFailed(exchange, failure)
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
        if unsafe !upstream.pointee.pipe.isNone {
            switch unsafe flushPipe(&upstream.pointee.pipe, to: upstream.pointee.fd) {
            case .bytes: break
            case .wouldBlock: return
            case .endOfStream, .failed:
                upstreamEnded(id, wasClean: false)
                return
            }
        }
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
                if unsafe exchange.pointee.flags.contains(.upstreamEnded) {
                    unsafe closeTunnel(exchange)
                    return
                }
                unsafe Socket.shutdownWrite(upstream.pointee.fd)
            }
        }
        unsafe wakeDownstream(behind: upstream)
    }

    /// A slow upstream has taken enough: read its client again.
    private mutating func wakeDownstream(behind upstream: UnsafeMutablePointer<UpstreamConnection>) {
        if let exchange = unsafe exchanges.pointer(upstream.pointee.exchange), unsafe exchange.pointee.isHTTP2Downstream {
            unsafe allowMoreBody(exchange)
            return
        }
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
            if unsafe upstream.pointee.fullReads >= limits.spliceAfterReads {
                switch unsafe spliceResponse(id, upstream) {
                case .declined: break
                case .done: return
                case .unfinished:
                    resumeUpstream.append(id)
                    return
                }
                if unsafe upstream.pointee.state != .active { return }
            }
            let usesScratch = unsafe upstream.pointee.input.isEmpty
            let buffer =
                unsafe usesScratch
                ? scratch
                : UnsafeMutableRawBufferPointer(start: upstream.pointee.input.reserve(16 * 1024), count: upstream.pointee.input.spare)
            switch unsafe Socket.read(upstream.pointee.fd, into: buffer) {
            case .bytes(let count):
                if unsafe count < buffer.count && !upstream.pointee.sawHangUp { unsafe upstream.pointee.isReadable = false }
                unsafe upstream.pointee.fullReads = unsafe count < buffer.count ? 0 : min(upstream.pointee.fullReads + 1, limits.spliceAfterReads)
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
        unsafe touch(exchangeID, exchange)
        unsafe markFirstByte(exchange)
        assembly.clear(keeping: 256 * 1024)
        var offset = 0
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            if unsafe exchange.pointee.flags.contains(.awaitsTunnel) {
                guard let taken = unsafe takeTunnelAnswer(exchangeID, exchange, id, rest) else { return bytes.count }
                if taken == 0 { return offset }
                offset += taken
                continue
            }
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
                            guard unsafe switchesAsAsked(exchange) else {
                                upstreamBrokeProtocol(exchangeID)
                                return bytes.count
                            }
                            unsafe beginTunnel(exchange)
                            continue
                        }
                        if unsafe !takeInterim(exchangeID, exchange) { return bytes.count }
                        // The time of the first byte is the response's.
                        unsafe exchange.pointee.record.times.upstreamReceiveBegin = RequestTimes.absent
                        continue
                    }
                    unsafe markFirstByte(exchange)
                    let framing = unsafe BodyFraming.response(head, toHEAD: exchange.pointee.flags.contains(.isHEAD))
                    if !head.keepsAlive || framing == .untilClose {
                        // It will not be used again, and its end may already be here.
                        unsafe upstream.pointee.sawHangUp = true
                        unsafe upstream.pointee.isReadable = true
                    }
                    if unsafe !takeResponseHead(exchangeID, exchange, framing: framing) { return bytes.count }
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
        // The client may have gone while it was written to, and the exchange with it.
        if let still = unsafe exchanges.pointer(exchangeID), unsafe still.pointee.upstream == id { unsafe resumeResponse(still) }
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
                unsafe takeTrailers(exchange)
                unsafe keepResponseTrailers(exchange)
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

    // MARK: Ends

    private mutating func responseCompleted(_ id: SlotID, leftover: Int) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.record.times.upstreamReceiveEnd = now.nanoseconds(since: exchange.pointee.start)
        unsafe endBody(exchange, trailers: trailerScratch.readable)
        trailerScratch.clear()
        unsafe sendAssembly(exchange.pointee.downstream)
        // Bytes nobody asked for make the connection unfit for another request.
        let isReusable = unsafe leftover == 0 && exchange.pointee.flags.contains(.requestComplete)
        completeExchange(id, upstreamReusable: isReusable)
    }

    /// The upstream closed (`wasClean`) or failed.
    mutating func upstreamEnded(_ id: SlotID, wasClean: Bool) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        if unsafe upstream.pointee.isHTTP2 {
            http2UpstreamEnded(id)
            return
        }
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
        if wasClean, unsafe exchange.pointee.flags.contains(.responseStarted) && exchange.pointee.responseFraming == .untilClose {
            responseCompleted(exchangeID, leftover: 0)
            return
        }
        attemptFailed(exchangeID, .terminated)
    }

    mutating func upstreamBrokeProtocol(_ id: SlotID) {
        handle.statistics.add(handle.statistics.upstreamProtocolErrors)
        attemptFailed(id, .protocolError)
    }
}
