internal import Primitives

/// One HTTP/1.1 connection, sans I/O, in either role: bytes in, events out; heads, data and ends in, bytes out. Events and commands are
/// those of `HTTP2Session`, with the number of the message in place of the stream's, so that who drives one drives the other.
///
/// A server may have up to `pipelinedMax` requests open at once (RFC 9112 9.3.2); in whatever order they are answered, the answers leave
/// in theirs. A client has one. Where one message is open at a time, `receive` stops behind each head, which is then looked at where it
/// was parsed. Owned by one thread.
@safe
public struct HTTP1Connection: ~Copyable {
    public enum Role: Sendable {
        case server, client
    }

    /// What came is no message, or too much of one; nothing is read any more. `stream` is for the answer that says so.
    public struct Refusal: Sendable {
        public var stream: Int32
        public var status: UInt16
        public var reason: StaticString
        /// Of a head; nil = of a body.
        public var error: HeadError?

        public init(stream: Int32, status: UInt16, reason: StaticString, error: HeadError? = nil) {
            self.stream = stream
            self.status = status
            self.reason = reason
            self.error = error
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

    enum Reading {
        case head, chunked, trailers, untilClose, nothing
        case length(UInt64)
    }

    enum Sending: BitwiseCopyable {
        case nothing, bodiless, counted, chunked, untilClose
    }

    /// A request and its answer.
    struct Exchange: BitwiseCopyable {
        /// In one byte: exchanges are taken out and put back as a whole.
        private struct Traits: OptionSet, BitwiseCopyable {
            let rawValue: UInt8
            static let http10 = Traits(rawValue: 1)
            static let head = Traits(rawValue: 2)
            static let connect = Traits(rawValue: 4)
            static let keptAlive = Traits(rawValue: 8)
            static let received = Traits(rawValue: 16)
            static let ended = Traits(rawValue: 32)
        }

        let stream: Int32
        private var traits = Traits.keptAlive
        /// How our message is framed.
        var sending = Sending.nothing
        var token: UInt64 = 0

        init(stream: Int32, keepsAlive: Bool = true) {
            self.stream = stream
            if !keepsAlive { traits = [] }
        }

        var isHTTP10: Bool { get { traits.contains(.http10) } set { set(.http10, newValue) } }
        var isHEAD: Bool { get { traits.contains(.head) } set { set(.head, newValue) } }
        /// A 2xx turns the connection into a tunnel (RFC 9110 9.3.6).
        var isConnect: Bool { get { traits.contains(.connect) } set { set(.connect, newValue) } }
        var keepsAlive: Bool { get { traits.contains(.keptAlive) } set { set(.keptAlive, newValue) } }
        /// The peer's message is here to its end.
        var isReceived: Bool { get { traits.contains(.received) } set { set(.received, newValue) } }
        /// Ours has been given to its end.
        var isEnded: Bool { get { traits.contains(.ended) } set { set(.ended, newValue) } }

        private mutating func set(_ trait: Traits, _ isSet: Bool) { if isSet { traits.insert(trait) } else { traits.remove(trait) } }
    }

    let inbox: UnsafeMutablePointer<HTTPInbox>
    let role: Role
    /// `pipelinedMax` in four bytes: there may be very many idle connections.
    private let openMax: UInt32
    var reading = Reading.head
    var scan = HeadScan()
    var decoder = ChunkedDecoder()
    var isHeadBegun = false
    /// The oldest open exchange, and those behind it with what waits to be sent for each.
    var first: Exchange?
    var others: [Exchange] = []
    var waiting: [[UInt8]] = []
    /// What is sent for the oldest.
    var output = ByteBuffer()
    var lastStream: Int32 = 0
    var unconsumedBytes = 0
    var isGoingAway = false
    /// The last answer has been given.
    var isDone = false
    /// What comes now is no HTTP.
    public internal(set) var isSwitched = false

    /// A server's connection. `inbox` must outlive it.
    @unsafe
    public init(inbox: UnsafeMutablePointer<HTTPInbox>, pipelinedMax: Int) {
        unsafe self.init(.server, inbox: inbox, pipelinedMax: max(1, pipelinedMax))
    }

    /// A client's connection. `inbox` must outlive it.
    @unsafe
    public init(clientInbox inbox: UnsafeMutablePointer<HTTPInbox>) {
        unsafe self.init(.client, inbox: inbox, pipelinedMax: 1)
    }

    private init(_ role: Role, inbox: UnsafeMutablePointer<HTTPInbox>, pipelinedMax: Int) {
        self.role = role
        unsafe self.inbox = unsafe inbox
        openMax = UInt32(clamping: pipelinedMax)
    }

    var pipelinedMax: Int { Int(openMax) }

    // MARK: Exchanges

    var openCount: Int { mutating get { first == nil ? 0 : 1 + others.count } }

    mutating func exchange(of stream: Int32) -> Exchange? {
        if let first, first.stream == stream { return first }
        return others.isEmpty ? nil : others.first { $0.stream == stream }
    }

    mutating func change(_ stream: Int32, _ change: (inout Exchange) -> Void) {
        if first?.stream == stream {
            change(&first!)
        } else if !others.isEmpty, let place = others.firstIndex(where: { $0.stream == stream }) {
            change(&others[place])
        }
    }

    mutating func open(_ fresh: Exchange) {
        if first == nil {
            first = fresh
        } else {
            others.append(fresh)
            waiting.append([])
        }
    }

    mutating func nextStream() -> Int32 {
        // Numbers go round before they end.
        lastStream = lastStream == .max ? 1 : lastStream + 1
        return lastStream
    }

    /// The oldest has gone; what waited for the next one goes out.
    mutating func advance() {
        guard !others.isEmpty else {
            first = nil
            return
        }
        first = others.removeFirst()
        let bytes = waiting.removeFirst()
        unsafe bytes.withUnsafeBytes { unsafe put($0) }
    }

    /// Gives a request its owner, whose `token` comes back in its events.
    public mutating func attach(token: UInt64, stream: Int32) { change(stream) { $0.token = token } }

    /// The owner lost interest: nothing further is told of the message.
    public mutating func detach(stream: Int32) { change(stream) { $0.token = 0 } }

    public mutating func token(stream: Int32) -> UInt64 { exchange(of: stream)?.token ?? 0 }

    /// The owner of the oldest open exchange; 0 = none.
    public var token: UInt64 { mutating get { first?.token ?? 0 } }

    /// Nothing is open, and everything that was sent has been taken by `fill`.
    public var isIdle: Bool { mutating get { first == nil && output.isEmpty } }

    /// The oldest open exchange; 0 = none.
    var current: Int32 { mutating get { first?.stream ?? 0 } }

    // MARK: Reading

    /// Whether further bytes are of use now: not while as many requests are open as may be, nor while a body waits for its reader.
    public var wantsRead: Bool {
        mutating get {
            if unconsumedBytes >= Int(HTTP2Session.streamWindow) { return false }
            if case .head = reading { return role == .client || openCount < pipelinedMax }
            return true
        }
    }

    /// What the peer sends is not looked at any more.
    public var isDeaf: Bool { mutating get { if case .nothing = reading { true } else { false } } }

    /// No message is being read, or only its head.
    public var isAtHead: Bool { mutating get { if case .head = reading { true } else { false } } }

    /// The beginning of a head has come, and not its end.
    public var isInHead: Bool { mutating get { isHeadBegun } }

    /// Everything that will be sent has been taken by `fill`; the connection can be closed.
    public var isFinished: Bool { mutating get { isDone && first == nil && output.isEmpty } }

    /// Client: the exchange is complete on both sides, and the connection can carry another.
    public var isReusable: Bool {
        mutating get {
            guard let first, role == .client, !isSwitched else { return first == nil && !isDone }
            return first.isReceived && first.isEnded && first.keepsAlive && output.isEmpty
        }
    }

    /// Client: makes room for the next exchange.
    public mutating func release() {
        first = nil
        reading = .head
        scan = HeadScan()
    }

    /// Takes bytes from the peer. Returns how many were taken; the others are to be given again, with those that follow, once the events
    /// have been looked at, there are more bytes, or `wantsRead` has become true.
    @unsafe
    public mutating func receive(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, refusal: Refusal?) {
        var offset = 0
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let count: Int
            switch reading {
            case .head:
                if role == .server ? openCount >= pipelinedMax : first == nil { return (offset, nil) }
                let (taken, refusal) = unsafe takeHead(rest)
                if refusal != nil { return (bytes.count, refusal) }
                // The owner looks at a head before its body is read. Whatever it decides, a sized response's body stays what it is.
                if pipelinedMax == 1, !isInSizedResponse { return (offset + taken, nil) }
                count = taken
            case .length(let left):
                count = Int(min(UInt64(rest.count), left))
                tellData(offset, count)
                reading = .length(left - UInt64(count))
                if left == UInt64(count) { endMessage() }
            case .untilClose:
                count = rest.count
                tellData(offset, count)
            case .chunked:
                let (consumed, event) = unsafe decoder.next(rest, limits: inbox.pointee.limits)
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
                // Trailers are looked at where they were parsed, as heads are.
                if taken > 0 && pipelinedMax == 1 { return (offset + taken, nil) }
                count = taken
            case .nothing:
                if isSwitched { return (offset, nil) }
                // Nobody asked for what comes behind a response: it would be taken for the next one (RFC 9112 9.2).
                if role == .client { first?.keepsAlive = false }
                return (bytes.count, nil)
            }
            if count == 0 { break }
            offset += count
        }
        return (offset, nil)
    }

