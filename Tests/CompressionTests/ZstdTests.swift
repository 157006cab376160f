import Compression
import CZstd
import Testing

@Suite struct ZstdTests {
    static func frame(_ bytes: [UInt8], isSized: Bool = true) -> [UInt8] {
        let context = unsafe ZSTD_createCCtx()
        defer { _ = unsafe ZSTD_freeCCtx(context) }
        _ = unsafe ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, isSized ? 1 : 0)
        return unsafe [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { buffer, count in
            let written = unsafe ZSTD_compress2(context, buffer.baseAddress, buffer.count, bytes, bytes.count)
            count = ZSTD_isError(written) == 0 ? written : 0
        }
    }

    static func decode(_ bytes: [UInt8], bytesMax: Int = 1 << 20, after prefix: [UInt8] = []) -> Result<[UInt8], CompressionError> {
        var output = prefix
        var failure: CompressionError?
        unsafe bytes.withUnsafeBytes { buffer in
            do throws(CompressionError) { try unsafe Zstd.decode(buffer, into: &output, bytesMax: bytesMax) } catch { failure = error }
        }
        if let failure {
            #expect(output == prefix, "a failure leaves the output as it was")
            return .failure(failure)
        }
        return .success(output)
    }

    @Test func framesOfAllSizesComeBack() {
        for count in [0, 1, 100, 4095, 4096, 4097, 1_000_000] {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* $0 / 7) }
            for isSized in [true, false] {
                let frame = Self.frame(bytes, isSized: isSized)
                #expect(Self.decode(frame) == .success(bytes))
                // Several frames in a row are one body.
                if count < 5000 { #expect(Self.decode(frame + frame, after: [1, 2]) == .success([1, 2] + bytes + bytes)) }
            }
        }
    }

    /// Fifty bytes that become a gigabyte cost the bound and no more, whether they say their size or not.
    @Test func growthIsBounded() {
        for isSized in [true, false] {
            let bomb = Self.frame([UInt8](repeating: 0, count: 64 << 20), isSized: isSized)
            #expect(bomb.count < 20_000 && Self.decode(bomb, bytesMax: 100_000) == .failure(.tooLarge))
        }
        #expect(Self.decode(Self.frame([UInt8](repeating: 7, count: 1000)), bytesMax: 1000) == .success([UInt8](repeating: 7, count: 1000)))
        #expect(Self.decode(Self.frame([UInt8](repeating: 7, count: 1001)), bytesMax: 1000) == .failure(.tooLarge))
        let many = (0..<1000).flatMap { _ in Self.frame([UInt8](repeating: 7, count: 1000)) }
        #expect(Self.decode(many, bytesMax: 999_999) == .failure(.tooLarge))
    }

    /// RFC 9659: a window above 8 MiB is memory on the word of a stranger.
    @Test func largeWindowsAreRefused() {
        // Magic number, no options, the window's exponent above 10 in the upper five bits, an empty last block.
        func empty(_ window: UInt8) -> [UInt8] { [0x28, 0xB5, 0x2F, 0xFD, 0x00, (window - 10) << 3, 0x01, 0x00, 0x00] }
        #expect(Self.decode(empty(23)) == .success([]))
        #expect(Self.decode(empty(24)) == .failure(.malformed) && Self.decode(empty(31)) == .failure(.malformed))
    }

    @Test func whatIsCutOrNoFrameIsRefused() {
        let frame = Self.frame((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 31 / 3) })
        for count in [0, 1, 4, 5, frame.count / 2, frame.count - 1] {
            #expect(Self.decode(Array(frame[..<count])) == .failure(.malformed), "\(count)")
        }
        #expect(Self.decode(Array("[{}]".utf8)) == .failure(.malformed))
        #expect(Self.decode(frame + [0]) == .failure(.malformed))
    }

    @Test func contextsComeBackWithTheSizeThatWasSaid() {
        let context = ZstdContext()
        let bytes = (0..<3000).map { UInt8(truncatingIfNeeded: $0 / 9) }
        let frame = unsafe bytes.withUnsafeBytes { unsafe context.compress($0, level: 1) }
        #expect(!frame.isEmpty && frame.count < bytes.count)
        for (size, expected) in [(3000, bytes), (2999, nil), (3001, nil)] as [(Int, [UInt8]?)] {
            #expect(unsafe frame.withUnsafeBytes { unsafe context.decompress($0, size: size) } == expected)
        }
    }
}
