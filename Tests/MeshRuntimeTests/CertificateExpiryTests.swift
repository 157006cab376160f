@testable import MeshRuntime
import Proxy
import TLS
import TelemetryWire
import Testing

/// Certificates that end are said in time and once: a warning at each look would bury it, none would be an outage at night.
@Suite struct CertificateExpiryTests {
    private static let day: Int64 = 86_400
    private static let start: Int64 = 1_800_000_000

    private func root(_ name: String, days: Int64) throws -> CertificateIssuer {
        try CertificateIssuer.root(
            name: name, organization: "cluster.local", key: PrivateKey.generate(),
            CertificateIssuer.Validity(notBefore: Self.start, notAfter: Self.start + days * Self.day))
    }

    /// A plan whose only rule names a certificate of 30 days, for a workload under a root of ten years.
    private func expiry() throws -> CertificateExpiry {
        let mesh = try root("mesh", days: 3650)
        let key = try PrivateKey.generate()
        let id = try #require(try? SPIFFEID("spiffe://cluster.local/ns/default/sa/web"))
        let month = CertificateIssuer.Validity(notBefore: Self.start, notAfter: Self.start + 30 * Self.day)
        let own = try mesh.issue(name: "", for: key, .workload(id), month)
        let identity = WorkloadIdentity(
            credentials: try TLSCredentials(chain: [own], key: key), id: id, bundles: ["cluster.local": [mesh.certificate]])
        var settings = TLSSettings()
        settings.credentials = try TLSCredentials(chain: [mesh.issue(name: "partner", for: key, .workload(id), month)], key: key)
        let expiry = CertificateExpiry()
        expiry.update(SecurityPlan(outbound: [UpstreamTLS(key: "a", settings: settings)]), identity)
        return expiry
    }

    @Test func eachIsSaidOnceAndInTime() throws {
        let expiry = try expiry()
        #expect(expiry.due(now: Self.start + 19 * Self.day).isEmpty)
        let partner = expiry.due(now: Self.start + 21 * Self.day)
        #expect(partner.count == 1 && partner[0].contains("CN=partner") && partner[0].contains(" expires at "))
        #expect(expiry.due(now: Self.start + 22 * Self.day).isEmpty, "the workload's own is said elsewhere")
        #expect(expiry.due(now: Self.start + (3650 - 61) * Self.day).isEmpty)
        let root = expiry.due(now: Self.start + (3650 - 59) * Self.day)
        #expect(root.count == 1 && root[0].contains("a root of the mesh"))
    }

    @Test func whatHasExpiredIsBelowZero() throws {
        let samples = try expiry().samples(now: Self.start + 31 * Self.day)
        let values = samples.flatMap(\.samples).map { ($0.labels[0].value, $0.value) }
        #expect(values.map(\.0) == ["default", "ROOTCA", "CN=partner"])
        #expect(values.map(\.1) == [Double(-Self.day), Double((3650 - 31) * Self.day), Double(-Self.day)])
    }
}