    mutating func takeHead(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, refusal: Refusal?) {
        let result = unsafe role == .server
            ? HeadParser.parseRequest(bytes, scan: &scan, limits: inbox.pointee.limits, into: &inbox.pointee.head)
            : HeadParser.parseResponse(bytes, scan: &scan, limits: inbox.pointee.limits, into: &inbox.pointee.head)
        switch result {
        case .incomplete:
            isHeadBegun = true
            return (0, nil)
        case .failed(let error): return (0, refuse(error.status, error.reason, error))
        case .complete: break
        }
        scan = HeadScan()
        isHeadBegun = false
        let count = unsafe inbox.pointee.head.byteCount
        if role == .server { unsafe beginRequest(bytes) } else { unsafe beginResponse(bytes) }
        return (count, nil)
    }

    mutating func beginRequest(_ bytes: UnsafeRawBufferPointer) {
        let framing = unsafe BodyFraming.request(inbox.pointee.head)
        // What follows a CONNECT is meant for a tunnel, which is never made here; it is no request (RFC 9110 9.3.6).
        let isConnect = unsafe ASCII.equal(inbox.pointee.head.method, "CONNECT")
        var fresh = Exchange(stream: nextStream())
        fresh.isHTTP10 = unsafe inbox.pointee.head.minorVersion == 0
        fresh.keepsAlive = unsafe inbox.pointee.head.keepsAlive && !isConnect
        fresh.isHEAD = unsafe ASCII.equal(inbox.pointee.head.method, "HEAD")
        open(fresh)
        unsafe tellHead(bytes, isRequest: true, endsStream: framing == .none, token: 0)
        begin(framing)
    }

