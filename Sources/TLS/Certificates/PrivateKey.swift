internal import COpenSSL

/// A private key. It leaves memory by `pem` alone, and is in no description.
///
/// `@unchecked Sendable`: immutable, and OpenSSL counts references atomically.
@safe
public final class PrivateKey: @unchecked Sendable {
    public enum Kind: Sendable, Hashable {
        /// P-256.
        case ecdsa
        /// 2048…8192 bits.
        case rsa(bits: UInt32)

        public var isRSA: Bool { if case .rsa = self { true } else { false } }
    }

    /// Bytes of a PEM file that is read as a key.
    public static let pemBytesMax = 64 << 10

    let key: OpaquePointer

    private init(taking key: OpaquePointer) { unsafe self.key = key }

    deinit { unsafe EVP_PKEY_free(key) }

    /// A new key from the system's randomness.
    public static func generate(_ kind: Kind = .ecdsa) throws(TLSError) -> PrivateKey {
        let made: OpaquePointer?
        switch kind {
        case .ecdsa: unsafe made = skein_generate_ec("P-256")
        case .rsa(let bits):
            guard (2048...8192).contains(bits) else { throw TLSError("an RSA key of \(bits) bits: 2048 to 8192 are taken") }
            unsafe made = skein_generate_rsa(bits)
        }
        guard let key = unsafe made else { throw .openSSL("cannot make a key") }
        return unsafe PrivateKey(taking: key)
    }

    /// A key in PEM: PKCS #8, or the older forms of EC and RSA keys; without a passphrase.
    public init(pem: [UInt8]) throws(TLSError) {
        guard pem.count <= Self.pemBytesMax else { throw TLSError("a key's file has more than \(Self.pemBytesMax) bytes") }
        let bio = MemoryBIO(pem)
        // An encrypted key would ask the terminal; an empty passphrase is the answer.
        let found = unsafe PEM_read_bio_PrivateKey(bio.bio, nil, { _, _, _, _ in 0 }, nil)
        guard let found = unsafe found else { throw .openSSL("no private key in PEM without a passphrase") }
        unsafe key = found
    }

    /// PKCS #8 in PEM. Whoever holds the bytes wipes them (`Wiping`).
    public func pem() throws(TLSError) -> [UInt8] {
        let bio = MemoryBIO()
        guard unsafe PEM_write_bio_PKCS8PrivateKey(bio.bio, key, nil, nil, 0, nil, nil) == 1 else {
            throw .openSSL("cannot write a key")
        }
        return bio.bytes
    }

    public var kind: Kind {
        unsafe EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA ? .rsa(bits: UInt32(clamping: EVP_PKEY_get_bits(key))) : .ecdsa
    }

    /// Whether the certificate was made for this key.
    public func matches(_ certificate: Certificate) -> Bool {
        defer { ERR_clear_error() }
        return unsafe X509_check_private_key(certificate.x509, key) == 1
    }
}

/// Overwrites bytes that held a secret, in a way that no optimiser leaves out.
public enum Wiping {
    public static func wipe(_ bytes: inout [UInt8]) {
        unsafe bytes.withUnsafeMutableBytes { unsafe OPENSSL_cleanse($0.baseAddress, $0.count) }
        bytes.removeAll()
    }
}
