import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import Testing

@Suite struct ResponderTests {
    /// Receivers answer from the store's thread after the batch is on disk.
    @Test func answersFromAnotherThread() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        for number in 0..<20 {
            client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
            let responder = try server.nextResponder()
            try WorkerThread(name: "answers") { responder.respond(.text(202, "answer \(number)")) }.join()
            client.wait { $0.text.hasSuffix("answer \(number)\n") }
        }
        #expect(client.text.count(of: "HTTP/1.1 202 Accepted") == 20)
    }

    /// Whoever owes an answer may lose the request (a queue that was stopped, an error path that forgot): the client must learn it, not
    /// wait for ever.
    @Test func aResponderThatIsDroppedBecomesAnError() throws {
        let server = try TestServer()
        let dropped = try server.client.send("GET", "/dropped")
        #expect(dropped.status == 500)
        #expect(server.server.statistics.requestsAbandoned.load(ordering: .relaxed) == 1)
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        do { _ = try server.nextResponder() }
        client.wait { $0.text.hasPrefix("HTTP/1.1 500 Internal Server Error\r\n") }
        // The connection is as good as before.
        client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        client.wait { $0.text.hasSuffix("GET /next? 0\n") }
        #expect(server.server.statistics.requestsAbandoned.load(ordering: .relaxed) == 2)
    }

    /// An answer that comes twice must not become the answer to the connection's next request: one client would see another question's
    /// data.
    @Test func aSecondAnswerIsNotTheNextRequests() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let first = try server.nextResponder()
        first.respond(.text(200, "first"))
        client.wait { $0.text.hasSuffix("first\n") }
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let second = try server.nextResponder()
        first.respond(.text(200, "first again"))
        first.begin(status: 200, headers: [])
        first.write([1])
        first.end()
        second.respond(.text(200, "second"))
        client.wait { $0.text.hasSuffix("second\n") }
        #expect(!client.text.contains("again"))
        #expect(client.text.count(of: "HTTP/1.1 ") == 2)
    }

    /// `skein logs --follow` reads a stream that begins before its end is known.
    @Test func streamsPiecesAsTheyCome() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let responder = try server.nextResponder()
        responder.begin(status: 200, headers: [("X-Kind", "stream")])
        responder.write(Array("one".utf8))
        client.wait { $0.text.hasSuffix("3\r\none\r\n") }
        #expect(client.text.contains("Transfer-Encoding: chunked\r\n"))
        #expect(client.text.contains("X-Kind: stream\r\n"))
        responder.write([])
        responder.write(Array("second piece".utf8))
        responder.end()
        client.wait { $0.text.hasSuffix("c\r\nsecond piece\r\n0\r\n\r\n") }
        // And the connection goes on.
        client.send("GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        client.wait { $0.text.hasSuffix("GET /next? 0\n") }
    }

    /// Without chunks, the end of the connection is the end of the stream.
    @Test func streamsToAnHTTP10ClientUntilTheEnd() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.0\r\n\r\n")
        let responder = try server.nextResponder()
        responder.begin(status: 200, headers: [])
        responder.write(Array("bytes".utf8))
        responder.end()
        client.waitForEnd()
        #expect(client.text.hasSuffix("\r\n\r\nbytes"))
        #expect(!client.text.contains("chunked"))
    }

    /// A stream whose writer vanished must not look complete.
    @Test func aStreamThatIsDroppedBreaksOff() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        do {
            let responder = try server.nextResponder()
            responder.begin(status: 200, headers: [])
            responder.write(Array("one".utf8))
        }
        client.waitForEnd()
        #expect(!client.text.contains("0\r\n\r\n"))
    }

    /// A reader that stops reading must not fill our memory with what it does not take.
    @Test func cutsAReaderThatFallsTooFarBehind() throws {
        let server = try TestServer { $0.streamBacklogBytesMax = 1 << 20 }
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let responder = try server.nextResponder()
        responder.begin(status: 200, headers: [])
        let piece = [UInt8](repeating: 0x62, count: 1 << 18)
        eventually("the reader is cut") {
            responder.write(piece)
            return !responder.isOpen
        }
        #expect(server.server.statistics.streamsCut.load(ordering: .relaxed) == 1)
        client.waitForEnd()
    }

    /// At the end of the process: what is being answered is finished, who only waits is sent away, nobody new is let in.
    @Test func drainingFinishesWhatWasBegun() throws {
        let server = try TestServer()
        let idle = try RawClient(server.endpoint)
        idle.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.wait { $0.text.hasSuffix("GET /a? 0\n") }
        let busy = try RawClient(server.endpoint)
        busy.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let responder = try server.nextResponder()
        let following = try RawClient(server.endpoint)
        following.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let stream = try server.nextResponder()
        stream.begin(status: 200, headers: [])
        stream.write(Array("one".utf8))
        following.wait { $0.text.hasSuffix("one\r\n") }
        server.server.drain()
        idle.waitForEnd()
        following.waitForEnd()
        #expect(following.text.hasSuffix("one\r\n0\r\n\r\n"), "a stream has no end of its own; it ends in good order")
        #expect(throws: HTTPClientError.self) { try server.client.send("GET", "/new") }
        responder.respond(.text(200, "finished"))
        busy.waitForEnd()
        #expect(busy.text.hasSuffix("finished\n"))
        #expect(busy.text.contains("Connection: close\r\n"), "the client must not send its next request here")
        server.stop()
    }

    /// Answers may still come while and after the server ends.
    @Test func aResponderOutlivesItsServer() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let responder = try server.nextResponder()
        server.stop()
        client.waitForEnd()
        responder.respond(.text(200, "late"))
        responder.end()
        #expect(client.received.isEmpty)
    }
}
