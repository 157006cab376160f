internal import COpenSSL
internal import Glibc

/// A list of certificates that their authority takes back before their end (RFC 5280 5).
public enum RevocationList {
    /// A certificate that is on the list.
    public struct Entry: Sendable, Hashable {
        /// Hexadecimal, as `Certificate.serial`.
        public var serial: String
        /// Seconds since 1970.
        public var revokedAt: Int64

        public init(serial: String, revokedAt: Int64) {
            self.serial = serial
            self.revokedAt = revokedAt
        }
    }

    public static let entriesMax = 65_536

    /// The list in PEM, signed by the authority. `number` grows from list to list; `validity`: from now until a newer one must be there.
    public static func pem(
        _ entries: [Entry], number: UInt64, by authority: CertificateIssuer, _ validity: CertificateIssuer.Validity
    ) throws(TLSError) -> [UInt8] {
        guard entries.count <= entriesMax else { throw TLSError("a list has more than \(entriesMax) revoked certificates") }
        guard let list = unsafe X509_CRL_new() else { throw .openSSL("cannot make a list") }
        defer { unsafe X509_CRL_free(list) }
        let issuer = authority.certificate
        guard unsafe X509_CRL_set_version(list, 1) == 1 && X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer.x509)) == 1 else {
            throw .openSSL("cannot make a list")
        }
        unsafe try setTimes(list, validity)
        for entry in entries { unsafe try add(entry, to: list) }
        unsafe try addExtensions(number, issuer, to: list)
        guard unsafe X509_CRL_sort(list) == 1 && X509_CRL_sign(list, authority.key.key, EVP_sha256()) > 0 else {
            throw .openSSL("cannot sign a list")
        }
        let bio = MemoryBIO()
        guard unsafe PEM_write_bio_X509_CRL(bio.bio, list) == 1 else { throw .openSSL("cannot write a list") }
        return bio.bytes
    }

    private static func setTimes(_ list: OpaquePointer, _ validity: CertificateIssuer.Validity) throws(TLSError) {
        let time = unsafe ASN1_TIME_set(nil, time_t(validity.notBefore))
        defer { unsafe ASN1_STRING_free(time) }
        let isDated =
            unsafe time != nil && X509_CRL_set1_lastUpdate(list, time) == 1
            && ASN1_TIME_set(time, time_t(validity.notAfter)) != nil && X509_CRL_set1_nextUpdate(list, time) == 1
        guard isDated else { throw .openSSL("cannot date a list") }
    }

    private static func add(_ entry: Entry, to list: OpaquePointer) throws(TLSError) {
        guard let revoked = unsafe X509_REVOKED_new() else { throw .openSSL("cannot add to a list") }
        var isKept = false
        defer { if !isKept { unsafe X509_REVOKED_free(revoked) } }
        var number: OpaquePointer?
        guard !entry.serial.isEmpty, unsafe BN_hex2bn(&number, entry.serial) == Int32(clamping: entry.serial.utf8.count) else {
            unsafe BN_free(number)
            throw TLSError("\(entry.serial) is no serial number")
        }
        defer { unsafe BN_free(number) }
        let serial = unsafe BN_to_ASN1_INTEGER(number, nil)
        defer { unsafe ASN1_INTEGER_free(serial) }
        let time = unsafe ASN1_TIME_set(nil, time_t(entry.revokedAt))
        defer { unsafe ASN1_STRING_free(time) }
        isKept =
            unsafe serial != nil && time != nil && X509_REVOKED_set_serialNumber(revoked, serial) == 1
            && X509_REVOKED_set_revocationDate(revoked, time) == 1 && X509_CRL_add0_revoked(list, revoked) == 1
        guard isKept else { throw .openSSL("cannot add to a list") }
    }

    /// Both are demanded of every list (RFC 5280 5.2.1 and 5.2.3).
    private static func addExtensions(_ number: UInt64, _ issuer: Certificate, to list: OpaquePointer) throws(TLSError) {
        guard let integer = unsafe ASN1_INTEGER_new() else { throw .openSSL("cannot number a list") }
        defer { unsafe ASN1_INTEGER_free(integer) }
        guard
            unsafe ASN1_INTEGER_set_uint64(integer, number) == 1
                && X509_CRL_add1_ext_i2d(list, NID_crl_number, UnsafeMutableRawPointer(integer), 0, 0) == 1
        else { throw .openSSL("cannot number a list") }
        var context = unsafe X509V3_CTX()
        unsafe skein_context_set_certificates(&context, issuer.x509, nil, nil)
        guard let made = unsafe X509V3_EXT_conf_nid(nil, &context, NID_authority_key_identifier, "keyid:always") else {
            throw .openSSL("the authority has no key identifier")
        }
        defer { unsafe X509_EXTENSION_free(made) }
        guard unsafe X509_CRL_add_ext(list, made, -1) == 1 else { throw .openSSL("cannot add to a list") }
    }
}
