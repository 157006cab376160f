import HTTP
import Primitives
import Testing

/// A connection of a client and what its server sends and gets.
private final class Caller {
    var inbox = OwnedInbox(limits: HTTPLimits())
    var http: HTTPClientConnection
    private var rest: [UInt8] = []
    private var request = MessageHead()
    private var head = MessageHead()
    /// What was told, in words.
    private(set) var events: [String] = []
    private(set) var body: [UInt8] = []
    private(set) var sent: [UInt8] = []
    private(set) var isBroken = false

    private let now = MonotonicInstant(nanoseconds: 1)

    init() { http = unsafe HTTPClientConnection(isHTTP2: false, inbox: inbox.pointer, now: now) }

    var text: String { String(decoding: sent, as: UTF8.self) }
    var bodyText: String { String(decoding: body, as: UTF8.self) }
    /// Bytes that the connection does not take.
    var left: String { String(decoding: rest, as: UTF8.self) }
    var isReusable: Bool { http.isReusable }
    var isSwitched: Bool { http.isSwitched }
    var isFinished: Bool { events.last?.hasSuffix("end") ?? false }

    @discardableResult
    func ask(
        _ method: String = "GET", _ target: String = "/a?b", framing: BodyFraming = .none, length: UInt64? = nil, upgrades: Bool = false,
        fields: [(String, String)] = []
    ) -> Bool {
        request.beginRequest(method: method, target: target, authority: "x:1", length: length)
        for (name, value) in fields { request.add(name: name, value: value) }
        let isTaken = http.submitRequest(request, framing: framing, upgrades: upgrades, token: 7) != nil
        fill()
        return isTaken
    }

    func append(_ text: String) {
        unsafe Array(text.utf8).withUnsafeBytes { unsafe http.append($0, stream: 0) }
        fill()
    }

    func end(trailers: String = "") {
        unsafe Array(trailers.utf8).withUnsafeBytes { unsafe http.end(stream: 0, trailers: $0) }
        fill()
    }

    func fill() {
        var out = ByteBuffer()
        _ = http.fill(&out, bytesMax: 1 << 20)
        unsafe sent += Array(out.readable)
    }

    func receive(_ text: String, piece: Int = .max) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            rest += bytes.prefix(piece)
            bytes = bytes.dropFirst(piece)
            offer()
        }
    }

    private func offer() {
        while !rest.isEmpty, !isBroken {
            // A copy of exactly its size: reading past it is a fault that the sanitizer and the heap see.
            let piece = Array(rest)
            let (taken, outcome) = unsafe piece.withUnsafeBytes { unsafe http.receive($0, now: now) }
            note(piece)
            rest.removeFirst(taken)
            if outcome == .broken { isBroken = true }
            if taken == 0 { break }
        }
    }

    func receiveEnd() {
        http.receiveEnd()
        note([])
    }

    private func note(_ bytes: [UInt8]) {
        for index in 0..<inbox.contents.events.count {
            let event = inbox.contents.events[index]
            #expect(event.token == 7)
            switch event.kind {
            case .head:
                let section = inbox.contents.block(of: event)
                inbox.keep(section, in: &head)
                let fields = (0..<head.fieldCount).map { index in latin(head.nameBytes(at: index)) + "=" + latin(head.bytes(at: index)) }
                events.append("\(section.isTrailers ? "trailers" : "\(section.status)") \(fields.joined(separator: ","))")
            case .data:
                body += bytes[Int(event.start)..<Int(event.start + event.count)]
                http.consume(Int(event.count), stream: event.stream)
            case .end: events.append("end")
            case .closed, .goAway: Issue.record("a client of HTTP/1.1 tells nothing such")
            }
        }
        inbox.contents.clear()
    }
}

/// The sizes of pieces that bytes come in, from one at a time to all at once.
private let pieces = [1, 2, 3, 7, 1 << 20]

