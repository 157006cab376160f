public import Primitives

/// One HTTP/1.1 connection of a server, sans I/O: bytes in, events out; heads, data and ends in, bytes out. The events are those of
/// `HTTP2Session`, with the number of the request in place of the stream's, so that who drives one drives the other.
///
/// Requests may be pipelined (RFC 9112 9.3.2): up to `pipelinedMax` are open at once, and whatever order they are answered in, the
/// answers leave in theirs. A request that breaks off, or is answered before its body has come, is the connection's last. Owned by one
/// thread.
@safe
public struct HTTP1Connection: ~Copyable {
    /// What came is no request, or too much of one; nothing is read any more. `stream` is for the answer that says so.
    public struct Refusal: Sendable {
        public var stream: Int32
        public var status: UInt16
        public var reason: StaticString

        public init(stream: Int32, status: UInt16, reason: StaticString) {
            self.stream = stream
            self.status = status
            self.reason = reason
        }
    }

    /// How the end of a response's body is known.
    public enum ResponseBody: Sendable, Equatable {
        /// There is none; the answer is complete with its head.
        case none
        /// There is none to be sent: the answer to HEAD, 204 or 304. `length` is that of the body left out, where the head may say it.
        case omitted(length: UInt64?)
        case length(UInt64)
        case unknown
    }

    private enum Reading {
        case head, chunked, trailers, nothing
        case length(UInt64)
    }

    private enum Answer {
        case none, bodiless, counted, chunked, untilClose
    }

    private struct Request {
        let stream: Int32
        var token: UInt64 = 0
        let isHTTP10: Bool
        var keepsAlive: Bool
        var isReceived = false
        var answer = Answer.none
        var isEnded = false
        /// What is to be sent once the requests before it are answered.
        var waiting: [UInt8] = []
    }

    private let inbox: UnsafeMutablePointer<HTTP2Inbox>
    private let limits: HTTPLimits
    private let pipelinedMax: Int
    private var reading = Reading.head
    private var scan = HeadScan()
    private var decoder = ChunkedDecoder()
    private var isHeadBegun = false
    /// Oldest first.
    private var requests: [Request] = []
    /// What the oldest request is answered with.
    private var output = ByteBuffer()
    private var lastStream: Int32 = 0
    private var unconsumedBytes = 0
    private var isGoingAway = false
    /// The last answer has been given.
    private var isDone = false

    /// `inbox` must outlive the connection.
    @unsafe
    public init(inbox: UnsafeMutablePointer<HTTP2Inbox>, limits: HTTPLimits, pipelinedMax: Int) {
        unsafe self.inbox = unsafe inbox
        self.limits = limits
        self.pipelinedMax = max(1, pipelinedMax)
    }

    // MARK: Bytes

    /// Whether further bytes are of use now: not while as many requests are open as may be, nor while a body waits for its reader.
    public var wantsRead: Bool {
        if unconsumedBytes >= Int(HTTP2Session.streamWindow) { return false }
        if case .head = reading { return requests.count < pipelinedMax }
        return true
    }

    /// What the client sends is not looked at any more.
    public var isDeaf: Bool { if case .nothing = reading { true } else { false } }

    /// No message is being read, or only its head.
    public var isAtHead: Bool { if case .head = reading { true } else { false } }

    /// Everything that will be sent has been taken by `fill`; the connection can be closed.
    public var isFinished: Bool { isDone && requests.isEmpty && output.isEmpty }

