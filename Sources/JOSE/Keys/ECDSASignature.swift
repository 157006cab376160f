internal import COpenSSL
internal import Primitives

/// ECDSA's two numbers: `r` and `s` side by side in a token (RFC 7518 3.4), and DER for OpenSSL.
enum ECDSASignature {
    /// Of P-521: two integers of at most 67 bytes, with their heads and the sequence's.
    private static let derBytesMax = 144

    /// False for a signature of the wrong length: DER in a token is none.
    static func withDER(_ signature: LentBytes, _ algorithm: SigningAlgorithm, _ body: (LentBytes) -> Bool) -> Bool {
        let half = algorithm.coordinateBytes
        guard signature.count == 2 * half, let bytes = unsafe signature.buffer.assumingMemoryBound(to: UInt8.self).baseAddress,
            let numbers = unsafe ECDSA_SIG_new()
        else { return false }
        defer { unsafe ECDSA_SIG_free(numbers) }
        let r = unsafe BN_bin2bn(bytes, Int32(half), nil)
        let s = unsafe BN_bin2bn(bytes + half, Int32(half), nil)
        guard unsafe ECDSA_SIG_set0(numbers, r, s) == 1 else {
            unsafe BN_free(r)
            unsafe BN_free(s)
            return false
        }
        guard unsafe (1...derBytesMax).contains(Int(i2d_ECDSA_SIG(numbers, nil))) else { return false }
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: derBytesMax) { der in
            var place = der.baseAddress
            let count = unsafe Int(i2d_ECDSA_SIG(numbers, &place))
            return unsafe body(LentBytes(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(der)[..<count])))
        }
    }

    /// The two numbers of a DER signature, each with leading zeros; nil when it is none.
    static func numbers(ofDER der: [UInt8], _ algorithm: SigningAlgorithm) -> [UInt8]? {
        let half = algorithm.coordinateBytes
        return unsafe der.withUnsafeBufferPointer { bytes in
            var place = bytes.baseAddress
            guard let numbers = unsafe d2i_ECDSA_SIG(nil, &place, bytes.count) else { return nil }
            defer { unsafe ECDSA_SIG_free(numbers) }
            var out = [UInt8](repeating: 0, count: 2 * half)
            let isWritten = unsafe out.withUnsafeMutableBufferPointer { out in
                guard let start = out.baseAddress else { return false }
                return unsafe BN_bn2binpad(ECDSA_SIG_get0_r(numbers), start, Int32(half)) == half
                    && BN_bn2binpad(ECDSA_SIG_get0_s(numbers), start + half, Int32(half)) == half
            }
            return isWritten ? out : nil
        }
    }
}
