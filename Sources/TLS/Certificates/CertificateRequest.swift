internal import COpenSSL

/// A request for a certificate (PKCS #10): a public key, a wished identity, and a proof that its sender has the private key.
///
/// `@unchecked Sendable`: immutable once it is made.
@safe
public final class CertificateRequest: @unchecked Sendable {
    public static let pemBytesMax = 64 << 10

    let request: OpaquePointer

    deinit { unsafe X509_REQ_free(request) }

    /// A request for `id`, signed with the key it is for.
    public init(for id: SPIFFEID, key: PrivateKey) throws(TLSError) {
        guard let made = unsafe X509_REQ_new() else { throw .openSSL("cannot make a request") }
        unsafe request = made
        guard unsafe X509_REQ_set_pubkey(made, key.key) == 1 else { throw .openSSL("cannot make a request") }
        var extensions = ExtensionList()
        unsafe try extensions.append(NID_subject_alt_name, "critical,URI:\(id)")
        let added = unsafe X509_REQ_add_extensions(made, extensions.list)
        guard added == 1, unsafe X509_REQ_sign(made, key.key, EVP_sha256()) > 0 else { throw .openSSL("cannot sign a request") }
    }

    /// A request in PEM. Its signature must be its own key's.
    public init(pem: [UInt8]) throws(TLSError) {
        guard pem.count <= Self.pemBytesMax else { throw TLSError("a request has more than \(Self.pemBytesMax) bytes") }
        let bio = MemoryBIO(pem)
        guard let found = unsafe PEM_read_bio_X509_REQ(bio.bio, nil, { _, _, _, _ in 0 }, nil) else {
            throw .openSSL("no certificate request in PEM")
        }
        unsafe request = found
        guard let key = unsafe X509_REQ_get0_pubkey(found), unsafe X509_REQ_verify(found, key) == 1 else {
            throw .openSSL("the request is not signed by its own key")
        }
        // P-256 and better, RSA of 2048 bits and more: security level 2.
        guard unsafe EVP_PKEY_get_security_bits(key) >= 112 else { throw TLSError("the request's key is weaker than 112 bits") }
    }

    public func pem() -> [UInt8] {
        let bio = MemoryBIO()
        unsafe PEM_write_bio_X509_REQ(bio.bio, request)
        return bio.bytes
    }

    /// SHA-256 of the public key in DER (SubjectPublicKeyInfo); empty = it has none.
    public var publicKeyFingerprint: [UInt8] {
        var start: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(request), &start)
        guard count > 0, let start = unsafe start else { return [] }
        defer { unsafe skein_openssl_free(start) }
        return unsafe SHA256.digest(Array(UnsafeBufferPointer(start: start, count: Int(count))))
    }

    /// URI names that it asks for, as they stand there.
    public var wishedURIs: [[UInt8]] {
        guard let extensions = unsafe X509_REQ_get_extensions(request) else { return [] }
        defer { unsafe skein_extensions_free(extensions) }
        guard let names = unsafe X509V3_get_d2i(extensions, NID_subject_alt_name, nil, nil) else { return [] }
        let list = OpaquePointer(names)
        defer { unsafe skein_names_free(list) }
        var found: [[UInt8]] = []
        for index in 0..<(unsafe skein_name_count(list)) {
            guard let name = unsafe skein_name_at(list, index), unsafe skein_name_type(name) == Certificate.NameKind.uri.rawValue,
                let text = unsafe skein_name_text(name), let data = unsafe ASN1_STRING_get0_data(text)
            else { continue }
            unsafe found.append(Array(UnsafeBufferPointer(start: data, count: Int(ASN1_STRING_length(text)))))
        }
        return found
    }
}

/// Extensions on their way into a request or a certificate.
@safe
struct ExtensionList: ~Copyable {
    private(set) var list: OpaquePointer?

    init() { unsafe list = nil }

    deinit { unsafe skein_extensions_free(list) }

    /// `value` in OpenSSL's configuration language (x509v3_config).
    mutating func append(_ kind: Int32, _ value: String, issuer: Certificate? = nil, subject: OpaquePointer? = nil) throws(TLSError) {
        var context = unsafe X509V3_CTX()
        unsafe skein_context_set_certificates(&context, issuer?.x509 ?? subject, subject, nil)
        guard let made = unsafe X509V3_EXT_conf_nid(nil, &context, kind, value) else {
            throw .openSSL("cannot make the extension \(value)")
        }
        defer { unsafe X509_EXTENSION_free(made) }
        guard unsafe skein_extensions_push(&list, made) == 1 else { throw .openSSL("cannot keep the extension \(value)") }
    }
}
