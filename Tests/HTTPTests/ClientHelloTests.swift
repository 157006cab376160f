import HTTP
import Testing

@Suite struct ClientHelloTests {
    static func number(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 255), UInt8(value & 255)] }

    /// The message alone, without records. `padding`: bytes of an extension that nobody knows.
    static func message(name: String, protocols: [String] = [], padding: Int = 0) -> [UInt8] {
        let host = Array(name.utf8)
        var extensions: [UInt8] = []
        if padding > 0 { extensions += number(21) + number(padding) + [UInt8](repeating: 0, count: padding) }
        if !name.isEmpty { extensions += [0, 0] + number(host.count + 5) + number(host.count + 3) + [0] + number(host.count) + host }
        let list = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
        if !protocols.isEmpty { extensions += [0, 16] + number(list.count + 2) + number(list.count) + list }
        let body = [3, 3] + [UInt8](repeating: 7, count: 32) + [0] + number(2) + [19, 1] + [1, 0] + number(extensions.count) + extensions
        return [1, UInt8(body.count >> 16)] + number(body.count) + body
    }

    static func record(_ content: some Collection<UInt8>, type: UInt8 = 22) -> [UInt8] { [type, 3, 1] + number(content.count) + content }

    /// A message in records of these lengths, the rest in one more.
    static func records(_ message: [UInt8], _ lengths: [Int]) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = message[...]
        for length in lengths where !rest.isEmpty {
            bytes += record(rest.prefix(length))
            rest = rest.dropFirst(length)
        }
        return rest.isEmpty ? bytes : bytes + record(rest)
    }

    static func parse(_ bytes: some Collection<UInt8>) -> ClientHello {
        unsafe Array(bytes).withUnsafeBytes { unsafe ClientHello.parse($0) }
    }

    static func hello(_ name: String, isIstio: Bool = false) -> ClientHello {
        .hello(serverName: Array(name.utf8), offersIstio: isIstio)
    }

    @Test(arguments: [("a.example", ["h2"], false), ("", [], false), ("x.y", ["istio", "h2"], true), ("b.c", ["istio-http/1.1"], true)])
    func serverNamesAndIstiosProtocols(_ name: String, _ protocols: [String], _ isIstio: Bool) {
        let bytes = Self.records(Self.message(name: name, protocols: protocols), [])
        #expect(Self.parse(bytes) == Self.hello(name, isIstio: isIstio))
        for count in 0..<bytes.count { #expect(Self.parse(bytes[..<count]) == .incomplete) }
    }

    /// Where a hello is cut is the client's choice: a cut that hides the server's name, or that the mesh is meant, sends it elsewhere.
    @Test func aCutAtAnyPlaceChangesNothing() {
        let message = Self.message(name: "web.example", protocols: ["h2", "istio"])
        for cut in 1..<message.count {
            #expect(Self.parse(Self.records(message, [cut])) == Self.hello("web.example", isIstio: true), "cut at \(cut)")
        }
        let single = Self.records(message, [Int](repeating: 1, count: message.count))
        #expect(single.count == message.count * 6)
        for count in 0..<single.count { #expect(Self.parse(single[..<count]) == .incomplete, "\(count) bytes of records of one byte") }
        #expect(Self.parse(single) == Self.hello("web.example", isIstio: true))
    }

    /// Records of any lengths that arrive in any pieces: first nothing is known, then what the whole message says.
    @Test func recordsAndPiecesOfAnyLengthAreTheWholeMessage() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let name = String("some.rather.long.name.example".prefix(Int.random(in: 0...29, using: &random)))
            let isIstio = Bool.random(using: &random)
            let padding = Int.random(in: 0...600, using: &random)
            let message = Self.message(name: name, protocols: isIstio ? ["istio"] : ["h2"], padding: padding)
            let longest = Int.random(in: 1...message.count, using: &random)
            let lengths = (0..<message.count).map { _ in Int.random(in: 1...longest, using: &random) }
            let bytes = Self.records(message, lengths)
            var count = 0
            while count < bytes.count {
                #expect(Self.parse(bytes[..<count]) == .incomplete, "seed \(seed)")
                count += Int.random(in: 1...200, using: &random)
            }
            // What comes behind it is nothing of its.
            #expect(Self.parse(bytes) == Self.hello(name, isIstio: isIstio), "seed \(seed)")
            #expect(Self.parse(bytes + Self.record([1, 2, 3], type: 23)) == Self.hello(name, isIstio: isIstio), "seed \(seed)")
        }
    }

    /// A client that never comes to an end would hold memory and a look at each of its bytes.
    @Test func boundsAreKept() {
        let longest = Self.message(name: "a.b", padding: ClientHello.bytesMax - Self.message(name: "a.b", padding: 1).count + 1)
        #expect(longest.count == ClientHello.bytesMax)
        #expect(Self.parse(Self.records(longest, [])) == Self.hello("a.b"))
        #expect(Self.parse(Self.records(longest, [9000])) == Self.hello("a.b"))
        let longer = Self.message(name: "a.b", padding: ClientHello.bytesMax)
        // Its header tells, before the rest has arrived.
        #expect(Self.parse(Self.records(longer, [8000]).prefix(9)) == .refused(.tooLong))
        #expect(Self.parse(Self.records(longer, [1, 1, 1, 8000]).prefix(24)) == .refused(.tooLong))

        let padded = Self.message(name: "a.b", padding: 3000)
        let most = [Int](repeating: 1, count: ClientHello.recordsMax - 1)
        #expect(Self.parse(Self.records(padded, most)) == Self.hello("a.b"))
        #expect(Self.parse(Self.records(padded, most + [1])) == .refused(.tooManyRecords))
    }

    /// RFC 8446 5.1: nothing comes between a message's records, and none is empty.
    @Test func recordsThatAreNoneAreRefused() {
        let message = Self.message(name: "a.b")
        let start = Self.record(message.prefix(20))
        for next in [Self.record([0], type: 23), Self.record([UInt8]()), [22, 2, 0, 0, 1, 0], [22, 3, 3, 0x40, 1, 0]] {
            #expect(Self.parse(start + next) == .refused(.brokenRecords))
            #expect(Self.parse(start + next.prefix(4)) == .incomplete)
        }
        #expect(Self.parse([22, 3, 1, 0, 0, 1]) == .notTLS)
        #expect(Self.parse([22, 3, 1, 0, 9, 2]) == .notTLS)
    }

    /// Lengths that lie are no way out of the bytes, and more bytes change no answer.
    @Test func mutatedHellosAreHarmless() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<20_000 {
            let message = Self.message(name: "some.name.example", protocols: ["h2", "istio"])
            var bytes = Self.records(message, [Int.random(in: 1...message.count, using: &random)])
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let whole = Self.parse(bytes)
            if case .hello(let name, _) = whole { #expect(name.count <= bytes.count, "seed \(seed)") }
            let early = Self.parse(bytes[..<Int.random(in: 0..<bytes.count, using: &random)])
            #expect(early == .incomplete || early == whole, "seed \(seed)")
        }
    }

    struct SeededGenerator: RandomNumberGenerator {
        var state: UInt64
        init(seed: UInt64) { state = seed }
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }
}
