internal import COpenSSL

/// An X.509 certificate, and what is asked of it.
///
/// `@unchecked Sendable`: immutable once it is read, and OpenSSL counts references atomically. All workers share one object: a copy for
/// each was measured and gained nothing.
@safe
public final class Certificate: @unchecked Sendable, Equatable, CustomStringConvertible {
    /// Certificates of one PEM file.
    public static let chainMax = 256
    public static let pemBytesMax = 2 << 20

    let x509: OpaquePointer

    /// Takes the object over. Its extensions are read now, because OpenSSL caches them on first use.
    init(taking x509: OpaquePointer) {
        unsafe self.x509 = x509
        unsafe X509_check_purpose(x509, -1, 0)
    }

    deinit { unsafe X509_free(x509) }

    /// All certificates of a PEM file, in its order, one at least.
    public static func chain(pem: [UInt8]) throws(TLSError) -> [Certificate] {
        guard pem.count <= pemBytesMax else { throw TLSError("a file of certificates has more than \(pemBytesMax) bytes") }
        let bio = MemoryBIO(pem)
        var chain: [Certificate] = []
        while let x509 = unsafe PEM_read_bio_X509(bio.bio, nil, { _, _, _, _ in 0 }, nil) {
            guard chain.count < chainMax else {
                unsafe X509_free(x509)
                throw TLSError("a file has more than \(chainMax) certificates")
            }
            unsafe chain.append(Certificate(taking: x509))
        }
        let last = ERR_peek_last_error()
        defer { ERR_clear_error() }
        // The end of a file is PEM_R_NO_START_LINE, anything else a certificate that is none.
        guard last == 0 || skein_reason(last) == PEM_R_NO_START_LINE else {
            ERR_clear_error()
            throw TLSError("certificate \(chain.count + 1) of a PEM file cannot be read")
        }
        guard !chain.isEmpty else { throw TLSError("no certificate in PEM: -----BEGIN CERTIFICATE----- is expected") }
        return chain
    }

    /// One certificate in DER, and nothing behind it.
    public init(der: [UInt8]) throws(TLSError) {
        let found = unsafe der.withUnsafeBufferPointer { bytes -> OpaquePointer? in
            var place = bytes.baseAddress
            let read = unsafe d2i_X509(nil, &place, bytes.count)
            guard let read = unsafe read else { return nil }
            if unsafe place != bytes.baseAddress.map({ unsafe $0 + bytes.count }) {
                unsafe X509_free(read)
                return nil
            }
            return unsafe read
        }
        guard let found = unsafe found else { throw .openSSL("no certificate in DER") }
        unsafe x509 = found
        unsafe X509_check_purpose(x509, -1, 0)
    }

    public func pem() -> [UInt8] {
        let bio = MemoryBIO()
        unsafe PEM_write_bio_X509(bio.bio, x509)
        return bio.bytes
    }

    public func der() -> [UInt8] {
        var start: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_X509(x509, &start)
        guard count > 0, let start = unsafe start else { return [] }
        defer { unsafe skein_openssl_free(start) }
        return unsafe Array(UnsafeBufferPointer(start: start, count: Int(count)))
    }

    public static func == (left: Certificate, right: Certificate) -> Bool { unsafe X509_cmp(left.x509, right.x509) == 0 }

    public var description: String { subject }

    // MARK: Names

    /// As RFC 2253 writes it: `CN=reviews,O=example`.
    public var subject: String { unsafe Self.text(X509_get_subject_name(x509)) }
    public var issuer: String { unsafe Self.text(X509_get_issuer_name(x509)) }

