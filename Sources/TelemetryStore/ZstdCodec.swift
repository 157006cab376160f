import CZstd

/// zstd for text and segment headers: one context each way, confined to its owner's thread.
@safe
final class ZstdCodec {
    static let level: Int32 = 1
    private let compressor: OpaquePointer?
    private let decompressor: OpaquePointer?

    init() {
        unsafe compressor = ZSTD_createCCtx()
        unsafe decompressor = ZSTD_createDCtx()
    }

    deinit {
        _ = unsafe ZSTD_freeCCtx(compressor)
        _ = unsafe ZSTD_freeDCtx(decompressor)
    }

    /// Size, flag, bytes: compressed when that saves at least an eighth.
    func write(_ bytes: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
        writer.append(varint: UInt64(bytes.count))
        if bytes.count >= 64, let base = bytes.baseAddress {
            let packed = unsafe [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(bytes.count)) { buffer, count in
                let written = unsafe ZSTD_compressCCtx(compressor, buffer.baseAddress, buffer.count, base, bytes.count, Self.level)
                count = ZSTD_isError(written) == 0 ? written : 0
            }
            if !packed.isEmpty, packed.count < bytes.count - bytes.count / 8 {
                writer.append(UInt8(1))
                writer.append(varint: UInt64(packed.count))
                writer.append(array: packed)
                return
            }
        }
        writer.append(UInt8(0))
        unsafe writer.append(bytes: bytes)
    }

    /// Reads what `write` wrote; fails the reader on damage and on a size above `bytesMax`.
    func read(_ reader: inout ByteReader, bytesMax: Int) -> [UInt8] {
        let size = reader.varint()
        guard size <= UInt64(bytesMax) else { reader.fail(); return [] }
        switch reader.byte() {
        case 0: return unsafe [UInt8](reader.bytes(Int(size)))
        case 1:
            let packed = unsafe reader.bytes(reader.count())
            guard let base = packed.baseAddress, unsafe ZSTD_getFrameContentSize(base, packed.count) == size else { reader.fail(); return [] }
            let bytes = unsafe [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
                let written = unsafe ZSTD_decompressDCtx(decompressor, buffer.baseAddress, buffer.count, base, packed.count)
                count = ZSTD_isError(written) == 0 ? written : 0
            }
            if bytes.count != Int(size) { reader.fail() }
            return bytes
        default:
            reader.fail()
            return []
        }
    }
}
