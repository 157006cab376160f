internal import EventLoops
internal import HTTP
internal import Primitives
internal import Synchronization
internal import TelemetryModel

/// Clients that speak HTTP/2: their connections' beginning, what they send, and their end. Each request is an exchange whose stream the session knows by token.
extension ProxyWorker {
    /// How a connection that may begin with the client preface (RFC 9113 3.4) begins.
    enum Preface {
        case absent, incomplete, present
    }

    static func preface(_ bytes: UnsafeRawBufferPointer) -> Preface {
        let text: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        let count = min(bytes.count, text.utf8CodeUnitCount)
        for index in 0..<count where unsafe bytes[index] != text.utf8Start[index] { return .absent }
        return count == text.utf8CodeUnitCount ? .present : .incomplete
    }

    /// The client has sent the preface: from here on the connection is HTTP/2. The preface itself is the session's to check.
    mutating func beginHTTP2(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        let session = UnsafeMutablePointer<HTTP2Session>.allocate(capacity: 1)
        unsafe session.initialize(to: HTTP2Session(.server, inbox: inbox, limits: limits.http, now: now))
        unsafe connection.pointee.session = session
        handle.statistics.add(handle.statistics.http2Connections)
        setDeadline(ofDownstream: id, .idle, after: limits.idleTimeoutNanoseconds)
    }

