internal import TLS

/// Says once that nobody has renewed a certificate, when less than a third of its life is left.
struct ExpiryWarning {
    private var didWarn = false

    /// `notAfter`: of the chain, and `now`: seconds since 1970. Nil = it is early, or was said.
    mutating func text(of name: String, _ leaf: Certificate, notAfter: Int64, now: Int64) -> String? {
        let life = leaf.notAfter.subtractingReportingOverflow(leaf.notBefore).partialValue
        guard !didWarn, notAfter < now + life / 3 else { return nil }
        didWarn = true
        let verb = notAfter < now ? "has expired" : "expires"
        return "the certificate of \(name) \(verb) at \(PlainLogHandler.date(notAfter)): nobody has renewed it"
    }
}
