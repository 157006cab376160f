internal import COpenSSL
internal import Primitives

/// An issuer's private key. It leaves memory by `pem` alone, and is in no description.
///
/// `@unchecked Sendable`: immutable, and OpenSSL counts references atomically.
@safe
public final class SigningKey: @unchecked Sendable {
    /// Bytes of a PEM file that is read as a key.
    public static let pemBytesMax = 64 << 10
    /// Bits of an RSA key unless asked otherwise.
    public static let rsaBitsDefault = 2048

    private let key: EVPKey
    /// What it signs with unless asked otherwise: RS256 for RSA, or its curve's.
    public let algorithm: SigningAlgorithm
    /// All that it can sign with.
    public let algorithms: [SigningAlgorithm]

    private init(_ key: consuming EVPKey) throws(SigningFault) {
        if key.isRSA {
            guard JOSELimits.rsaBits.contains(key.bits) else { throw .rsaBits(key.bits) }
            algorithm = .rs256
            algorithms = [.rs256, .rs384, .rs512, .ps256, .ps384, .ps512]
        } else {
            guard let curve = key.curve else { throw .keyUnsupported }
            algorithm = curve.algorithms[0]
            algorithms = curve.algorithms
        }
        self.key = key
    }

    /// A new key for an algorithm, from the system's randomness. `bits` is for RSA alone: 2048 to 8192. EdDSA makes Ed25519.
    public static func generate(for algorithm: SigningAlgorithm, bits: Int = rsaBitsDefault) throws(SigningFault) -> SigningKey {
        let made: OpaquePointer?
        switch algorithm {
        case .rs256, .rs384, .rs512, .ps256, .ps384, .ps512:
            guard JOSELimits.rsaBits.contains(bits) else { throw .rsaBits(bits) }
            unsafe made = skein_generate_rsa(UInt32(bits))
        case .es256: unsafe made = skein_generate_ec("P-256")
        case .es384: unsafe made = skein_generate_ec("P-384")
        case .es512: unsafe made = skein_generate_ec("P-521")
        case .edDSA, .ed25519: unsafe made = skein_generate_plain("ED25519")
        case .ed448: unsafe made = skein_generate_plain("ED448")
        case .hs256, .hs384, .hs512: throw .symmetric
        }
        guard let key = unsafe EVPKey(taking: made) else { throw .openSSL }
        return try SigningKey(key)
    }

    /// A key in PEM: PKCS #8 (RFC 5958), or the older forms of EC and RSA keys; without a passphrase.
    public convenience init(pem: [UInt8]) throws(SigningFault) {
        guard pem.count <= Self.pemBytesMax else { throw .tooLong }
        let found: OpaquePointer? = unsafe pem.withUnsafeBytes { bytes in
            let bio = unsafe BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count))
            defer { unsafe BIO_free(bio) }
            // An encrypted key would ask the terminal; an empty passphrase is the answer.
            return unsafe PEM_read_bio_PrivateKey(bio, nil, { _, _, _, _ in 0 }, nil)
        }
        guard let key = unsafe EVPKey(taking: found) else { throw .notPEM }
        try self.init(key)
    }

    /// PKCS #8 in PEM. Whoever holds the bytes overwrites them when they are written.
    public func pem() throws(SigningFault) -> [UInt8] {
        let bio = unsafe BIO_new(BIO_s_mem())
        // It overwrites its bytes.
        defer { unsafe BIO_free(bio) }
        guard unsafe PEM_write_bio_PKCS8PrivateKey(bio, key.pointer, nil, nil, 0, nil, nil) == 1 else { throw .openSSL }
        var start: UnsafeMutablePointer<CChar>?
        let count = unsafe skein_bio_memory(bio, &start)
        guard count > 0, let start = unsafe start else { throw .openSSL }
        return unsafe Array(UnsafeRawBufferPointer(start: start, count: count))
    }

    /// Its public half.
    public var publicKey: PublicJWK { PublicJWK(key) }

    /// The signature of some bytes, in the form that tokens have (RFC 7518 3).
    func sign(_ text: [UInt8], _ algorithm: SigningAlgorithm) throws(SigningFault) -> [UInt8] {
        guard algorithms.contains(algorithm) else { throw .algorithmOfOtherKey(algorithm) }
        let context = unsafe EVP_MD_CTX_new()
        defer {
            unsafe EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        var parameters: OpaquePointer?
        guard unsafe EVP_DigestSignInit(context, &parameters, algorithm.digest, nil, key.pointer) == 1,
            unsafe algorithm.setPadding(parameters)
        else { throw .openSSL }
        var count = 0
        guard unsafe EVP_DigestSign(context, nil, &count, text, text.count) == 1 else { throw .openSSL }
        var signature = [UInt8](repeating: 0, count: count)
        guard unsafe EVP_DigestSign(context, &signature, &count, text, text.count) == 1 else { throw .openSSL }
        signature.removeLast(signature.count - count)
        guard algorithm.family == .ecdsa else { return signature }
        guard let numbers = ECDSASignature.numbers(ofDER: signature, algorithm) else { throw .openSSL }
        return numbers
    }
}

/// Why there is no key or no signature. Nothing of either is in its words.
public enum SigningFault: Error, Sendable, Hashable, CustomStringConvertible {
    case rsaBits(Int)
    case keyUnsupported
    case symmetric
    case tooLong, notPEM
    case algorithmOfOtherKey(SigningAlgorithm)
    case openSSL

    public var description: String {
        switch self {
        case .rsaBits(let bits):
            "an RSA key of \(bits) bits; \(JOSELimits.rsaBits.lowerBound) to \(JOSELimits.rsaBits.upperBound) are taken"
        case .keyUnsupported: "the key is none of RSA, P-256, P-384, P-521, Ed25519, Ed448"
        case .symmetric: "HS256, HS384 and HS512 need a shared secret, not a key pair"
        case .tooLong: "a key's file has more than \(SigningKey.pemBytesMax) bytes"
        case .notPEM: "no private key in PEM (PKCS #8) without a passphrase"
        case .algorithmOfOtherKey(let algorithm): "\(algorithm) is not for a key of this type"
        case .openSSL: "libcrypto could not do it"
        }
    }
}
