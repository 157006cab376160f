public import Primitives

/// What is sent on a connection of HTTP/1.1: heads, bodies in their framing, ends. Answers leave in the order of their requests.
extension HTTP1Connection {
    /// Appends what is to be sent to `out` until it holds `bytesMax` or nothing is left, and tells of the requests whose answers have left.
    public mutating func fill(_ out: inout ByteBuffer, bytesMax: Int) {
        while out.count < bytesMax {
            if !output.isEmpty {
                if out.isEmpty && output.count <= bytesMax {
                    swap(&out, &output)
                } else {
                    let count = min(output.count, bytesMax - out.count)
                    unsafe out.append(UnsafeRawBufferPointer(rebasing: output.readable[..<count]))
                    output.consume(count)
                }
                continue
            }
            guard role == .server, let answered = first, answered.isEnded else { break }
            advance()
            if answered.token != 0 {
                unsafe inbox.pointee.events.append(HTTPEvent(kind: .closed, stream: answered.stream, token: answered.token))
            }
            if !answered.keepsAlive || !answered.isReceived {
                closeOthers()
                break
            }
        }
        if role == .server && first == nil && isGoingAway && !isHeadBegun { closeOthers() }
        if output.isEmpty && output.capacity > 0 { unsafe inbox.pointee.shelf.take(back: &output) }
    }

    /// The answer that was the last has left: whoever waits behind it waits for nothing.
    mutating func closeOthers() {
        isDone = true
        reading = .nothing
        while let gone = first {
            unsafe inbox.pointee.events.append(
                HTTPEvent(kind: .closed, stream: gone.stream, token: gone.token, code: HTTP2ErrorCode.cancel))
            first = others.isEmpty ? nil : others.removeFirst()
        }
        waiting.removeAll()
    }

    /// The connection ends with the requests that are open.
    public mutating func goAway() {
        isGoingAway = true
        if first == nil && !isHeadBegun { closeOthers() }
    }

    /// Client: begins an exchange. False when one is open.
    public mutating func submitRequest(_ head: borrowing MessageHead, framing: BodyFraming, upgrades: Bool, token: UInt64) -> Bool {
        guard role == .client, first == nil else { return false }
        var fresh = Exchange(stream: nextStream())
        fresh.token = token
        fresh.isHEAD = unsafe ASCII.equal(head.method, "HEAD")
        fresh.isConnect = unsafe ASCII.equal(head.method, "CONNECT")
        prepare()
        head.writeRequest(to: &output)
        if upgrades { output.append("Connection: Upgrade\r\n") }
        switch framing {
        case .length(let count): writeLength(count)
        case .chunked: output.append("Transfer-Encoding: chunked\r\n")
        // An explicit zero is kept: it means something for POST (RFC 9110 8.6).
        case .none, .untilClose: if head.contentLength != nil { writeLength(0) }
        }
        output.append("\r\n")
        switch framing {
        case .length: fresh.sending = .counted
        case .chunked: fresh.sending = .chunked
        case .none, .untilClose:
            fresh.sending = .bodiless
            fresh.isEnded = true
        }
        first = fresh
        reading = .head
        return true
    }

    /// Answers with a head in its structure. `closes`: no further request will be served. Returns the bytes of the
    /// head; nil when the request is gone or has its answer.
    public mutating func submitResponse(_ head: borrowing MessageHead, framing: BodyFraming, closes: Bool, stream: Int32) -> Int? {
        guard var answered = exchange(of: stream), answered.sending == .nothing else { return nil }
        settle(&answered, closes: closes, isUnbounded: framing == .chunked || framing == .untilClose)
        let isFirst = first?.stream == stream
        var text = ByteBuffer()
        prepare()
        if isFirst { swap(&text, &output) }
        let start = text.count
        head.writeResponse(to: &text)
        switch framing {
        case .none, .length:
            answered.sending = framing == .none ? .bodiless : .counted
            answered.isEnded = framing == .none
            Self.writeLength(of: head, framing, toHEAD: answered.isHEAD, to: &text)
        case .chunked, .untilClose:
            answered.sending = answered.isHTTP10 ? .untilClose : .chunked
            if !answered.isHTTP10 { text.append("Transfer-Encoding: chunked\r\n") }
        }
        Self.writeConnection(answered, to: &text)
        let count = text.count - start
        if isFirst { swap(&text, &output) } else { unsafe put(text.readable, for: stream) }
        change(stream) { $0 = answered }
        return count
    }

