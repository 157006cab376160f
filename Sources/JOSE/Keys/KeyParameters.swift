internal import COpenSSL

/// The numbers of a public key, on their way into an `EVPKey`.
@safe
struct KeyParameters: ~Copyable {
    private let builder: OpaquePointer?
    private var numbers: [OpaquePointer?]

    private init() {
        unsafe builder = OSSL_PARAM_BLD_new()
        unsafe numbers = []
    }

    deinit {
        for unsafe number in unsafe numbers { unsafe BN_free(number) }
        unsafe OSSL_PARAM_BLD_free(builder)
    }

    /// `n` and `e`, big-endian. Nil when OpenSSL takes them for no key.
    static func rsa(modulus: [UInt8], exponent: [UInt8]) -> EVPKey? {
        var parameters = KeyParameters()
        guard parameters.push("n", modulus), parameters.push("e", exponent) else { return nil }
        return unsafe EVPKey(taking: parameters.key("RSA"))
    }

    /// `x` and `y`, of the curve's length each. Nil when they are no point of the curve.
    static func ec(_ curve: Curve, x: [UInt8], y: [UInt8]) -> EVPKey? {
        let parameters = KeyParameters()
        let point = [4] + x + y
        // OpenSSL keeps the name's and the point's bytes until the key is made: the literal's live forever, and `point` is held.
        let made: OpaquePointer? = unsafe point.withUnsafeBufferPointer { point in
            guard unsafe OSSL_PARAM_BLD_push_utf8_string(parameters.builder, Self.text("group"), Self.text(curve.name), 0) == 1,
                unsafe OSSL_PARAM_BLD_push_octet_string(parameters.builder, Self.text("pub"), point.baseAddress, point.count) == 1
            else { return nil }
            return unsafe parameters.key("EC")
        }
        guard let key = unsafe EVPKey(taking: made), key.isSound else { return nil }
        return key
    }

    private mutating func push(_ name: StaticString, _ bytes: [UInt8]) -> Bool {
        let number = unsafe BN_bin2bn(bytes, Int32(clamping: bytes.count), nil)
        unsafe numbers.append(number)
        return unsafe OSSL_PARAM_BLD_push_BN(builder, Self.text(name), number) == 1
    }

    /// OpenSSL keeps the pointer, so it must be a literal's.
    private static func text(_ literal: StaticString) -> UnsafePointer<CChar> {
        unsafe UnsafeRawPointer(literal.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    private func key(_ type: String) -> OpaquePointer? {
        let parameters = unsafe OSSL_PARAM_BLD_to_param(builder)
        let context = unsafe EVP_PKEY_CTX_new_from_name(nil, type, nil)
        defer {
            unsafe OSSL_PARAM_free(parameters)
            unsafe EVP_PKEY_CTX_free(context)
            ERR_clear_error()
        }
        var made: OpaquePointer?
        _ = unsafe skein_public_key_from(context, &made, parameters)
        return unsafe made
    }
}

extension EVPKey {
    /// Whether OpenSSL finds nothing wrong with its public half: for EC, a point of the curve and of its group.
    var isSound: Bool {
        let context = unsafe EVP_PKEY_CTX_new_from_pkey(nil, pointer, nil)
        defer {
            unsafe EVP_PKEY_CTX_free(context)
            ERR_clear_error()
        }
        return unsafe EVP_PKEY_public_check(context) == 1
    }
}
