internal import COpenSSL
internal import Glibc

/// Makes certificates: roots, intermediates and leaves, with extensions by RFC 5280 and SPIFFE X.509-SVID.
public struct CertificateIssuer: Sendable {
    /// What a certificate is for.
    public enum Purpose: Sendable {
        /// Signs other certificates; `pathLength` = how many authorities may follow it, nil = any number.
        case authority(pathLength: Int?)
        /// A workload's: one URI name, both ends of TLS.
        case workload(SPIFFEID)
        /// A server's with names and addresses.
        case server(names: [String], addresses: [String])
    }

    /// From when to when, seconds since 1970.
    public struct Validity: Sendable, Hashable {
        public var notBefore: Int64
        public var notAfter: Int64

        public init(notBefore: Int64, notAfter: Int64) {
            self.notBefore = notBefore
            self.notAfter = notAfter
        }
    }

    /// The authority that signs, and its key.
    public let certificate: Certificate
    public let key: PrivateKey

    /// Nil = the key is not the certificate's.
    public init?(_ certificate: Certificate, key: PrivateKey) {
        guard key.matches(certificate) else { return nil }
        self.certificate = certificate
        self.key = key
    }

    /// A root: it signs itself.
    public static func root(
        name: String, organization: String, key: PrivateKey, _ validity: Validity, pathLength: Int? = nil
    ) throws(TLSError) -> CertificateIssuer {
        let subject = Subject.parts([("O", organization), ("CN", name)])
        let made = unsafe try make(
            subject, publicKey: key.key, .authority(pathLength: pathLength), validity, signer: nil, signingKey: key)
        guard let issuer = CertificateIssuer(made, key: key) else { throw TLSError("the new root does not match its key") }
        return issuer
    }

    /// A certificate for another key.
    public func issue(name: String, for key: PrivateKey, _ purpose: Purpose, _ validity: Validity) throws(TLSError) -> Certificate {
        unsafe try Self.make(
            .parts(name.isEmpty ? [] : [("CN", name)]), publicKey: key.key, purpose, validity, signer: certificate, signingKey: self.key)
    }

    /// A workload's certificate for the key of a request. What the request wishes besides is not looked at.
    public func issue(_ request: CertificateRequest, for id: SPIFFEID, _ validity: Validity) throws(TLSError) -> Certificate {
        guard let wanted = unsafe X509_REQ_get0_pubkey(request.request) else { throw .openSSL("the request has no key") }
        return unsafe try Self.make(.parts([]), publicKey: wanted, .workload(id), validity, signer: certificate, signingKey: key)
    }

    /// A certificate for another authority's name and key: whoever believes this one believes that one too. `pathLength` = how many
    /// authorities may follow it.
    public func crossSign(_ other: Certificate, pathLength: Int?, _ validity: Validity) throws(TLSError) -> Certificate {
        guard let publicKey = unsafe X509_get0_pubkey(other.x509) else { throw .openSSL("\(other.subject) has no key") }
        return unsafe try Self.make(
            .of(other), publicKey: publicKey, .authority(pathLength: pathLength), validity, signer: certificate, signingKey: key)
    }

    // MARK: Making

    private enum Subject {
        case parts([(kind: String, text: String)])
        /// As another certificate has it, byte for byte.
        case of(Certificate)

        var isEmpty: Bool {
            switch self {
            case .parts(let parts): parts.isEmpty
            case .of: false
            }
        }
    }

    private static func make(
        _ subject: Subject, publicKey: OpaquePointer, _ purpose: Purpose, _ validity: Validity, signer: Certificate?,
        signingKey: PrivateKey
    ) throws(TLSError) -> Certificate {
        guard let made = unsafe X509_new() else { throw .openSSL("cannot make a certificate") }
        // Owned from here on, whatever fails; read again below, so that no cached extension is older than the signature.
        let owner = unsafe UnsignedCertificate(taking: made)
        unsafe X509_set_version(made, 2)
        unsafe try setSerial(made)
        unsafe try setSubject(made, subject)
        let name = unsafe X509_get_subject_name(made)
        unsafe X509_set_issuer_name(made, signer.map { unsafe X509_get_subject_name($0.x509) } ?? name)
        let isDated = unsafe setValidity(made, validity)
        guard isDated, unsafe X509_set_pubkey(made, publicKey) == 1 else { throw .openSSL("cannot fill the certificate") }
        for (kind, value) in extensions(purpose, hasSubject: !subject.isEmpty) {
            unsafe try add(kind, value, to: made, signer)
        }
        guard unsafe X509_sign(made, signingKey.key, EVP_sha256()) > 0 else { throw .openSSL("cannot sign the certificate") }
        return try owner.finished()
    }

