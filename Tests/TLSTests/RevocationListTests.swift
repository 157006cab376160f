import Testing

@testable import TLS

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

    /// An authority above the peer counts as the peer itself, also on a connection that goes on by a ticket.
    @Test(arguments: [TLSSettings.Version.tls12, .tls13]) func theAuthoritiesAboveAreKept(version: TLSSettings.Version) throws {
        let mesh = try TLSMesh()
        let key = try PrivateKey.generate()
        let between = try mesh.root.issue(name: "between", for: key, .authority(pathLength: 0), mesh.validity)
        let signing = try #require(CertificateIssuer(between, key: key))
        let leafKey = try PrivateKey.generate()
        let id = try SPIFFEID("spiffe://cluster.local/ns/default/sa/thief")
        let leaf = try signing.issue(name: "", for: leafKey, .workload(id), mesh.validity)
        var client = try mesh.settings("spiffe://cluster.local/ns/default/sa/other")
        client.credentials = try TLSCredentials(chain: [leaf, between], key: leafKey)
        var server = try mesh.settings("spiffe://cluster.local/ns/default/sa/reviews")
        (server.ticketKeys, server.resumptionContext) = (TicketKeys(), [1])
        (server.versions, client.versions) = (version...version, version...version)
        func lists(_ revoked: Certificate, by issuer: CertificateIssuer) throws -> RevocationLists {
            let entry = RevocationList.Entry(serial: revoked.serial, revokedAt: mesh.validity.notBefore)
            return try RevocationLists(pem: RevocationList.pem([entry], number: 1, by: issuer, mesh.validity))
        }
        let other = try mesh.root.issue(name: "other", for: PrivateKey.generate(), .authority(pathLength: 0), mesh.validity)
        let kept = KeptSession()
        for resumed in [false, true] {
            let pair = try TLSPair(server, client, resuming: kept)
            let progress = pair.shakeHands()
            try #require(progress == (.done, .done), "\(pair.server.failure ?? "")")
            _ = TLSPair.send([1], pair.server)
            #expect(TLSPair.receive(pair.client).bytes == [1] && pair.server.isResumed == resumed)
            let peer = try #require(pair.server.peer)
            #expect(try lists(between, by: mesh.root).revoke(peer) && lists(leaf, by: signing).revoke(peer))
            #expect(try !lists(other, by: mesh.root).revoke(peer) && !lists(between, by: signing).revoke(peer))
            pair.client.end()
            pair.server.end()
        }
    }

    /// What a ticket holds is sealed by ourselves; nothing that is no list of numbers is taken for one all the same.
    @Test func numbersAreReadAsTheyWereWritten() throws {
        let root = try CertificateTests.root()
        let numbers = try (0..<3).map { _ in
            CertificateNumber(try root.issue(name: "x", for: PrivateKey.generate(), .authority(pathLength: 0), CertificateTests.year))
        }
        let bytes = try #require(CertificateNumber.encode(numbers))
        #expect(CertificateNumber.decode(bytes[...]) == numbers && CertificateNumber.decode([]) == [])
        let ends = numbers.indices.map { CertificateNumber.encode(Array(numbers[...$0]))?.count ?? 0 }
        for count in 1..<bytes.count where !ends.contains(count) { #expect(CertificateNumber.decode(bytes.prefix(count)) == nil) }
        #expect(CertificateNumber.encode(Array(repeating: numbers[0], count: 100)) == nil)
    }
}
