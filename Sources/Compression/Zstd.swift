internal import CZstd

/// Decodes zstd content (`Content-Encoding: zstd`, RFC 8878), bounded in what it may grow to.
public enum Zstd {
    /// A frame that needs a larger window is refused: 8 MiB, what every decoder of the coding has to take and no encoder may go beyond
    /// (RFC 9659).
    static let windowLogMax: Int32 = 23

    /// Appends the decoded bytes to `output`. Several frames in a row are one body (RFC 8878 section 3). An error leaves `output` as it
    /// was.
    @unsafe
    public static func decode(_ input: UnsafeRawBufferPointer, into output: inout [UInt8], bytesMax: Int) throws(CompressionError) {
        guard input.count > 0, let context = unsafe ZSTD_createDCtx() else { throw .malformed }
        defer { _ = unsafe ZSTD_freeDCtx(context) }
        guard unsafe ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, windowLogMax)) == 0 else { throw .malformed }
        let start = output.count
        var source = unsafe ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        // Bytes decoded so far stand in front of `filled`.
        var filled = start
        var failure: CompressionError?
        var piece = min(max(input.count &* 4, 4096), 1 << 20)
        while true {
            if filled == output.count {
                let left = bytesMax - (filled - start)
                output.append(contentsOf: repeatElement(0, count: left < piece ? left + 1 : piece))
                piece = min(piece * 2, 1 << 20)
            }
            var status = 0
            let before = unsafe source.pos
            let written = unsafe output.withUnsafeMutableBytes { buffer in
                var target = unsafe ZSTD_outBuffer(dst: buffer.baseAddress.map { unsafe $0 + filled }, size: buffer.count - filled, pos: 0)
                unsafe status = ZSTD_decompressStream(context, &target, &source)
                return unsafe target.pos
            }
            filled += written
            if ZSTD_isError(status) != 0 {
                failure = .malformed
                break
            }
            if filled - start > bytesMax {
                failure = .tooLarge
                break
            }
            // 0 is the end of a frame.
            if status == 0, unsafe source.pos == source.size { break }
            if written == 0, unsafe source.pos == before {
                failure = .malformed
                break
            }
        }
        output.removeLast(output.count - (failure == nil ? filled : start))
        if let failure { throw failure }
    }
}

/// zstd both ways for texts whose size is known, with contexts that are used again. Confined to its owner's thread.
@safe
public final class ZstdContext {
    private let compressor: OpaquePointer?
    private let decompressor: OpaquePointer?

    public init() {
        unsafe compressor = ZSTD_createCCtx()
        unsafe decompressor = ZSTD_createDCtx()
    }

    deinit {
        _ = unsafe ZSTD_freeCCtx(compressor)
        _ = unsafe ZSTD_freeDCtx(decompressor)
    }

    /// One frame that says its size; empty when there is no memory for it.
    @unsafe
    public func compress(_ bytes: UnsafeRawBufferPointer, level: Int32) -> [UInt8] {
        guard let base = bytes.baseAddress else { return [] }
        return unsafe [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { buffer, count in
            let written = unsafe ZSTD_compressCCtx(compressor, buffer.baseAddress, buffer.count, base, bytes.count, level)
            count = ZSTD_isError(written) == 0 ? written : 0
        }
    }

    /// The content of one frame that says it has `size` bytes and has them; nil otherwise.
    @unsafe
    public func decompress(_ frame: UnsafeRawBufferPointer, size: Int) -> [UInt8]? {
        guard let base = frame.baseAddress, unsafe ZSTD_getFrameContentSize(base, frame.count) == UInt64(size) else { return nil }
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            let written = unsafe ZSTD_decompressDCtx(decompressor, buffer.baseAddress, buffer.count, base, frame.count)
            count = ZSTD_isError(written) == 0 ? written : 0
        }
        return bytes.count == size ? bytes : nil
    }
}
