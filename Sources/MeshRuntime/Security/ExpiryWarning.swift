internal import Logging
internal import TLS

/// Says once of a certificate that it is below a third of its life and nobody has renewed it. Confined to the control thread.
struct ExpiryWarning {
    private var didWarn = false

    /// `name`: whose certificate it is, leaf first. `now`: seconds since 1970.
    mutating func look(_ chain: [Certificate], _ name: String, now: Int64, _ log: Logger) {
        guard !didWarn, let leaf = chain.first, let end = chain.map(\.notAfter).min() else { return }
        let life = leaf.notAfter.subtractingReportingOverflow(leaf.notBefore).partialValue
        guard end < now + life / 3 else { return }
        didWarn = true
        let verb = end < now ? "has expired" : "expires"
        log.warning("the certificate of \(name) \(verb) at \(PlainLogHandler.date(end)): nobody has renewed it")
    }

    mutating func renewed() { didWarn = false }
}
