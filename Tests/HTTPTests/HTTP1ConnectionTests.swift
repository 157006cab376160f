import HTTP
import Primitives
import Testing

/// A connection of a server and what its client sends and gets.
@safe
private final class Peer {
    private let inbox: UnsafeMutablePointer<HTTPInbox>
    private let connection: UnsafeMutablePointer<HTTPServerConnection>
    private var rest: [UInt8] = []
    private var head = MessageHead()
    /// What was told, in words.
    private(set) var events: [String] = []
    private(set) var refusals: [UInt16] = []
    private(set) var sent: [UInt8] = []
    /// Bodies by request, joined.
    private(set) var bodies: [Int32: [UInt8]] = [:]

    init(pipelinedMax: Int = 16) {
        unsafe inbox = .allocate(capacity: 1)
        unsafe inbox.initialize(to: HTTPInbox(limits: HTTPLimits()))
        unsafe connection = .allocate(capacity: 1)
        unsafe connection.initialize(to: HTTPServerConnection(inbox: inbox, pipelinedMax: pipelinedMax))
    }

    deinit {
        unsafe connection.deinitialize(count: 1)
        unsafe connection.deallocate()
        unsafe inbox.deinitialize(count: 1)
        unsafe inbox.deallocate()
    }

    var text: String { String(decoding: sent, as: UTF8.self) }
    var wantsRead: Bool { unsafe connection.pointee.wantsRead }
    var isFinished: Bool { unsafe connection.pointee.isFinished }
    var isHTTP2: Bool { unsafe connection.pointee.isHTTP2 }

    func send(_ text: String, piece: Int = .max) { send(Array(text.utf8), piece: piece) }

    func send(_ bytes: [UInt8], piece: Int = .max) {
        var start = 0
        while start < bytes.count {
            let end = piece >= bytes.count - start ? bytes.count : start + piece
            rest += bytes[start..<end]
            start = end
            offer()
        }
    }

    /// Gives what waits to the connection, as far as it takes it.
    func offer() {
        while !rest.isEmpty {
            // A copy of exactly its size: reading past it is a fault that the sanitizer and the heap see.
            let piece = Array(rest)
            let now = MonotonicInstant(nanoseconds: 1)
            let (taken, outcome) = unsafe piece.withUnsafeBytes { unsafe connection.pointee.receive($0, now: now) }
            note(piece)
            rest.removeFirst(taken)
            if case .refused(let refusal) = outcome { refusals.append(refusal.status) }
            if taken == 0 { break }
        }
    }

    private func note(_ bytes: [UInt8]) {
        for event in unsafe inbox.pointee.events.elements {
            switch event.kind {
            case .head:
                let block = unsafe inbox.pointee.block(of: event)
                // Whoever has no owner is told of no further.
                if block.isRequest { unsafe connection.pointee.attach(token: UInt64(event.stream), stream: event.stream) }
                unsafe head.load(block, from: &inbox.pointee)
                let fields = (0..<head.fieldCount).map { index in latin(head.nameBytes(at: index)) + "=" + latin(head.bytes(at: index)) }
                let line = latin(head.methodBytes) + " " + latin(head.targetBytes)
                events.append("\(event.stream) \(block.isRequest ? "head \(line)" : "trailers") \(fields.joined(separator: ","))")
            case .data:
                bodies[event.stream, default: []] += bytes[Int(event.start)..<Int(event.start + event.count)]
                unsafe connection.pointee.consume(Int(event.count), stream: event.stream)
            case .end: events.append("\(event.stream) end \(String(decoding: bodies[event.stream] ?? [], as: UTF8.self))")
            case .closed: events.append("\(event.stream) closed \(event.code)")
            case .goAway: events.append("goAway")
            }
        }
        unsafe inbox.pointee.clear()
    }