    /// Its issuer's name is its own: a root.
    public var isSelfIssued: Bool { unsafe X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)) == 0 }

    /// Hexadecimal, lower case.
    public var serial: String {
        guard let number = unsafe ASN1_INTEGER_to_BN(X509_get0_serialNumber(x509), nil) else { return "" }
        defer { unsafe BN_free(number) }
        guard let text = unsafe BN_bn2hex(number) else { return "" }
        defer { unsafe skein_openssl_free(text) }
        return unsafe String(cString: text).lowercased()
    }

    /// Alternative names of one kind, as bytes: they may hold anything, zeros too.
    public enum NameKind: Int32, Sendable { case email = 1, dns = 2, uri = 6, address = 7 }

    public func alternativeNames(_ kind: NameKind) -> [[UInt8]] {
        guard let names = unsafe X509_get_ext_d2i(x509, NID_subject_alt_name, nil, nil) else { return [] }
        let list = OpaquePointer(names)
        defer { unsafe skein_names_free(list) }
        var found: [[UInt8]] = []
        for index in 0..<(unsafe skein_name_count(list)) {
            guard let name = unsafe skein_name_at(list, index), unsafe skein_name_type(name) == kind.rawValue,
                let text = unsafe skein_name_text(name), let data = unsafe ASN1_STRING_get0_data(text)
            else { continue }
            unsafe found.append(Array(UnsafeBufferPointer(start: data, count: Int(ASN1_STRING_length(text)))))
        }
        return found
    }

    private static func text(_ name: OpaquePointer?) -> String {
        let bio = MemoryBIO()
        unsafe skein_print_name(bio.bio, name)
        return String(decoding: bio.bytes, as: UTF8.self)
    }

    // MARK: Validity

    /// Seconds since 1970.
    public var notBefore: Int64 { unsafe Self.seconds(X509_get0_notBefore(x509)) }
    public var notAfter: Int64 { unsafe Self.seconds(X509_get0_notAfter(x509)) }

    private static func seconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64 {
        var parts = unsafe tm()
        guard let time = unsafe time, unsafe ASN1_TIME_to_tm(time, &parts) == 1 else { return 0 }
        return Int64(unsafe timegm(&parts))
    }

    // MARK: Purposes

    /// It may sign certificates: `CA:TRUE`, and where key usages are given keyCertSign among them.
    public var isAuthority: Bool { unsafe X509_check_ca(x509) == 1 }

    /// Nil = the certificate names no usages.
    public var keyUsage: UInt32? {
        let usage = unsafe X509_get_key_usage(x509)
        return usage == UInt32.max ? nil : usage
    }

    /// KU_KEY_CERT_SIGN and KU_CRL_SIGN of RFC 5280 4.2.1.3 as OpenSSL counts them.
    public static let usageSignsCertificates: UInt32 = 0x0004
    public static let usageSignsLists: UInt32 = 0x0002

    /// Whether extended usages allow it to be a server's or a client's; without any they do (RFC 5280 4.2.1.12).
    public var isForServers: Bool { allows(UInt32(XKU_SSL_SERVER)) }
    public var isForClients: Bool { allows(UInt32(XKU_SSL_CLIENT)) }

    private func allows(_ usage: UInt32) -> Bool {
        let usages = unsafe X509_get_extended_key_usage(x509)
        return usages == UInt32.max || usages & (usage | UInt32(XKU_ANYEKU)) != 0
    }

    // MARK: Fingerprints

    /// SHA-256 of the public key in DER (SubjectPublicKeyInfo).
    public var publicKeyFingerprint: [UInt8] {
        var start: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &start)
        guard count > 0, let start = unsafe start else { return [] }
        defer { unsafe skein_openssl_free(start) }
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var size: UInt32 = 0
        guard unsafe EVP_Digest(start, Int(count), &digest, &size, EVP_sha256(), nil) == 1 else { return [] }
        return Array(digest.prefix(Int(size)))
    }

    /// SHA-256 of the certificate in DER.
    public var fingerprint: [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard unsafe X509_digest(x509, EVP_sha256(), &digest, &count) == 1 else { return [] }
        return Array(digest.prefix(Int(count)))
    }
}
