internal import EventLoops
internal import HTTP
internal import OutlierDetection
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Endpoints that speak HTTP/2 (by prior knowledge): one connection carries many requests; a pool lists those with streams to spare.
extension ProxyWorker {
    /// Opens a stream for the request on a connection of its pool, made if need be. Frames wait in the session until it is established.
    mutating func attachStream(_ id: SlotID, freshConnection: Bool) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let pool = unsafe exchange.pointee.pool
        retireAged(pool)
        var connectionID = freshConnection ? SlotID.none : pools[pool].firstIdle
        if let listed = unsafe upstreams.pointer(connectionID) {
            unsafe exchange.pointee.flags.insert(.onReusedConnection)
            if unsafe listed.pointee.state == .connecting { unsafe exchange.pointee.flags.remove(.onReusedConnection) }
        } else {
            unsafe exchange.pointee.flags.remove(.onReusedConnection)
            unsafe exchange.pointee.record.times.upstreamConnectBegin = now.nanoseconds(since: exchange.pointee.start)
            guard upstreamState.use({ $0.tryAcquire(.connections, cluster: pools[pool].settings.cluster, limit: pools[pool].settings.maxConnections) }) else {
                overflow(id)
                return
            }
            var failure = AttemptFailure.connectFailure(code: 0)
            guard let made = connect(pool, &failure) else {
                upstreamState.use { $0.release(.connections, cluster: pools[pool].settings.cluster) }
                connectRefused(id, failure)
                return
            }
            connectionID = made
            let version = pools[pool].settings.proxyProtocol
            if version > 0 { unsafe announceClient(exchange, to: made, version: version) }
        }
        guard let upstream = unsafe upstreams.pointer(connectionID), let session = unsafe upstream.pointee.session else { return }
        guard unsafe upstream.pointee.state == .active || startPending(exchange, pool) else {
            overflow(id)
            return
        }
        fieldList.begin()
        unsafe fieldList.add(requestHead: exchange.pointee.requestHead.readable, isHTTPS: false)
        let hasBody = unsafe exchange.pointee.requestFraming != .none
        guard let stream = unsafe session.pointee.submitRequest(fieldList, token: id.token, hasBody: hasBody) else {
            // It has just lost its last stream, or its numbers are used up.
            unlist(connectionID)
            if freshConnection { connectRefused(id, .connectFailure(code: 0)) } else { attachStream(id, freshConnection: true) }
            return
        }
        unsafe exchange.pointee.upstream = connectionID
        unsafe exchange.pointee.upstreamStream = stream
        unsafe exchange.pointee.upstreamUnconsumed = 0
        if !hasBody { unsafe exchange.pointee.flags.insert(.endSent) }
        unsafe upstream.pointee.requestsServed &+= 1
        let servedMax = pools[pool].settings.maxRequestsPerConnection
        let isSpent = unsafe servedMax > 0 && upstream.pointee.requestsServed >= servedMax || upstream.pointee.isAged(pools[pool].settings, now: now)
        if unsafe isSpent || session.pointee.spareStreams == 0 { unlist(connectionID) }
        if unsafe upstream.pointee.state == .active {
            let elapsed = unsafe now.nanoseconds(since: exchange.pointee.start)
            unsafe exchange.pointee.record.times.upstreamSendBegin = elapsed
            unsafe exchange.pointee.record.upstreamLocal = upstream.pointee.local
            unsafe exchange.pointee.record.upstreamProtocol = .http2
            if unsafe exchange.pointee.flags.contains(.requestComplete) { unsafe exchange.pointee.record.times.upstreamSendEnd = elapsed }
        }
        unsafe exchange.pointee.record.attemptCount &+= 1
        if unsafe upstream.pointee.state == .active { setDeadline(ofUpstream: connectionID, after: .max) }
        markDirty(upstream: connectionID)
    }

    /// Connections that are open for too long take no new request; the last response closes them.
    private mutating func retireAged(_ pool: Int) {
        guard pools[pool].settings.maxConnectionNanoseconds > 0 else { return }
        while let upstream = unsafe upstreams.pointer(pools[pool].firstIdle), unsafe upstream.pointee.isAged(pools[pool].settings, now: now) {
            let id = pools[pool].firstIdle
            unlist(id)
            if let session = unsafe upstream.pointee.session, unsafe session.pointee.openStreams == 0 { closeUpstream(id) }
        }
    }

    mutating func readHTTP2Upstream(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id) else { return }
        var reads = 0
        while unsafe upstream.pointee.isReadable && upstream.pointee.state == .active {
            if reads == limits.readsPerTurnMax {
                resumeUpstream.append(id)
                return
            }
            reads += 1
            switch unsafe Socket.read(upstream.pointee.fd, into: scratch) {
            case .bytes(let count):
                if unsafe count < scratch.count && !upstream.pointee.sawHangUp { unsafe upstream.pointee.isReadable = false }
                unsafe receiveHTTP2(upstream: id, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<count]))
            case .wouldBlock:
                unsafe upstream.pointee.isReadable = false
            case .endOfStream, .failed:
                unsafe upstream.pointee.isReadable = false
                http2UpstreamEnded(id)
            }
        }
    }

    private mutating func receiveHTTP2(upstream id: SlotID, _ bytes: UnsafeRawBufferPointer) {
        guard let upstream = unsafe upstreams.pointer(id), let session = unsafe upstream.pointee.session else { return }
        var offset = 0
        while offset < bytes.count, unsafe upstream.pointee.state == .active {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let (taken, outcome) = unsafe session.pointee.receive(rest, now: now)
            unsafe takeUpstreamEvents(id, session, rest)
            offset += taken
            if outcome != .fine {
                handle.statistics.add(handle.statistics.upstreamProtocolErrors)
                pumpUpstream(id, .protocolError)
                http2UpstreamEnded(id, .protocolError)
                return
            }
        }
        if let allowed = unsafe session.pointee.peerStreamsMax, unsafe upstream.pointee.state == .active { unsafe pools[upstream.pointee.pool].peerStreamsMax = allowed }
        markDirty(upstream: id)
    }

    private mutating func takeUpstreamEvents(_ id: SlotID, _ session: UnsafeMutablePointer<HTTP2Session>, _ bytes: UnsafeRawBufferPointer) {
        var index = 0
        while unsafe index < inbox.pointee.events.count {
            let event = unsafe inbox.pointee.events[index]
            index += 1
            if event.kind == .goAway {
                unlist(id)
                continue
            }
            let exchangeID = SlotID(token: event.token)
            guard let exchange = unsafe exchanges.pointer(exchangeID), unsafe exchange.pointee.upstream == id,
                unsafe exchange.pointee.upstreamStream == event.stream
            else {
                // The exchange has gone on without this stream.
                if event.kind == .data { unsafe session.pointee.consume(Int(event.count), stream: event.stream) }
                if event.kind == .closed { unsafe streamFreed(id, session) }
                continue
            }
            switch event.kind {
            case .head:
                let block = unsafe inbox.pointee.block(of: event)
                unsafe head.load(block, from: inbox.pointee)
                if block.isTooLarge {
                    // Whatever it is, its end is missing: the status of a call, or the fields that say what a response is.
                    upstreamBrokeProtocol(exchangeID)
                } else if block.isTrailers {
                    unsafe takeTrailers(exchange)
                    unsafe keepResponseTrailers(exchange)
                } else if block.status < 200 {
                    unsafe touch(exchangeID, exchange)
                    unsafe _ = takeInterim(exchangeID, exchange)
                } else {
                    assembly.clear(keeping: 256 * 1024)
                    unsafe touch(exchangeID, exchange)
                    unsafe markFirstByte(exchange)
                    trailerScratch.clear()
                    unsafe takeResponseHead(exchangeID, exchange, framing: http2Framing(exchange, endsStream: block.endsStream))
                }
            case .data:
                // A body without a head would be read as a response of its own making.
                guard unsafe exchange.pointee.flags.contains(.responseStarted) else {
                    attemptFailed(exchangeID, .protocolError)
                    continue
                }
                unsafe touch(exchangeID, exchange)
                let start = Int(event.start)
                unsafe exchange.pointee.upstreamUnconsumed += Int(event.count)
                assembly.clear(keeping: 256 * 1024)
                unsafe passBody(exchange, UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(event.count)]))
                unsafe sendAssembly(exchange.pointee.downstream)
                // The client may have gone while it was written to.
                if let still = unsafe exchanges.pointer(exchangeID), unsafe still.pointee.upstream == id { unsafe resumeResponse(still) }
            case .end:
                guard unsafe exchange.pointee.flags.contains(.responseStarted) else {
                    attemptFailed(exchangeID, .protocolError)
                    continue
                }
                unsafe exchange.pointee.flags.insert(.upstreamEnded)
                unsafe exchange.pointee.record.times.upstreamReceiveEnd = now.nanoseconds(since: exchange.pointee.start)
                assembly.clear(keeping: 256 * 1024)
                unsafe endBody(exchange, trailers: trailerScratch.readable)
                trailerScratch.clear()
                unsafe sendAssembly(exchange.pointee.downstream)
                completeExchange(exchangeID, upstreamReusable: true)
            case .closed:
                unsafe exchange.pointee.upstream = .none
                unsafe exchange.pointee.upstreamStream = 0
                unsafe exchange.pointee.upstreamUnconsumed = 0
                unsafe streamFreed(id, session)
                // What nobody asked us to end broke the rules (RFC 9113 8.1.1).
                attemptFailed(exchangeID, event.code == HTTP2ErrorCode.refusedStream ? .refusedStream : event.isRemote ? .remoteReset : .protocolError)
            case .goAway: break
            }
        }
        unsafe inbox.pointee.clear()
    }

    /// How the body of the response in `head` is framed: its end comes as an event; a length is known or not.
    private mutating func http2Framing(_ exchange: UnsafeMutablePointer<Exchange>, endsStream: Bool) -> BodyFraming {
        if unsafe endsStream || exchange.pointee.flags.contains(.isHEAD) || head.statusCode == 204 || head.statusCode == 304 { return .none }
        if let length = head.contentLength { return .length(length) }
        return .chunked
    }

    /// A stream more may be opened on this connection; or it has nothing left to do.
    private mutating func streamFreed(_ id: SlotID, _ session: UnsafeMutablePointer<HTTP2Session>) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed else { return }
        let pool = unsafe upstream.pointee.pool
        let servedMax = pools[pool].settings.maxRequestsPerConnection
        let isSpent = unsafe servedMax > 0 && upstream.pointee.requestsServed >= servedMax || upstream.pointee.isAged(pools[pool].settings, now: now)
        let isCurrent = pools[pool].generation == configuration.routing.generation
        if unsafe !isSpent && isCurrent && !isDraining && session.pointee.spareStreams > 0 {
            list(id)
        } else if unsafe session.pointee.openStreams == 0 {
            closeUpstream(id)
            return
        }
        if unsafe session.pointee.openStreams == 0 {
            unsafe setIdleDeadline(ofUpstream: id, upstream)
        }
    }

    /// The connection is gone, or did not come about: every request on it fails.
    mutating func http2UpstreamEnded(_ id: SlotID, _ failure: AttemptFailure = .terminated) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.state != .closed, let session = unsafe upstream.pointee.session else { return }
        // We said GOAWAY for what the upstream sent.
        let failure = unsafe failure == .terminated && session.pointee.sentErrorCode != 0 ? .protocolError : failure
        tokenScratch.removeAll(keepingCapacity: true)
        unsafe session.pointee.tokens(into: &tokenScratch)
        let tokens = tokenScratch
        closeUpstream(id)
        for token in tokens {
            let exchangeID = SlotID(token: token)
            guard let exchange = unsafe exchanges.pointer(exchangeID), unsafe exchange.pointee.upstream == id else { continue }
            unsafe exchange.pointee.upstream = .none
            unsafe exchange.pointee.upstreamStream = 0
            unsafe exchange.pointee.upstreamUnconsumed = 0
            attemptFailed(exchangeID, failure)
        }
    }

    /// Sends what waits. `failure`: what becomes of the requests should this be the connection's end.
    mutating func pumpUpstream(_ id: SlotID, _ failure: AttemptFailure = .terminated) {
        guard let upstream = unsafe upstreams.pointer(id), let session = unsafe upstream.pointee.session else { return }
        unsafe upstream.pointee.isDirty = false
        guard unsafe upstream.pointee.state == .active else { return }
        for _ in 0..<8 {
            let outcome = unsafe session.pointee.fill(&upstream.pointee.output, bytesMax: limits.outputHighWatermark)
            unsafe takeUpstreamEvents(id, session, UnsafeRawBufferPointer(start: nil, count: 0))
            takeDrained()
            guard unsafe upstream.pointee.state == .active else { return }
            if outcome != .fine {
                http2UpstreamEnded(id, failure)
                return
            }
            if unsafe upstream.pointee.output.isEmpty { break }
            flushUpstream(id)
            if unsafe upstream.pointee.state != .active || !upstream.pointee.output.isEmpty { return }
        }
        if unsafe session.pointee.wantsWrite { markDirty(upstream: id) } else if unsafe session.pointee.isFinished { http2UpstreamEnded(id, failure) }
    }

    // MARK: The pool's list

    mutating func list(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe !upstream.pointee.isListed else { return }
        let pool = unsafe upstream.pointee.pool
        unsafe upstream.pointee.isListed = true
        let first = pools[pool].firstIdle
        unsafe upstream.pointee.nextIdle = first
        unsafe upstream.pointee.previousIdle = .none
        if let neighbour = unsafe upstreams.pointer(first) { unsafe neighbour.pointee.previousIdle = id }
        pools[pool].firstIdle = id
        pools[pool].idleCount += 1
    }

    mutating func unlist(_ id: SlotID) {
        guard let upstream = unsafe upstreams.pointer(id), unsafe upstream.pointee.isListed else { return }
        let pool = unsafe upstream.pointee.pool
        let next = unsafe upstream.pointee.nextIdle
        let previous = unsafe upstream.pointee.previousIdle
        if let neighbour = unsafe upstreams.pointer(previous) {
            unsafe neighbour.pointee.nextIdle = next
        } else {
            pools[pool].firstIdle = next
        }
        if let neighbour = unsafe upstreams.pointer(next) { unsafe neighbour.pointee.previousIdle = previous }
        unsafe upstream.pointee.nextIdle = .none
        unsafe upstream.pointee.previousIdle = .none
        unsafe upstream.pointee.isListed = false
        pools[pool].idleCount -= 1
    }
}
