internal import CSnappy

/// Snappy's block format (google/snappy, format_description.txt): bodies of Prometheus' remote write, which is not the framed one.
public enum Snappy {
    /// Appends the decoded bytes to `output`. A length beyond `bytesMax` is refused before anything is allocated. An error leaves `output`
    /// as it was.
    @unsafe
    public static func decode(_ input: UnsafeRawBufferPointer, into output: inout [UInt8], bytesMax: Int) throws(CompressionError) {
        guard input.count > 0, let base = unsafe input.baseAddress?.assumingMemoryBound(to: CChar.self) else { throw .malformed }
        var declared = 0
        guard unsafe snappy_uncompressed_length(base, input.count, &declared) == SNAPPY_OK else { throw .malformed }
        guard declared <= bytesMax else { throw .tooLarge }
        // The format makes 64 bytes of three at most: what declares more is not what it says, and gets no memory.
        guard declared <= input.count * 24 + 64 else { throw .malformed }
        let start = output.count
        output.append(contentsOf: repeatElement(0, count: declared))
        let status = unsafe output.withUnsafeMutableBytes { bytes in
            // An empty text needs an address all the same.
            guard let place = unsafe bytes.baseAddress?.advanced(by: start).assumingMemoryBound(to: CChar.self) else {
                return unsafe snappy_validate_compressed_buffer(base, input.count)
            }
            return unsafe snappy_uncompress(base, input.count, place, &declared)
        }
        guard status == SNAPPY_OK else {
            output.removeLast(output.count - start)
            throw .malformed
        }
    }

    /// `input` as one block.
    public static func encode(_ input: [UInt8]) -> [UInt8] {
        let room = snappy_max_compressed_length(input.count)
        return unsafe [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            var written = room
            let status = unsafe input.withUnsafeBytes { bytes in
                unsafe buffer.withMemoryRebound(to: CChar.self) { out in
                    unsafe snappy_compress(bytes.baseAddress?.assumingMemoryBound(to: CChar.self), input.count, out.baseAddress, &written)
                }
            }
            count = status == SNAPPY_OK ? written : 0
        }
    }
}
