public import Primitives

/// One connection of a server that speaks HTTP/1.1 and, by prior knowledge (RFC 9113 3.3), HTTP/2: its first bytes say which. Events and
/// commands are the same for both, so that nothing above knows the difference. There is no upgrade from one to the other.
@safe
public struct HTTPServerConnection: ~Copyable {
    public enum Outcome: Sendable {
        case fine
        /// The client broke the protocol or flooded: send what `fill` gives, then close.
        case ended(flooded: Bool)
        /// What came is no request: answer so. Nothing further is read.
        case refused(HTTP1Connection.Refusal)
    }

    public typealias ResponseBody = HTTP1Connection.ResponseBody

    private var http1: HTTP1Connection
    private var session = OnDemand<HTTP2Session>()
    private var isDecided = false

    /// `inbox` must outlive the connection.
    @unsafe
    public init(inbox: UnsafeMutablePointer<HTTPInbox>, pipelinedMax: Int) {
        unsafe http1 = HTTP1Connection(inbox: inbox, pipelinedMax: pipelinedMax)
    }

    @inline(__always)
    public var isHTTP2: Bool { session.isMade }

    // MARK: Bytes

    /// Whether further bytes are of use now. What a client of HTTP/2 may send is bounded by its windows.
    public var wantsRead: Bool { mutating get { session.isMade || http1.wantsRead } }
    /// What the client sends is not looked at any more.
    public var isDeaf: Bool { mutating get { !session.isMade && http1.isDeaf } }
    /// No message is being read, or only its head.
    public var isAtHead: Bool { mutating get { !session.isMade && http1.isAtHead } }
    /// Nothing more comes from either side, and everything has been taken by `fill`.
    public var isFinished: Bool {
        mutating get { if session.isMade { session.value.isFinished } else { http1.isFinished } }
    }

    /// Takes bytes from the client. Returns how many were taken; the others are to be given again, with those that follow.
    @unsafe
    public mutating func receive(_ bytes: UnsafeRawBufferPointer, now: MonotonicInstant) -> (taken: Int, outcome: Outcome) {
        if !isDecided {
            switch unsafe HTTP2Preface.look(bytes) {
            case .incomplete: return (0, .fine)
            case .absent: break
            case .present:
                let inbox = unsafe http1.inbox
                session.make { unsafe HTTP2Session(.server, inbox: inbox, now: now) }
            }
            isDecided = true
        }
        guard session.isMade else {
            let (taken, refusal) = unsafe http1.receive(bytes)
            return (taken, refusal.map { .refused($0) } ?? .fine)
        }
        let (taken, outcome) = unsafe session.value.receive(bytes, now: now)
        if case .ended(let flooded) = outcome { return (taken, .ended(flooded: flooded)) }
        return (taken, .fine)
    }

    /// Gives up the message whose head has begun and does not go on; nil when nothing can be answered.
    public mutating func refuseHead(_ status: UInt16, _ reason: StaticString) -> HTTP1Connection.Refusal? {
        !session.isMade ? http1.refuseHead(status, reason) : nil
    }

    /// The client sends no more. False when it gets no answers any more either: over HTTP/2 it could not even make room for them.
    public mutating func receiveEnd() -> Bool {
        guard !session.isMade else { return false }
        http1.receiveEnd()
        return true
    }

    /// Appends what is to be sent until `out` holds `bytesMax` or nothing is left.
    public mutating func fill(_ out: inout ByteBuffer, bytesMax: Int) -> Outcome {
        guard session.isMade else {
            http1.fill(&out, bytesMax: bytesMax)
            return .fine
        }
        unsafe http1.inbox.pointee.shelf.lend(&out)
        let outcome = session.value.fill(&out, bytesMax: bytesMax)
        if out.isEmpty { unsafe http1.inbox.pointee.shelf.take(back: &out) }
        if case .ended(let flooded) = outcome { return .ended(flooded: flooded) }
        return .fine
    }

    /// No new request is taken; those that are open are answered.
    public mutating func goAway() {
        if session.isMade { session.value.goAway() } else { http1.goAway() }
    }

    /// No request is open.
    public var isIdle: Bool {
        mutating get { if session.isMade { session.value.openStreams == 0 } else { http1.isIdle } }
    }

