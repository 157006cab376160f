import TLS
import Testing

@Suite struct RevocationListTests {
    @Test func aListIsSignedPEM() throws {
        let root = try CertificateTests.root()
        let entries = [RevocationList.Entry(serial: "4f00", revokedAt: 1_790_000_500), .init(serial: "01", revokedAt: 1_790_000_600)]
        let pem = String(decoding: try RevocationList.pem(entries, number: 7, by: root, CertificateTests.year), as: UTF8.self)
        #expect(pem.hasPrefix("-----BEGIN X509 CRL-----\n") && pem.hasSuffix("-----END X509 CRL-----\n"))
        #expect(try !RevocationList.pem([], number: 8, by: root, CertificateTests.year).isEmpty)
    }

    @Test(arguments: ["", "hello", "12 34", "0x12"]) func whatIsNoSerialIsAnError(_ text: String) throws {
        let root = try CertificateTests.root()
        #expect(throws: TLSError.self) {
            try RevocationList.pem([.init(serial: text, revokedAt: 0)], number: 1, by: root, CertificateTests.year)
        }
    }

    /// A new root under the old one's signature: those who have only the old root believe what stands under the new one.
    @Test func aCrossSignedRootIsBelievedByTheOld() throws {
        let (old, new) = (try CertificateTests.root("old"), try CertificateTests.root("new"))
        let key = try PrivateKey.generate()
        let between = try new.issue(name: "between", for: key, .authority(pathLength: 0), CertificateTests.year)
        let signing = try #require(CertificateIssuer(between, key: key))
        let id = try SPIFFEID("spiffe://cluster.local/ns/default/sa/reviews")
        let leaf = try signing.issue(name: "", for: PrivateKey.generate(), .workload(id), CertificateTests.year)
        let cross = try old.crossSign(new.certificate, pathLength: 1, CertificateTests.year)
        #expect(cross.subject == new.certificate.subject && cross.issuer == old.certificate.subject && !cross.isSelfIssued)
        let now = CertificateTests.year.notBefore + 60
        for root in [old, new] {
            let trust = TLSTrust.workloads(["cluster.local": [root.certificate]])
            #expect(TrustCheck.problem(of: [leaf, between, cross], trusting: trust, now: now) == nil)
        }
        #expect(TrustCheck.problem(of: [leaf, between], trusting: .workloads(["cluster.local": [old.certificate]]), now: now) != nil)
    }
}
