@testable import HTTP
import Primitives
import Testing

/// A head as a list, and what is done to it.
private struct ModelHead {
    var method: String
    var target: String
    var authority: String
    var fields: [(name: String, value: String)]

    /// Lines as our writer has them.
    var lines: [String] { fields.map { "\($0.name): \($0.value)" } }
    /// The same by way of HTTP/2: names in lower case and none that only HTTP/1.1 knows (RFC 9113 8.2), cookies in one field (8.2.3).
    var lowered: [String] {
        let others = fields.filter { !["host", "connection", "keep-alive", "upgrade", "cookie"].contains($0.name.lowercased()) }
        let cookies = fields.filter { $0.name.lowercased() == "cookie" }.map(\.value)
        let joined = cookies.isEmpty ? [] : ["cookie: \(cookies.joined(separator: "; "))"]
        return others.map { "\($0.name.lowercased()): \($0.value)" } + joined
    }
}

@Suite struct HeadEditingTests {
    static let names = [
        "User-Agent", "x-request-id", "X-Forwarded-For", "traceparent", "Accept", "accept-encoding", "X-Envoy-Internal", "b3", "Date",
        "X-A", "x-b", "Cookie", "X-Long-Name-Of-A-Field-That-Nobody-Knows", "Connection", "Keep-Alive", "Upgrade", "x_under",
    ]

