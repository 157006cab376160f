import HTTP
import Primitives
import Testing

@Suite struct ChunkedDecoderTests {
    struct Outcome: Equatable {
        var data: [UInt8] = []
        var used = 0
        var end: ChunkEvent
    }

    /// Decodes `bytes` in pieces cut at the given offsets.
    static func decode(_ bytes: [UInt8], cuts: [Int] = [], limits: HTTPLimits = HTTPLimits()) -> Outcome {
        var decoder = ChunkedDecoder()
        var outcome = Outcome(end: .needMore)
        var start = 0
        for end in cuts + [bytes.count] {
            while true {
                let (consumed, event) = unsafe bytes.withUnsafeBytes {
                    unsafe decoder.next(UnsafeRawBufferPointer(rebasing: $0[start..<end]), limits: limits)
                }
                start += consumed
                outcome.end = event
                guard case .data(let count) = event else { break }
                outcome.data += bytes[start..<start + count]
                start += count
            }
            outcome.used = start
            if outcome.end == .malformed || outcome.end == .trailers { break }
        }
        return outcome
    }

    static func decode(_ text: String) -> Outcome { decode(Array(text.utf8)) }

    @Test(arguments: [
        "5\r\nhello\r\n0\r\n\r\n", "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", "0005\r\nhello\r\n000\r\n\r\n", "1\r\nh\r\n4\r\nello\r\n0\r\nA: b\r\n\r\n",
    ])
    func sameWhereverItIsCut(text: String) {
        let bytes = Array(text.utf8)
        let whole = Self.decode(bytes)
        #expect(whole.end == .trailers && String(decoding: whole.data, as: UTF8.self) == "hello")
        #expect(String(decoding: bytes[whole.used...], as: UTF8.self).hasSuffix("\r\n"))
        for first in 0...bytes.count {
            for second in first...bytes.count { #expect(Self.decode(bytes, cuts: [first, second]) == whole) }
        }
        #expect(Self.decode(bytes, cuts: Array(0..<bytes.count)) == whole)
    }

    @Test(arguments: [
        "\r\n", "g\r\n", "+5\r\n", "-5\r\n", "0x5\r\n", " 5\r\n", "5 \r\n", "5\nhello", "5\r\rhello", "5\r\nhello\n", "5\r\nhello0\r\n", "5\r\nhello\r0",
        ";a\r\n", "5;a\nb\r\n", "5;\u{0}\r\n", "5;\u{7f}\r\n", "10000000000000000\r\n", "ffffffffffffffff\r\n", "0000000000000005\r\n", "5\t\r\n", "5,5\r\n",
    ])
    func malformed(text: String) {
        #expect(Self.decode(text).end == .malformed)
    }

    @Test func boundsOfOneSizeLine() {
        #expect(Self.decode("fffffffffffffff\r\nx").end == .needMore)
        #expect(Self.decode("5;" + String(repeating: "a", count: 4095) + "\r\n").end == .needMore)
        #expect(Self.decode("5;" + String(repeating: "a", count: 4096) + "\r\n").end == .malformed)
        // The bound is per line, not per body.
        let line = "1;" + String(repeating: "a", count: 3000) + "\r\nx\r\n"
        #expect(Self.decode(line + line + "0\r\n\r\n").data.count == 2)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func whatWasEncodedIsDecoded(seed: UInt64) {
        var random = RandomSource(seed: seed)
        for _ in 0..<300 {
            var body: [UInt8] = []
            var encoded: [UInt8] = []
            for _ in 0..<random.below(6) {
                let chunk = (0..<1 + Int(random.below(40))).map { _ in [10, 13, 48, 59, 97][Int(random.below(5))] as UInt8 }
                body += chunk
                let size = String(chunk.count, radix: 16, uppercase: random.below(2) == 0)
                encoded += Array(size.utf8) + (random.below(3) == 0 ? Array(";e=1".utf8) : []) + [13, 10] + chunk + [13, 10]
            }
            encoded += Array("0\r\n".utf8)
            let cuts = (0..<5).map { _ in Int(random.below(UInt32(encoded.count + 1))) }.sorted()
            let outcome = Self.decode(encoded + Array("\r\nGET".utf8), cuts: cuts)
            guard outcome == Outcome(data: body, used: encoded.count, end: .trailers) else {
                Issue.record("seed \(seed): \(String(decoding: encoded, as: UTF8.self).debugDescription) cut at \(cuts)")
                return
            }
        }
    }
}
