import Compression

/// zstd for text and segment headers, confined to its owner's thread.
@safe
final class ZstdCodec {
    static let level: Int32 = 1
    private let context = ZstdContext()

    /// Size, flag, bytes: compressed when that saves at least an eighth.
    func write(_ bytes: UnsafeRawBufferPointer, to writer: inout ByteWriter) {
        writer.append(varint: UInt64(bytes.count))
        if bytes.count >= 64 {
            let packed = unsafe context.compress(bytes, level: Self.level)
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

    func write(_ bytes: [UInt8], to writer: inout ByteWriter) { unsafe bytes.withUnsafeBytes { unsafe write($0, to: &writer) } }

    /// Reads what `write` wrote; fails the reader on damage and on a size above `bytesMax`.
    func read(_ reader: inout ByteReader, bytesMax: Int) -> [UInt8] {
        let size = reader.varint()
        guard size <= UInt64(bytesMax) else { reader.fail(); return [] }
        switch reader.byte() {
        case 0: return unsafe [UInt8](reader.bytes(Int(size)))
        case 1:
            let packed = unsafe reader.bytes(reader.count())
            guard let bytes = unsafe context.decompress(packed, size: Int(size)) else { reader.fail(); return [] }
            return bytes
        default:
            reader.fail()
            return []
        }
    }
}