    @discardableResult
    func answer(
        _ stream: Int32, status: UInt16 = 200, _ body: HTTPServerConnection.ResponseBody, _ bytes: [String] = [], trailers: String = ""
    ) -> Bool {
        let isTaken = unsafe connection.pointee.submitResponse(
            status: status, lines: UnsafeRawBufferPointer(start: nil, count: 0), body: body, stream: stream, stopsPeer: false)
        for piece in bytes { unsafe Array(piece.utf8).withUnsafeBytes { unsafe connection.pointee.append($0, stream: stream) } }
        if !bytes.isEmpty {
            unsafe Array(trailers.utf8).withUnsafeBytes { unsafe connection.pointee.end(stream: stream, trailers: $0, stopsPeer: false) }
        }
        fill()
        return isTaken
    }

    func invite(_ stream: Int32) {
        unsafe connection.pointee.submitContinue(stream: stream)
        fill()
    }

    func fill() {
        var out = ByteBuffer()
        unsafe _ = connection.pointee.fill(&out, bytesMax: 1 << 20)
        unsafe sent += Array(out.readable)
        note([])
    }

    func goAway() {
        unsafe connection.pointee.goAway()
        fill()
    }

    func end() -> Bool {
        let isAnswered = unsafe connection.pointee.receiveEnd()
        fill()
        return isAnswered
    }
}

@Suite struct HTTP1ConnectionTests {
    private static let conversation =
        "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"
        + "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
        + "POST /d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\nX-Two: 8\r\n\r\n"
        + "POST /e HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        + "\r\nGET http://y/f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\nHost: x\r\n\r\n"

