import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import Testing

/// Waits until `condition` holds; the deadline is far beyond what a busy machine needs.
func eventually(_ what: Comment, within seconds: Double = 20, _ condition: () -> Bool) {
    let end = SystemClock.monotonicNow() + UInt64(seconds * 1e9)
    while !condition() {
        guard SystemClock.monotonicNow() < end else {
            Issue.record(what)
            return
        }
        sched_yield()
        _ = poll(nil, 0, 1)
    }
}

let loopback = SocketEndpoint(ipv4: 0x7F00_0001, port: 0)

/// A handler with a few paths, and a shelf on which it leaves responders for the test to take.
final class TestHandler: ServiceHandler {
    private let shelf = Mutex<[Responder]>([])
    private let bodies = Mutex<[[UInt8]]>([])
    /// Bytes that the reader of `/stream` has seen.
    let streamedBytes = Atomic<Int>(0)
    let readersGone = Atomic<Int>(0)

    /// Responders left on the shelf, oldest first; they go from there.
    func takeResponders() -> [Responder] {
        shelf.withLock { list in
            let taken = list
            list = []
            return taken
        }
    }

    /// Bodies of all requests handled, in order.
    var received: [[UInt8]] { bodies.withLock { $0 } }

    func open(_ request: borrowing ServiceRequest) -> ServiceOpening {
        switch request.path {
        case "/stream": .read(CountingReader(self))
        case "/unread": .respond(.text(403, "not read"))
        default: .collect
        }
    }

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        let body = unsafe Array(request.body)
        bodies.withLock { $0.append(body) }
        switch request.path {
        case "/host": return .respond(.text(200, request.header("host") ?? "none"))
        case "/later":
            shelf.withLock { $0.append(responder) }
            return .later
        case "/dropped": return .later
        case "/empty": return .respond(ServiceResponse(status: 204, body: Array("never to be seen".utf8)))
        case "/echo": return .respond(ServiceResponse(status: 200, contentType: "application/octet-stream", body: body))
        case "/trailers":
            var response = ServiceResponse(status: 200, body: body)
            response.trailers = [("X-Sum", request.trailer("x-sum") ?? "none"), ("X-Version", request.isHTTP2 ? "2" : "1.1")]
            return .respond(response)
        case "/large": return .respond(ServiceResponse(status: 200, body: [UInt8](repeating: 0x61, count: 8 << 20)))
        default: return .respond(.text(200, "\(request.method) \(request.path)?\(request.query) \(body.count)"))
        }
    }
}

/// Takes a body piece by piece and keeps none of it; an `!` ends it at once.
final class CountingReader: ServiceBodyReader {
    private let handler: TestHandler
    private var count = 0
    let heldBytes = 0

    init(_ handler: TestHandler) { self.handler = handler }

    deinit { handler.readersGone.wrappingAdd(1, ordering: .relaxed) }

    func receive(_ bytes: UnsafeRawBufferPointer) -> ServiceResponse? {
        count += bytes.count
        handler.streamedBytes.wrappingAdd(bytes.count, ordering: .relaxed)
        return unsafe bytes.contains(UInt8(ascii: "!")) ? .text(409, "seen after \(count)") : nil
    }

    func end(_ responder: Responder) -> ServiceOutcome { .respond(.text(200, "streamed \(count)")) }
    func refuse(_ reason: String, isRetryable: Bool) -> ServiceResponse { .text(400, "refused: \(reason)") }
}

/// A server on a port of the system's choice, stopped with the test.
final class TestServer {
    let handler = TestHandler()
    let server: ServiceServer
    private var isStopped = false

    init(_ configure: (inout ServiceLimits) -> Void = { _ in }) throws {
        var limits = ServiceLimits()
        configure(&limits)
        server = try ServiceServer(name: "service", endpoints: [loopback], limits: limits, handler: handler)
    }

    var endpoint: SocketEndpoint { server.endpoints[0] }
    var client: HTTPClient { HTTPClient(endpoint: endpoint) }

    func stop() {
        if !isStopped { server.stop() }
        isStopped = true
    }

    deinit { stop() }

    /// The responder of a request that is being handled.
    func nextResponder() throws -> Responder {
        var found: [Responder] = []
        eventually("the handler is asked") {
            found += handler.takeResponders()
            return !found.isEmpty
        }
        return try #require(found.first)
    }
}

/// A client that speaks byte by byte. Everything it waits for has a deadline.
final class RawClient {
    let fd: Int32
    private(set) var received: [UInt8] = []
    private(set) var ended = false
    private var isClosed = false

    init(_ endpoint: SocketEndpoint) throws {
        fd = try Socket.connect(to: endpoint)
        var waiting = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        try #require(unsafe poll(&waiting, 1, 20_000) > 0)
    }

    deinit { close() }

    func close() {
        if !isClosed { Socket.close(fd) }
        isClosed = true
    }

    func reset() {
        if !isClosed { Socket.reset(fd) }
        isClosed = true
    }

    var text: String { String(decoding: received, as: UTF8.self) }

    func send(_ text: String) { send(Array(text.utf8)) }

    func send(_ bytes: [UInt8]) {
        var rest = bytes[...]
        eventually("bytes are taken") {
            switch unsafe rest.withUnsafeBytes({ unsafe Socket.write(fd, $0) }) {
            case .bytes(let count): rest = rest.dropFirst(count)
            case .wouldBlock, .endOfStream: break
            case .failed: rest = []
            }
            return rest.isEmpty
        }
    }

    /// Reads until `condition` holds of everything received so far.
    func wait(_ what: Comment = "the answer comes", until condition: (RawClient) -> Bool) {
        eventually(what) {
            pump()
            return condition(self)
        }
    }

    func waitForEnd() { wait("the connection ends") { $0.ended } }

    private func pump() {
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while !ended {
            switch unsafe piece.withUnsafeMutableBytes({ unsafe Socket.read(fd, into: $0) }) {
            case .bytes(let count): received += piece[..<count]
            case .wouldBlock: return
            case .endOfStream, .failed: ended = true
            }
        }
    }
}

extension String {
    /// How often `needle` occurs.
    func count(of needle: String) -> Int {
        var count = 0
        var rest = utf8[...]
        while rest.count >= needle.utf8.count {
            if rest.starts(with: needle.utf8) { count += 1 }
            rest = rest.dropFirst()
        }
        return count
    }
}
