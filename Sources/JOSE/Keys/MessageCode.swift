internal import COpenSSL
internal import Primitives

/// HMAC (RFC 2104, RFC 7518 3.2).
enum MessageCode {
    /// Compared without telling by its time where the two differ.
    static func isSame(_ code: LentBytes, _ algorithm: SigningAlgorithm, secret: LentBytes, of text: LentBytes) -> Bool {
        let own = make(algorithm, secret: secret, of: text)
        guard own.count == code.count, code.count == algorithm.hash?.bytes else { return false }
        return unsafe CRYPTO_memcmp(own, code.buffer.baseAddress, own.count) == 0
    }

    static func make(_ algorithm: SigningAlgorithm, secret: LentBytes, of text: LentBytes) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        let made = unsafe HMAC(
            algorithm.digest, secret.buffer.baseAddress, Int32(clamping: secret.count),
            text.buffer.assumingMemoryBound(to: UInt8.self).baseAddress, text.count, &code, &count)
        return unsafe made == nil ? [] : Array(code.prefix(Int(count)))
    }
}
