internal import COpenSSL

/// SHA-256 (FIPS 180-4) and random bytes, by OpenSSL. Any thread.
public enum SHA256 {
    public static let bytes = 32

    public static func digest(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Self.bytes)
        precondition(unsafe EVP_Digest(bytes, bytes.count, &digest, nil, EVP_sha256(), nil) == 1, "OpenSSL has SHA-256")
        return digest
    }

    /// Compares without telling by its time where the two differ.
    public static func isSame(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return unsafe CRYPTO_memcmp(left, right, left.count) == 0
    }
}

/// Random bytes for secrets.
public enum SecretBytes {
    public static func random(_ count: Int) throws(TLSError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard unsafe RAND_priv_bytes(&bytes, Int32(clamping: count)) == 1 else { throw .openSSL("no randomness") }
        return bytes
    }
}
