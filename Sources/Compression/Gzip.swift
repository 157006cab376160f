internal import CZlib

/// Decodes gzip and zlib content (`Content-Encoding: gzip`, `deflate`), bounded in what it may grow to, and encodes gzip.
public enum Gzip {
    /// zlib's cheapest. What we send are lines that repeat one another and shrink to a fiftieth already; level 6 takes twice the time to
    /// make a ninetieth of them (docs/measurements.md, scrapes).
    public static let cheapest: Int32 = 1
    /// zlib's smallest, for what is compressed once and sent often.
    public static let smallest: Int32 = 9

    /// `input` as one gzip member (RFC 1952) at a level of zlib's, 1...9; nil when there is no memory for it or it has 4 GiB or more.
    public static func encode(_ input: [UInt8], level: Int32 = cheapest) -> [UInt8]? {
        guard let inputBytes = UInt32(exactly: input.count) else { return nil }
        var stream = unsafe z_stream()
        // 15 bits of window, plus 16: gzip's header and trailer. 8 is zlib's own choice of memory, 256 KiB in all.
        let structBytes = unsafe Int32(MemoryLayout<z_stream>.size)
        guard unsafe deflateInit2_(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, structBytes) == Z_OK else {
            return nil
        }
        defer { unsafe deflateEnd(&stream) }
        guard let room = unsafe UInt32(exactly: deflateBound(&stream, UInt(inputBytes))) else { return nil }
        var status = Z_OK
        // With room for the worst case one call does it all; what is not written to costs no memory.
        let output = unsafe [UInt8](unsafeUninitializedCapacity: Int(room)) { buffer, count in
            status = unsafe input.withUnsafeBufferPointer { bytes in
                unsafe stream.next_in = UnsafeMutablePointer(mutating: bytes.baseAddress)
                unsafe stream.avail_in = inputBytes
                unsafe stream.next_out = buffer.baseAddress
                unsafe stream.avail_out = room
                return unsafe deflate(&stream, Z_FINISH)
            }
            count = unsafe Int(room - stream.avail_out)
        }
        return status == Z_STREAM_END ? output : nil
    }

    /// Appends the decoded bytes to `output`. Several members in a row are one body (RFC 1952 2.2). An error leaves `output` as it was.
    @unsafe
    public static func decode(_ input: UnsafeRawBufferPointer, into output: inout [UInt8], bytesMax: Int) throws(CompressionError) {
        var stream = unsafe z_stream()
        // 15 bits of window, plus 32: gzip or zlib by the header.
        guard unsafe inflateInit2_(&stream, 15 + 32, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { throw .malformed }
        defer { unsafe inflateEnd(&stream) }
        guard input.count > 0, let base = input.baseAddress, input.count <= Int(UInt32.max) else { throw .malformed }
        unsafe stream.next_in = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: UInt8.self))
        unsafe stream.avail_in = UInt32(input.count)
        let start = output.count
        // Bytes decoded so far stand in front of `filled`; cleared room behind it is used by the next step and the next member, so that a
        // body of many small members is not cleared over and over.
        var filled = start
        var failure: CompressionError? = .malformed
        var piece = min(max(input.count &* 4, 4096), 1 << 20)
        while true {
            if filled == output.count {
                let left = bytesMax - (filled - start)
                output.append(contentsOf: repeatElement(0, count: left < piece ? left + 1 : piece))
                piece = min(piece * 2, 1 << 20)
            }
            let room = output.count - filled
            var status: Int32 = Z_OK
            let written = unsafe output.withUnsafeMutableBufferPointer { buffer in
                unsafe stream.next_out = buffer.baseAddress.map { unsafe $0 + filled }
                unsafe stream.avail_out = UInt32(room)
                status = unsafe inflate(&stream, Z_NO_FLUSH)
                return unsafe room - Int(stream.avail_out)
            }
            filled += written
            if filled - start > bytesMax {
                failure = .tooLarge
                break
            }
            if status == Z_STREAM_END {
                if unsafe stream.avail_in == 0 {
                    failure = nil
                    break
                }
                guard unsafe inflateReset(&stream) == Z_OK else { break }
                continue
            }
            guard status == Z_OK, unsafe written > 0 || stream.avail_in > 0 else { break }
        }
        output.removeLast(output.count - (failure == nil ? filled : start))
        if let failure { throw failure }
    }
}
