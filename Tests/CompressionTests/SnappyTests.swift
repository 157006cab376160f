import Compression
import Primitives
import Testing

/// Bodies of remote write come from strangers: what declares more than it holds must not cost memory.
@Suite struct SnappyTests {
    static func decode(_ bytes: [UInt8], bytesMax: Int = 1 << 20) throws -> [UInt8] {
        var output: [UInt8] = [1, 2]
        do {
            try unsafe bytes.withUnsafeBytes { input in
                try unsafe Snappy.decode(input, into: &output, bytesMax: bytesMax)
            }
        } catch {
            #expect(output == [1, 2], "an error leaves what was there")
            throw error
        }
        return Array(output.dropFirst(2))
    }

    @Test(arguments: [0, 1, 2, 60, 61, 4096, 100_000])
    func decodesWhatItEncodes(_ count: Int) throws {
        var draw = RandomSource(seed: UInt64(count))
        let mixed = (0..<count).map { UInt8(truncatingIfNeeded: $0 % 7 == 0 ? draw.next() : 0x61) }
        #expect(try Self.decode(Snappy.encode(mixed)) == mixed)
    }

    /// The longest copy of the format: 64 bytes for three of input.
    @Test func decodesTheDensestInput() throws {
        let same = [UInt8](repeating: 7, count: 1 << 20)
        #expect(try Self.decode(Snappy.encode(same)) == same)
    }

    @Test func refusesALengthBeyondTheBound() {
        #expect(throws: CompressionError.tooLarge) { try Self.decode(Snappy.encode([UInt8](repeating: 1, count: 101)), bytesMax: 100) }
        #expect(throws: CompressionError.tooLarge) { try Self.decode([0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0]) }
    }

    @Test(arguments: [[], [0x80], [5, 0, 1], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], [0x80, 0x80, 0x20, 0, 1]] as [[UInt8]])
    func refusesWhatIsNoBlock(_ bytes: [UInt8]) {
        #expect(throws: CompressionError.malformed) { try Self.decode(bytes) }
    }

    @Test func anyBytesEnd() {
        var draw = RandomSource(seed: 11)
        for _ in 0..<3000 {
            var bytes = Snappy.encode((0..<Int(draw.next() % 200)).map { UInt8(truncatingIfNeeded: $0 & 3) })
            for _ in 0..<draw.next() % 4 where !bytes.isEmpty {
                bytes[Int(draw.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: draw.next())
            }
            _ = try? Self.decode(bytes)
        }
    }
}
