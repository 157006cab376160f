import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import Testing

@Suite struct HTTPClientTests {
    /// A server that accepts one connection, sends `answer` and closes (or, with nil, never says anything).
    private func withServer(_ answer: String?, resets: Bool = false, _ body: (HTTPClient) throws -> Void) throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        let done = try Mailbox<Int>()
        let thread = try WorkerThread(name: "answers") {
            var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&waiting, 1, 20_000) > 0, case .connection(let fd, _) = Socket.accept(listener) else { return }
            if let answer {
                // The request first: closing on unread bytes would reset.
                var request = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&request, 1, 20_000)
                var piece = [UInt8](repeating: 0, count: 65536)
                _ = unsafe piece.withUnsafeMutableBytes { unsafe Socket.read(fd, into: $0) }
                let bytes = Array(answer.utf8)
                _ = unsafe bytes.withUnsafeBytes { unsafe Socket.write(fd, $0) }
            } else {
                var ended = pollfd(fd: done.descriptor, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&ended, 1, 20_000)
            }
            if resets { Socket.reset(fd) } else { Socket.close(fd) }
        }
        defer {
            done.send(1)
            thread.join()
            Socket.close(listener)
        }
        try body(HTTPClient(endpoint: Socket.localEndpoint(listener)))
    }

    private func failure(
        _ answer: String?, resets: Bool = false, configure: (inout HTTPClient) -> Void = { _ in }
    ) throws -> HTTPClientError? {
        var found: HTTPClientError?
        try withServer(answer, resets: resets) { client in
            var client = client
            configure(&client)
            found = #expect(throws: HTTPClientError.self) { try client.send("GET", "/") }
        }
        return found
    }

    @Test func sendsWhatItIsGivenAndReadsTheAnswer() throws {
        let server = try TestServer()
        let answer = try server.client.send("POST", "/echo", headers: [("X-A", "b")], body: Array("abc".utf8))
        #expect(answer.status == 200)
        #expect(answer.header("content-type") == "application/octet-stream")
        #expect(answer.body == Array("abc".utf8))
        #expect(try server.client.send("POST", "/plain").body == Array("POST /plain? 0\n".utf8))
        #expect(try server.client.send("GET", "/large").body.count == 8 << 20)
    }

    /// Lengths, chunks, ends of connections, and interim answers before them.
    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi"), ("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 200, "hi"),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200,
            "hi"),
        ("HTTP/1.1 204 No Content\r\n\r\n", 204, ""), ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy", 503, "busy"),
        ("HTTP/1.1 404 Not Found\r\n\r\nuntil the end", 404, "until the end"),
    ])
    func readsEveryFraming(_ text: String, _ status: UInt16, _ body: String) throws {
        try withServer(text) { client in
            let answer = try client.send("GET", "/")
            #expect(answer.status == status)
            #expect(String(decoding: answer.body, as: UTF8.self) == body)
        }
    }

    /// Half an answer that passes for a whole one is a trace list with spans missing.
    @Test(arguments: [
        "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\nhalf",
    ])
    func aTruncatedAnswerIsAnError(_ text: String) throws {
        let error = try failure(text)
        guard case .connectionClosed = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    /// The end of the connection is the end of the body only if it was an orderly one.
    @Test func aResetIsNotTheEndOfABody() throws {
        let error = try failure("HTTP/1.1 200 OK\r\n\r\nhalf", resets: true)
        guard case .connectionClosed = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 banana\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ])
    func whatIsNoHTTPIsAnError(_ text: String) throws {
        let error = try failure(text)
        guard case .badResponse = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    /// `skein traces` against a hung server must say so instead of hanging as well.
    @Test func aSilentServerIsATimeOut() throws {
        let begin = SystemClock.monotonicNow()
        let error = try failure(nil) { $0.timeoutMilliseconds = 50 }
        guard case .timedOut = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(SystemClock.monotonicNow().nanoseconds(since: begin) >= 50_000_000)
    }

    @Test func aRefusedConnectionNamesTheEndpoint() throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        let endpoint = Socket.localEndpoint(listener)
        Socket.close(listener)
        let error = #expect(throws: HTTPClientError.self) { try HTTPClient(endpoint: endpoint).send("GET", "/") }
        #expect(error?.description == "cannot connect to \(endpoint): Connection refused")
    }

    @Test func anAnswerBeyondTheLimitIsAnError() throws {
        let error = try failure("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n12345678901") { $0.bodyBytesMax = 10 }
        #expect(error?.description == "the answer cannot be used: more than 10 bytes")
        // What is no success is kept up to a bound, and is no error: its beginning says what is wrong.
        let server = "HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n" + String(repeating: "e", count: 100_000)
        try withServer(server) { client in
            let answer = try client.send("GET", "/")
            #expect(answer.body.count == 64 * 1024)
        }
    }

    /// `skein logs --follow` ends when its reader has enough, with the server still streaming.
    @Test func aReaderCanStopAStream() throws {
        let server = try TestServer()
        var pieces = 0
        let answer = unsafe try server.client.stream("GET", "/large") { _ in
            pieces += 1
            return pieces < 3
        }
        #expect(answer.status == 200)
        #expect(pieces == 3)
        eventually("the server is rid of it") { server.server.statistics.connectionsActive.load(ordering: .relaxed) == 0 }
    }
}

@Suite struct QueryStringTests {
    @Test(arguments: [
        ("", []), ("a=1&b=2", ["a=1", "b=2"]), ("a", ["a="]), ("a=", ["a="]), ("=b", ["=b"]), ("a=b=c", ["a=b=c"]),
        ("a+b=%20%26", ["a b= &"]),
        ("%zz=%4", ["%zz=%4"]), ("%", ["%="]), ("a=%C3%A4", ["a=ä"]), ("a=%FF", ["a=\u{FFFD}"]), ("&&a=1&", ["a=1"]),
        ("a=1&a=2", ["a=1", "a=2"]),
    ])
    func readsParameters(_ query: String, _ expected: [String]) {
        #expect(QueryString.parse(query).map { "\($0.name)=\($0.value)" } == expected)
    }

    /// A query of a megabyte of ampersands must not become a million entries.
    @Test func boundsTheNumberOfParameters() {
        let many = (0..<5000).map { "p\($0)=1" }.joined(separator: "&")
        #expect(QueryString.parse(many).count == QueryString.parametersMax)
    }
}
