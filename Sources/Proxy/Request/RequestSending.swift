internal import EventLoops
internal import HTTP
internal import Primitives
internal import TelemetryModel

/// The request on its way to the endpoint of the current attempt, in either version of HTTP.
extension ProxyWorker {
    /// Gives body bytes to the attempt; without one they wait. What another attempt may need is kept as well, within `retryBufferBytesMax`.
    mutating func sendBody(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, flushes: Bool = true) {
        if unsafe exchange.pointee.shadowCount > 0 { unsafe copyBody(exchange, bytes) }
        guard unsafe !exchange.pointee.upstream.isNone else {
            unsafe exchange.pointee.body.append(bytes)
            return
        }
        if unsafe exchange.pointee.flags.contains(.keepsBody) {
            if unsafe exchange.pointee.body.count + bytes.count <= limits.retryBufferBytesMax {
                unsafe exchange.pointee.body.append(bytes)
                unsafe exchange.pointee.bodySent = exchange.pointee.body.count
            } else {
                unsafe forgetBody(exchange)
            }
        } else {
            unsafe exchange.pointee.flags.insert(.bodyForwarded)
        }
        unsafe writeBody(exchange, bytes, flushes: flushes)
    }

    /// No further attempt will need what was sent.
    mutating func forgetBody(_ exchange: UnsafeMutablePointer<Exchange>) {
        unsafe exchange.pointee.flags.remove(.keepsBody)
        unsafe exchange.pointee.flags.insert(.bodyForwarded)
        unsafe exchange.pointee.body.release()
        unsafe exchange.pointee.bodySent = 0
    }

    private mutating func writeBody(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer, flushes: Bool) {
        guard let upstream = unsafe upstreams.pointer(exchange.pointee.upstream), bytes.count > 0 else { return }
        if let session = unsafe upstream.pointee.session {
            unsafe session.pointee.append(bytes, stream: exchange.pointee.upstreamStream)
            unsafe markDirty(upstream: exchange.pointee.upstream)
        } else if unsafe exchange.pointee.requestFraming == .chunked {
            unsafe Self.appendChunk(bytes, to: &upstream.pointee.output)
            if flushes { unsafe flushUpstream(exchange.pointee.upstream) }
        } else {
            unsafe sendUpstream(exchange.pointee.upstream, bytes)
        }
    }

    /// Tells the attempt that the request is complete, once it is and the attempt has everything.
    mutating func sendEnd(_ exchange: UnsafeMutablePointer<Exchange>) {
        if unsafe exchange.pointee.shadowCount > 0 && exchange.pointee.flags.contains(.requestComplete) { unsafe endShadows(exchange) }
        guard unsafe exchange.pointee.flags.contains(.requestComplete) && !exchange.pointee.flags.contains(.endSent),
            let upstream = unsafe upstreams.pointer(exchange.pointee.upstream)
        else { return }
        unsafe exchange.pointee.flags.insert(.endSent)
        if let session = unsafe upstream.pointee.session {
            unsafe session.pointee.end(stream: exchange.pointee.upstreamStream, trailers: exchange.pointee.requestTrailers.readable)
            unsafe markDirty(upstream: exchange.pointee.upstream)
        } else if unsafe exchange.pointee.requestFraming == .chunked {
            unsafe upstream.pointee.output.append("0\r\n")
            unsafe upstream.pointee.output.append(exchange.pointee.requestTrailers.readable)
            unsafe upstream.pointee.output.append("\r\n")
            unsafe flushUpstream(exchange.pointee.upstream)
        }
    }

    /// What waited for this attempt, or was kept from the last one, follows the head.
    mutating func sendPending(_ exchange: UnsafeMutablePointer<Exchange>) {
        let waiting = unsafe exchange.pointee.body.count
        if waiting > 0 {
            unsafe writeBody(exchange, exchange.pointee.body.readable, flushes: true)
            if unsafe exchange.pointee.flags.contains(.keepsBody) && waiting <= limits.retryBufferBytesMax {
                unsafe exchange.pointee.bodySent = waiting
            } else {
                unsafe forgetBody(exchange)
            }
        }
        unsafe sendEnd(exchange)
        unsafe allowMoreBody(exchange)
        // An HTTP/1.1 client was not read while there was nowhere to send its body to.
        if unsafe !exchange.pointee.isHTTP2Downstream && !exchange.pointee.flags.contains(.requestComplete) {
            unsafe resumeLater(downstream: exchange.pointee.downstream)
        }
    }

    /// Bytes of the request that the upstream has not taken yet.
    mutating func upstreamWaiting(_ exchange: UnsafeMutablePointer<Exchange>) -> Int {
        guard let upstream = unsafe upstreams.pointer(exchange.pointee.upstream) else { return 0 }
        guard let session = unsafe upstream.pointee.session else { return unsafe upstream.pointee.output.count }
        return unsafe session.pointee.waiting(stream: exchange.pointee.upstreamStream)
    }

    mutating func watchUpstream(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let upstream = unsafe upstreams.pointer(exchange.pointee.upstream), let session = unsafe upstream.pointee.session else { return }
        unsafe session.pointee.watch(stream: exchange.pointee.upstreamStream)
    }

    /// Takes the attempt back: its stream is cancelled, or its connection closed, since nothing sent on it can be.
    mutating func abandonAttempt(_ id: SlotID, _ exchange: UnsafeMutablePointer<Exchange>) {
        let upstreamID = unsafe exchange.pointee.upstream
        let stream = unsafe exchange.pointee.upstreamStream
        unsafe exchange.pointee.upstream = .none
        unsafe exchange.pointee.upstreamStream = 0
        unsafe timers.cancel(exchange.pointee.attemptTimer)
        unsafe exchange.pointee.attemptTimer = .none
        guard let upstream = unsafe upstreams.pointer(upstreamID) else { return }
        guard let session = unsafe upstream.pointee.session else {
            abandonUpstream(upstreamID)
            return
        }
        unsafe session.pointee.consume(exchange.pointee.upstreamUnconsumed, stream: stream)
        unsafe exchange.pointee.upstreamUnconsumed = 0
        unsafe session.pointee.reset(stream: stream, code: HTTP2ErrorCode.cancel)
        markDirty(upstream: upstreamID)
    }
}
