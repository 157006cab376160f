internal import HTTPService
internal import Logging
internal import Primitives
internal import Synchronization
internal import TLS
internal import TelemetryWire

/// Settings of TLS from files and the workload's identity, made anew when one of them is renewed. Settings that cannot be used are said,
/// and those before go on. Confined to the control thread, but for `source`.
struct RenewedTLS {
    /// Makes the settings; reads files.
    typealias Make = (WorkloadIdentity?) throws(TLSError) -> TLSSettings

    let source: TLSSettingsSource
    /// What it is in sentences: `the service ports`.
    let name: String
    private let make: Make
    private let usesIdentity: Bool
    private var files: SettledFiles
    private var expiry = ExpiryWarning()
    private var chain: [Certificate]
    private let renewals: RenewalCounts

    /// The first settings must be good. `paths`: the files that `make` reads. `usesIdentity`: whether it makes something of the identity.
    init(
        _ role: TLSContext.Role, _ name: String, paths: [String], usesIdentity: Bool, _ identity: WorkloadIdentity?,
        _ renewals: RenewalCounts, _ make: @escaping Make
    ) throws(TLSError) {
        files = SettledFiles(paths)
        let settings = try make(identity)
        source = try TLSSettingsSource(role, settings)
        self.name = name
        self.make = make
        self.usesIdentity = usesIdentity
        self.renewals = renewals
        chain = settings.credentials?.chain ?? []
    }

    /// Looks at the files, now and then. `isRenewed`: the identity is another one.
    mutating func look(_ identity: WorkloadIdentity?, isRenewed: Bool, _ log: Logger) {
        var isChanged = isRenewed && usesIdentity
        switch files.look(now: SystemClock.monotonicNow()) {
        case .early: if !isChanged { return }
        case .same: break
        case .changed: isChanged = true
        }
        // Of an identity it is said elsewhere.
        if chain != identity?.credentials.chain { expiry.look(chain, name, now: IdentityWatch.unixSeconds, log) }
        guard isChanged else { return }
        do throws(TLSError) {
            let settings = try make(identity)
            try source.replace(settings)
            chain = settings.credentials?.chain ?? []
            expiry.renewed()
            renewals.adopted.add(1, ordering: .relaxed)
            let end = chain.map(\.notAfter).min().map { ", until \(PlainLogHandler.date($0))" } ?? ""
            log.notice("TLS of \(name): the new certificates are in use\(end)")
        } catch {
            renewals.refused.add(1, ordering: .relaxed)
            log.error("TLS of \(name): the new certificates are not used, those before go on: \(error)")
        }
    }
}

/// Renewals since the start. Any thread.
final class RenewalCounts: Sendable {
    let adopted = Atomic<UInt64>(0)
    let refused = Atomic<UInt64>(0)

    var samples: [MetricSamples] {
        [
            MetricSamples(
                name: "skein_service_tls_renewals_total",
                help: "Renewed certificates of own ports and of https clients, by outcome: adopted, or refused, and those before go on.",
                kind: .counter, label: "outcome",
                values: [
                    ("adopted", Double(adopted.load(ordering: .relaxed))), ("refused", Double(refused.load(ordering: .relaxed))),
                ])
        ]
    }
}
