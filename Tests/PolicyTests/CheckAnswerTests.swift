import HTTP
import MeshConfig
@testable import Policy
import Primitives
import Testing

/// An authorizer's answers: what is taken of them, what is not, and what breaks them.
@Suite struct CheckAnswerTests {
    // MARK: Messages made by hand

    static func field(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] {
        var length: [UInt8] = []
        var rest = bytes.count
        repeat {
            length.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        return [UInt8(number << 3 | 2)] + length + bytes
    }
    static func field(_ number: UInt64, _ text: String) -> [UInt8] { field(number, Array(text.utf8)) }
    static func number(_ field: UInt64, _ value: UInt8) -> [UInt8] { [UInt8(field << 3), value] }
    static func option(_ name: String, _ value: String, _ more: [UInt8] = []) -> [UInt8] {
        field(1, field(1, name) + field(2, value)) + more
    }
    static let append = field(2, number(1, 1))
    static func status(_ code: UInt8) -> [UInt8] { field(1, code == 0 ? [] : number(1, code)) }

    /// `set x-a: 1` of the request, `>add x-b: 2` of the response.
    private func read(_ message: [UInt8]) -> (verdict: CheckAnswer.Verdict, edits: [String], body: String, dropped: UInt64) {
        var answer = CheckAnswer()
        unsafe message.withUnsafeBytes { unsafe answer.read(checkResponse: LentBytes($0)) }
        let edits = answer.edits.map { edit in
            "\(edit.isOfResponse ? ">" : "")\(edit.action) \(answer.name(of: edit).text): \(answer.value(of: edit).text)"
        }
        return (answer.verdict, edits, unsafe String(decoding: answer.body.readable, as: UTF8.self), answer.droppedFields)
    }

    @Test func nothingIsLetIn() {
        // Status 0 is not written in proto3: an empty message lets in, as in Envoy.
        #expect(read([]).verdict == .allowed)
        #expect(read(Self.status(0)).verdict == .allowed)
        #expect(read(Self.status(7)).verdict == .denied(status: 403))
    }

    @Test func changesOfARequest() {
        let ok = Self.field(2, Self.option("X-A", "1")) + Self.field(2, Self.option("x-b", "2", Self.append)) + Self.field(5, "x-c")
            + Self.field(2, Self.option("x-d", "4", Self.number(3, 1))) + Self.field(2, Self.option("x-e", "5", Self.number(3, 2)))
            + Self.field(2, Self.option("x-f", "6", Self.number(3, 3))) + Self.field(6, Self.option("x-g", "7"))
            + Self.field(6, Self.option("x-h", "8", Self.number(3, 2))) + Self.field(7, Self.field(1, "q") + Self.field(2, "9"))
            + Self.field(8, "r")
        let answer = read(Self.status(0) + Self.field(3, ok))
        #expect(answer.verdict == .allowed)
        #expect(answer.edits == [
            "set X-A: 1", "addIfThere x-b: 2", "addIfAbsent x-d: 4", "set x-e: 5", "setIfThere x-f: 6", ">add x-g: 7", ">set x-h: 8",
            "setParameter q: 9", "remove x-c: ", "removeParameter r: ",
        ])
    }

    @Test func aRefusal() {
        let denied = Self.field(1, [8, 0x91, 3]) + Self.field(2, Self.option("x-why", "no")) + Self.field(3, "go away")
        let answer = read(Self.status(16) + Self.field(2, denied))
        #expect(answer.verdict == .denied(status: 401))
        #expect(answer.edits == [">set x-why: no"] && answer.body == "go away")
        // No final status: 403.
        #expect(read(Self.status(7) + Self.field(2, Self.field(1, Self.number(1, 100)))).verdict == .denied(status: 403))
        // Whatever came with it, the status decides.
        #expect(read(Self.status(7) + Self.field(3, Self.field(2, Self.option("x", "1")))).verdict == .denied(status: 403))
    }

    /// Smuggling through an authorizer must be impossible.
    @Test(arguments: [
        "host", "Host", "content-length", "Transfer-Encoding", "connection", "upgrade", "te", "trailer", ":path", ":authority",
        "keep-alive", "proxy-connection", "http2-settings", "expect", "x-forwarded-client-cert",
    ])
    func framingIsNotTheAuthorizers(name: String) {
        let ok = Self.field(2, Self.option(name, "1")) + Self.field(5, name) + Self.field(2, Self.option("x-a", "1"))
        let answer = read(Self.field(3, ok))
        #expect(answer.verdict == .allowed && answer.edits == ["set x-a: 1"] && answer.dropped == 2)
    }

    @Test(arguments: [
        ("x-a", "1\r\nx-b: 2"), ("x-a", "1\n"), ("x-a", "\0"), ("x a", "1"), ("x-a\r\n", "1"), ("", "1"), ("x-a", " 1"), ("é", "1"),
    ])
    func aFieldThatCannotBeSentIsNoAnswer(name: String, value: String) {
        for message in [
            Self.field(3, Self.field(2, Self.option(name, value))), Self.field(3, Self.field(6, Self.option(name, value))),
            Self.status(7) + Self.field(2, Self.field(2, Self.option(name, value))),
        ] {
            let answer = read(message)
            #expect(answer.verdict == .failed && answer.edits == [], "\(name.debugDescription)")
        }
    }

    @Test func moreThanIsKeptIsNoAnswer() {
        func many(_ count: Int, _ value: String) -> [UInt8] {
            Self.field(3, (0..<count).flatMap { Self.field(2, Self.option("x-\($0)", value)) })
        }
        #expect(read(many(CheckAnswer.editsMax, "")).verdict == .allowed)
        #expect(read(many(CheckAnswer.editsMax + 1, "")).verdict == .failed)
        #expect(read(many(2, String(repeating: "x", count: CheckAnswer.editBytesMax / 2))).verdict == .failed)
        let long = String(repeating: "x", count: CheckAnswer.bodyBytesMax + 1)
        #expect(read(Self.status(7) + Self.field(2, Self.field(3, String(long.dropLast())))).verdict == .denied(status: 403))
        #expect(read(Self.status(7) + Self.field(2, Self.field(3, long))).verdict == .failed)
    }

    /// Whatever bytes come: nothing traps, what is taken obeys the rules, and the bounds hold.
    @Test func anyBytesAreRead() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = RandomSource(seed: seed)
        func below(_ bound: Int) -> Int { Int(random.below(UInt32(bound))) }
        let names = ["host", "x-a", ":path", "content-length", "set-cookie", "a b", "x\0"]
        let values = ["", "1", "a\r\nb", "\u{FF}", String(repeating: "v", count: 300)]
        func message(_ depth: Int) -> [UInt8] {
            var bytes: [UInt8] = []
            for _ in 0..<below(6) {
                let number = UInt64(1 + below(9))
                switch below(8) {
                case 0: bytes += Self.number(number, UInt8(below(5)))
                case 1: bytes += Self.field(number, names[below(names.count)])
                case 2: bytes += Self.field(number, Self.option(names[below(names.count)], values[below(values.count)]))
                case 3: bytes += (0..<below(12)).map { _ in UInt8(below(256)) }
                case 4: bytes += [UInt8(number << 3 | 2)] + [UInt8](repeating: 0xFF, count: below(11)) + [UInt8(below(128))]
                default: if depth < 4 { bytes += Self.field(number, message(depth + 1)) }
                }
            }
            if below(5) == 0 { bytes = Array(bytes.prefix(below(bytes.count + 1))) }
            return bytes
        }
        for _ in 0..<20_000 {
            let bytes = message(0)
            let answer = read(bytes)
            if answer.verdict == .failed { #expect(answer.edits.isEmpty, "seed \(seed)") }
            if case .denied(let status) = answer.verdict { #expect((200...599).contains(status), "seed \(seed)") }
            for edit in answer.edits where !edit.hasPrefix("setParameter") && !edit.hasPrefix("removeParameter") {
                let isFine = !edit.utf8.contains { $0 < 0x20 || $0 == 0x7F } && !edit.contains(" host:") && !edit.contains(" :path")
                    && !edit.contains("content-length")
                #expect(isFine, "seed \(seed): \(edit)")
            }
        }
    }

    // MARK: Parts

    @Test func namesAreListed() {
        let list = FieldNameList(["X-Exact", "x-pre*", "*-suf", "*"])
        func has(_ list: FieldNameList, _ name: String) -> Bool {
            var name = name
            return name.withUTF8 { unsafe list.contains(LentBytes(UnsafeRawBufferPointer($0))) }
        }
        #expect(has(list, "anything"))
        let some = FieldNameList(["X-Exact", "x-pre*", "*-suf"])
        for name in ["x-exact", "X-EXACT", "X-Pre", "x-prefix", "a-suf", "-SUF"] { #expect(has(some, name), "\(name)") }
        for name in ["x-exac", "x-exactly", "x-pr", "suf", ""] { #expect(!has(some, name), "\(name)") }
        #expect(!has(FieldNameList([]), "x"))
    }

    /// What is written is what the encoding says, byte for byte; text that is no UTF-8 does not break the message.
    @Test func messagesAreWritten() {
        var writer = ProtobufWriter()
        writer.add(1) { inner in
            inner.add(2, number: 300)
            inner.add(3, text: "ab")
            inner.add(4, number: 0)
        }
        #expect(writer.bytes == [0x0A, 7, 0x10, 0xAC, 2, 0x1A, 2, 0x61, 0x62])
        writer.clear()
        unsafe ([0x61, 0xFF, 0x62] as [UInt8]).withUnsafeBytes { unsafe writer.add(1, text: LentBytes($0)) }
        #expect(writer.bytes.suffix(3) == [0x61, 0x21, 0x62])
        writer.clear()
        unsafe Array("é".utf8).withUnsafeBytes { unsafe writer.add(1, text: LentBytes($0)) }
        #expect(writer.bytes == [0x0A, 2, 0xC3, 0xA9])
        writer.clear()
        writer.add(1) { inner in for _ in 0..<100 { inner.add(2, text: "0123456789") } }
        let count = unsafe writer.bytes.withUnsafeBytes { bytes in
            var outer = unsafe ProtobufFields(LentBytes(bytes))
            guard case (1, .bytes(let inner))? = outer.next() else { return -1 }
            var count = 0
            var fields = ProtobufFields(inner)
            while fields.next() != nil { count += 1 }
            return fields.isBroken ? -2 : count
        }
        #expect(count == 100)
    }
}