    private static func setSubject(_ made: OpaquePointer, _ subject: Subject) throws(TLSError) {
        switch subject {
        case .parts(let parts):
            let name = unsafe X509_get_subject_name(made)
            for (kind, text) in parts {
                let bytes = Array(text.utf8)
                guard unsafe X509_NAME_add_entry_by_txt(name, kind, MBSTRING_UTF8, bytes, Int32(clamping: bytes.count), -1, 0) == 1
                else { throw .openSSL("cannot name the certificate \(text)") }
            }
        case .of(let other):
            guard unsafe X509_set_subject_name(made, X509_get_subject_name(other.x509)) == 1 else {
                throw .openSSL("cannot name the certificate \(other.subject)")
            }
        }
    }

    private static func setSerial(_ made: OpaquePointer) throws(TLSError) {
        // 128 random bits, positive: RFC 5280 4.1.2.2 allows 20 bytes.
        var bytes = [UInt8](repeating: 0, count: 16)
        guard unsafe RAND_bytes(&bytes, 16) == 1 else { throw .openSSL("no randomness for a serial number") }
        bytes[0] &= 0x7F
        bytes[0] |= 0x40
        guard let number = unsafe BN_bin2bn(bytes, 16, nil) else { throw .openSSL("cannot make a serial number") }
        defer { unsafe BN_free(number) }
        guard unsafe BN_to_ASN1_INTEGER(number, X509_get_serialNumber(made)) != nil else { throw .openSSL("cannot set a serial number") }
    }

    private static func setValidity(_ made: OpaquePointer, _ validity: Validity) -> Bool {
        unsafe ASN1_TIME_set(X509_getm_notBefore(made), time_t(validity.notBefore)) != nil
            && ASN1_TIME_set(X509_getm_notAfter(made), time_t(validity.notAfter)) != nil
    }

    private static func extensions(_ purpose: Purpose, hasSubject: Bool) -> [(Int32, String)] {
        // A root's own too: without `always` it would have an authority's identifier with nothing in it, which strict readers refuse.
        let identifiers = [(NID_subject_key_identifier, "hash"), (NID_authority_key_identifier, "keyid:always")]
        switch purpose {
        case .authority(let length):
            let constraints = "critical,CA:TRUE" + (length.map { ",pathlen:\($0)" } ?? "")
            return [(NID_basic_constraints, constraints), (NID_key_usage, "critical,keyCertSign,cRLSign")] + identifiers
        case .workload(let id):
            // A name that is the only one is critical (RFC 5280 4.2.1.6).
            return [
                (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
                (NID_ext_key_usage, "serverAuth,clientAuth"), (NID_subject_alt_name, (hasSubject ? "" : "critical,") + "URI:\(id)"),
            ] + identifiers
        case .server(let names, let addresses):
            let all = names.map { "DNS:\($0)" } + addresses.map { "IP:\($0)" }
            return [
                (NID_basic_constraints, "critical,CA:FALSE"), (NID_key_usage, "critical,digitalSignature"),
                (NID_ext_key_usage, "serverAuth,clientAuth"),
                (NID_subject_alt_name, (hasSubject ? "" : "critical,") + all.joined(separator: ",")),
            ] + identifiers
        }
    }

    private static func add(_ kind: Int32, _ value: String, to made: OpaquePointer, _ signer: Certificate?) throws(TLSError) {
        var context = unsafe X509V3_CTX()
        unsafe skein_context_set_certificates(&context, signer?.x509 ?? made, made, nil)
        guard let extra = unsafe X509V3_EXT_conf_nid(nil, &context, kind, value) else {
            throw .openSSL("cannot make the extension \(value)")
        }
        defer { unsafe X509_EXTENSION_free(extra) }
        guard unsafe X509_add_ext(made, extra, -1) == 1 else { throw .openSSL("cannot add the extension \(value)") }
    }
}

/// A certificate in the making.
@safe
private struct UnsignedCertificate: ~Copyable {
    private let x509: OpaquePointer

    init(taking x509: OpaquePointer) { unsafe self.x509 = x509 }

    deinit { unsafe X509_free(x509) }

    /// Read from its own bytes.
    func finished() throws(TLSError) -> Certificate {
        var start: UnsafeMutablePointer<UInt8>?
        let count = unsafe i2d_X509(x509, &start)
        guard count > 0, let start = unsafe start else { throw .openSSL("cannot write the certificate") }
        defer { unsafe skein_openssl_free(start) }
        return try Certificate(der: unsafe Array(UnsafeBufferPointer(start: start, count: Int(count))))
    }
}