    mutating func readHTTP2Downstream(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        var reads = 0
        while unsafe connection.pointee.isReadable && !connection.pointee.isClosed && !connection.pointee.closesAfterFlush {
            // A peer that does not read what it asked for is not asked for more; one that has closed as well is gone, whatever it sent
            // before.
            if unsafe connection.pointee.output.count >= limits.outputHighWatermark {
                if unsafe connection.pointee.sawHangUp { abandonDownstream(id) }
                return
            }
            if reads == limits.http2ReadsPerTurnMax {
                resumeLater(downstream: id)
                return
            }
            reads += 1
            switch unsafe Socket.read(connection.pointee.fd, into: scratch) {
            case .bytes(let count):
                if unsafe count < scratch.count && !connection.pointee.sawHangUp { unsafe connection.pointee.isReadable = false }
                unsafe receiveHTTP2(downstream: id, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<count]))
            case .wouldBlock:
                unsafe connection.pointee.isReadable = false
            case .endOfStream, .failed:
                unsafe connection.pointee.isReadable = false
                abandonDownstream(id)
            }
        }
    }

    /// Feeds the session and acts on what it tells.
    mutating func receiveHTTP2(downstream id: SlotID, _ bytes: UnsafeRawBufferPointer) {
        guard let connection = unsafe downstreams.pointer(id), let session = unsafe connection.pointee.session else { return }
        var offset = 0
        while offset < bytes.count, unsafe !connection.pointee.isClosed {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let (taken, outcome) = unsafe session.pointee.receive(rest, now: now)
            // Resets that these bytes have earned go out first: a request that broke a rule in the same breath is then gone before it was begun (CVE-2025-8671).
            if unsafe session.pointee.wantsWrite && connection.pointee.output.count < limits.outputHighWatermark {
                unsafe _ = session.pointee.fill(&connection.pointee.output, bytesMax: limits.outputHighWatermark)
            }
            unsafe takeDownstreamEvents(id, session, rest, begins: outcome == .fine)
            offset += taken
            if case .ended(let flooded) = outcome {
                if flooded { handle.statistics.add(handle.statistics.http2Floods) }
                unsafe connection.pointee.closesAfterFlush = true
                setDeadline(ofDownstream: id, .linger, after: limits.lingerNanoseconds)
                break
            }
        }
        markDirty(downstream: id)
    }

    /// `begins`: false on a connection that is about to end, whose new requests nobody would be answered.
    private mutating func takeDownstreamEvents(
        _ id: SlotID, _ session: UnsafeMutablePointer<HTTP2Session>, _ bytes: UnsafeRawBufferPointer, begins: Bool = true
    ) {
        var index = 0
        while unsafe index < inbox.pointee.events.count {
            let event = unsafe inbox.pointee.events[index]
            index += 1
            guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { break }
            // A request's later events may have come in before it had its exchange.
            let token = unsafe event.token != 0 ? event.token : session.pointee.token(stream: event.stream)
            switch event.kind {
            case .head:
                let block = unsafe inbox.pointee.block(of: event)
                if block.isRequest {
                    if begins { unsafe beginHTTP2Exchange(id, session, event.stream, block) }
                } else if let exchange = unsafe exchanges.pointer(SlotID(token: token)) {
                    unsafe keepTrailers(SlotID(token: token), exchange, block)
                }
            case .data:
                let start = Int(event.start)
                let piece = unsafe UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(event.count)])
                unsafe receiveBody(SlotID(token: token), session, event.stream, piece)
            case .end: requestEnded(SlotID(token: token))
            case .closed: streamClosed(SlotID(token: token), code: event.code)
            case .goAway: break
            }
        }
        unsafe inbox.pointee.clear()
    }

    private mutating func beginHTTP2Exchange(_ id: SlotID, _ session: UnsafeMutablePointer<HTTP2Session>, _ stream: Int32, _ block: HTTP2Block) {
        // Reset in the same breath (CVE-2023-44487): nothing was begun, so nothing need be undone.
        guard unsafe session.pointee.isOpen(stream: stream) else {
            handle.statistics.add(handle.statistics.http2EarlyResets)
            return
        }
        unsafe head.load(block, from: inbox.pointee)
        beginExchange(id, stream: stream, endsStream: block.endsStream, isTooLarge: block.isTooLarge, hasMore: !block.endsStream)
    }

    private mutating func keepTrailers(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ block: HTTP2Block) {
        if block.isTooLarge {
            refuseBody(id, 431, "trailer section too large")
            return
        }
        unsafe head.load(block, from: inbox.pointee)
        unsafe keepRequestTrailers(exchange)
    }

    private mutating func receiveBody(
        _ id: SlotID, _ session: UnsafeMutablePointer<HTTP2Session>, _ stream: Int32, _ bytes: UnsafeRawBufferPointer
    ) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe !exchange.pointee.flags.contains(.dropsBody) else {
            unsafe session.pointee.consume(bytes.count, stream: stream)
            return
        }
        unsafe touch(id, exchange)
        unsafe exchange.pointee.record.requestBodyBytes &+= UInt64(bytes.count)
        unsafe exchange.pointee.downstreamUnconsumed += bytes.count
        unsafe sendBody(id, exchange, bytes)
        unsafe allowMoreBody(exchange)
    }

    /// Lets an HTTP/2 client send as many bytes again as have found a place.
    mutating func allowMoreBody(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard unsafe exchange.pointee.downstreamUnconsumed > 0, let connection = unsafe downstreams.pointer(exchange.pointee.downstream),
            let session = unsafe connection.pointee.session
        else { return }
        // Without an attempt the bytes rest with us, and the window bounds them.
        let drops = unsafe exchange.pointee.flags.contains(.dropsBody)
        guard unsafe drops || (!exchange.pointee.upstream.isNone && upstreamWaiting(exchange) < limits.outputHighWatermark) else {
            unsafe watchUpstream(exchange)
            return
        }
        unsafe session.pointee.consume(exchange.pointee.downstreamUnconsumed, stream: exchange.pointee.downstreamStream)
        unsafe exchange.pointee.downstreamUnconsumed = 0
        unsafe markDirty(downstream: exchange.pointee.downstream)
    }

    /// The client's half of a stream is complete.
    private mutating func requestEnded(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe !exchange.pointee.flags.contains(.requestComplete) else { return }
        requestCompleted(id)
        unsafe sendEnd(exchange)
    }

    /// The client took its request back, or its stream broke a rule.
    private mutating func streamClosed(_ id: SlotID, code: UInt32) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.record.flags.insert(.downstreamRemoteReset)
        unsafe exchange.pointee.record.details = code == HTTP2ErrorCode.protocolError ? .http2ProtocolError : .http2RemoteReset
        unsafe abandonAttempt(id, exchange)
        unsafe exchange.pointee.downstreamUnconsumed = 0
        finish(id)
    }

    /// The connection is gone, and with it every request on it.
    mutating func abandonStreams(_ session: UnsafeMutablePointer<HTTP2Session>) {
        tokenScratch.removeAll(keepingCapacity: true)
        unsafe session.pointee.tokens(into: &tokenScratch)
        var index = 0
        while index < tokenScratch.count {
            let id = SlotID(token: tokenScratch[index])
            index += 1
            guard let exchange = unsafe exchanges.pointer(id) else { continue }
            unsafe exchange.pointee.record.flags.insert(.downstreamConnectionTermination)
            unsafe exchange.pointee.record.details = .downstreamRemoteDisconnect
            unsafe abandonAttempt(id, exchange)
            finish(id)
        }
    }

    /// The proxy goes away: no further stream, and the end after the last one.
    mutating func drainHTTP2(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), let session = unsafe connection.pointee.session else { return }
        unsafe session.pointee.goAway()
        markDirty(downstream: id)
    }

    // MARK: The end of a turn

    mutating func markDirty(downstream id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe connection.pointee.isHTTP2 && !connection.pointee.isDirty else { return }
        unsafe connection.pointee.isDirty = true
        dirtyDownstream.append(id)
    }

    mutating func markDirty(upstream id: SlotID) {
        guard let connection = unsafe upstreams.pointer(id), unsafe connection.pointee.isHTTP2 && !connection.pointee.isDirty else { return }
        unsafe connection.pointee.isDirty = true
        dirtyUpstream.append(id)
    }

    /// Sends what the sessions have to send, each with as few writes as possible.
    mutating func flushSessions() {
        // Window updates go back and forth a few times at most; what is left waits for the next turn.
        for _ in 0..<4 where !dirtyDownstream.isEmpty || !dirtyUpstream.isEmpty {
            swap(&dirtyUpstream, &pumpedUpstream)
            for index in pumpedUpstream.indices { pumpUpstream(pumpedUpstream[index]) }
            pumpedUpstream.removeAll(keepingCapacity: true)
            swap(&dirtyDownstream, &pumpedDownstream)
            for index in pumpedDownstream.indices { pumpDownstream(pumpedDownstream[index]) }
            pumpedDownstream.removeAll(keepingCapacity: true)
        }
    }

    mutating func pumpDownstream(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), let session = unsafe connection.pointee.session else { return }
        unsafe connection.pointee.isDirty = false
        if unsafe connection.pointee.isClosed || connection.pointee.isLingering { return }
        for _ in 0..<8 {
            let outcome = unsafe session.pointee.fill(&connection.pointee.output, bytesMax: limits.outputHighWatermark)
            unsafe takeDownstreamEvents(id, session, UnsafeRawBufferPointer(start: nil, count: 0))
            takeDrained()
            if unsafe connection.pointee.isClosed { return }
            if outcome != .fine { unsafe connection.pointee.closesAfterFlush = true }
            if unsafe connection.pointee.output.isEmpty { break }
            flushDownstream(id)
            if unsafe connection.pointee.isClosed || !connection.pointee.output.isEmpty { return }
        }
        if unsafe session.pointee.wantsWrite {
            markDirty(downstream: id)
            return
        }
        let isIdle = unsafe session.pointee.openStreams == 0
        if unsafe session.pointee.isFinished || connection.pointee.closesAfterFlush || (isDraining && isIdle && idleDeadline == .distantFuture) {
            if unsafe session.pointee.sentErrorCode != 0 { handle.statistics.add(handle.statistics.protocolErrors) }
            unsafe abandonStreams(session)
            lingerOrClose(id)
        } else if isIdle, unsafe connection.pointee.deadlineMeaning != .idle {
            setDeadline(ofDownstream: id, .idle, after: limits.idleTimeoutNanoseconds)
        }
    }

    /// Sources whose output has drained go on.
    mutating func takeDrained() {
        var index = 0
        while unsafe index < inbox.pointee.drained.count {
            let id = SlotID(token: unsafe inbox.pointee.drained[index])
            index += 1
            guard let exchange = unsafe exchanges.pointer(id) else { continue }
            unsafe allowMoreBody(exchange)
            unsafe resumeResponse(exchange)
            if unsafe !exchange.pointee.isHTTP2Downstream, unsafe upstreamWaiting(exchange) <= limits.outputLowWatermark {
                unsafe resumeLater(downstream: exchange.pointee.downstream)
            }
        }
        unsafe inbox.pointee.clearDrained()
    }
}