    /// Takes bytes from the client. Returns how many were taken; the others are to be given again, with those that follow, once there are
    /// more of them or `wantsRead` has become true.
    @unsafe
    public mutating func receive(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, refusal: Refusal?) {
        var offset = 0
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let count: Int
            switch reading {
            case .head:
                guard requests.count < pipelinedMax else { return (offset, nil) }
                let (taken, refusal) = unsafe takeHead(rest)
                if refusal != nil { return (bytes.count, refusal) }
                count = taken
            case .length(let left):
                count = Int(min(UInt64(rest.count), left))
                tellData(offset, count)
                reading = .length(left - UInt64(count))
                if left == UInt64(count) { endRequest() }
            case .chunked:
                let (consumed, event) = unsafe decoder.next(rest, limits: limits)
                switch event {
                case .needMore: count = consumed
                case .data(let length):
                    tellData(offset + consumed, length)
                    count = consumed + length
                case .trailers:
                    reading = .trailers
                    scan = HeadScan()
                    count = consumed
                    if count == 0 { continue }
                case .malformed: return (bytes.count, refuse(400, "malformed chunk (RFC 9112 7.1)"))
                }
            case .trailers:
                let (taken, refusal) = unsafe takeTrailers(rest)
                if refusal != nil { return (bytes.count, refusal) }
                count = taken
            case .nothing: return (bytes.count, nil)
            }
            if count == 0 { break }
            offset += count
        }
        return (offset, nil)
    }

    private mutating func takeHead(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, refusal: Refusal?) {
        switch unsafe HeadParser.parseRequest(bytes, scan: &scan, limits: limits, into: &inbox.pointee.head) {
        case .incomplete:
            isHeadBegun = true
            return (0, nil)
        case .failed(let error): return (0, refuse(error.status, error.reason))
        case .complete: break
        }
        scan = HeadScan()
        isHeadBegun = false
        let framing = unsafe BodyFraming.request(inbox.pointee.head)
        // What follows a CONNECT is meant for a tunnel, which is never made here; it is no request (RFC 9110 9.3.6).
        let isConnect = unsafe ASCII.equal(inbox.pointee.head.method, "CONNECT")
        open(isHTTP10: unsafe inbox.pointee.head.minorVersion == 0, keepsAlive: unsafe inbox.pointee.head.keepsAlive && !isConnect)
        let place = unsafe inbox.pointee.keepHead(of: bytes, isRequest: true, endsStream: framing == .none)
        unsafe inbox.pointee.events.append(HTTP2Event(kind: .head, stream: lastStream, token: 0, start: place))
        switch framing {
        case .length(let length): reading = .length(length)
        case .chunked:
            reading = .chunked
            decoder = ChunkedDecoder()
        case .none, .untilClose: endRequest()
        }
        return (unsafe inbox.pointee.head.byteCount, nil)
    }

    private mutating func takeTrailers(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, refusal: Refusal?) {
        switch unsafe HeadParser.parseTrailers(bytes, scan: &scan, limits: limits, into: &inbox.pointee.head) {
        case .incomplete: return (0, nil)
        case .failed(let error): return (0, refuse(error.status, error.reason))
        case .complete: break
        }
        scan = HeadScan()
        if unsafe inbox.pointee.head.fieldCount > 0 {
            let place = unsafe inbox.pointee.keepHead(of: bytes, isRequest: false, endsStream: true)
            unsafe inbox.pointee.events.append(HTTP2Event(kind: .head, stream: lastStream, token: token(stream: lastStream), start: place))
        }
        endRequest()
        return (unsafe inbox.pointee.head.byteCount, nil)
    }

    private mutating func open(isHTTP10: Bool, keepsAlive: Bool) {
        // Numbers go round before they end.
        lastStream = lastStream == .max ? 1 : lastStream + 1
        requests.append(Request(stream: lastStream, isHTTP10: isHTTP10, keepsAlive: keepsAlive))
    }

    private mutating func tellData(_ start: Int, _ count: Int) {
        guard count > 0 else { return }
        unconsumedBytes += count
        unsafe inbox.pointee.events.append(
            HTTP2Event(
                kind: .data, stream: lastStream, token: token(stream: lastStream), start: UInt32(clamping: start),
                count: UInt32(clamping: count)))
    }

    /// The newest request has come whole.
    private mutating func endRequest() {
        guard let index = index(of: lastStream) else { return }
        requests[index].isReceived = true
        reading = requests[index].keepsAlive ? .head : .nothing
        unsafe inbox.pointee.events.append(HTTP2Event(kind: .end, stream: lastStream, token: requests[index].token))
    }

    /// Reads nothing further. The answer goes to the request that is being read, or to one that never came to be.
    private mutating func refuse(_ status: UInt16, _ reason: StaticString) -> Refusal {
        if case .head = reading { open(isHTTP10: false, keepsAlive: false) }
        if let index = index(of: lastStream) { requests[index].keepsAlive = false }
        reading = .nothing
        return Refusal(stream: lastStream, status: status, reason: reason)
    }

    /// Gives up the request whose head has begun and does not go on; nil when there is none.
    public mutating func refuseHead(_ status: UInt16, _ reason: StaticString) -> Refusal? {
        guard isHeadBegun, isAtHead else { return nil }
        return refuse(status, reason)
    }

    /// The client sends no more. Requests that have come whole are still answered.
    public mutating func receiveEnd() {
        reading = .nothing
        if let last = requests.last, !last.isReceived {
            requests.removeLast()
            unsafe inbox.pointee.events.append(
                HTTP2Event(kind: .closed, stream: last.stream, token: last.token, code: HTTP2ErrorCode.cancel, isRemote: true))
        }
        if requests.isEmpty { isDone = true } else { requests[requests.count - 1].keepsAlive = false }
    }

    /// Appends what is to be sent to `out` until it holds `bytesMax` or nothing is left, and tells of the requests whose answers have left.
    public mutating func fill(_ out: inout ByteBuffer, bytesMax: Int) {
        while out.count < bytesMax {
            if !output.isEmpty {
                let count = min(output.count, bytesMax - out.count)
                unsafe out.append(UnsafeRawBufferPointer(rebasing: output.readable[..<count]))
                output.consume(count)
                continue
            }
            guard let first = requests.first, first.isEnded else { break }
            requests.removeFirst()
            unsafe inbox.pointee.events.append(HTTP2Event(kind: .closed, stream: first.stream, token: first.token))
            if !first.keepsAlive {
                closeOthers()
                break
            }
            if !requests.isEmpty {
                let waiting = requests[0].waiting
                requests[0].waiting = []
                unsafe waiting.withUnsafeBytes { unsafe output.append($0) }
            }
        }
        if requests.isEmpty && isGoingAway && !isHeadBegun { closeOthers() }
        if output.isEmpty { output.clear(keeping: 16 * 1024) }
    }

    /// The answer that was the last has left: whoever waits behind it waits for nothing.
    private mutating func closeOthers() {
        isDone = true
        reading = .nothing
        for request in requests {
            unsafe inbox.pointee.events.append(
                HTTP2Event(kind: .closed, stream: request.stream, token: request.token, code: HTTP2ErrorCode.cancel))
        }
        requests.removeAll()
    }

    /// The connection ends with the requests that are open.
    public mutating func goAway() {
        isGoingAway = true
        if requests.isEmpty && !isHeadBegun { closeOthers() }
    }

    // MARK: Requests

    private func index(of stream: Int32) -> Int? { requests.lastIndex { $0.stream == stream } }

    /// Gives a request its owner, whose `token` comes back in its events.
    public mutating func attach(token: UInt64, stream: Int32) {
        if let index = index(of: stream) { requests[index].token = token }
    }

    public func token(stream: Int32) -> UInt64 { index(of: stream).map { requests[$0].token } ?? 0 }

    /// Body bytes have been taken: the client may send as many again.
    public mutating func consume(_ count: Int) { unconsumedBytes = max(0, unconsumedBytes - count) }

    /// `lines`: fields in the form `Name: value CR LF`, without those of framing and of the connection. False when the request is gone or
    /// has its answer.
    @unsafe
    public mutating func submitResponse(status: UInt16, lines: UnsafeRawBufferPointer, body: ResponseBody, stream: Int32) -> Bool {
        guard let index = index(of: stream), requests[index].answer == .none else { return false }
        if !requests[index].isReceived {
            // What is left of its body would be read as the next request.
            requests[index].keepsAlive = false
            reading = .nothing
        }
        if isGoingAway && index == requests.count - 1 { requests[index].keepsAlive = false }
        let isHTTP10 = requests[index].isHTTP10
        if isHTTP10 && body == .unknown { requests[index].keepsAlive = false }
        unsafe inbox.pointee.text.clear()
        unsafe inbox.pointee.text.append("HTTP/1.1 ")
        unsafe inbox.pointee.text.append(decimal: UInt64(status))
        unsafe inbox.pointee.text.append(byte: 32)
        unsafe inbox.pointee.text.append(StatusReason.text(status))
        unsafe inbox.pointee.text.append("\r\n")
        unsafe inbox.pointee.text.append(lines)
        switch body {
        case .none: writeLength(0)
        case .length(let length): writeLength(length)
        case .omitted(let length): if let length { writeLength(length) }
        case .unknown: if !isHTTP10 { unsafe inbox.pointee.text.append("Transfer-Encoding: chunked\r\n") }
        }
        if !requests[index].keepsAlive {
            unsafe inbox.pointee.text.append("Connection: close\r\n")
        } else if isHTTP10 {
            unsafe inbox.pointee.text.append("Connection: keep-alive\r\n")
        }
        unsafe inbox.pointee.text.append("\r\n")
        unsafe put(index, inbox.pointee.text.readable)
        switch body {
        case .none, .omitted:
            requests[index].answer = .bodiless
            requests[index].isEnded = true
        case .length: requests[index].answer = .counted
        case .unknown: requests[index].answer = isHTTP10 ? .untilClose : .chunked
        }
        return true
    }

    private func writeLength(_ length: UInt64) {
        unsafe inbox.pointee.text.append("Content-Length: ")
        unsafe inbox.pointee.text.append(decimal: length)
        unsafe inbox.pointee.text.append("\r\n")
    }

    /// Invites the body of a request that expects it (RFC 9110 10.1.1); an HTTP/1.0 client would take the interim response for the answer.
    public mutating func submitContinue(stream: Int32) {
        guard let index = index(of: stream), requests[index].answer == .none, !requests[index].isHTTP10 else { return }
        let text: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"
        unsafe put(index, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Queues body bytes.
    @unsafe
    public mutating func append(_ bytes: UnsafeRawBufferPointer, stream: Int32) {
        guard bytes.count > 0, let index = index(of: stream), !requests[index].isEnded else { return }
        switch requests[index].answer {
        case .none, .bodiless: return
        case .counted, .untilClose: unsafe put(index, bytes)
        case .chunked:
            unsafe inbox.pointee.text.clear()
            unsafe inbox.pointee.text.append(hexadecimal: UInt64(bytes.count))
            unsafe inbox.pointee.text.append("\r\n")
            unsafe put(index, inbox.pointee.text.readable)
            unsafe put(index, bytes)
            unsafe put(index, lineEnd)
        }
    }

    /// The body is complete. `trailers`: lines, which only a body of unknown length can carry (RFC 9112 7.1.2).
    @unsafe
    public mutating func end(stream: Int32, trailers: UnsafeRawBufferPointer) {
        guard let index = index(of: stream), requests[index].answer != .none, !requests[index].isEnded else { return }
        if requests[index].answer == .chunked {
            let last: StaticString = "0\r\n"
            unsafe put(index, UnsafeRawBufferPointer(start: last.utf8Start, count: last.utf8CodeUnitCount))
            unsafe put(index, trailers)
            unsafe put(index, lineEnd)
        }
        requests[index].isEnded = true
    }

    /// Bytes of a request's answer that have not left.
    public func waiting(stream: Int32) -> Int {
        guard let index = index(of: stream) else { return 0 }
        return index == 0 ? output.count : requests[index].waiting.count
    }

    private var lineEnd: UnsafeRawBufferPointer {
        let text: StaticString = "\r\n"
        return unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    private mutating func put(_ index: Int, _ bytes: UnsafeRawBufferPointer) {
        if index == 0 { unsafe output.append(bytes) } else { unsafe requests[index].waiting.append(contentsOf: bytes) }
    }
}
