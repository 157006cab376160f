internal import EventLoops
internal import HTTP
internal import Primitives
internal import TelemetryModel

/// What clients send: heads, bodies, pipelined requests, the end of the stream.
extension ProxyWorker {
    mutating func downstreamReady(_ id: SlotID, _ events: ReadyEvents) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { return }
        if events.contains(.error) {
            // The connection was reset: nobody is left to answer.
            abandonDownstream(id)
            return
        }
        if events.contains(.writable), unsafe !connection.pointee.isFlushed { flushDownstream(id) }
        // A hang-up is both ends' word that they send no more; what the client had sent before may still wait here.
        if !events.isDisjoint(with: [.readable, .readHangUp, .hangUp]) {
            unsafe connection.pointee.isReadable = true
            if !events.isDisjoint(with: [.readHangUp, .hangUp]) { unsafe connection.pointee.sawHangUp = true }
            if unsafe connection.pointee.isHTTP2 && !connection.pointee.isLingering { readHTTP2Downstream(id) } else { readDownstream(id) }
            if unsafe connection.pointee.sawHangUp { endIfGone(id) }
        }
    }

    /// Whether bytes from this client have somewhere to go.
    private mutating func wantsBytes(_ connection: UnsafeMutablePointer<DownstreamConnection>) -> Bool {
        if unsafe connection.pointee.isClosed || connection.pointee.isEndOfStream { return false }
        if unsafe connection.pointee.isLingering { return true }
        if unsafe connection.pointee.closesAfterFlush { return false }
        guard let exchange = unsafe exchanges.pointer(connection.pointee.exchange) else {
            // A client that does not read its answers gets no further request served.
            return unsafe connection.pointee.output.count < limits.outputHighWatermark
        }
        if unsafe exchange.pointee.flags.contains(.isTunnel) || !exchange.pointee.flags.contains(.requestComplete) {
            guard let upstream = unsafe upstreams.pointer(exchange.pointee.upstream) else {
                return unsafe exchange.pointee.flags.contains(.dropsBody)
            }
            if unsafe exchange.pointee.flags.contains(.awaitsTunnel) { return false }
            return unsafe upstream.pointee.pipe.isNone && upstream.pointee.output.count < limits.outputHighWatermark
        }
        return false
    }

    mutating func resumeDownstream(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { return }
        unsafe connection.pointee.isWaitingToResume = false
        if unsafe connection.pointee.isHTTP2 && !connection.pointee.isLingering {
            readHTTP2Downstream(id)
            return
        }
        if unsafe !connection.pointee.input.isEmpty && !connection.pointee.isLingering {
            let consumed = unsafe process(id, connection.pointee.input.readable)
            // A refused connection has given its input back already.
            if unsafe !connection.pointee.isClosed && !connection.pointee.isLingering { unsafe connection.pointee.input.consume(consumed) }
        }
        readDownstream(id)
        if unsafe connection.pointee.sawHangUp { endIfGone(id) }
    }

    /// Gives up the request of an HTTP/1.1 client that has closed, and those that wait behind it, as Envoy does. Asked once everything that
    /// could be read was: what was answered on the spot is answered. Tunnels end one direction at a time.
    private mutating func endIfGone(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed,
            !limits.allowsHalfClose, let exchange = unsafe exchanges.pointer(connection.pointee.exchange),
            unsafe exchange.pointee.flags.isDisjoint(with: [.isTunnel, .isTCP]) && !exchange.pointee.hasWholeResponse
        else { return }
        abandonDownstream(id)
    }

    /// Has a connection looked at again before the loop sleeps.
    mutating func resumeLater(downstream id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isWaitingToResume else { return }
        unsafe connection.pointee.isWaitingToResume = true
        resumeDownstream.append(id)
    }

    mutating func readDownstream(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        var reads = 0
        while unsafe connection.pointee.isReadable && wantsBytes(connection) {
            if reads == limits.readsPerTurnMax {
                resumeLater(downstream: id)
                return
            }
            reads += 1
            if unsafe connection.pointee.isHTTP2 && !connection.pointee.isLingering {
                // It has become HTTP/2 with the bytes just read.
                readHTTP2Downstream(id)
                return
            }
            if unsafe connection.pointee.fullReads >= limits.spliceAfterReads {
                switch unsafe spliceRequest(id, connection) {
                case .declined: break
                case .done: return
                case .unfinished:
                    resumeLater(downstream: id)
                    return
                }
                if unsafe !wantsBytes(connection) { return }
            }
            let usesScratch = unsafe connection.pointee.input.isEmpty
            let buffer =
                unsafe usesScratch
                ? scratch
                : UnsafeMutableRawBufferPointer(start: connection.pointee.input.reserve(16 * 1024), count: connection.pointee.input.spare)
            switch unsafe Socket.read(connection.pointee.fd, into: buffer) {
            case .bytes(let count):
                // An edge-triggered socket that gave less than asked for is empty, and its end comes with another event, unless it
                // came with this one.
                if unsafe count < buffer.count && !connection.pointee.sawHangUp { unsafe connection.pointee.isReadable = false }
                unsafe connection.pointee.fullReads = unsafe count < buffer.count ? 0 : min(connection.pointee.fullReads + 1, limits.spliceAfterReads)
                if unsafe connection.pointee.isLingering {
                    unsafe connection.pointee.lingeredBytes += count
                    if unsafe connection.pointee.lingeredBytes > limits.lingerBytesMax { closeDownstream(id) }
                    unsafe connection.pointee.isReadable = true
                } else if usesScratch {
                    let consumed = unsafe process(id, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
                    if unsafe !connection.pointee.isClosed && consumed < count {
                        unsafe connection.pointee.input.append(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[consumed..<count]))
                    }
                } else {
                    unsafe connection.pointee.input.commit(count)
                    let consumed = unsafe process(id, connection.pointee.input.readable)
                    // A refused connection has given its input back already.
                    if unsafe !connection.pointee.isClosed && !connection.pointee.isLingering {
                        unsafe connection.pointee.input.consume(consumed)
                        if unsafe connection.pointee.input.isEmpty { unsafe connection.pointee.input.release() }
                    }
                }
            case .wouldBlock:
                unsafe connection.pointee.isReadable = false
            case .endOfStream:
                unsafe connection.pointee.isReadable = false
                unsafe connection.pointee.isEndOfStream = true
                downstreamEnded(id)
            case .failed:
                abandonDownstream(id)
            }
        }
    }

    /// Consumes what can be consumed of `bytes`, which start where the last call stopped; returns how much that was.
    private mutating func process(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let connection = unsafe downstreams.pointer(id) else { return bytes.count }
        var offset = 0
        while offset < bytes.count {
            if unsafe connection.pointee.isClosed || connection.pointee.isLingering || connection.pointee.closesAfterFlush { return bytes.count }
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            guard let exchange = unsafe exchanges.pointer(connection.pointee.exchange) else {
                if unsafe connection.pointee.output.count >= limits.outputHighWatermark { return offset }
                if unsafe connection.pointee.awaits != .nothing {
                    guard unsafe detect(id, rest) else { return offset }
                    continue
                }
                if unsafe !connection.pointee.hasSpoken {
                    switch unsafe Self.preface(rest) {
                    case .present:
                        beginHTTP2(id)
                        unsafe receiveHTTP2(downstream: id, rest)
                        return bytes.count
                    case .incomplete:
                        if unsafe connection.pointee.deadlineMeaning != .header {
                            setDeadline(ofDownstream: id, .header, after: limits.headerTimeoutNanoseconds)
                        }
                        return offset
                    case .absent: unsafe connection.pointee.hasSpoken = true
                    }
                }
                switch unsafe HeadParser.parseRequest(rest, scan: &connection.pointee.scan, limits: limits.http, into: &head) {
                case .incomplete:
                    if unsafe connection.pointee.deadlineMeaning != .header {
                        setDeadline(ofDownstream: id, .header, after: limits.headerTimeoutNanoseconds)
                    }
                    return offset
                case .failed(let error):
                    unsafe refuse(id, error, rest)
                    return bytes.count
                case .complete:
                    unsafe connection.pointee.scan = HeadScan()
                    let count = head.byteCount
                    offset += count
                    beginExchange(id, stream: 0, endsStream: false, isTooLarge: false, hasMore: offset < bytes.count)
                    // Whatever the handling did, it left a state that the next turn of this loop reads.
                    continue
                }
            }
            if unsafe exchange.pointee.flags.contains(.awaitsTunnel) { return offset }
            if unsafe exchange.pointee.flags.contains(.isTunnel) {
                unsafe exchange.pointee.record.requestBodyBytes &+= UInt64(rest.count)
                unsafe touch(connection.pointee.exchange, exchange)
                unsafe sendUpstream(exchange.pointee.upstream, rest)
                return bytes.count
            }
            if unsafe exchange.pointee.flags.contains(.requestComplete) { return offset }
            let used = unsafe forwardBody(connection.pointee.exchange, rest)
            if used == 0 { return offset }
            offset += used
        }
        return offset
    }

    /// Forwards body bytes of an unfinished request; returns how many were consumed, 0 when more must arrive first.
    private mutating func forwardBody(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) -> Int {
        guard let exchange = unsafe exchanges.pointer(id) else { return bytes.count }
        // Between attempts the body waits where it is.
        if unsafe exchange.pointee.upstream.isNone && !exchange.pointee.flags.contains(.dropsBody) { return 0 }
        unsafe touch(id, exchange)
        switch unsafe exchange.pointee.requestFraming {
        case .length:
            let count = Int(min(UInt64(bytes.count), unsafe exchange.pointee.requestRemaining))
            unsafe exchange.pointee.requestRemaining -= UInt64(count)
            unsafe exchange.pointee.record.requestBodyBytes &+= UInt64(count)
            let isLast = unsafe exchange.pointee.requestRemaining == 0
            if unsafe !exchange.pointee.flags.contains(.dropsBody) {
                unsafe sendBody(id, exchange, UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
            if isLast, let still = unsafe exchanges.pointer(id) {
                requestCompleted(id)
                unsafe sendEnd(still)
            }
            return count
        case .chunked:
            return unsafe forwardChunks(id, exchange, bytes)
        case .none, .untilClose:
            requestCompleted(id)
            return 0
        }
    }

    private mutating func forwardChunks(
        _ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer
    ) -> Int {
        var offset = 0
        let drops = unsafe exchange.pointee.flags.contains(.dropsBody)
        while offset < bytes.count || (unsafe exchange.pointee.flags.contains(.requestInTrailers)) {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            if unsafe exchange.pointee.flags.contains(.requestInTrailers) {
                switch unsafe HeadParser.parseTrailers(rest, scan: &exchange.pointee.trailerScan, limits: limits.http, into: &head) {
                case .incomplete:
                    unsafe flushUpstreamSoon(exchange)
                    return offset
                case .failed(let error):
                    refuseBody(id, error.status, error.reason)
                    return bytes.count
                case .complete:
                    let count = offset + head.byteCount
                    unsafe keepRequestTrailers(exchange)
                    requestCompleted(id)
                    if !drops { unsafe sendEnd(exchange) }
                    return count
                }
            }
            let (consumed, event) = unsafe exchange.pointee.requestDecoder.next(rest, limits: limits.http)
            offset += consumed
            switch event {
            case .needMore:
                unsafe flushUpstreamSoon(exchange)
                return offset
            case .data(let count):
                unsafe exchange.pointee.record.requestBodyBytes &+= UInt64(count)
                if !drops {
                    unsafe sendBody(id, exchange, UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]), flushes: false)
                }
                offset += count
            case .trailers:
                unsafe exchange.pointee.flags.insert(.requestInTrailers)
            case .malformed:
                refuseBody(id, 400, "malformed chunk (RFC 9112 7.1)")
                return bytes.count
            }
        }
        unsafe flushUpstreamSoon(exchange)
        return offset
    }

    private mutating func flushUpstreamSoon(_ exchange: UnsafeMutablePointer<Exchange>) {
        unsafe flushUpstream(exchange.pointee.upstream)
    }

    /// One chunk of our own framing.
    @inline(__always)
    static func appendChunk(_ bytes: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
        guard bytes.count > 0 else { return }
        output.append(hexadecimal: UInt64(bytes.count))
        output.append("\r\n")
        unsafe output.append(bytes)
        output.append("\r\n")
    }

    @inline(__always)
    static func appendLine(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, to output: inout ByteBuffer) {
        unsafe output.append(name)
        output.append(": ")
        unsafe output.append(value)
        output.append("\r\n")
    }

    /// One field line; in one piece when it already has the form in which we write it.
    @inline(__always)
    static func appendField(_ head: borrowing MessageHead, _ index: Int, to output: inout ByteBuffer) {
        if unsafe head.field(index).isCanonical {
            unsafe output.append(head.line(at: index))
            return
        }
        unsafe output.append(head.name(at: index))
        output.append(": ")
        unsafe output.append(head.value(at: index))
        output.append("\r\n")
    }

    /// The whole request has been received.
    mutating func requestCompleted(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe !exchange.pointee.flags.contains(.requestComplete) else { return }
        unsafe exchange.pointee.flags.insert(.requestComplete)
        unsafe exchange.pointee.record.times.downstreamReceiveEnd = now.nanoseconds(since: exchange.pointee.start)
        if let upstream = unsafe upstreams.pointer(exchange.pointee.upstream), unsafe upstream.pointee.output.isEmpty, unsafe upstream.pointee.state == .active {
            unsafe exchange.pointee.record.times.upstreamSendEnd = exchange.pointee.record.times.downstreamReceiveEnd
        }
    }

    /// The client will send nothing more. With `allowsHalfClose` it may still be reading: a request that is complete is answered.
    private mutating func downstreamEnded(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id) else { return }
        if unsafe connection.pointee.isLingering {
            closeDownstream(id)
            return
        }
        guard let exchange = unsafe exchanges.pointer(connection.pointee.exchange) else {
            // Half a head, or nothing: nobody waits for an answer.
            if unsafe connection.pointee.output.isEmpty { closeDownstream(id) } else { unsafe connection.pointee.closesAfterFlush = true }
            return
        }
        if unsafe exchange.pointee.flags.contains(.isTunnel) {
            unsafe tunnelEnded(fromDownstream: true, exchange)
            return
        }
        unsafe exchange.pointee.flags.remove(.keepsAlive)
        if unsafe !exchange.pointee.flags.contains(.requestComplete) { abandonDownstream(id) }
    }

    /// The client is gone; what it asked for is given up.
    mutating func abandonDownstream(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { return }
        if let session = unsafe connection.pointee.session { unsafe abandonStreams(session) }
        if let exchange = unsafe exchanges.pointer(connection.pointee.exchange) {
            unsafe exchange.pointee.record.flags.insert(.downstreamConnectionTermination)
            unsafe exchange.pointee.record.details = .downstreamRemoteDisconnect
            unsafe abandonAttempt(connection.pointee.exchange, exchange)
            unsafe finish(connection.pointee.exchange)
        }
        closeDownstream(id)
    }

    mutating func closeDownstream(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { return }
        unsafe connection.pointee.isClosed = true
        unsafe returnPipe(&connection.pointee.pipe)
        unsafe timers.cancel(connection.pointee.timer)
        unsafe Socket.close(connection.pointee.fd)
        closedDownstream.append(id)
    }

    // MARK: Writing

    /// Writes to a client at once if nothing waits, and keeps what the kernel will not take.
    mutating func sendDownstream(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed, bytes.count > 0 else { return }
        var offset = 0
        if unsafe connection.pointee.output.isEmpty {
            switch unsafe Socket.write(connection.pointee.fd, bytes) {
            case .bytes(let count): offset = count
            case .wouldBlock: break
            case .endOfStream, .failed:
                abandonDownstream(id)
                return
            }
        }
        if offset < bytes.count {
            unsafe connection.pointee.output.append(UnsafeRawBufferPointer(rebasing: bytes[offset...]))
        }
    }

    mutating func flushDownstream(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { return }
        if unsafe !connection.pointee.pipe.isNone {
            switch unsafe flushPipe(&connection.pointee.pipe, to: connection.pointee.fd) {
            case .bytes: break
            case .wouldBlock: return
            case .endOfStream, .failed:
                abandonDownstream(id)
                return
            }
        }
        while unsafe !connection.pointee.output.isEmpty {
            switch unsafe Socket.write(connection.pointee.fd, connection.pointee.output.readable) {
            case .bytes(let count): unsafe connection.pointee.output.consume(count)
            case .wouldBlock:
                unsafe wakeUpstream(behind: connection)
                return
            case .endOfStream, .failed:
                abandonDownstream(id)
                return
            }
        }
        if unsafe connection.pointee.isHTTP2 {
            unsafe connection.pointee.output.clear(keeping: 64 * 1024)
            if unsafe connection.pointee.isReadable { resumeLater(downstream: id) }
            // The end of the connection is `pumpDownstream`'s to see, once the session has nothing more to say.
            markDirty(downstream: id)
            return
        }
        unsafe connection.pointee.output.release()
        if unsafe connection.pointee.closesAfterFlush {
            lingerOrClose(id)
            return
        }
        unsafe wakeUpstream(behind: connection)
        if let exchange = unsafe exchanges.pointer(connection.pointee.exchange) {
            // The upstream of a tunnel had ended before everything was out.
            if unsafe exchange.pointee.flags.isSuperset(of: [.isTunnel, .upstreamEnded]) { unsafe Socket.shutdownWrite(connection.pointee.fd) }
        } else {
            resumeLater(downstream: id)
        }
    }

    /// A slow client has taken enough: read its upstream again.
    private mutating func wakeUpstream(behind connection: UnsafeMutablePointer<DownstreamConnection>) {
        guard unsafe connection.pointee.output.count <= limits.outputLowWatermark,
            let exchange = unsafe exchanges.pointer(connection.pointee.exchange)
        else { return }
        unsafe resumeResponse(exchange)
    }

    /// Ends a connection whose last answer is written. If the client may still be sending, its bytes are read and dropped for a moment:
    /// closing on unread bytes would make the kernel reset the connection and destroy the answer.
    mutating func lingerOrClose(_ id: SlotID) {
        guard let connection = unsafe downstreams.pointer(id), unsafe !connection.pointee.isClosed else { return }
        if unsafe connection.pointee.isEndOfStream {
            closeDownstream(id)
            return
        }
        unsafe connection.pointee.isLingering = true
        unsafe connection.pointee.input.release()
        unsafe Socket.shutdownWrite(connection.pointee.fd)
        setDeadline(ofDownstream: id, .linger, after: limits.lingerNanoseconds)
        unsafe connection.pointee.isReadable = true
        resumeLater(downstream: id)
    }
}
