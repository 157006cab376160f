import EventLoops
import Glibc
import HTTPService
import Primitives
import Synchronization
import Testing

@Suite struct ServiceServerTests {
    /// Reporters send for hours on one connection; one connection a batch would be a handshake a batch.
    @Test func keepsTheConnectionForTheNextRequest() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        for number in 1...3 {
            client.send("GET /n\(number)?q=\(number) HTTP/1.1\r\nHost: x\r\n\r\n")
            client.wait { $0.text.count(of: "GET /n\(number)?q=\(number) 0\n") == 1 }
        }
        #expect(client.text.count(of: "HTTP/1.1 200 OK\r\n") == 3)
        #expect(!client.text.contains("Connection:"))
        #expect(!client.ended)
        #expect(server.server.statistics.requestsTotal.load(ordering: .relaxed) == 3)
    }

    /// Answers carry no number: one out of order is taken for the other request's. The first request takes long, the others would be done
    /// at once.
    @Test func answersPipelinedRequestsInTheirOrder() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send(
            "GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\nPOST /third HTTP/1.1\r\nHost: x\r\n"
                + "Content-Length: 2\r\n\r\nabGET /fourth HTTP/1.1\r\nHost: x\r\n\r\n")
        let responder = try server.nextResponder()
        eventually("all are handled, so that a slow one holds up the answers and not the work") { server.handler.received.count == 4 }
        client.wait("and nothing overtakes it") { _ in true }
        #expect(client.received.isEmpty)
        responder.respond(.text(200, "first"))
        client.wait { $0.text.contains("/fourth") }
        let order = ["first\n", "GET /second? 0\n", "POST /third? 2\n", "GET /fourth? 0\n"].map { needle in
            client.text.utf8.indices.first { client.text.utf8[$0...].starts(with: needle.utf8) }.map {
                client.text.utf8.distance(from: client.text.utf8.startIndex, to: $0)
            }
        }
        #expect(order.allSatisfy { $0 != nil })
        #expect(order.compactMap { $0 } == order.compactMap { $0 }.sorted())
    }

    /// A client that sends and never reads may open so many requests and no more.
    @Test func boundsPipelinedRequests() throws {
        let server = try TestServer { $0.pipelinedMax = 3 }
        let client = try RawClient(server.endpoint)
        client.send(String(repeating: "GET /later HTTP/1.1\r\nHost: x\r\n\r\n", count: 7))
        var responders: [Responder] = []
        for answered in 0..<7 {
            eventually("three are open") {
                responders += server.handler.takeResponders()
                return responders.count == min(7, 3 + answered)
            }
            #expect(server.handler.received.count == min(7, 3 + answered))
            responders[answered].respond(.text(200, "answer \(answered)"))
            client.wait { $0.text.hasSuffix("answer \(answered)\n") }
        }
    }

    /// What nobody wants to read is not waited for.
    @Test func aHandlerMayAnswerByTheHead() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("POST /unread HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
        client.waitForEnd()
        #expect(client.text.hasPrefix("HTTP/1.1 403 ") && client.text.contains("Connection: close\r\n"))
        #expect(!client.text.contains("100 Continue"))
    }

    /// A reader has the beginning of a body before its end has been sent, of any size: nothing of it is kept.
    @Test func aReaderTakesTheBodyAsItComes() throws {
        let server = try TestServer { $0.bodyBytesMax = 1 << 20 }
        let client = try RawClient(server.endpoint)
        client.send("POST /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        eventually("it has come") { server.handler.streamedBytes.load(ordering: .relaxed) == 5 }
        let chunk = "10000\r\n" + String(repeating: "a", count: 65536) + "\r\n"
        for _ in 0..<32 { client.send(chunk) }
        client.send("0\r\n\r\n")
        client.wait { $0.text.hasSuffix("streamed \(5 + 32 * 65536)\n") }
        client.send("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nab!")
        client.waitForEnd()
        #expect(client.text.hasSuffix("seen after 3\n"))
        eventually("no reader is left") { server.handler.readersGone.load(ordering: .relaxed) == 2 }
    }

    /// Both ways, behind chunks.
    @Test func sendsAndTakesTrailers() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("POST /trailers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n")
        client.wait { $0.text.hasSuffix("2\r\nab\r\n0\r\nX-Sum: 7\r\nX-Version: 1.1\r\n\r\n") }
    }

    /// A client that asks several things and half-closes still gets all answers.
    @Test func answersEverythingThatWasAskedBeforeAHalfClose() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n")
        Socket.shutdownWrite(client.fd)
        try server.nextResponder().respond(.text(200, "first"))
        client.waitForEnd()
        #expect(client.text.count(of: "HTTP/1.1 200 OK") == 2)
    }

    /// OTLP exporters in Go send chunks when they do not know the length. Cut anywhere, the body is the same.
    @Test func joinsChunkedBodiesHoweverTheyAreCut() throws {
        let server = try TestServer()
        let message =
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;ext=1\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\n"
                + "X-Trailer: t\r\n\r\n"
        let bytes = Array(message.utf8)
        for piece in [1, 2, 3, 7, bytes.count] {
            let client = try RawClient(server.endpoint)
            var at = 0
            while at < bytes.count {
                client.send(Array(bytes[at..<min(bytes.count, at + piece)]))
                at += piece
            }
            client.wait { $0.text.contains("0123456789") }
            #expect(client.text.contains("Content-Length: 16\r\n"))
            #expect(client.text.hasSuffix("\r\n\r\nhello 0123456789"))
        }
        #expect(server.handler.received.count == 5)
    }

    /// HEAD is what load balancers probe with: a body would be read as the next answer, another length would be a lie.
    @Test func answersHEADWithoutABodyAndWithItsLength() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        client.wait { $0.text.hasSuffix("GET /b? 0\n") }
        #expect(!client.text.contains("HEAD /a? 0\n"))
        #expect(client.text.count(of: "Content-Length: \("HEAD /a? 0\n".utf8.count)\r\n") == 1)
        #expect(try server.client.send("HEAD", "/a").body.isEmpty)
    }

    /// 204 has no body: bytes behind its head would be read as the beginning of the next answer.
    @Test func anAnswerWithoutABodySendsNone() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /empty HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n")
        client.wait { $0.text.hasSuffix("GET /b? 0\n") }
        #expect(client.text.hasPrefix("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n"))
    }

    /// HTTP/1.0 probes (ab, old monitors) do not know 1.1's persistence nor its interim answers.
    @Test func speaksHTTP10() throws {
        let server = try TestServer()
        let once = try RawClient(server.endpoint)
        once.send("GET /a HTTP/1.0\r\n\r\n")
        once.waitForEnd()
        #expect(once.text.hasSuffix("GET /a? 0\n"))
        let kept = try RawClient(server.endpoint)
        kept.send("POST /a HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        kept.send("x")
        kept.wait { $0.text.hasSuffix("POST /a? 1\n") }
        #expect(kept.text.contains("Connection: keep-alive\r\n"))
        #expect(!kept.text.contains("100 Continue"))
    }

    /// curl waits a second for it before each body over a kilobyte.
    @Test func invitesABodyThatWaitsForIt() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        client.wait { $0.text == "HTTP/1.1 100 Continue\r\n\r\n" }
        client.send("abc")
        client.wait { $0.text.hasSuffix("\r\n\r\nabc") }
    }

    /// What is no request gets a reason that a person can act on, and no second chance on a connection whose framing is in doubt.
    @Test(arguments: [
        ("hello\r\n\r\n", "400"), ("GET / HTTP/1.1\r\nbad header\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", "505"), ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"),
        ("GET /\(String(repeating: "a", count: 20_000)) HTTP/1.1\r\nHost: x\r\n\r\n", "414"),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: \(String(repeating: "a", count: 70_000))\r\n\r\n", "431"),
    ])
    func refusesWhatIsNoRequest(_ message: String, _ status: String) throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send(message + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        client.waitForEnd()
        #expect(client.text.hasPrefix("HTTP/1.1 \(status) "))
        #expect(client.text.contains("Connection: close\r\n"))
        #expect(!client.text.contains("smuggled"))
        #expect(server.server.statistics.requestsRefused.load(ordering: .relaxed) == 1)
        // And the next client is served as ever.
        #expect(try server.client.send("GET", "/ok").status == 200)
    }

    /// After HEAD, the refusal of the next message is a whole answer again; one that announces bytes and sends none makes the client wait
    /// for them.
    @Test func aRefusalAfterHEADHasItsBody() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n")
        client.wait { $0.text.hasSuffix("\r\n\r\n") }
        let before = client.received.count
        client.send("nonsense\r\n\r\n")
        client.waitForEnd()
        let answer = String(decoding: client.received[before...], as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
        #expect(!answer.hasSuffix("\r\n\r\n"))
    }

    /// One client's gigabyte must not become our memory: refused by its length at once, or, chunked, as soon as it is too much.
    @Test func refusesABodyBeyondTheLimit() throws {
        let server = try TestServer { $0.bodyBytesMax = 1000 }
        #expect(try server.client.send("POST", "/echo", body: [UInt8](repeating: 1, count: 1000)).status == 200)
        let refused = try server.client.send("POST", "/echo", body: [UInt8](repeating: 1, count: 1001))
        #expect(refused.status == 413)
        #expect(String(decoding: refused.body, as: UTF8.self).contains("1000"))
        let client = try RawClient(server.endpoint)
        client.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in 0..<11 { client.send("64\r\n" + String(repeating: "b", count: 100) + "\r\n") }
        client.waitForEnd()
        #expect(client.text.hasPrefix("HTTP/1.1 413 Content Too Large\r\n"))
        #expect(server.handler.received.count == 1)
    }

    /// Many clients with allowed bodies at once are bounded together; the sum must come back to zero, or the server refuses for ever.
    @Test func boundsAllBodiesTogetherAndForgetsThoseThatEnded() throws {
        let server = try TestServer { $0.bodiesBytesMax = 3000 }
        let half = try RawClient(server.endpoint)
        half.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + String(repeating: "a", count: 1999))
        // Only once the first 1999 bytes are counted is there too little room for the next.
        var answer: UInt16 = 0
        eventually("the second body does not fit") {
            answer = (try? server.client.send("POST", "/echo", body: [UInt8](repeating: 1, count: 2000)).status) ?? 0
            return answer == 503
        }
        let refused = try server.client.send("POST", "/echo", body: [UInt8](repeating: 1, count: 2000))
        #expect(refused.header("retry-after") == "1")
        half.reset()
        eventually("there is room again") {
            (try? server.client.send("POST", "/echo", body: [UInt8](repeating: 1, count: 2900)).status) == 200
        }
        // Nothing is counted any more: the whole bound is free again.
        #expect(try server.client.send("POST", "/echo", body: [UInt8](repeating: 1, count: 3000)).status == 200)
    }

    /// One byte now and then must not keep a connection for ever: the head has one time limit from its first byte.
    @Test func aHeadThatTricklesInIsRefusedInTime() throws {
        let server = try TestServer { $0.headerTimeoutNanoseconds = 150_000_000 }
        let client = try RawClient(server.endpoint)
        let begin = SystemClock.monotonicNow()
        client.send("GET / HTTP/1.1\r\n")
        client.wait("it is refused although bytes keep coming") { client in
            if !client.ended, client.received.isEmpty { client.send("a") }
            return !client.received.isEmpty
        }
        client.waitForEnd()
        #expect(client.text.hasPrefix("HTTP/1.1 408 Request Timeout\r\n"))
        #expect(SystemClock.monotonicNow().nanoseconds(since: begin) >= 150_000_000)
    }

    /// A body may take long, as long as something comes.
    @Test func aBodyThatStallsIsRefused() throws {
        let server = try TestServer { $0.stallTimeoutNanoseconds = 100_000_000 }
        let client = try RawClient(server.endpoint)
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        client.waitForEnd()
        #expect(client.text.hasPrefix("HTTP/1.1 408 "))
        let idle = try TestServer { $0.idleTimeoutNanoseconds = 50_000_000 }
        let silent = try RawClient(idle.endpoint)
        silent.waitForEnd()
        #expect(silent.received.isEmpty, "a client that asked nothing is told nothing")
    }

    /// Descriptors are bounded: who comes beyond is turned away at once, and whoever leaves makes room.
    @Test func turnsAwayConnectionsBeyondTheLimit() throws {
        let server = try TestServer { $0.connectionsMax = 2 }
        let first = try RawClient(server.endpoint)
        let second = try RawClient(server.endpoint)
        for client in [first, second] {
            client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            client.wait { $0.text.hasSuffix("GET /a? 0\n") }
        }
        let third = try RawClient(server.endpoint)
        third.waitForEnd()
        #expect(third.received.isEmpty)
        #expect(server.server.statistics.acceptFailures.load(ordering: .relaxed) == 1)
        first.close()
        eventually("its place is free") { (try? server.client.send("GET", "/a").status) == 200 }
        second.send("GET /still HTTP/1.1\r\nHost: x\r\n\r\n")
        second.wait { $0.text.hasSuffix("GET /still? 0\n") }
    }

    /// Clients vanish at any point of a conversation; none of them may keep a connection or hurt the next.
    @Test func survivesClientsThatDisappear() throws {
        let server = try TestServer()
        let messages = [
            "", "GET / HT", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /later HTTP/1.1\r\nHost: x\r\n\r\n",
        ]
        for (index, message) in messages.enumerated() {
            for resets in [false, true] {
                let client = try RawClient(server.endpoint)
                client.send(message)
                if message.contains("/later") {
                    let responder = try server.nextResponder()
                    #expect(responder.isOpen)
                    client.reset()
                    eventually("the responder notices") { !responder.isOpen }
                    responder.respond(.text(200, "too late"))
                } else if resets {
                    client.reset()
                } else {
                    client.close()
                }
                #expect(try server.client.send("GET", "/next").status == 200, "after message \(index)")
            }
        }
        eventually("no connection is left") { server.server.statistics.connectionsActive.load(ordering: .relaxed) == 0 }
    }

    /// A large answer to a slow reader is kept, not cut and not blocking others.
    @Test func aSlowReaderGetsEverything() throws {
        let server = try TestServer()
        let slow = try RawClient(server.endpoint)
        slow.send("GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        #expect(try server.client.send("GET", "/meanwhile").status == 200)
        slow.waitForEnd()
        #expect(slow.received.count { $0 == 0x61 } >= 8 << 20)
        #expect(slow.text.contains("Content-Length: \(8 << 20)\r\n"))
    }

    /// A handler that takes longer than a client may is no reason to give the client no time for the answer; one that takes none of it is
    /// let go.
    @Test func theTimeForAnAnswerBeginsWithTheAnswer() throws {
        let server = try TestServer { $0.stallTimeoutNanoseconds = 300_000_000 }
        let client = try RawClient(server.endpoint)
        client.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        let responder = try server.nextResponder()
        let begin = SystemClock.monotonicNow()
        eventually("twice that time goes by") { SystemClock.monotonicNow().nanoseconds(since: begin) > 600_000_000 }
        #expect(responder.isOpen)
        responder.respond(ServiceResponse(status: 200, body: [UInt8](repeating: 0x61, count: 8 << 20)))
        client.wait { $0.received.count > 8 << 20 }
        #expect(!client.ended)
        let silent = try RawClient(server.endpoint)
        silent.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually("who takes nothing is let go, the other stays") {
            server.server.statistics.connectionsActive.load(ordering: .relaxed) == 1
        }
    }

    @Test func listensOnAllEndpointsOrOnNone() throws {
        let handler = TestHandler()
        let taken = try Socket.listen(on: loopback, reusePort: false)
        defer { Socket.close(taken) }
        let free = try Socket.listen(on: loopback, reusePort: false)
        let endpoint = Socket.localEndpoint(free)
        Socket.close(free)
        let error = #expect(throws: SystemError.self) {
            _ = try ServiceServer(
                name: "none", endpoints: [endpoint, Socket.localEndpoint(taken)], limits: ServiceLimits(), handler: handler)
        }
        #expect(
            error?.description.contains("\(Socket.localEndpoint(taken))") == true,
            "the message names the port: \(String(describing: error))")
        // Nothing was left open: the free one is free.
        Socket.close(try Socket.listen(on: endpoint, reusePort: false))
    }
}