    /// Whatever pieces the kernel hands over, the events are those of the whole.
    @Test(arguments: [1, 2, 3, 5, 7, 11, 64, 1 << 20])
    func tellsTheSameHoweverTheBytesCome(piece: Int) {
        let peer = Peer()
        peer.send(Self.conversation, piece: piece)
        #expect(peer.events == [
            "1 head GET /a?b Host=x", "1 end ",
            "2 head POST /c Host=x,Content-Length=5", "2 end hello",
            "3 head POST /d Host=x,Transfer-Encoding=chunked", "3 trailers X-Sum=7,X-Two=8", "3 end abcde",
            "4 head POST /e Host=x,Transfer-Encoding=chunked", "4 end ",
            "5 head GET http://y/f Host=x,Connection=close", "5 end ",
        ])
        #expect(peer.refusals.isEmpty)
    }

    /// Answers carry no number: one out of order is taken for the other request's.
    @Test func sendsAnswersInTheOrderOfTheirRequests() {
        let peer = Peer()
        peer.send(Self.conversation)
        peer.answer(3, .length(5), ["third"])
        peer.answer(2, status: 204, .omitted(length: nil))
        #expect(peer.sent.isEmpty)
        peer.answer(1, .unknown, ["fir", "st"], trailers: "X-T: 1\r\n")
        let answers = [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfir\r\n2\r\nst\r\n0\r\nX-T: 1\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthird",
        ]
        #expect(peer.text == answers.joined())
        #expect(Array(peer.events.suffix(3)) == ["1 closed 0", "2 closed 0", "3 closed 0"])
        peer.answer(5, .none)
        #expect(!peer.isFinished)
        peer.answer(4, .none)
        #expect(peer.text.hasSuffix("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
        #expect(peer.isFinished)
        #expect(!peer.answer(5, .none), "one request has one answer")
    }

    /// A client may send a thousand requests and read nothing: as many are open as allowed, the next are not even parsed.
    @Test func boundsTheRequestsThatAreOpen() {
        let peer = Peer(pipelinedMax: 2)
        peer.send(String(repeating: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", count: 5))
        #expect(peer.events.count { $0.contains("head") } == 2)
        #expect(!peer.wantsRead)
        peer.answer(1, .none)
        #expect(peer.wantsRead)
        peer.offer()
        #expect(peer.events.count { $0.contains("head") } == 3)
        peer.answer(2, .none)
        peer.answer(3, .none)
        peer.offer()
        #expect(peer.events.count { $0.contains("head") } == 5)
    }

    /// What is left of a body that nobody wants would be read as the next request: smuggling.
    @Test func anAnswerBeforeTheBodyIsTheLast() {
        let peer = Peer()
        peer.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        peer.answer(1, status: 413, .none)
        peer.send("GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(!peer.events.contains { $0.contains("smuggled") })
        #expect(peer.text.contains("Connection: close\r\n") && peer.isFinished)
    }

    @Test func invitesOnlyWhoKnowsInterimAnswers() {
        let peer = Peer()
        peer.send("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        peer.invite(1)
        #expect(peer.text == "HTTP/1.1 100 Continue\r\n\r\n")
        peer.send("a")
        peer.answer(1, .none)
        peer.send("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        peer.invite(2)
        #expect(peer.text.count(of: "100 Continue") == 1)
        peer.send("b")
        peer.answer(2, .unknown, ["x"], trailers: "T: 1\r\n")
        #expect(
            peer.text.hasSuffix("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx"), "an HTTP/1.0 client knows neither chunks nor trailers")
        #expect(peer.isFinished)
    }

    /// A request that is none is answered behind those before it, and nothing behind it is read.
    @Test(arguments: [
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n", UInt16(400)),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", UInt16(400)),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n", UInt16(400)),
        ("GET /\(String(repeating: "a", count: 20_000)) HTTP/1.1\r\nHost: x\r\n\r\n", UInt16(414)),
    ])
    func refusesWhatIsNoRequest(message: String, status: UInt16) {
        for piece in [1, 50, 1 << 20] {
            let peer = Peer()
            peer.send("GET /before HTTP/1.1\r\nHost: x\r\n\r\n" + message + "GET /after HTTP/1.1\r\nHost: x\r\n\r\n", piece: piece)
            #expect(peer.refusals == [status])
            #expect(!peer.events.contains { $0.contains("after") })
            peer.answer(2, status: status, .none)
            #expect(peer.sent.isEmpty && !peer.isFinished)
            peer.answer(1, .none)
            #expect(peer.text.hasSuffix("Connection: close\r\n\r\n") && peer.isFinished)
        }
    }

    @Test func theEndOfTheClientsHalfEndsAnUnfinishedRequestAlone() {
        let peer = Peer()
        peer.send("GET /whole HTTP/1.1\r\nHost: x\r\n\r\nPOST /half HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        #expect(peer.end())
        #expect(peer.events.last == "2 closed 8")
        peer.answer(1, .none)
        #expect(peer.text.contains("Connection: close") && peer.isFinished)
    }

    /// Draining: what was asked is answered, the last answer says that it is.
    @Test func goingAwayAnswersWhatWasAsked() {
        let peer = Peer()
        peer.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.goAway()
        peer.answer(1, .none)
        #expect(!peer.text.contains("close") && !peer.isFinished)
        peer.answer(2, .none)
        #expect(peer.text.count(of: "Connection: close") == 1 && peer.isFinished)
        let idle = Peer()
        idle.goAway()
        #expect(idle.isFinished)
    }

    /// The preface may come byte by byte, and POST begins with its first letter.
    @Test func theFirstBytesTellTheVersion() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        let second = Peer()
        second.send(preface, piece: 1)
        #expect(second.isHTTP2)
        second.fill()
        #expect(!second.sent.isEmpty, "SETTINGS")
        for first in ["POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "PRI /x HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let peer = Peer()
            peer.send(first, piece: 1)
            #expect(!peer.isHTTP2 && peer.events.count == 2)
        }
    }
}

extension String {
    fileprivate func count(of needle: String) -> Int { components(of: needle) - 1 }

    private func components(of needle: String) -> Int {
        var count = 1
        var rest = utf8[...]
        while rest.count >= needle.utf8.count {
            if rest.starts(with: needle.utf8) { count += 1 }
            rest = rest.dropFirst()
        }
        return count
    }
}