    /// HTTP/2: something is to be sent that `fill` has not taken yet.
    public var wantsWrite: Bool { mutating get { if session.isMade { session.value.wantsWrite } else { false } } }

    /// The beginning of a head has come, and not its end.
    public var isInHead: Bool { mutating get { !session.isMade && http1.isInHead } }

    /// The error that we ended the connection for; 0 = none.
    public var sentErrorCode: UInt32 {
        mutating get { if session.isMade { session.value.sentErrorCode } else { 0 } }
    }

    /// The connection will end soon, but what comes meanwhile is still taken (RFC 9113 6.8).
    public mutating func announceEnd() { if session.isMade { session.value.announceEnd() } }

    /// Appends the owners of all open requests.
    public mutating func tokens(into tokens: inout [UInt64]) {
        if session.isMade {
            session.value.tokens(into: &tokens)
        } else if http1.token != 0 {
            tokens.append(http1.token)
        }
    }

    // MARK: Requests

    /// Answers with a head in its structure. `closes`: the connection takes no further request, where its version lets the answer say so.
    /// `stopsPeer`: what is left of the request is of no interest. Returns the bytes of the
    /// head; nil when the request is gone or the head cannot be sent.
    public mutating func submitResponse(
        _ head: borrowing MessageHead, framing: BodyFraming, stream: Int32, closes: Bool, stopsPeer: Bool
    ) -> Int? {
        guard session.isMade else {
            return http1.submitResponse(head, framing: framing, closes: closes, stream: stream)
        }
        let inbox = unsafe http1.inbox
        unsafe inbox.pointee.fieldList.begin()
        unsafe inbox.pointee.fieldList.add(response: head)
        var length = head.contentLength
        if case .length(let count) = framing { length = count }
        if let length, head.statusCode != 204 { unsafe inbox.pointee.fieldList.add("content-length", decimal: length) }
        let isTaken = unsafe session.value.submitResponse(
            inbox.pointee.fieldList, stream: stream, hasBody: framing != .none, stopsPeer: stopsPeer)
        return isTaken ? unsafe inbox.pointee.fieldList.byteCount : nil
    }

    /// An interim response (RFC 9110 15.2).
    public mutating func submitInterim(_ head: borrowing MessageHead, stream: Int32) {
        guard session.isMade else { return http1.submitInterim(head, stream: stream) }
        let inbox = unsafe http1.inbox
        unsafe inbox.pointee.fieldList.begin()
        unsafe inbox.pointee.fieldList.add(response: head)
        unsafe session.value.submitInterim(inbox.pointee.fieldList, stream: stream)
    }

    /// HTTP/1.1: passes a 101 on; what comes from here on is no HTTP. Returns the bytes of the head.
    public mutating func submitSwitch(_ head: borrowing MessageHead) -> Int { http1.submitSwitch(head) }

    /// HTTP/1.1: what is left of the request is of no interest.
    public mutating func stopReading() { if !session.isMade { http1.stopReading() } }

    /// The owner lost interest; what waits is still sent.
    public mutating func detach(stream: Int32) {
        if session.isMade { session.value.detach(stream: stream) } else { http1.detach(stream: stream) }
    }

    /// Whether body bytes go out as they are, and nothing waits before them.
    public mutating func sendsPlain(stream: Int32) -> Bool { !session.isMade && http1.sendsPlain(stream: stream) }

    /// Whether the end of an answer is that of the connection, so that one cut short would look whole.
    public mutating func endsWithConnection(stream: Int32) -> Bool { !session.isMade && http1.endsWithConnection(stream: stream) }

    /// Ends an answer behind what waits of it, with no further event. False when only the end of the connection can say so.
    public mutating func cut(stream: Int32, code: UInt32) -> Bool {
        guard session.isMade else { return false }
        session.value.cut(stream: stream, code: code)
        return true
    }

    /// Asks for the owner in `HTTPInbox.drained` once little enough of the answer waits; over HTTP/1.1 the connection's own output says so.
    public mutating func watch(stream: Int32) { if session.isMade { session.value.watch(stream: stream) } }

