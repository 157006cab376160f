internal import COpenSSL

/// A certificate's parts as Envoy's access logs and `x-forwarded-client-cert` write them (compared with Envoy 1.40).
extension Certificate {
    /// RFC 2253, bytes beyond ASCII as `\C3`.
    public var escapedSubject: String { unsafe Self.escaped(X509_get_subject_name(x509)) }
    public var escapedIssuer: String { unsafe Self.escaped(X509_get_issuer_name(x509)) }

    private static func escaped(_ name: OpaquePointer?) -> String {
        let bio = MemoryBIO()
        unsafe skein_print_escaped_name(bio.bio, name)
        return String(decoding: bio.bytes, as: UTF8.self)
    }

    /// SHA-1 of the certificate in DER.
    public var fingerprint1: [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard unsafe X509_digest(x509, EVP_sha1(), &digest, &count) == 1 else { return [] }
        return Array(digest.prefix(Int(count)))
    }

    /// PEM with what a URL reserves as `%XX`.
    public var escapedPEM: [UInt8] {
        var bytes: [UInt8] = []
        for byte in pem() {
            switch byte {
            case UInt8(ascii: "\n"): bytes += Array("%0A".utf8)
            case UInt8(ascii: " "): bytes += Array("%20".utf8)
            case UInt8(ascii: "+"): bytes += Array("%2B".utf8)
            case UInt8(ascii: "/"): bytes += Array("%2F".utf8)
            case UInt8(ascii: "="): bytes += Array("%3D".utf8)
            default: bytes.append(byte)
            }
        }
        return bytes
    }
}
