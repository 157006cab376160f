import EventLoops
import Glibc
import HTTP
import HTTPService
import Primitives
import Synchronization
import Testing

/// HTTP/2 by prior knowledge, on the same ports and to the same handlers as HTTP/1.1.
@Suite struct ServiceHTTP2Tests {
    private func text(_ answer: HTTP2Client.Answer) -> String { String(decoding: answer.body, as: UTF8.self) }

    /// Whatever pieces the kernel hands over.
    @Test(arguments: [1, 7, Int.max])
    func answersHoweverTheBytesCome(piece: Int) throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        client.pieceBytes = piece
        let get = try client.request("GET", "/a?q=1")
        let post = try client.request("POST", "/echo", [("content-type", "text/plain")], body: Array("hello".utf8))
        let head = try client.request("HEAD", "/b")
        let empty = try client.request("GET", "/empty")
        for id in [get, post, head, empty] { client.waitForEnd(of: id) }
        #expect(text(client.answer(get)) == "GET /a?q=1 0\n" && client.answer(get).status == 200)
        #expect(text(client.answer(post)) == "hello" && client.answer(post).fields["content-type"] == "application/octet-stream")
        #expect(client.answer(head).body.isEmpty && client.answer(head).fields["content-length"] == "\("HEAD /b? 0\n".utf8.count)")
        #expect(client.answer(empty).status == 204 && client.answer(empty).body.isEmpty)
        #expect([get, post, head, empty].allSatisfy { client.answer($0).code == 0 })
        #expect(client.answer(get).fields["connection"] == nil)
    }

    /// The guard against DNS rebinding reads `Host`, which HTTP/2 calls `:authority`.
    @Test func tellsTheAuthorityAsHost() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("GET", "/host")
        client.waitForEnd(of: id)
        #expect(text(client.answer(id)).count > 1 && text(client.answer(id)) != "none\n")
    }

    /// A slow request holds up no other: that is what streams are for.
    @Test func streamsAreAnsweredInAnyOrder() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let slow = try client.request("GET", "/later")
        let body = try client.request("POST", "/echo", body: nil)
        let quick = try client.request("GET", "/quick")
        client.waitForEnd(of: quick)
        #expect(!client.answer(slow).isEnded)
        client.write(body, Array("one".utf8))
        let between = try client.request("GET", "/between")
        client.waitForEnd(of: between)
        client.write(body, Array("two".utf8))
        client.end(body)
        client.waitForEnd(of: body)
        #expect(text(client.answer(body)) == "onetwo")
        try server.nextResponder().respond(.text(200, "at last"))
        client.waitForEnd(of: slow)
        #expect(text(client.answer(slow)) == "at last\n")
    }

    /// One client must not take all of a server: what it asks for beyond its streams waits with it.
    @Test func boundsTheRequestsOfOneConnection() throws {
        let server = try TestServer { $0.http.streamsMax = 2 }
        let client = try HTTP2Client(server.endpoint)
        // The server's SETTINGS are here with its first answer.
        client.waitForEnd(of: try client.request("GET", "/quick"))
        let ids = try (0..<3).map { _ in try client.request("GET", "/later") }
        var responders: [Responder] = []
        eventually("two requests come") {
            responders += server.handler.takeResponders()
            return responders.count >= 2
        }
        #expect(responders.count == 2 && server.handler.takeResponders().isEmpty)
        responders[0].respond(.text(200, "one"))
        client.wait { client in ids.contains { client.answer($0).isEnded } }
        try server.nextResponder().respond(.text(200, "three"))
        responders[1].respond(.text(200, "two"))
        for id in ids { client.waitForEnd(of: id) }
        #expect(ids.map { text(client.answer($0)) } == ["one\n", "two\n", "three\n"])
    }

    @Test func takesAndSendsTrailers() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("POST", "/trailers", body: nil)
        client.write(id, Array("ab".utf8))
        client.end(id, trailers: "X-Sum: 7\r\n")
        client.waitForEnd(of: id)
        #expect(text(client.answer(id)) == "ab" && client.answer(id).fields["content-length"] == nil)
        #expect(client.answer(id).trailers == ["x-sum": "7", "x-version": "2"])
    }

    @Test func invitesABodyThatWaitsForIt() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("POST", "/echo", [("expect", "100-continue")], body: nil)
        client.wait { $0.answer(id).interim == [100] }
        client.write(id, [7])
        client.end(id)
        client.waitForEnd(of: id)
        #expect(client.answer(id).status == 200 && client.answer(id).body == [7] && client.answer(id).interim == [100])
    }

    @Test func streamsPiecesAsTheyCome() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("GET", "/later")
        let responder = try server.nextResponder()
        responder.begin(status: 200, headers: [("X-Kind", "stream")])
        responder.write(Array("one".utf8))
        client.wait { $0.answer(id).body == Array("one".utf8) }
        #expect(client.answer(id).fields["x-kind"] == "stream" && !client.answer(id).isEnded)
        responder.write(Array("two".utf8))
        responder.end()
        client.waitForEnd(of: id)
        #expect(text(client.answer(id)) == "onetwo" && client.answer(id).code == 0)
    }

    /// The last responder goes: one stream ends in an error, the connection and its other streams go on.
    @Test func aStreamThatIsDroppedBreaksOffAlone() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("GET", "/later")
        let whole = try client.request("GET", "/later")
        do {
            var responders: [Responder] = []
            eventually("both are asked") {
                responders += server.handler.takeResponders()
                return responders.count == 2
            }
            responders[0].begin(status: 200, headers: [])
            responders[0].write([1])
            responders.remove(at: 0)
            responders[0].respond(.text(200, "whole"))
        }
        client.wait { $0.answer(id).code != nil && $0.answer(whole).isEnded }
        #expect(client.answer(id).code != 0 && !client.answer(id).isEnded)
        #expect(text(client.answer(whole)) == "whole\n")
    }

    /// A client that takes a request back is noticed at once, by the handler and the reader alike.
    @Test func aResetIsNoticed() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("GET", "/later")
        let responder = try server.nextResponder()
        let body = try client.request("POST", "/stream", body: nil)
        client.write(body, [1, 2, 3])
        eventually("the reader has bytes") { server.handler.streamedBytes.load(ordering: .relaxed) == 3 }
        client.reset(id)
        client.reset(body)
        eventually("the responder notices") { !responder.isOpen }
        eventually("the reader is gone") { server.handler.readersGone.load(ordering: .relaxed) == 1 }
        responder.respond(.text(200, "too late"))
        let next = try client.request("GET", "/next")
        client.waitForEnd(of: next)
        #expect(client.answer(next).status == 200)
    }

    /// More than one window, both ways: windows follow what is taken.
    @Test func bodiesMayBeLargerThanTheWindows() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let large = try client.request("GET", "/large")
        client.waitForEnd(of: large)
        #expect(client.answer(large).body.count == 8 << 20)
        let body = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 8) }
        let echo = try client.request("POST", "/echo", body: body)
        client.waitForEnd(of: echo)
        #expect(client.answer(echo).body == body)
        let streamed = try client.request("POST", "/stream", body: body)
        client.waitForEnd(of: streamed)
        #expect(text(client.answer(streamed)) == "streamed \(body.count)\n")
    }

    /// Refusals cost the stream, never the connection.
    @Test func refusesAStreamAndGoesOn() throws {
        let server = try TestServer { $0.bodyBytesMax = 1000 }
        let client = try HTTP2Client(server.endpoint)
        let counted = try client.request("POST", "/echo", [("content-length", "2000")], body: nil)
        client.waitForEnd(of: counted)
        #expect(client.answer(counted).status == 413)
        let uncounted = try client.request("POST", "/echo", body: nil)
        client.write(uncounted, [UInt8](repeating: 1, count: 1001))
        client.waitForEnd(of: uncounted)
        #expect(client.answer(uncounted).status == 413 && text(client.answer(uncounted)).contains("1000"))
        let unread = try client.request("POST", "/unread", body: nil)
        client.waitForEnd(of: unread)
        #expect(client.answer(unread).status == 403)
        let fields = [("x-large", String(repeating: "a", count: 59_000)), ("x-more", String(repeating: "b", count: 4000))]
        let large = try client.request("GET", "/a", fields)
        client.waitForEnd(of: large)
        #expect(client.answer(large).status == 431)
        let connect = try client.request("OPTIONS", "*")
        client.waitForEnd(of: connect)
        #expect(client.answer(connect).status == 400)
        let good = try client.request("POST", "/echo", body: [UInt8](repeating: 1, count: 1000))
        client.waitForEnd(of: good)
        #expect(client.answer(good).status == 200)
        #expect(server.server.statistics.requestsRefused.load(ordering: .relaxed) == 4, "an answer by the head alone is no refusal")
    }

    /// One client's streams share one bound, so that others have room; what they held is given back.
    @Test func boundsTheBodiesOfOneConnection() throws {
        let server = try TestServer { $0.connectionBodiesBytesMax = 3000 }
        let client = try HTTP2Client(server.endpoint)
        let first = try client.request("POST", "/echo", body: nil)
        client.write(first, [UInt8](repeating: 1, count: 2000))
        let second = try client.request("POST", "/echo", body: nil)
        client.write(second, [UInt8](repeating: 1, count: 2000))
        client.waitForEnd(of: second)
        #expect(client.answer(second).status == 503 && client.answer(second).fields["retry-after"] == "1")
        let other = try HTTP2Client(server.endpoint)
        let echo = try other.request("POST", "/echo", body: [UInt8](repeating: 1, count: 2500))
        other.waitForEnd(of: echo)
        #expect(other.answer(echo).status == 200)
        client.end(first)
        client.waitForEnd(of: first)
        #expect(client.answer(first).status == 200)
        let third = try client.request("POST", "/echo", body: [UInt8](repeating: 1, count: 2900))
        client.waitForEnd(of: third)
        #expect(client.answer(third).status == 200)
    }

    /// Frames that cost us more than their sender end the connection; everybody else is served meanwhile.
    @Test func aFloodEndsItsConnectionAlone() throws {
        let server = try TestServer()
        let calm = try HTTP2Client(server.endpoint)
        let before = try calm.request("GET", "/before")
        calm.waitForEnd(of: before)
        let flood = try RawClient(server.endpoint)
        flood.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        flood.send([0, 0, 0, 4, 0, 0, 0, 0, 0])
        let ping: [UInt8] = [0, 0, 8, 6, 0, 0, 0, 0, 0] + [UInt8](repeating: 7, count: 8)
        flood.send((0..<3000).flatMap { _ in ping })
        flood.waitForEnd()
        #expect(server.server.statistics.floods.load(ordering: .relaxed) == 1)
        let after = try calm.request("GET", "/after")
        calm.waitForEnd(of: after)
        #expect(calm.answer(after).status == 200)
        flood.close()
        eventually("the flood's connection is gone") { server.server.statistics.connectionsActive.load(ordering: .relaxed) == 1 }
    }

    /// CVE-2023-44487: requests begun and taken back as fast as the wire allows.
    @Test func rapidResetsEndTheConnection() throws {
        let server = try TestServer()
        let flood = try RawClient(server.endpoint)
        flood.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        flood.send([0, 0, 0, 4, 0, 0, 0, 0, 0])
        var bytes: [UInt8] = []
        let get: [UInt8] = [0x82, 0x86, 0x84, 0x41, 1, 0x61]
        let cancel: [UInt8] = [0, 0, 0, 8]
        for index in 0..<4000 {
            let number = index * 2 + 1
            let stream: [UInt8] = [0, 0, UInt8(number >> 8), UInt8(number & 255)]
            // GET / of host a, then RST_STREAM.
            let head: [UInt8] = [0, 0, 6, 1, 5] + stream + get
            let reset: [UInt8] = [0, 0, 4, 3, 0] + stream + cancel
            bytes += head + reset
        }
        flood.send(bytes)
        flood.waitForEnd()
        #expect(server.server.statistics.requestsTotal.load(ordering: .relaxed) < 2000)
        #expect(try server.client.send("GET", "/next").status == 200)
    }

    /// A client that opens no window keeps its answer waiting, not the server; in the end it is cut.
    @Test func aWindowThatNeverOpensIsNotWaitedForForEver() throws {
        let server = try TestServer { $0.stallTimeoutNanoseconds = 200_000_000 }
        let client = try HTTP2Client(server.endpoint)
        client.consumes = false
        let large = try client.request("GET", "/large")
        client.wait { $0.answer(large).body.count > 60_000 }
        #expect(try server.client.send("GET", "/meanwhile").status == 200)
        client.wait("it is cut") { $0.answer(large).code != nil }
        #expect(!client.answer(large).isEnded)
    }

    @Test func aBodyThatStallsIsRefused() throws {
        let server = try TestServer { $0.stallTimeoutNanoseconds = 100_000_000 }
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("POST", "/echo", body: nil)
        client.write(id, [1])
        client.waitForEnd(of: id)
        #expect(client.answer(id).status == 408)
    }

    @Test func anIdleConnectionIsToldAndClosed() throws {
        let server = try TestServer { $0.idleTimeoutNanoseconds = 50_000_000 }
        let client = try HTTP2Client(server.endpoint)
        let id = try client.request("GET", "/a")
        client.waitForEnd(of: id)
        client.wait("GOAWAY comes, then the end") { $0.wentAway && $0.raw.ended }
    }

    /// At the end of the process: nothing new, what was begun is finished, a stream ends in good order.
    @Test func drainingFinishesWhatWasBegun() throws {
        let server = try TestServer()
        let client = try HTTP2Client(server.endpoint)
        let slow = try client.request("GET", "/later")
        let responder = try server.nextResponder()
        let followed = try client.request("GET", "/later")
        let stream = try server.nextResponder()
        stream.begin(status: 200, headers: [])
        stream.write([1])
        client.wait { $0.answer(followed).body == [1] }
        server.server.drain()
        client.waitForEnd(of: followed)
        #expect(client.answer(followed).code == 0)
        client.wait { $0.wentAway }
        responder.respond(.text(200, "finished"))
        client.wait { $0.answer(slow).isEnded && $0.raw.ended }
        #expect(text(client.answer(slow)) == "finished\n")
        server.stop()
    }

    /// No upgrade: a client that asks for one is answered over HTTP/1.1.
    @Test func offersNoUpgrade() throws {
        let server = try TestServer()
        let client = try RawClient(server.endpoint)
        client.send("GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n")
        client.send("HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        client.wait { $0.text.hasSuffix("GET /a? 0\n") }
        #expect(client.text.hasPrefix("HTTP/1.1 200 OK\r\n"))
    }
}
