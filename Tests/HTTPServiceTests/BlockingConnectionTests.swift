import EventLoops
import Glibc
import HTTP
import HTTPService
import Primitives
import Synchronization
import Testing

/// Answers of a server to the requests of one connection, in their order; then it keeps the connection until it is told to go.
private final class ScriptedServer {
    let endpoint: SocketEndpoint
    private let listener: Int32
    private let done: Mailbox<Int>
    private let thread: WorkerThread

    init(_ answers: [String]) throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        let done = try Mailbox<Int>()
        self.listener = listener
        self.done = done
        endpoint = Socket.localEndpoint(listener)
        thread = try WorkerThread(name: "script") {
            guard Self.isReady(listener), case .connection(let fd, _) = Socket.accept(listener) else { return }
            var piece = [UInt8](repeating: 0, count: 65536)
            for answer in answers {
                guard Self.isReady(fd) else { break }
                _ = unsafe piece.withUnsafeMutableBytes { unsafe Socket.read(fd, into: $0) }
                let bytes = Array(answer.utf8)
                _ = unsafe bytes.withUnsafeBytes { unsafe Socket.write(fd, $0) }
            }
            _ = Self.isReady(done.descriptor)
            Socket.close(fd)
        }
    }

    deinit {
        done.send(1)
        thread.join()
        Socket.close(listener)
    }

    static func isReady(_ fd: Int32) -> Bool {
        var waiting = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        return unsafe poll(&waiting, 1, 20_000) > 0
    }
}

/// What one exchange came to, in words.
private struct Exchange: Equatable {
    var status: UInt16 = 0
    var body = ""
    var isReusable = false
}

@Suite struct BlockingConnectionTests {
    private func wait(_ descriptor: Int32, _ direction: BlockingConnection.Direction) -> Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(direction == .input ? POLLIN : POLLOUT), revents: 0)
        return unsafe poll(&waiting, 1, 20_000) > 0
    }

    private func ask(
        _ connection: inout BlockingConnection, _ request: BlockingRequest = BlockingRequest("GET", "/", host: "x")
    ) throws -> Exchange {
        var exchange = Exchange()
        var body: [UInt8] = []
        try connection.send(request, wait: wait)
        let ending = unsafe try connection.receive(
            wait: wait,
            head: { head in
                exchange.status = head.statusCode
                return true
            },
            body: { bytes in
                unsafe body += bytes
                return true
            })
        #expect(ending == .whole)
        exchange.body = String(decoding: body, as: UTF8.self)
        exchange.isReusable = connection.isReusable
        return exchange
    }

    /// Two exchanges, whatever frames the first, of which the second would read what is left.
    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none",
    ])
    func carriesOneExchangeAfterAnother(_ first: String) throws {
        let server = try ScriptedServer([first, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\ntwo"])
        var connection = try BlockingConnection(to: server.endpoint, limits: HTTPLimits(), wait: wait)
        #expect(try ask(&connection) == Exchange(status: 200, body: "one", isReusable: true))
        connection.next()
        #expect(try ask(&connection) == Exchange(status: 404, body: "two", isReusable: true))
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\none", "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\none",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none and what nobody asked for",
    ])
    func isNotReusedWhereItMayNotBe(_ answer: String) throws {
        let server = try ScriptedServer([answer])
        var connection = try BlockingConnection(to: server.endpoint, limits: HTTPLimits(), wait: wait)
        #expect(try ask(&connection) == Exchange(status: 200, body: "one", isReusable: false))
    }

    /// A body larger than the socket's buffers, both ways.
    @Test func sendsAndReadsMoreThanFitsASocket() throws {
        let server = try TestServer()
        var connection = try BlockingConnection(to: server.endpoint, limits: HTTPLimits(), wait: wait)
        let body = (0..<6_000_000).map { UInt8(ascii: "a") + UInt8(truncatingIfNeeded: $0 % 26) }
        let request = BlockingRequest("POST", "/echo", host: "x", fields: [("X-A", "b")], body: body)
        let answer = try ask(&connection, request)
        let isSame = answer.body == String(decoding: body, as: UTF8.self)
        #expect(isSame && answer.status == 200 && answer.isReusable)
        connection.next()
        #expect(try ask(&connection, BlockingRequest("POST", "/plain", host: "x")).body == "POST /plain? 0\n")
    }

    /// Whoever has enough after the head, or in the middle, does not wait for the rest.
    @Test func readingCanBeStopped() throws {
        for stopsAtHead in [true, false] {
            let server = try ScriptedServer(["HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe beginning"])
            var connection = try BlockingConnection(to: server.endpoint, limits: HTTPLimits(), wait: wait)
            try connection.send(BlockingRequest("GET", "/", host: "x"), wait: wait)
            let ending = unsafe try connection.receive(wait: wait, head: { _ in !stopsAtHead }, body: { _ in false })
            #expect(ending == .stopped && !connection.isReusable)
        }
    }

    @Test func failuresSayWhatHappened() throws {
        func failure(_ answer: String, _ wait: BlockingConnection.Wait) throws -> BlockingConnection.Failure? {
            let server = try ScriptedServer([answer])
            var connection = try BlockingConnection(to: server.endpoint, limits: HTTPLimits(), wait: self.wait)
            do throws(BlockingConnection.Failure) {
                try connection.send(BlockingRequest("GET", "/", host: "x"), wait: wait)
                _ = unsafe try connection.receive(wait: wait, head: { _ in true }, body: { _ in true })
                return nil
            } catch {
                return error
            }
        }
        if case .malformed(let reason) = try failure("nonsense\r\n\r\n", wait) {
            #expect(reason.hasPrefix("malformed status line"))
        } else {
            Issue.record("nonsense is no answer")
        }
        if case .malformed = try failure("HTTP/1.1 101 Switching Protocols\r\n\r\n", wait) {} else { Issue.record("nobody asked for that") }
        if case .timedOut = try failure("HTTP/1.1 200 OK\r\n", { _, direction in direction == .output }) {} else {
            Issue.record("half a head and then nothing")
        }
    }
}
