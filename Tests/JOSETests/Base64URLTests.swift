@testable import JOSE
import Primitives
import Testing

/// base64url as RFC 7515 has it: one text for the same bytes, and no other is taken.
@Suite struct Base64URLTests {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// The obvious way: a text of bits.
    private static func model(_ bytes: [UInt8]) -> String {
        var bits = bytes.flatMap { byte in (0..<8).map { byte >> (7 - $0) & 1 } }
        while bits.count % 6 != 0 { bits.append(0) }
        let characters = stride(from: 0, to: bits.count, by: 6).map { start in
            alphabet[bits[start..<start + 6].reduce(0) { $0 * 2 + Int($1) }]
        }
        return String(decoding: characters, as: UTF8.self)
    }

    @Test func examplesOfRFC4648() {
        for (plain, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")] {
            #expect(Base64URL.encode(Array(plain.utf8)) == text && Base64URL.decode(text) == Array(plain.utf8))
        }
    }

    @Test(arguments: ["Zg==", "Zg=", "Z", "Zm9vY", "Zh", "Zm9", "Zm8 ", " Zm8", "Zm8\n", "Zm+v", "Zm/v", "Zm.v", "Zmäv", "Zm9v\0"])
    func refused(text: String) { #expect(Base64URL.decode(text) == nil) }

    @Test func randomTextsAgreeWithTheModel() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var draw = RandomSource(seed: seed)
        for _ in 0..<3000 {
            let bytes = (0..<draw.below(40)).map { _ in UInt8(truncatingIfNeeded: draw.next()) }
            let text = Base64URL.encode(bytes)
            #expect(text == Self.model(bytes) && Base64URL.decode(text) == bytes, "seed \(seed): \(bytes)")
            // A text is taken exactly when it is the text of some bytes.
            var other = Array(text.utf8)
            if !other.isEmpty, draw.below(2) == 0 { other[Int(draw.below(UInt32(other.count)))] = UInt8(draw.below(128)) }
            if draw.below(4) == 0 { other.append(Self.alphabet[Int(draw.below(64))]) }
            let changed = String(decoding: other, as: UTF8.self)
            if let read = Base64URL.decode(changed) {
                #expect(Self.model(read) == changed, "seed \(seed): \(changed)")
            } else {
                let isText = other.allSatisfy(Self.alphabet.contains) && other.count % 4 != 1
                let rest = other.last.flatMap { Self.alphabet.firstIndex(of: $0) } ?? 0
                #expect(!isText || rest & (other.count % 4 == 2 ? 15 : other.count % 4 == 3 ? 3 : 0) != 0, "seed \(seed): \(changed)")
            }
        }
    }

    /// A refused section must leave nothing behind in a buffer that is used again.
    @Test func aRefusedTextLeavesTheBufferAlone() {
        var buffer = ByteBuffer()
        buffer.append("abc")
        #expect(!Array("Zm9vZ!".utf8).withLentBytes { Base64URL.decode($0, into: &buffer) })
        #expect(buffer.contents == Array("abc".utf8))
    }
}
