internal import COpenSSL

/// Bytes in memory that OpenSSL reads from or writes to. Confined to its owner.
@safe
struct MemoryBIO: ~Copyable {
    let bio: OpaquePointer?

    /// Empty, to be written to.
    init() { unsafe bio = BIO_new(BIO_s_mem()) }

    /// To be read from; the bytes are copied.
    init(_ bytes: [UInt8]) {
        unsafe bio = BIO_new(BIO_s_mem())
        _ = unsafe bytes.withUnsafeBufferPointer { unsafe BIO_write(bio, $0.baseAddress, Int32(clamping: $0.count)) }
    }

    /// It may hold a key. OpenSSL overwrites a memory BIO's bytes when it frees them (BUF_MEM_free).
    deinit { unsafe BIO_free(bio) }

    /// Everything that was written.
    var bytes: [UInt8] {
        var start: UnsafeMutablePointer<CChar>?
        let count = unsafe skein_bio_memory(bio, &start)
        guard count > 0, let start = unsafe start else { return [] }
        return unsafe UnsafeRawBufferPointer(start: start, count: count).map { $0 }
    }
}