    mutating func beginResponse(_ bytes: UnsafeRawBufferPointer) {
        guard let answered = first else { return }
        let status = unsafe inbox.pointee.head.statusCode
        if status < 200 {
            if status == 101 { stopForTunnel() }
            return unsafe tellHead(bytes, isRequest: false, endsStream: false, token: answered.token)
        }
        if answered.isConnect, status < 300 {
            stopForTunnel()
            return unsafe tellHead(bytes, isRequest: false, endsStream: false, token: answered.token)
        }
        let framing = unsafe BodyFraming.response(inbox.pointee.head, toHEAD: answered.isHEAD)
        let keepsAlive = unsafe inbox.pointee.head.keepsAlive && framing != .untilClose
        first?.keepsAlive = keepsAlive
        unsafe tellHead(bytes, isRequest: false, endsStream: framing == .none, token: answered.token)
        begin(framing)
    }

    mutating func stopForTunnel() {
        isSwitched = true
        reading = .nothing
    }

    mutating func begin(_ framing: BodyFraming) {
        switch framing {
        case .length(let length): reading = .length(length)
        case .chunked:
            reading = .chunked
            decoder = ChunkedDecoder()
        case .untilClose where role == .client: reading = .untilClose
        case .none, .untilClose: endMessage()
        }
    }

