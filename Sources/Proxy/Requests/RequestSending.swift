internal import HTTP
internal import Primitives
internal import TelemetryModel

/// The request's body on its way to the endpoint of the current attempt, in either version of HTTP.
enum RequestSending {
    /// Gives body bytes to the attempt; without one they wait. What another attempt may need is kept as well.
    static func send(
        _ bytes: LentBytes, of request: inout Request, _ upstreams: inout Upstreams, _ limits: borrowing ProxyLimits
    ) {
        guard upstreams.isOpen(request.attempt.upstream) else { return request.body.hold(bytes) }
        request.body.note(sent: bytes, bytesMax: limits.retryBufferBytesMax)
        write(bytes, request.attempt, &upstreams)
    }

    static func write(_ bytes: LentBytes, _ attempt: Attempt, _ upstreams: inout Upstreams) {
        guard bytes.count > 0 else { return }
        upstreams.connections[attempt.upstream].append(bytes, stream: attempt.stream, bytesMax: Self.fillBytesMax)
        upstreams.markDirty(attempt.upstream)
    }

    /// What a connection is asked for at once.
    static let fillBytesMax = 256 * 1024

    /// What waited for this attempt, or was kept from the last one, follows the head.
    static func sendHeld(_ request: inout Request, _ upstreams: inout Upstreams) {
        guard request.framing != .none else {
            request.body.endIsSent = true
            return
        }
        if !request.body.bytes.isEmpty {
            write(request.body.bytes.lent, request.attempt, &upstreams)
            request.body.noteHeldSent(bytesMax: Self.keptBytesMax)
        }
        sendEnd(&request, &upstreams)
    }

    /// As `ProxyLimits.retryBufferBytesMax`: what is held while no attempt is there may be more.
    static let keptBytesMax = 1 << 20

    /// Tells the attempt that the request is complete, once it is and the attempt has everything.
    static func sendEnd(_ request: inout Request, _ upstreams: inout Upstreams) {
        guard request.body.isComplete, !request.body.endIsSent, upstreams.isOpen(request.attempt.upstream) else { return }
        request.body.endIsSent = true
        guard request.framing != .none else { return }
        let trailers = request.body.trailers.lent
        unsafe upstreams.connections[request.attempt.upstream].http.end(stream: request.attempt.stream, trailers: trailers.buffer)
        upstreams.markDirty(request.attempt.upstream)
    }

    /// Bytes of the request that the endpoint has not taken yet.
    static func waiting(_ attempt: Attempt, _ upstreams: inout Upstreams) -> Int {
        guard upstreams.isOpen(attempt.upstream) else { return 0 }
        return upstreams.connections[attempt.upstream].waiting(stream: attempt.stream)
    }
}