    private func value(_ random: inout RandomSource) -> String {
        let letters = Array("abcXYZ019 ,;=\"/%~")
        let text = String((0..<Int(random.below(30))).map { _ in letters[Int(random.below(UInt32(letters.count)))] })
        return String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    private func field(_ random: inout RandomSource) -> (name: String, value: String) {
        let name = Self.names[Int(random.below(UInt32(Self.names.count)))]
        return (name, name == "Cookie" ? "c=\(random.below(100))" : value(&random))
    }

    private func lookup(_ name: String) -> HeaderName { unsafe Array(name.utf8).withUnsafeBytes { unsafe HeaderName.lookup($0) } }

    /// Parses a request whose lines are written in any of the forms that are allowed, and keeps it.
    private func keep(_ model: ModelHead, in head: inout MessageHead, _ random: inout RandomSource) {
        var text = "\(model.method) \(model.target) HTTP/1.1\r\nHost: \(model.authority)\r\n"
        for field in model.fields {
            switch random.below(4) {
            case 0: text += "\(field.name):\(field.value)\r\n"
            case 1: text += "\(field.name):  \t\(field.value) \r\n"
            default: text += "\(field.name): \(field.value)\r\n"
            }
        }
        text += "\r\n"
        var parsed = MessageHead()
        var scan = HeadScan()
        let source = Array(text.utf8)
        unsafe source.withUnsafeBytes {
            #expect(unsafe HeadParser.parseRequest($0, scan: &scan, limits: HTTPLimits(), into: &parsed) == .complete)
            head.keep(copyOf: parsed)
        }
        // The bytes are gone by now: what is kept is its own.
        head.sentTarget = head.targetPlace
        head.sentAuthority = head.place(of: .host) ?? 0..<0
        head.filter { head, index in head.fieldName(at: index) != .host }
    }

    private func lines(_ head: borrowing MessageHead) -> [String] {
        var lines: [String] = []
        for index in 0..<head.fieldCount { lines.append(latin(head.nameBytes(at: index)) + ": " + latin(head.bytes(at: index))) }
        return lines
    }

    private func check(_ head: borrowing MessageHead, _ model: ModelHead, _ place: Comment) {
        let found = lines(head)
        #expect(found == model.lines, place)
        for name in Self.names {
            let known = lookup(name)
            let first = known == .other ? nil : head.index(of: known)
            let expected = known == .other ? nil : model.fields.firstIndex { lookup($0.name) == known }
            #expect(first == expected, place)
        }
    }

    /// A head edited at random, written and parsed again is the model: in HTTP/1.1 as it stands, in HTTP/2 as its rules have it. One wrong
    /// offset, and a request carries another field's value, or another client's.
    @Test(arguments: 1...60 as ClosedRange<UInt64>)
    func isAListOfFields(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var head = MessageHead()
        for round in 0..<8 {
            let place: Comment = "seed \(seed) round \(round)"
            var model = ModelHead(
                method: ["GET", "POST", "DELETE"][Int(random.below(3))], target: "/p\(random.below(1000))?q=\(random.below(10))",
                authority: "host-\(random.below(100)).example:80\(random.below(10))",
                fields: (0..<Int(random.below(30))).map { _ in field(&random) })
            if random.below(5) == 0 {
                head.beginRequest(method: model.method, target: model.target, authority: model.authority)
                for field in model.fields { head.add(name: field.name, value: field.value) }
            } else {
                keep(model, in: &head, &random)
            }
            check(head, model, place)
            var mark = (fields: 0, text: 0)
            var markedModel: ModelHead?
            for _ in 0..<Int(random.below(12)) {
                switch random.below(7) {
                case 0:
                    let gone = Self.names[Int(random.below(UInt32(Self.names.count)))].lowercased()
                    head.filter { head, index in latin(head.nameBytes(at: index)).lowercased() != gone }
                    model.fields.removeAll { $0.name.lowercased() == gone }
                    markedModel = nil
                case 1:
                    let added = field(&random)
                    head.add(name: added.name, value: added.value)
                    model.fields.append(added)
                case 2:
                    head.add("x-request-id", .requestID) { $0.append(decimal: 12345) }
                    model.fields.append(("x-request-id", "12345"))
                case 3:
                    head.add("X-Constant", text: "as it is")
                    model.fields.append(("X-Constant", "as it is"))
                case 4:
                    if let copied = head.place(of: .userAgent), let first = model.fields.first(where: { $0.name == "User-Agent" }) {
                        head.add("X-Copy", copyOf: copied)
                        model.fields.append(("X-Copy", first.value))
                    }
                case 5:
                    mark = (head.fieldCount, head.textEnd)
                    markedModel = model
                default:
                    if let marked = markedModel {
                        head.truncate(fields: mark.fields, text: mark.text)
                        model = marked
                    }
                }
                check(head, model, place)
            }
            if random.below(2) == 0 {
                // Written behind everything, so a truncation has not taken it.
                head.sentTarget = head.write { $0.append("/new") }
                model.target = "/new"
            }
            var copy = MessageHead()
            copy.keep(copyOf: head)
            check(copy, model, place)
            #expect(written(head) == written(copy), place)
            readBack(written(head), model, place)
            overHTTP2(copy, model, place)
        }
    }

    private func written(_ head: borrowing MessageHead) -> [UInt8] {
        let inbox = OwnedInbox(limits: HTTPLimits())
        let now = MonotonicInstant(nanoseconds: 1)
        var client = unsafe HTTPClientConnection(isHTTP2: false, inbox: inbox.pointer, now: now)
        #expect(client.submitRequest(head, framing: .none, upgrades: false, token: 1) != nil)
        var out = ByteBuffer()
        _ = client.fill(&out, bytesMax: .max)
        return unsafe Array(out.readable)
    }

    private func readBack(_ bytes: [UInt8], _ model: ModelHead, _ place: Comment) {
        let reading = read(bytes)
        #expect(reading.result == .complete && reading.byteCount == bytes.count, place)
        #expect(reading.method == model.method && reading.target == model.target, place)
        #expect(reading.fields.first == ["Host", model.authority], place)
        #expect(reading.fields.dropFirst().map { $0[0] + ": " + $0[1] } == model.lines, place)
    }

    /// By HTTP/2's own path: field list, session, the server's session, and a head again.
    private func overHTTP2(_ head: borrowing MessageHead, _ model: ModelHead, _ place: Comment) {
        var inbox = OwnedInbox(limits: HTTPLimits())
        let now = MonotonicInstant(nanoseconds: 1)
        var client = unsafe HTTPClientConnection(isHTTP2: true, inbox: inbox.pointer, now: now)
        var server = unsafe HTTPServerConnection(inbox: inbox.pointer, pipelinedMax: 1)
        #expect(client.submitRequest(head, framing: .none, upgrades: false, token: 1) != nil, place)
        var out = ByteBuffer()
        _ = client.fill(&out, bytesMax: .max)
        inbox.contents.clear()
        let bytes = unsafe Array(out.readable)
        let (taken, _) = unsafe bytes.withUnsafeBytes { unsafe server.receive($0, now: now) }
        #expect(taken == bytes.count, place)
        var heads = 0
        for index in 0..<inbox.contents.events.count where inbox.contents.events[index].kind == .head {
            heads += 1
            var got = MessageHead()
            inbox.keep(inbox.contents.block(of: inbox.contents.events[index]), in: &got)
            let target = latin(got.targetBytes)
            let authority = unsafe latin(LentBytes(got.authorityBytes))
            let method = latin(got.methodBytes)
            #expect(method == model.method && target == model.target && authority == model.authority, place)
            let found = lines(got)
            #expect(found == model.lowered, place)
        }
        #expect(heads == 1, place)
    }

    /// A response of our own in both forms: the reason phrase, and its length as the connection frames it.
    @Test func beginsMessagesOfOurOwn() {
        var head = MessageHead(slots: 1)
        head.beginRequest(method: "PURGE", target: "*", authority: "[::1]:80", length: 3)
        #expect(head.fieldCount == 0 && head.contentLength == 3)
        for index in 0..<90 { head.add(name: "X-\(index)", value: String(repeating: "v", count: index)) }
        #expect(head.fieldCount == 90)
        let reading = read(written(head))
        #expect(reading.method == "PURGE" && reading.target == "*" && reading.fields.count == 92)
        #expect(reading.fields[90] == ["X-89", String(repeating: "v", count: 89)])
        head.beginResponse(status: 404, length: nil)
        #expect(head.fieldCount == 0 && head.contentLength == nil && head.statusCode == 404)
        let method = latin(head.methodBytes)
        #expect(method.isEmpty)
    }
}
