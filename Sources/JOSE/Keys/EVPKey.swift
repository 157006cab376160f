internal import COpenSSL

/// A key of OpenSSL's with one owner.
@safe
struct EVPKey: ~Copyable {
    let pointer: OpaquePointer

    /// Nil when OpenSSL made none; its queue of errors is empty then.
    init?(taking pointer: OpaquePointer?) {
        guard let pointer = unsafe pointer else {
            ERR_clear_error()
            return nil
        }
        unsafe self.pointer = pointer
    }

    deinit { unsafe EVP_PKEY_free(pointer) }

    /// The caller frees it.
    consuming func take() -> OpaquePointer {
        let taken = unsafe pointer
        discard self
        return unsafe taken
    }

    var bits: Int { unsafe Int(EVP_PKEY_get_bits(pointer)) }

    /// The public key of the first certificate in DER.
    init?(certificate der: [UInt8]) {
        let found: OpaquePointer? = unsafe der.withUnsafeBufferPointer { bytes in
            var place = bytes.baseAddress
            guard let certificate = unsafe d2i_X509(nil, &place, bytes.count) else { return nil }
            defer { unsafe X509_free(certificate) }
            return unsafe X509_get_pubkey(certificate)
        }
        unsafe self.init(taking: found)
    }

    /// The public key of an OKP curve (RFC 8037): exactly the bytes of `x`.
    init?(edwards curve: Curve, bytes: [UInt8]) {
        let type = curve == .ed25519 ? EVP_PKEY_ED25519 : EVP_PKEY_ED448
        unsafe self.init(taking: EVP_PKEY_new_raw_public_key(type, nil, bytes, bytes.count))
    }
}

/// The curves of elliptic keys (RFC 7518 6.2.1.1, RFC 8037 2).
enum Curve: UInt8, CaseIterable {
    case p256, p384, p521, ed25519, ed448

    /// By the name in `crv`, which is also OpenSSL's.
    var name: StaticString {
        switch self {
        case .p256: "P-256"
        case .p384: "P-384"
        case .p521: "P-521"
        case .ed25519: "Ed25519"
        case .ed448: "Ed448"
        }
    }

    var isEdwards: Bool { self == .ed25519 || self == .ed448 }

    /// Of a coordinate, or of an Edwards curve's whole key.
    var bytes: Int {
        switch self {
        case .p256, .ed25519: 32
        case .p384: 48
        case .p521: 66
        case .ed448: 57
        }
    }

    /// The algorithm of its keys (RFC 7518 3.4, RFC 8037 3.1), by each of its names (RFC 9864 2.2); the first is the usual one.
    var algorithms: [SigningAlgorithm] {
        switch self {
        case .p256: [.es256]
        case .p384: [.es384]
        case .p521: [.es512]
        case .ed25519: [.edDSA, .ed25519]
        case .ed448: [.edDSA, .ed448]
        }
    }
}

extension EVPKey {
    var isRSA: Bool { unsafe EVP_PKEY_get_base_id(pointer) == EVP_PKEY_RSA }

    /// Nil for a key that is none of those.
    var curve: Curve? {
        switch unsafe EVP_PKEY_get_base_id(pointer) {
        case EVP_PKEY_ED25519: return .ed25519
        case EVP_PKEY_ED448: return .ed448
        case EVP_PKEY_EC:
            var name = [CChar](repeating: 0, count: 64)
            var count = 0
            guard unsafe EVP_PKEY_get_group_name(pointer, &name, name.count, &count) == 1 else { return nil }
            switch unsafe OBJ_sn2nid(name) {
            case NID_X9_62_prime256v1: return .p256
            case NID_secp384r1: return .p384
            case NID_secp521r1: return .p521
            default: return nil
            }
        default: return nil
        }
    }

    func isOn(_ curve: Curve) -> Bool { self.curve == curve }

    /// `n` or `e` of an RSA key, big-endian, without leading zeros; empty for others.
    func rsaNumber(_ name: String) -> [UInt8] {
        var number: OpaquePointer?
        guard unsafe EVP_PKEY_get_bn_param(pointer, name, &number) == 1 else {
            ERR_clear_error()
            return []
        }
        defer { unsafe BN_free(number) }
        var bytes = [UInt8](repeating: 0, count: unsafe (Int(BN_num_bits(number)) + 7) / 8)
        _ = unsafe BN_bn2bin(number, &bytes)
        return bytes
    }

    var rsaExponent: [UInt8] { rsaNumber("e") }
}
