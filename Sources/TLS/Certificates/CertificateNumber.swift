internal import COpenSSL

/// A certificate as revocation lists name it (RFC 5280 5.1): by its issuer and its serial number. It is kept of the authorities above a
/// peer, with its connection and in its tickets, where whole certificates would be too much.
public struct CertificateNumber: Hashable, Sendable {
    /// OpenSSL's hash of the issuer's name, in which spelling does not count: 32 bits of SHA-1. Two issuers that share it would also have
    /// to share a serial number.
    let issuer: UInt32
    /// Hexadecimal, lower case.
    let serial: String

    init(_ certificate: Certificate) {
        issuer = unsafe UInt32(truncatingIfNeeded: X509_issuer_name_hash(certificate.x509))
        serial = certificate.serial
    }

    private init(issuer: UInt32, serial: String) {
        self.issuer = issuer
        self.serial = serial
    }

    /// Bytes of a list of numbers in a ticket.
    static let encodedBytesMax = 1024

    /// Each number as four bytes of the issuer, big-endian, the count of the serial's characters and these. Nil = they are too many, or too
    /// long.
    static func encode(_ numbers: [CertificateNumber]) -> [UInt8]? {
        var bytes: [UInt8] = []
        for number in numbers {
            guard let count = UInt8(exactly: number.serial.utf8.count), bytes.count + 5 + Int(count) <= encodedBytesMax else { return nil }
            for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: number.issuer >> shift)) }
            bytes.append(count)
            bytes += number.serial.utf8
        }
        return bytes
    }

    /// Nil = `bytes` were not made by `encode`.
    static func decode(_ bytes: ArraySlice<UInt8>) -> [CertificateNumber]? {
        var numbers: [CertificateNumber] = []
        var rest = bytes
        while !rest.isEmpty {
            guard rest.count >= 5 else { return nil }
            let issuer = rest.prefix(4).reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
            let count = Int(rest[rest.startIndex + 4])
            rest = rest.dropFirst(5)
            guard rest.count >= count else { return nil }
            numbers.append(CertificateNumber(issuer: issuer, serial: String(decoding: rest.prefix(count), as: UTF8.self)))
            rest = rest.dropFirst(count)
        }
        return numbers
    }
}