    mutating func takeTrailers(_ bytes: UnsafeRawBufferPointer) -> (taken: Int, refusal: Refusal?) {
        switch unsafe HeadParser.parseTrailers(bytes, scan: &scan, limits: inbox.pointee.limits, into: &inbox.pointee.head) {
        case .incomplete: return (0, nil)
        case .failed(let error): return (0, refuse(error.status, error.reason, error))
        case .complete: break
        }
        scan = HeadScan()
        let count = unsafe inbox.pointee.head.byteCount
        if unsafe inbox.pointee.head.fieldCount > 0 {
            unsafe tellHead(bytes, isRequest: false, isTrailers: true, endsStream: true, token: token(stream: reader))
        }
        endMessage()
        return (count, nil)
    }

    private var isInSizedResponse: Bool { mutating get { if case .length = reading { role == .client } else { false } } }

    /// The exchange whose message is being read.
    var reader: Int32 { mutating get { role == .server ? lastStream : first?.stream ?? 0 } }

    mutating func tellHead(
        _ bytes: UnsafeRawBufferPointer, isRequest: Bool, isTrailers: Bool = false, endsStream: Bool, token: UInt64
    ) {
        if pipelinedMax == 1 {
            return unsafe inbox.pointee.tellHead(
                stream: reader, token: token, isRequest: isRequest, isTrailers: isTrailers, endsStream: endsStream)
        }
        let place = unsafe inbox.pointee.keepHead(of: bytes, isRequest: isRequest, endsStream: endsStream)
        unsafe inbox.pointee.events.append(HTTPEvent(kind: .head, stream: reader, token: token, start: place))
    }

    mutating func tellData(_ start: Int, _ count: Int) {
        guard count > 0 else { return }
        unconsumedBytes += count
        unsafe inbox.pointee.events.append(
            HTTPEvent(
                kind: .data, stream: reader, token: token(stream: reader), start: UInt32(clamping: start), count: UInt32(clamping: count)))
    }

    /// Notes that the peer's message is here to its end; nil = it is gone.
    @inline(__always)
    private mutating func received(_ stream: Int32) -> Exchange? {
        if first?.stream == stream {
            first!.isReceived = true
            return first
        }
        guard !others.isEmpty, let place = others.firstIndex(where: { $0.stream == stream }) else { return nil }
        others[place].isReceived = true
        return others[place]
    }

    /// The message being read has come whole.
    mutating func endMessage() {
        let stream = reader
        guard let read = received(stream) else { return }
        reading = role == .server && read.keepsAlive ? .head : .nothing
        unsafe inbox.pointee.events.append(HTTPEvent(kind: .end, stream: stream, token: read.token))
    }

    /// Reads nothing further. The answer goes to the request that is being read, or to one that never came to be.
    mutating func refuse(_ status: UInt16, _ reason: StaticString, _ error: HeadError? = nil) -> Refusal {
        if role == .server, case .head = reading { open(Exchange(stream: nextStream(), keepsAlive: false)) }
        isHeadBegun = false
        change(reader) { $0.keepsAlive = false }
        reading = .nothing
        return Refusal(stream: reader, status: status, reason: reason, error: error)
    }

    /// Gives up the request whose head has begun and does not go on; nil when there is none.
    public mutating func refuseHead(_ status: UInt16, _ reason: StaticString) -> Refusal? {
        guard isHeadBegun, isAtHead else { return nil }
        return refuse(status, reason)
    }

    /// Server: what is left of a request is of no interest; the answer to it is the last.
    public mutating func stopReading() {
        change(reader) { if !$0.isReceived { $0.keepsAlive = false } }
        if let last = exchange(of: reader), !last.isReceived { reading = .nothing }
    }

    /// The peer sends no more. Server: requests that have come whole are still answered. Client: a body that only this ends is whole.
    public mutating func receiveEnd() {
        if role == .client {
            if case .untilClose = reading { endMessage() }
            return
        }
        reading = .nothing
        if let last = exchange(of: lastStream), !last.isReceived {
            if others.isEmpty {
                first = nil
            } else {
                others.removeLast()
                waiting.removeLast()
            }
            unsafe inbox.pointee.events.append(
                HTTPEvent(kind: .closed, stream: last.stream, token: last.token, code: HTTP2ErrorCode.cancel, isRemote: true))
        }
        if first == nil { isDone = true } else { change(others.last?.stream ?? first!.stream) { $0.keepsAlive = false } }
    }

    /// Body bytes have been taken: the peer may send as many again.
    public mutating func consume(_ count: Int) { unconsumedBytes = max(0, unconsumedBytes - count) }
}