    /// The length that a response's head says; of one without a body, that of the body left out.
    private static func writeLength(of head: borrowing MessageHead, _ framing: BodyFraming, toHEAD: Bool, to text: inout ByteBuffer) {
        var length: UInt64?
        if case .length(let count) = framing { length = count } else { length = head.contentLength }
        let status = head.statusCode
        // A response of HTTP/2 may have ended with its head, which HTTP/1.1 must be told.
        if length == nil, !toHEAD, status >= 200, status != 304 { length = 0 }
        guard status != 204, let length else { return }
        text.append("Content-Length: ")
        text.append(decimal: length)
        text.append("\r\n")
    }

    private static func writeConnection(_ answered: Exchange, to text: inout ByteBuffer) {
        if !answered.keepsAlive {
            text.append("Connection: close\r\n")
        } else if answered.isHTTP10 {
            text.append("Connection: keep-alive\r\n")
        }
        text.append("\r\n")
    }

    mutating func settle(_ answered: inout Exchange, closes: Bool, isUnbounded: Bool) {
        if closes || !answered.isReceived { answered.keepsAlive = false }
        if isGoingAway && others.last?.stream ?? first?.stream == answered.stream { answered.keepsAlive = false }
        if answered.isHTTP10 && isUnbounded { answered.keepsAlive = false }
    }

    /// An interim response (RFC 9110 15.2); an HTTP/1.0 client would take it for the answer.
    public mutating func submitInterim(_ head: borrowing MessageHead, stream: Int32) {
        guard let answered = exchange(of: stream), answered.sending == .nothing, !answered.isHTTP10 else { return }
        var text = ByteBuffer()
        head.writeResponse(to: &text)
        text.append("\r\n")
        unsafe put(text.readable, for: stream)
    }

    /// Server: passes a 101 on. What is sent and comes from here on is no HTTP.
    public mutating func submitSwitch(_ head: borrowing MessageHead) -> Int {
        prepare()
        let start = output.count
        head.writeResponse(to: &output)
        output.append("Connection: Upgrade\r\n\r\n")
        stopForTunnel()
        return output.count - start
    }

    /// `lines`: fields in the form `Name: value CR LF`, without those of framing and of the connection. False when the request is gone or
    /// has its answer.
    @unsafe
    public mutating func submitResponse(status: UInt16, lines: UnsafeRawBufferPointer, body: ResponseBody, stream: Int32) -> Bool {
        guard var answered = exchange(of: stream), answered.sending == .nothing else { return false }
        // What is left of its body would be read as the next request.
        if !answered.isReceived { reading = .nothing }
        settle(&answered, closes: false, isUnbounded: body == .unknown)
        var text = ByteBuffer()
        unsafe swap(&text, &inbox.pointee.text)
        text.clear()
        text.append("HTTP/1.1 ")
        text.append(decimal: UInt64(status))
        text.append(byte: 32)
        text.append(StatusText.reason(status))
        text.append("\r\n")
        unsafe text.append(lines)
        switch body {
        case .none: Self.writeLength(0, to: &text)
        case .length(let length): Self.writeLength(length, to: &text)
        case .omitted(let length): if let length { Self.writeLength(length, to: &text) }
        case .unknown: if !answered.isHTTP10 { text.append("Transfer-Encoding: chunked\r\n") }
        }
        Self.writeConnection(answered, to: &text)
        unsafe put(text.readable, for: stream)
        unsafe swap(&text, &inbox.pointee.text)
        switch body {
        case .none, .omitted:
            answered.sending = .bodiless
            answered.isEnded = true
        case .length: answered.sending = .counted
        case .unknown: answered.sending = answered.isHTTP10 ? .untilClose : .chunked
        }
        change(stream) { $0 = answered }
        return true
    }

