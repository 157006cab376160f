internal import Logging
internal import Primitives
internal import Proxy
internal import Synchronization
internal import TLS
internal import TelemetryWire

/// When the certificates in use end: the workload's own, the roots it believes, and those that DestinationRules name. For metrics, on any
/// thread, and warnings, once for each certificate, on the control thread.
final class CertificateExpiry: Sendable {
    /// Certificates watched; further ones are not.
    static let countMax = 256
    /// Roots are warned of this long before their end (semantics 4.1: 60 days), all others below a third of their life.
    private static let rootSeconds: Int64 = 60 * 86_400

    private struct Entry: Hashable {
        /// As Istio's agent has it: `default` is the workload's own, `ROOTCA` a root; others by their subject.
        var resource: String
        var serial: String
        var notBefore: Int64
        var notAfter: Int64

        init(_ resource: String, _ certificate: Certificate) {
            self.resource = resource
            serial = certificate.serial
            notBefore = certificate.notBefore
            notAfter = certificate.notAfter
        }
    }

    private struct State {
        var entries: [Entry] = []
        var said: Set<Entry> = []
    }

    private let state = Mutex(State())

    /// Takes a plan's certificates over.
    func update(_ plan: SecurityPlan, _ identity: WorkloadIdentity?) {
        var entries: [Entry] = []
        for certificate in identity?.credentials.chain ?? [] { entries.append(Entry("default", certificate)) }
        for root in identity?.bundles.values.flatMap(\.self) ?? [] { entries.append(Entry("ROOTCA", root)) }
        for upstream in plan.outbound {
            guard let settings = upstream.settings else { continue }
            for certificate in settings.credentials?.chain ?? [] where identity?.credentials.chain.contains(certificate) != true {
                entries.append(Entry(certificate.subject, certificate))
            }
            if case .roots(let roots) = settings.trust { entries += roots.map { Entry($0.subject, $0) } }
        }
        var seen: Set<Entry> = []
        let kept = entries.filter { seen.insert($0).inserted }.prefix(Self.countMax)
        state.withLock { state in
            state.entries = Array(kept)
            state.said.formIntersection(kept)
        }
    }

    func warn(_ log: Logger) {
        for line in due(now: IdentityWatch.unixSeconds) { log.warning("\(line)") }
    }

    /// What is to be said of those that end soon, once of each; of the workload's own it is said where it is renewed (`IdentityWatch`).
    /// `now`: seconds since 1970.
    func due(now: Int64) -> [String] {
        let due = state.withLock { state in
            state.entries.filter { entry in
                let third = (entry.notAfter - entry.notBefore) / 3
                let limit = entry.resource == "ROOTCA" ? min(third, Self.rootSeconds) : third
                return entry.resource != "default" && entry.notAfter - now < limit && state.said.insert(entry).inserted
            }
        }
        return due.map { entry in
            let verb = entry.notAfter < now ? "has expired" : "expires"
            let name = entry.resource == "ROOTCA" ? "a root of the mesh" : entry.resource
            return "the certificate of \(name) (serial \(entry.serial)) \(verb) at \(PlainLogHandler.date(entry.notAfter))"
        }
    }

    func samples(now: Int64 = IdentityWatch.unixSeconds) -> [MetricSamples] {
        let entries = state.withLock { $0.entries }
        return [
            MetricSamples(
                name: "skein_certificate_expiry_seconds",
                help: "Seconds until a certificate in use expires; negative = it has. As istio_agent_cert_expiry_seconds.", kind: .gauge,
                samples: entries.map { entry in
                    MetricSamples.Sample(
                        labels: [("resource_name", entry.resource), ("serial", entry.serial)], value: Double(entry.notAfter - now))
                })
        ]
    }
}
