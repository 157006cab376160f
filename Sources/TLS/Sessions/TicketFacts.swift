internal import COpenSSL

/// What a ticket says of the client that it was given to, besides the session: nobody looks at the client's chain again.
struct TicketFacts {
    /// Seconds since 1970 until when the client may be believed.
    var notAfter: Int64
    /// Above its certificate.
    var authorities: [CertificateNumber] = []

    /// Eight bytes of the end, big-endian, then the authorities. A client whose authorities do not fit is not believed again.
    var bytes: [UInt8] {
        let numbers = CertificateNumber.encode(authorities)
        let end = numbers == nil ? 0 : notAfter
        return stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: end >> Int64($0)) } + (numbers ?? [])
    }

    init(notAfter: Int64, authorities: [CertificateNumber] = []) {
        self.notAfter = notAfter
        self.authorities = authorities
    }

    /// Those of a session; nil = it has none.
    init?(of session: OpaquePointer?) {
        var start: UnsafeMutableRawPointer?
        var count = 0
        guard unsafe SSL_SESSION_get0_ticket_appdata(session, &start, &count) == 1, count >= 8 else { return nil }
        let bytes = unsafe Array(UnsafeRawBufferPointer(start: start, count: count))
        guard let numbers = CertificateNumber.decode(bytes[8...]) else { return nil }
        notAfter = bytes[..<8].reduce(0) { $0 << 8 | Int64($1) }
        authorities = numbers
    }
}