    /// Whether the client has not taken the request back already.
    public mutating func isOpen(stream: Int32) -> Bool {
        if session.isMade { session.value.isOpen(stream: stream) } else { true }
    }

    public mutating func attach(token: UInt64, stream: Int32) {
        guard session.isMade else { return http1.attach(token: token, stream: stream) }
        session.value.attach(token: token, stream: stream)
    }

    public mutating func token(stream: Int32) -> UInt64 {
        if session.isMade { session.value.token(stream: stream) } else { http1.token(stream: stream) }
    }

    /// Body bytes have been taken: the client may send as many again.
    public mutating func consume(_ count: Int, stream: Int32) {
        if session.isMade { session.value.consume(count, stream: stream) } else { http1.consume(count) }
    }

    /// Invites the body of a request that expects it (RFC 9110 10.1.1).
    public mutating func submitContinue(stream: Int32) {
        guard session.isMade else { return http1.submitContinue(stream: stream) }
        let inbox = unsafe http1.inbox
        unsafe inbox.pointee.fieldList.begin()
        unsafe inbox.pointee.fieldList.add(":status", "100")
        unsafe session.value.submitInterim(inbox.pointee.fieldList, stream: stream)
    }

    /// `lines`: fields in the form `Name: value CR LF`. `stopsPeer`: what is left of the request is of no interest. False when the
    /// request is gone, has its answer, or the fields are too many.
    @unsafe
    public mutating func submitResponse(
        status: UInt16, lines: UnsafeRawBufferPointer, body: ResponseBody, stream: Int32, stopsPeer: Bool
    ) -> Bool {
        guard session.isMade else {
            return unsafe http1.submitResponse(status: status, lines: lines, body: body, stream: stream)
        }
        let inbox = unsafe http1.inbox
        unsafe inbox.pointee.fieldList.begin()
        unsafe inbox.pointee.fieldList.add(":status", decimal: UInt64(status))
        unsafe inbox.pointee.fieldList.add(lines: lines)
        var hasBody = false
        switch body {
        case .none, .omitted(nil): break
        case .omitted(let length?): unsafe inbox.pointee.fieldList.add("content-length", decimal: length)
        case .length(let length):
            unsafe inbox.pointee.fieldList.add("content-length", decimal: length)
            hasBody = true
        case .unknown: hasBody = true
        }
        return unsafe session.value.submitResponse(
            inbox.pointee.fieldList, stream: stream, hasBody: hasBody, stopsPeer: stopsPeer && !hasBody)
    }

    /// Queues body bytes.
    @unsafe
    public mutating func append(_ bytes: UnsafeRawBufferPointer, stream: Int32) {
        guard session.isMade else { return unsafe http1.append(bytes, stream: stream) }
        unsafe session.value.append(bytes, stream: stream)
    }

    /// The body is complete; `trailers` are lines.
    @unsafe
    public mutating func end(stream: Int32, trailers: UnsafeRawBufferPointer, stopsPeer: Bool) {
        if session.isMade {
            unsafe session.value.end(stream: stream, trailers: trailers, stopsPeer: stopsPeer)
        } else {
            unsafe http1.end(stream: stream, trailers: trailers)
        }
    }

    /// Bytes of a request's answer that have not left.
    public mutating func waiting(stream: Int32) -> Int {
        if session.isMade { session.value.waiting(stream: stream) } else { http1.waiting(stream: stream) }
    }

    /// Breaks an answer off, with no further event for it. False when only the end of the connection can say so.
    public mutating func reset(stream: Int32, code: UInt32) -> Bool {
        guard session.isMade else { return false }
        session.value.reset(stream: stream, code: code)
        return true
    }
}

/// How a connection that may begin with the client's preface (RFC 9113 3.4) begins.
public enum HTTP2Preface {
    public enum Verdict: Sendable, Equatable {
        case absent, incomplete, present
    }

    @unsafe
    public static func look(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        let text: StaticString = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        let count = min(bytes.count, text.utf8CodeUnitCount)
        for index in 0..<count where unsafe bytes[index] != text.utf8Start[index] { return .absent }
        return count == text.utf8CodeUnitCount ? .present : .incomplete
    }
}