    mutating func writeLength(_ length: UInt64) { Self.writeLength(length, to: &output) }

    private static func writeLength(_ length: UInt64, to text: inout ByteBuffer) {
        text.append("Content-Length: ")
        text.append(decimal: length)
        text.append("\r\n")
    }

    /// Invites the body of a request that expects it (RFC 9110 10.1.1); an HTTP/1.0 client would take the interim response for the answer.
    public mutating func submitContinue(stream: Int32) {
        guard let answered = exchange(of: stream), answered.sending == .nothing, !answered.isHTTP10 else { return }
        let text: StaticString = "HTTP/1.1 100 Continue\r\n\r\n"
        unsafe put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount), for: stream)
    }

    /// Queues body bytes.
    @unsafe
    public mutating func append(_ bytes: UnsafeRawBufferPointer, stream: Int32) {
        guard bytes.count > 0, let answered = exchange(of: stream), !answered.isEnded else { return }
        switch answered.sending {
        case .nothing, .bodiless: return
        case .counted, .untilClose: unsafe put(bytes, for: stream)
        case .chunked:
            guard first?.stream == stream else { return unsafe putChunk(bytes, stream) }
            prepare()
            output.append(hexadecimal: UInt64(bytes.count))
            output.append("\r\n")
            unsafe output.append(bytes)
            output.append("\r\n")
        }
    }

    mutating func putChunk(_ bytes: UnsafeRawBufferPointer, _ stream: Int32) {
        unsafe inbox.pointee.text.clear()
        unsafe inbox.pointee.text.append(hexadecimal: UInt64(bytes.count))
        unsafe inbox.pointee.text.append("\r\n")
        unsafe put(inbox.pointee.text.readable, for: stream)
        unsafe put(bytes, for: stream)
        unsafe put(lineEnd, for: stream)
    }

    /// Whether body bytes go out as they are, and nothing waits before them.
    public mutating func sendsPlain(stream: Int32) -> Bool {
        guard let first, first.stream == stream, output.isEmpty else { return false }
        return first.sending == .counted || first.sending == .untilClose
    }

    /// The body is complete. `trailers`: lines, which only a body of unknown length can carry (RFC 9112 7.1.2).
    @unsafe
    public mutating func end(stream: Int32, trailers: UnsafeRawBufferPointer) {
        guard let answered = exchange(of: stream), answered.sending != .nothing, !answered.isEnded else { return }
        if answered.sending == .chunked {
            let last: StaticString = "0\r\n"
            unsafe put(UnsafeRawBufferPointer(start: last.utf8Start, count: last.utf8CodeUnitCount), for: stream)
            unsafe put(trailers, for: stream)
            unsafe put(lineEnd, for: stream)
        }
        change(stream) { $0.isEnded = true }
    }

    /// Whether the answer to this request ends only with the connection, so that a cut one would look whole.
    public mutating func endsWithConnection(stream: Int32) -> Bool { exchange(of: stream)?.sending == .untilClose }

    /// Bytes of a message of ours that have not left.
    public mutating func waiting(stream: Int32) -> Int {
        if first?.stream == stream { return output.count }
        guard !others.isEmpty, let place = others.firstIndex(where: { $0.stream == stream }) else { return 0 }
        return waiting[place].count
    }

    private var lineEnd: UnsafeRawBufferPointer {
        let text: StaticString = "\r\n"
        return unsafe UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer, for stream: Int32) {
        if first?.stream == stream { return unsafe put(bytes) }
        guard let place = others.firstIndex(where: { $0.stream == stream }) else { return }
        unsafe waiting[place].append(contentsOf: bytes)
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        prepare()
        unsafe output.append(bytes)
    }

    /// A warm buffer, where there is one.
    mutating func prepare() {
        if output.capacity == 0 { unsafe inbox.pointee.shelf.lend(&output) }
    }
}
