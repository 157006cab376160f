internal import COpenSSL

/// What OpenSSL is told of an algorithm.
extension SigningAlgorithm {
    /// OpenSSL's; nil for Edwards curves.
    var digest: OpaquePointer? {
        switch hash {
        case .sha256: unsafe EVP_sha256()
        case .sha384: unsafe EVP_sha384()
        case .sha512: unsafe EVP_sha512()
        case nil: nil
        }
    }

    /// RSASSA-PSS with a salt as long as the hash (RFC 7518 3.5); nothing for the others.
    func setPadding(_ parameters: OpaquePointer?) -> Bool {
        guard family == .rsaPSS else { return true }
        return unsafe EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, RSA_PSS_SALTLEN_DIGEST) == 1
    }

    /// Bytes of `r` and of `s` (RFC 7518 3.4).
    var coordinateBytes: Int { self == .es256 ? 32 : self == .es384 ? 48 : 66 }
}
