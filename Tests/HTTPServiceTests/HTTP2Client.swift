import EventLoops
import Glibc
import HTTP
import Primitives
import Testing

/// A client of HTTP/2 that does what a test says, over a real connection. Everything it waits for has a deadline.
@safe
final class HTTP2Client {
    struct Answer {
        var status = 0
        /// Heads before it.
        var interim: [Int] = []
        var fields: [String: String] = [:]
        var body: [UInt8] = []
        var trailers: [String: String] = [:]
        var isEnded = false
        /// The stream is gone, with this error; nil = it is not.
        var code: UInt32?
    }

    let raw: RawClient
    private let inbox: UnsafeMutablePointer<HTTPInbox>
    private let session: UnsafeMutablePointer<HTTP2Session>
    private var list = HTTP2FieldList()
    private var head = MessageHead()
    private var used = 0
    private(set) var answers: [Int32: Answer] = [:]
    private(set) var wentAway = false
    /// False: the client takes no byte of a body, so that its windows close.
    var consumes = true
    /// Bytes handed to the kernel at once.
    var pieceBytes = Int.max

    init(_ endpoint: SocketEndpoint) throws {
        raw = try RawClient(endpoint)
        unsafe inbox = .allocate(capacity: 1)
        unsafe inbox.initialize(to: HTTPInbox(limits: HTTPLimits()))
        unsafe session = .allocate(capacity: 1)
        unsafe session.initialize(to: HTTP2Session(.client, inbox: inbox, now: MonotonicInstant(nanoseconds: 1)))
    }

    deinit {
        unsafe session.deinitialize(count: 1)
        unsafe session.deallocate()
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
    }

    /// Sends a request; `body` nil = its end is sent with `end`.
    func request(_ method: String, _ path: String, _ fields: [(String, String)] = [], body: [UInt8]? = []) throws -> Int32 {
        list.begin()
        add(":method", method)
        add(":scheme", "http")
        add(":authority", "x")
        add(":path", path)
        for field in fields { add(field.0, field.1) }
        let id = try #require(unsafe session.pointee.submitRequest(list, token: 1, hasBody: body.map { !$0.isEmpty } ?? true))
        answers[id] = Answer()
        if let body, !body.isEmpty {
            write(id, body)
            end(id)
        }
        flush()
        return id
    }

    private func add(_ name: String, _ value: String) {
        unsafe Array(name.utf8).withUnsafeBytes { name in unsafe Array(value.utf8).withUnsafeBytes { unsafe list.add(name, copying: $0) } }
    }

    func write(_ id: Int32, _ bytes: [UInt8]) {
        unsafe bytes.withUnsafeBytes { unsafe _ = session.pointee.append($0, stream: id) }
        flush()
    }

    func end(_ id: Int32, trailers: String = "") {
        unsafe Array(trailers.utf8).withUnsafeBytes { unsafe session.pointee.end(stream: id, trailers: $0) }
        flush()
    }

    func reset(_ id: Int32) {
        unsafe session.pointee.reset(stream: id, code: HTTP2ErrorCode.cancel)
        flush()
    }

    private func flush() {
        var out = ByteBuffer()
        unsafe _ = session.pointee.fill(&out, bytesMax: 1 << 24)
        take([])
        let bytes = unsafe Array(out.readable)
        var start = 0
        while start < bytes.count {
            let end = pieceBytes >= bytes.count - start ? bytes.count : start + pieceBytes
            raw.send(Array(bytes[start..<end]))
            start = end
        }
    }

    func answer(_ id: Int32) -> Answer { answers[id] ?? Answer() }

    /// Goes on until `condition` holds.
    func wait(_ what: Comment = "the answer comes", until condition: (HTTP2Client) -> Bool) {
        eventually(what) {
            raw.wait("bytes") { _ in true }
            let fresh = Array(raw.received[used...])
            used = raw.received.count
            var rest = fresh[...]
            while !rest.isEmpty {
                let piece = Array(rest)
                let (taken, _) = unsafe piece.withUnsafeBytes { unsafe session.pointee.receive($0, now: MonotonicInstant(nanoseconds: 1)) }
                take(piece)
                rest = rest.dropFirst(taken)
            }
            flush()
            return condition(self)
        }
    }

    func waitForEnd(of id: Int32) { wait { $0.answer(id).isEnded || $0.answer(id).code != nil } }

    private func take(_ bytes: [UInt8]) {
        for event in unsafe inbox.pointee.events.elements {
            switch event.kind {
            case .head:
                let block = unsafe inbox.pointee.block(of: event)
                unsafe head.load(block, from: &inbox.pointee)
                var fields: [String: String] = [:]
                for index in 0..<head.fieldCount {
                    fields[head.nameBytes(at: index).text] = head.bytes(at: index).text
                }
                if block.isTrailers {
                    answers[event.stream]?.trailers = fields
                } else if block.status < 200 {
                    answers[event.stream]?.interim.append(Int(block.status))
                } else {
                    answers[event.stream]?.status = Int(block.status)
                    answers[event.stream]?.fields = fields
                }
            case .data:
                answers[event.stream]?.body += bytes[Int(event.start)..<Int(event.start + event.count)]
                if consumes { unsafe session.pointee.consume(Int(event.count), stream: event.stream) }
            case .end: answers[event.stream]?.isEnded = true
            case .closed: answers[event.stream]?.code = event.code
            case .goAway: wentAway = true
            }
        }
        unsafe inbox.pointee.clear()
    }
}
