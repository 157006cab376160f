public import EventLoops
public import HTTP
public import Primitives
internal import Streams
public import TLS

/// A request of a client that waits for its answer.
public struct BlockingRequest {
    public var method: String
    /// Path and query.
    public var target: String
    /// What `Host` says.
    public var host: String
    /// Further fields, without those of framing.
    public var fields: [(name: String, value: String)]
    public var body: [UInt8]

    public init(_ method: String, _ target: String, host: String, fields: [(name: String, value: String)] = [], body: [UInt8] = []) {
        self.method = method
        self.target = target
        self.host = host
        self.fields = fields
        self.body = body
    }
}

/// An HTTP/1.1 connection of a client, one exchange at a time, with bytes by `ByteStream` and HTTP by `HTTPClientConnection`. Each step
/// makes the calling thread wait: for tools, and for threads that have nothing else to do, never for a loop. Used on one thread.
///
/// Nothing is known here of names, deadlines and retries: `Wait` says how long to wait, and the owner what to do about failures. After any
/// failure the connection is of no further use.
public struct BlockingConnection: ~Copyable {
    public enum Failure: Error {
        /// The server closed the connection before its answer was complete.
        case closed
        /// The connection is gone; the call and its errno value.
        case broken(SystemError)
        /// The answer is no HTTP/1.1, or nothing that was asked for.
        case malformed(String)
        /// `Wait` gave up.
        case timedOut
        /// TLS failed: what of it, and why, for people.
        case tls(TLSFailureKind, String)
    }

    public enum Direction: Sendable {
        case input, output
    }

    /// Waits until a descriptor is ready (poll(2)); false when the time is over.
    public typealias Wait = (_ descriptor: Int32, _ direction: Direction) -> Bool

    /// How reading an answer ended.
    public enum Ending: Sendable {
        /// It is whole.
        case whole
        /// Whoever took it wanted no more of it.
        case stopped
    }

    private var stream: ByteStream
    /// Nil = plaintext.
    private var session: TLSSession?
    private var inbox: OwnedInbox
    private var http: HTTPClientConnection
    private var request = MessageHead(slots: 16)
    private var response = MessageHead()
    /// Bytes that `http` has not taken.
    private var input = ByteBuffer()
    /// The answer's head, without interim ones, has come.
    private var hasAnswer = false
    private var isWhole = false

    /// Bytes of one read.
    private static let readBytes = 64 * 1024

    /// Connects to `endpoint`, waiting for that as well, and for the handshake of `tls`; nil = plaintext. `contexts`: of the thread, if it
    /// connects again and again.
    public init(
        to endpoint: SocketEndpoint, tls: ClientTLS? = nil, contexts: ClientContexts? = nil, limits: HTTPLimits, wait: Wait
    ) throws(Failure) {
        let descriptor: Int32
        do throws(SystemError) {
            descriptor = try Socket.connect(to: endpoint)
        } catch {
            throw .broken(error)
        }
        let isReady = wait(descriptor, .output)
        // Asking takes the error away: once only.
        let code = Socket.pendingError(descriptor)
        if code != 0 || !isReady {
            Socket.close(descriptor)
            throw code == 0 ? .timedOut : .broken(SystemError(call: "connect", code: code))
        }
        var connected = ByteStream(descriptor: descriptor)
        var secured: TLSSession?
        do throws(Failure) {
            if let tls { secured = try Self.shakeHands(&connected, tls, contexts, wait) }
        } catch {
            connected.close()
            throw error
        }
        stream = connected
        session = secured
        inbox = OwnedInbox(limits: limits)
        http = unsafe HTTPClientConnection(isHTTP2: false, inbox: inbox.pointer, now: SystemClock.monotonicNow())
    }

