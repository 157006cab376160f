internal import COpenSSL

/// Lists of certificates that authorities have taken back (RFC 5280 5), as a file of them has them.
///
/// `@unchecked Sendable`: immutable once read. Stores of roots take references, which OpenSSL counts atomically.
@safe
public final class RevocationLists: @unchecked Sendable, Equatable {
    public static let pemBytesMax = 16 << 20
    public static let listsMax = 256

    /// One authority's list. Read by any thread, changed by none.
    @safe
    final class List {
        let crl: OpaquePointer

        /// Takes the object over.
        init(taking crl: OpaquePointer) { unsafe self.crl = crl }

        deinit { unsafe X509_CRL_free(crl) }
    }

    let lists: [List]
    /// Hashes of their authorities' names (`CertificateNumber.issuer`).
    private let issuers: [UInt32]
    private let pem: [UInt8]

    /// All lists of a PEM file, one at least.
    public init(pem: [UInt8]) throws(TLSError) {
        guard pem.count <= Self.pemBytesMax else { throw TLSError("a file of revocation lists has more than \(Self.pemBytesMax) bytes") }
        let bio = MemoryBIO(pem)
        var found: [List] = []
        var problem: TLSError?
        while problem == nil, let list = unsafe PEM_read_bio_X509_CRL(bio.bio, nil, { _, _, _, _ in 0 }, nil) {
            unsafe found.append(List(taking: list))
            if found.count > Self.listsMax { problem = TLSError("a file has more than \(Self.listsMax) revocation lists") }
        }
        let last = ERR_peek_last_error()
        // The end of a file is PEM_R_NO_START_LINE, anything else a list that is none.
        if problem == nil, last != 0, skein_reason(last) != PEM_R_NO_START_LINE {
            problem = TLSError("revocation list \(found.count + 1) of a PEM file cannot be read")
        }
        if problem == nil, found.isEmpty { problem = TLSError("no revocation list in PEM: -----BEGIN X509 CRL----- is expected") }
        ERR_clear_error()
        lists = found
        issuers = found.map { unsafe UInt32(truncatingIfNeeded: X509_NAME_hash_ex(X509_CRL_get_issuer($0.crl), nil, nil, nil)) }
        self.pem = pem
        if let problem { throw problem }
    }

    /// Whether the list of a certificate's own authority, told by its name, has it. Any thread.
    public func revoke(_ certificate: Certificate) -> Bool { revoke(CertificateNumber(certificate)) }

    /// The same for a certificate of which the number is known. Any thread.
    func revoke(_ number: CertificateNumber) -> Bool {
        let isNegative = number.serial.hasPrefix("-")
        let text = (isNegative ? "-0x" : "0x") + number.serial.dropFirst(isNegative ? 1 : 0)
        guard issuers.contains(number.issuer), let serial = unsafe s2i_ASN1_INTEGER(nil, text) else { return false }
        defer { unsafe ASN1_INTEGER_free(serial) }
        for place in issuers.indices where issuers[place] == number.issuer {
            var entry: OpaquePointer?
            if unsafe X509_CRL_get0_by_serial(lists[place].crl, &entry, serial) == 1 { return true }
        }
        return false
    }

    /// Whether a list has a peer's certificate, or one of the authorities above it. Any thread.
    public func revoke(_ peer: TLSPeer) -> Bool { revoke(peer.certificate) || peer.authorities.contains(where: revoke) }

    /// SHA-256 of the file: other lists, another one.
    public var fingerprint: [UInt8] { SHA256.digest(pem) }

    public static func == (left: RevocationLists, right: RevocationLists) -> Bool { left.pem == right.pem }
}