@Suite struct HTTP1ClientRoleTests {
    struct Answer: CustomTestStringConvertible, Sendable {
        var method = "GET"
        var text: String
        var events: [String]
        var body = ""
        var isReusable = true
        var testDescription: String { "\(method) \(text.prefix(60))" }
    }

    static let answers = [
        Answer(text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", events: ["200 Content-Length=5", "end"], body: "hello"),
        Answer(text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", events: ["200 Content-Length=0", "end"]),
        Answer(
            text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            events: ["200 Transfer-Encoding=chunked", "end"], body: "abcde"),
        Answer(
            text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\nX-Two: 8\r\n\r\n",
            events: ["200 Transfer-Encoding=chunked", "trailers X-Sum=7,X-Two=8", "end"], body: "a"),
        // Neither has a body, whatever its head says one of another request would have (RFC 9110 6.4.1).
        Answer(method: "HEAD", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", events: ["200 Content-Length=5", "end"]),
        Answer(
            method: "HEAD", text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            events: ["200 Transfer-Encoding=chunked", "end"]),
        Answer(text: "HTTP/1.1 204 No Content\r\n\r\n", events: ["204 ", "end"]),
        Answer(text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", events: ["304 Content-Length=5", "end"]),
        // Interim responses come before the answer and do not begin it (RFC 9110 15.2).
        Answer(
            text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            events: ["100 ", "103 Link=x", "200 Content-Length=1", "end"], body: "a"),
        // The server does not keep the connection, in its words or by its version (RFC 9112 9.3).
        Answer(
            text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
            events: ["200 Connection=close,Content-Length=1", "end"], body: "a", isReusable: false),
        Answer(
            text: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", events: ["200 Content-Length=1", "end"], body: "a", isReusable: false),
        Answer(
            text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
            events: ["200 Connection=keep-alive,Content-Length=1", "end"], body: "a"),
    ]

    /// Whatever pieces the kernel hands over, the answer is the same; and where it may be, the connection carries another.
    @Test(arguments: answers)
    func readsEveryFraming(_ answer: Answer) {
        for piece in pieces {
            let caller = Caller()
            for round in 1...2 {
                #expect(caller.ask(answer.method))
                caller.receive(answer.text, piece: piece)
                #expect(caller.events == (1...round).flatMap { _ in answer.events }, "in pieces of \(piece)")
                #expect(caller.bodyText == String(repeating: answer.body, count: round))
                #expect(!caller.isBroken && caller.left.isEmpty)
                #expect(caller.isReusable == answer.isReusable)
                #expect(!caller.ask(), "one exchange at a time")
                guard answer.isReusable else { break }
                caller.http.detach(stream: 0)
            }
        }
    }

    /// A body that only the connection's end ends is whole with it, and the connection is not.
    @Test func readsUntilTheEnd() {
        for piece in pieces {
            let caller = Caller()
            caller.ask()
            caller.receive("HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end", piece: piece)
            #expect(caller.events == ["200 X=y"] && caller.bodyText == "until the end")
            caller.receiveEnd()
            #expect(caller.events == ["200 X=y", "end"])
            #expect(!caller.isReusable)
        }
    }

    /// Half an answer that passes for a whole one is data lost without a word.
    @Test(arguments: [
        "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
    ])
    func aCutAnswerDoesNotEnd(_ text: String) {
        for piece in pieces {
            let caller = Caller()
            caller.ask()
            caller.receive(text, piece: piece)
            caller.receiveEnd()
            #expect(!caller.isFinished && !caller.isBroken && !caller.isReusable)
        }
    }

    /// What follows a 101, or a success of CONNECT, is no HTTP and is left for whoever it is for (RFC 9110 7.8, 9.3.6).
    @Test func whatFollowsASwitchIsNotLookedAt() {
        for piece in pieces {
            let socket = Caller()
            socket.ask(upgrades: true, fields: [("Upgrade", "websocket")])
            #expect(socket.text.contains("Connection: Upgrade\r\n"))
            socket.receive("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nHTTP/1.1 200", piece: piece)
            #expect(socket.events == ["101 Upgrade=websocket"])
            #expect(socket.isSwitched && socket.left == "HTTP/1.1 200" && !socket.isReusable)
            let tunnel = Caller()
            tunnel.ask("CONNECT", "x:1")
            tunnel.receive("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\u{16}\u{3}\u{1}", piece: piece)
            #expect(tunnel.isSwitched && tunnel.left.utf8.count == 3)
            let refused = Caller()
            refused.ask("CONNECT", "x:1")
            refused.receive("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", piece: piece)
            #expect(!refused.isSwitched && refused.isFinished && refused.bodyText == "no" && refused.isReusable)
        }
    }

    /// Bytes that nobody asked for would be taken for the answer to the next request: another client's.
    @Test(arguments: ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", "HTTP/1.1 204 No Content\r\n\r\n"])
    func bytesBehindTheAnswerMakeTheConnectionUnfit(_ answer: String) {
        for piece in pieces {
            let caller = Caller()
            caller.ask()
            caller.receive(answer + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", piece: piece)
            #expect(caller.events.count == 2 && caller.isFinished && !caller.bodyText.contains("evil"))
            #expect(!caller.isReusable || !caller.left.isEmpty)
        }
    }

    /// An answer may come before the request is out; the connection waits for that.
    @Test func isReusableOnceTheRequestIsOutAsWell() {
        let caller = Caller()
        caller.ask("POST", framing: .length(4))
        caller.append("ab")
        caller.receive("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(caller.isFinished && !caller.isReusable)
        caller.append("cd")
        caller.end()
        #expect(caller.isReusable)
    }

    @Test(arguments: [
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed status line"), ("HTTP/1.1 banana\r\n\r\n", "malformed status line"),
        ("HTTP/1.1 200 OK\r\nbad header\r\n\r\n", "malformed header field name"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "more than one Content-Length"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both Content-Length and Transfer-Encoding"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed chunk"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", "malformed header field name"),
        ("HTTP/1.1 200 OK\r\nX: \(String(repeating: "a", count: 70_000))", "header section too large"),
    ])
    func whatIsNoHTTPBreaksTheConnection(_ text: String, _ reason: String) {
        for piece in [1, 50, 1 << 20] {
            let caller = Caller()
            caller.ask()
            caller.receive(text + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", piece: piece)
            #expect(caller.isBroken && !caller.isReusable && !caller.isFinished)
            #expect("\(caller.http.brokenReason ?? "")".hasPrefix(reason))
        }
    }

    /// Framing is the connection's to say; a zero is said where the head says it (RFC 9110 8.6).
    @Test func writesRequests() {
        let caller = Caller()
        caller.ask("POST", "/p", framing: .length(2), fields: [("X-A", "b")])
        caller.append("hi")
        caller.end()
        #expect(caller.text == "POST /p HTTP/1.1\r\nHost: x:1\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi")
        let chunked = Caller()
        chunked.ask("POST", framing: .chunked)
        chunked.append("abc")
        chunked.append(String(repeating: "d", count: 16))
        chunked.end(trailers: "T: 1\r\n")
        let head = "POST /a?b HTTP/1.1\r\nHost: x:1\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(chunked.text == head + "3\r\nabc\r\n10\r\ndddddddddddddddd\r\n0\r\nT: 1\r\n\r\n")
        let empty = Caller()
        empty.ask("POST", length: 0)
        #expect(empty.text == "POST /a?b HTTP/1.1\r\nHost: x:1\r\nContent-Length: 0\r\n\r\n")
        let bare = Caller()
        bare.ask()
        bare.append("nobody asked for this")
        bare.end()
        #expect(bare.text == "GET /a?b HTTP/1.1\r\nHost: x:1\r\n\r\n")
    }
}