    private static func shakeHands(
        _ stream: inout ByteStream, _ tls: ClientTLS, _ contexts: ClientContexts?, _ wait: Wait
    ) throws(Failure) -> TLSSession {
        let made: TLSSession
        do throws(TLSError) {
            made = try tls.session(
                contexts, descriptor: stream.descriptor, isAddress: { SocketEndpoint(address: $0, port: 1) != nil },
                now: Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000))
        } catch {
            throw .tls(.other, error.description)
        }
        stream.secure(by: SecureLayer(made, descriptor: stream.descriptor))
        while true {
            switch made.handshake() {
            case .done: return made
            case .wantsReadable: if !wait(stream.descriptor, .input) { throw .timedOut }
            case .wantsWritable: if !wait(stream.descriptor, .output) { throw .timedOut }
            case .failed: throw failure(of: made, SystemError(call: "connect", code: made.problem))
            }
        }
    }

    /// TLS' own reason, where there is one.
    private static func failure(of session: TLSSession?, _ error: SystemError) -> Failure {
        guard let session, let kind = session.failureKind else { return .broken(error) }
        return .tls(kind, session.clientFailure)
    }

    deinit {
        session?.end()
        if !stream.isClosed { Socket.close(stream.descriptor) }
    }

    /// Sends a whole request. A body has its length said, and so has that of a POST without one (RFC 9110 8.6).
    public mutating func send(_ message: borrowing BlockingRequest, wait: Wait) throws(Failure) {
        let count = UInt64(message.body.count)
        request.beginRequest(
            method: message.method, target: message.target, authority: message.host,
            length: count > 0 || message.method == "POST" ? count : nil)
        for field in message.fields { request.add(name: field.name, value: field.value) }
        hasAnswer = false
        isWhole = false
        let framing = count > 0 ? BodyFraming.length(count) : .none
        guard let id = http.submitRequest(request, framing: framing, upgrades: false, token: 1) else { throw .closed }
        unsafe message.body.withUnsafeBytes { unsafe http.append($0, stream: id) }
        unsafe http.end(stream: id, trailers: UnsafeRawBufferPointer(start: nil, count: 0))
        _ = http.fill(&stream.output, bytesMax: .max)
        while true {
            switch stream.flush() {
            case .flushed: return stream.output.release()
            case .blocked: if !wait(stream.descriptor, .output) { throw .timedOut }
            case .failed: throw sendingFailure()
            }
        }
    }

    private func sendingFailure() -> Failure {
        guard let session, session.failureKind != nil else { return .closed }
        return Self.failure(of: session, SystemError(call: "send", code: session.problem))
    }

    /// Reads the answer: `head` is called once, then `body` for each piece of its body, until either returns false. Interim responses are
    /// passed over (RFC 9110 15.2).
    public mutating func receive(
        wait: Wait, head: (borrowing MessageHead) -> Bool, body: (UnsafeRawBufferPointer) -> Bool
    ) throws(Failure) -> Ending {
        while true {
            if unsafe try !take(head, body) { return .stopped }
            if isWhole { return .whole }
            try read(wait)
        }
    }

    /// The last answer is whole and the server keeps the connection: it can carry another request (RFC 9112 9.3).
    public var isReusable: Bool { mutating get { isWhole && http.isReusable && input.isEmpty && !stream.isEnded } }

    /// Makes room for the next exchange; `isReusable` is true.
    public mutating func next() { http.detach(stream: 0) }

    /// Reads once, waiting for it. At the server's end, an answer that only this ends is whole (RFC 9112 6.3).
    private mutating func read(_ wait: Wait) throws(Failure) {
        while true {
            let room = unsafe UnsafeMutableRawBufferPointer(start: input.reserve(Self.readBytes), count: Self.readBytes)
            switch unsafe stream.read(into: room) {
            case .bytes(let count): return input.commit(count)
            case .wouldBlock: if !wait(stream.descriptor, .input) { throw .timedOut }
            case .endOfStream:
                http.receiveEnd()
                for index in 0..<inbox.contents.events.count where inbox.contents.events[index].kind == .end && hasAnswer {
                    isWhole = true
                }
                inbox.contents.clear()
                if !isWhole { throw .closed }
                return
            case .failed(let code): throw Self.failure(of: session, SystemError(call: "recv", code: code))
            }
        }
    }

    /// Gives what has come to `http`, and passes on what it tells. False when `head` or `body` wants no more.
    private mutating func take(
        _ head: (borrowing MessageHead) -> Bool, _ body: (UnsafeRawBufferPointer) -> Bool
    ) throws(Failure) -> Bool {
        while !input.isEmpty && !isWhole {
            let (taken, outcome) = unsafe http.receive(input.readable, now: SystemClock.monotonicNow())
            defer { inbox.contents.clear() }
            for index in 0..<inbox.contents.events.count {
                let event = inbox.contents.events[index]
                switch event.kind {
                case .head: if !takeHead(inbox.contents.block(of: event), head) { return false }
                case .data:
                    let start = Int(event.start)
                    http.consume(Int(event.count), stream: event.stream)
                    let piece = unsafe UnsafeRawBufferPointer(rebasing: input.readable[start..<start + Int(event.count)])
                    if unsafe !body(piece) { return false }
                case .end: isWhole = true
                case .closed, .goAway: break
                }
            }
            input.consume(taken)
            if outcome == .broken { throw .malformed("\(http.brokenReason ?? "no HTTP/1.1")") }
            if http.isSwitched { throw .malformed("another protocol, which was not asked for") }
            if taken == 0 { break }
        }
        return true
    }

    private mutating func takeHead(_ section: HeadSection, _ head: (borrowing MessageHead) -> Bool) -> Bool {
        if section.isTrailers || section.status < 200 { return true }
        inbox.keep(section, in: &response)
        hasAnswer = true
        return head(response)
    }
}
