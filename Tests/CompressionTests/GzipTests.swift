import CZlib
import Compression
import Primitives
import Testing

@Suite struct GzipTests {
    /// One gzip (or zlib) member of `bytes`.
    static func member(_ bytes: [UInt8], windowBits: Int32 = 31) -> [UInt8] {
        var stream = unsafe z_stream()
        unsafe deflateInit2_(&stream, 9, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        defer { unsafe deflateEnd(&stream) }
        var input = bytes
        var output = [UInt8](repeating: 0, count: bytes.count + 1024)
        let count = unsafe input.withUnsafeMutableBufferPointer { input in
            unsafe output.withUnsafeMutableBufferPointer { output in
                unsafe stream.next_in = input.baseAddress
                unsafe stream.avail_in = UInt32(input.count)
                unsafe stream.next_out = output.baseAddress
                unsafe stream.avail_out = UInt32(output.count)
                unsafe deflate(&stream, Z_FINISH)
                return unsafe output.count - Int(stream.avail_out)
            }
        }
        return Array(output[..<count])
    }

    static func decode(_ bytes: [UInt8], bytesMax: Int = 1 << 20, after prefix: [UInt8] = []) -> Result<[UInt8], CompressionError> {
        var output = prefix
        var failure: CompressionError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(CompressionError) { try unsafe Gzip.decode(buffer, into: &output, bytesMax: bytesMax) } catch { failure = error }
        }
        guard let failure else { return .success(output) }
        // What does not decode leaves nothing behind.
        return output == prefix ? .failure(failure) : .success(output)
    }

    static let text = Array("some text that repeats, some text that repeats".utf8)

    @Test func membersAreOneBody() {
        #expect(Self.decode(Self.member(Self.text)) == .success(Self.text))
        #expect(Self.decode(Self.member(Self.text, windowBits: 15)) == .success(Self.text))
        #expect(Self.decode(Self.member(Self.text) + Self.member([]) + Self.member([1, 2])) == .success(Self.text + [1, 2]))
        #expect(Self.decode(Self.member([]), after: [9]) == .success([9]))
    }

    /// What no coding makes smaller must fit as well: zlib's bound is for the worst case.
    @Test func encodedBodiesDecode() throws {
        var random = RandomSource(seed: 5)
        for count in [0, 1, 3, 258, 65_535, 65_536, 1_000_000] {
            let noise = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            #expect(Self.decode(try #require(Gzip.encode(noise)), bytesMax: 1 << 21) == .success(noise))
            let text = Array(String(repeating: "istio_requests_total{reporter=\"source\"} 1\n", count: count / 40).utf8)
            let encoded = try #require(Gzip.encode(text))
            #expect(Self.decode(encoded, bytesMax: 1 << 21) == .success(text))
            #expect(text.count < 1000 || encoded.count < text.count / 40)
        }
    }

    @Test func everyTruncationIsMalformed() {
        let whole = Self.member(Self.text)
        for count in 0..<whole.count { #expect(Self.decode(Array(whole[..<count]), after: [7]) == .failure(.malformed), "\(count) bytes") }
        let two = whole + whole
        for count in whole.count + 1..<two.count { #expect(Self.decode(Array(two[..<count])) == .failure(.malformed)) }
    }

    @Test func damageIsMalformed() {
        var random = RandomSource(seed: 3)
        let whole = Self.member(Self.text)
        #expect(Self.decode(whole + [0]) == .failure(.malformed))
        #expect(Self.decode(Self.text) == .failure(.malformed))
        for _ in 0..<2000 {
            var bytes = whole
            bytes[Int(random.below(UInt32(bytes.count)))] ^= UInt8(1 << random.below(8))
            if case .success(let output) = Self.decode(bytes) { #expect(output == Self.text) }
        }
    }

    @Test func bombsAreBounded() {
        let bomb = Self.member([UInt8](repeating: 0, count: 1 << 20))
        #expect(bomb.count < 2000)
        #expect(Self.decode(bomb, bytesMax: 1 << 20) == .success([UInt8](repeating: 0, count: 1 << 20)))
        #expect(Self.decode(bomb, bytesMax: (1 << 20) - 1, after: [1]) == .failure(.tooLarge))
        #expect(Self.decode(bomb, bytesMax: 0) == .failure(.tooLarge))
        #expect(Self.decode(Self.member([1]) + bomb + bomb, bytesMax: 1 << 20) == .failure(.tooLarge))
        #expect(Self.decode(bomb, bytesMax: .max) == .success([UInt8](repeating: 0, count: 1 << 20)))
    }

    /// A body of many empty members costs its own length, not a buffer for each.
    @Test func manyEmptyMembersAreCheap() {
        let empty = Self.member([])
        let bytes = [[UInt8]](repeating: empty, count: 40_000).flatMap { $0 }
        let before = SystemClock.threadCPUNanoseconds()
        #expect(Self.decode(bytes) == .success([]))
        // About 20 ms here; one megabyte cleared for each member would be seconds.
        #expect(SystemClock.threadCPUNanoseconds() - before < 1_000_000_000)
    }
}
