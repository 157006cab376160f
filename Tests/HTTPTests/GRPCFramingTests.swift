import Glibc
import HTTP
import Primitives
import Testing

@Suite struct GRPCFramingTests {
    /// What a body comes to when it arrives in pieces of `size`.
    private static func read(
        _ body: [UInt8], size: Int, bytesMax: Int = 1 << 20
    ) -> (message: [UInt8], isComplete: Bool, fault: GRPCFrameFault?, isCompressed: Bool) {
        var framing = GRPCFraming(bytesMax: bytesMax)
        var message: [UInt8] = []
        var start = 0
        while start < body.count {
            let piece = Array(body[start..<min(body.count, start + size)])
            var offset = 0
            while offset < piece.count {
                let rest = Array(piece[offset...])
                let (consumed, event) = unsafe rest.withUnsafeBytes { unsafe framing.next($0) }
                offset += consumed
                switch event {
                case .needMore: precondition(offset == piece.count)
                case .message(let count):
                    message += piece[offset..<offset + count]
                    offset += count
                case .refused(let fault): return (message, framing.isComplete, fault, framing.isCompressed)
                }
            }
            start += piece.count
        }
        return (message, framing.isComplete, nil, framing.isCompressed)
    }

    @Test func joinsAMessageHoweverItIsCut() {
        for size in [1, 2, 3, 4, 5, 6, 7, 100] {
            let plain = Self.read([0, 0, 0, 0, 3, 7, 8, 9], size: size)
            #expect(plain.message == [7, 8, 9] && plain.isComplete && plain.fault == nil && !plain.isCompressed)
            let packed = Self.read([1, 0, 0, 1, 0] + [UInt8](repeating: 5, count: 256), size: size)
            #expect(packed.message.count == 256 && packed.isComplete && packed.isCompressed)
            let empty = Self.read([0, 0, 0, 0, 0], size: size)
            #expect(empty.message.isEmpty && empty.isComplete)
            #expect(!Self.read([0, 0, 0, 0], size: size).isComplete)
            #expect(!Self.read([0, 0, 0, 0, 3, 7, 8], size: size).isComplete)
        }
    }

    /// The length is the client's word: four gigabytes are refused by it, not received.
    @Test func refusesWithTheFirstByteThatTells() {
        for size in [1, 3, 100] {
            #expect(Self.read([2, 0, 0, 0, 1, 9], size: size).fault == .reservedFlag(2))
            #expect(Self.read([0, 0xFF, 0xFF, 0xFF, 0xFF, 9], size: size).fault == .tooLarge(.max))
            #expect(Self.read([0, 0, 0, 0, 9, 9], size: size, bytesMax: 8).fault == .tooLarge(9))
            #expect(Self.read([0, 0, 0, 0, 1, 9, 0], size: size).fault == .secondMessage)
            #expect(Self.read([0, 0, 0, 0, 0, 0], size: size).fault == .secondMessage)
        }
    }

    /// The corpus of the fuzz entry: any bytes, in any pieces, come to one result.
    @Test func theCorpusReadsTheSameInAnyPieces() throws {
        let folder = Corpus.folder("GRPCFraming")
        let files = Corpus.files(folder)
        #expect(files.count >= 8)
        for (name, bytes) in files {
            let whole = Self.read(bytes, size: max(1, bytes.count))
            for size in 1...7 {
                let pieces = Self.read(bytes, size: size)
                #expect(pieces.message == whole.message && pieces.fault == whole.fault && pieces.isComplete == whole.isComplete, "\(name)")
            }
        }
    }

    @Test func readsTimeouts() {
        #expect(GRPCFields.timeoutNanoseconds("10S") == 10_000_000_000)
        #expect(GRPCFields.timeoutNanoseconds("99999999H") == .max)
        #expect(GRPCFields.timeoutNanoseconds("1n") == 1 && GRPCFields.timeoutNanoseconds("2u") == 2000)
        #expect(GRPCFields.timeoutNanoseconds("3m") == 3_000_000 && GRPCFields.timeoutNanoseconds("2M") == 120_000_000_000)
        for text in ["", "S", "1", "1s", "123456789S", "-1S", "1.5S"] { #expect(GRPCFields.timeoutNanoseconds(text) == nil, "\(text)") }
    }

    /// A line end in a field would be another field.
    @Test func encodesMessages() {
        #expect(GRPCFields.percentEncoded("a b%c\r\nü") == "a b%25c%0D%0A%C3%BC")
    }
}
