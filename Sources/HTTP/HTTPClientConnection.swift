public import Primitives

/// One connection of a client, in the version that its endpoint speaks. Events and commands are the same for both, and those of
/// `HTTPServerConnection` seen from the other end.
@safe
public struct HTTPClientConnection: ~Copyable {
    public enum Outcome: Sendable {
        case fine
        /// The endpoint broke the protocol: nothing further is read.
        case broken
    }

    private let inbox: UnsafeMutablePointer<HTTPInbox>
    private var http1: HTTP1Connection
    private var session = OnDemand<HTTP2Session>()
    /// HTTP/1.1: what was wrong with what the endpoint sent, in words; nil while nothing was.
    public private(set) var brokenReason: StaticString?

    /// `inbox` must outlive the connection. `now` is the time of the first byte.
    @unsafe
    public init(isHTTP2: Bool, inbox: UnsafeMutablePointer<HTTPInbox>, now: MonotonicInstant) {
        unsafe self.inbox = unsafe inbox
        unsafe http1 = HTTP1Connection(clientInbox: inbox)
        if isHTTP2 {
            session.make { unsafe HTTP2Session(.client, inbox: inbox, now: now) }
        }
    }

    @inline(__always)
    public var isHTTP2: Bool { session.isMade }

    /// HTTP/2: our own bound on open streams, and what the endpoint is taken to allow until it says so.
    public mutating func bound(streams: UInt32, assumed: UInt32) {
        guard session.isMade else { return }
        session.value.streamsMax = streams
        session.value.streamsAssumed = assumed
    }

    /// The streams that an HTTP/2 endpoint has said it allows; nil before it has.
    public var peerStreamsMax: UInt32? {
        mutating get { if session.isMade { session.value.peerStreamsMax } else { nil } }
    }

    // MARK: State

    public var openStreams: Int {
        mutating get { if session.isMade { session.value.openStreams } else { http1.token == 0 ? 0 : 1 } }
    }

    /// Requests that may still be begun now.
    public var spareStreams: Int {
        mutating get { if session.isMade { session.value.spareStreams } else { http1.token == 0 ? 1 : 0 } }
    }

    public var wantsWrite: Bool { mutating get { if session.isMade { session.value.wantsWrite } else { false } } }
    public var isFinished: Bool { mutating get { if session.isMade { session.value.isFinished } else { false } } }

    /// The error that we ended the connection for; 0 = none.
    public var sentErrorCode: UInt32 {
        mutating get { if session.isMade { session.value.sentErrorCode } else { 0 } }
    }

    /// HTTP/1.1: the exchange is complete on both sides, and the connection can carry another.
    public var isReusable: Bool { mutating get { !isHTTP2 && http1.isReusable } }

    /// HTTP/1.1: what comes now is no HTTP.
    public var isSwitched: Bool { mutating get { !isHTTP2 && http1.isSwitched } }

    /// HTTP/1.1: the owner of the request; 0 = none.
    public var token: UInt64 { mutating get { isHTTP2 ? 0 : http1.token } }

    /// Appends the owners of all open requests.
    public mutating func tokens(into tokens: inout [UInt64]) {
        if session.isMade {
            session.value.tokens(into: &tokens)
        } else if http1.token != 0 {
            tokens.append(http1.token)
        }
    }

    // MARK: Bytes

    /// Takes bytes from the endpoint. Returns how many were taken; the others are to be given again once the events have been looked at.
    @unsafe
    public mutating func receive(_ bytes: UnsafeRawBufferPointer, now: MonotonicInstant) -> (taken: Int, outcome: Outcome) {
        guard session.isMade else {
            let (taken, refusal) = unsafe http1.receive(bytes)
            if let refusal { brokenReason = refusal.reason }
            return (taken, refusal == nil ? .fine : .broken)
        }
        let (taken, outcome) = unsafe session.value.receive(bytes, now: now)
        return (taken, outcome == .fine ? .fine : .broken)
    }

    /// The endpoint sends no more: a body that only this ends is whole.
    public mutating func receiveEnd() { if !session.isMade { http1.receiveEnd() } }

    /// Appends what is to be sent until `out` holds `bytesMax` or nothing is left.
    public mutating func fill(_ out: inout ByteBuffer, bytesMax: Int) -> Outcome {
        guard session.isMade else {
            http1.fill(&out, bytesMax: bytesMax)
            return .fine
        }
        unsafe inbox.pointee.shelf.lend(&out)
        let outcome = session.value.fill(&out, bytesMax: bytesMax)
        if out.isEmpty { unsafe inbox.pointee.shelf.take(back: &out) }
        return outcome == .fine ? .fine : .broken
    }

    // MARK: Requests

    /// Begins a request; nil when it cannot be begun. `upgrades`: the head asks for another protocol. `token` comes back in its events;
    /// not 0.
    public mutating func submitRequest(_ head: borrowing MessageHead, framing: BodyFraming, upgrades: Bool, token: UInt64) -> Int32? {
        guard session.isMade else {
            return http1.submitRequest(head, framing: framing, upgrades: upgrades, token: token) ? 0 : nil
        }
        unsafe inbox.pointee.fieldList.begin()
        unsafe inbox.pointee.fieldList.add(request: head, isHTTPS: false)
        var length = head.contentLength
        if case .length(let count) = framing { length = count } else if framing != .none { length = nil }
        if let length { unsafe inbox.pointee.fieldList.add("content-length", decimal: length) }
        return unsafe session.value.submitRequest(inbox.pointee.fieldList, token: token, hasBody: framing != .none)
    }

    /// Queues body bytes.
    @unsafe
    public mutating func append(_ bytes: UnsafeRawBufferPointer, stream: Int32) {
        guard session.isMade else { return unsafe http1.append(bytes, stream: http1.current) }
        unsafe session.value.append(bytes, stream: stream)
    }

    /// The body is complete; `trailers` are lines.
    @unsafe
    public mutating func end(stream: Int32, trailers: UnsafeRawBufferPointer) {
        guard session.isMade else { return unsafe http1.end(stream: http1.current, trailers: trailers) }
        unsafe session.value.end(stream: stream, trailers: trailers)
    }

    /// Bytes of a request that have not left.
    public mutating func waiting(stream: Int32) -> Int {
        if session.isMade { session.value.waiting(stream: stream) } else { http1.waiting(stream: http1.current) }
    }

    /// As `HTTPServerConnection.watch`.
    public mutating func watch(stream: Int32) { if session.isMade { session.value.watch(stream: stream) } }

    /// Body bytes have been passed on: the endpoint may send as many again.
    public mutating func consume(_ count: Int, stream: Int32) {
        if session.isMade { session.value.consume(count, stream: stream) } else { http1.consume(count) }
    }

    /// Whether body bytes go out as they are, and nothing waits before them.
    public var sendsPlain: Bool { mutating get { !session.isMade && http1.sendsPlain(stream: http1.current) } }

    /// The owner is done with a request that is complete; what waits is still sent.
    public mutating func detach(stream: Int32) {
        if session.isMade { session.value.detach(stream: stream) } else { http1.release() }
    }

    /// Takes a request back, with no further event. False when only the end of the connection can do that.
    public mutating func reset(stream: Int32, code: UInt32) -> Bool {
        guard session.isMade else { return false }
        session.value.reset(stream: stream, code: code)
        return true
    }
}
