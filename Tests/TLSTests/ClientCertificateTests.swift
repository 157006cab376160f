import Testing

@testable import TLS

/// What a server demands of its clients' certificates besides an authority.
@Suite struct ClientCertificateTests {
    private static let now: Int64 = 1_800_000_000

    private static func client(_ root: CertificateIssuer, _ key: PrivateKey) throws -> Certificate {
        try root.issue(name: "client", for: key, .server(names: ["client.local"], addresses: []), CertificateTests.year)
    }

    private static func problem(_ leaf: Certificate, _ trust: TLSTrust, _ lists: RevocationLists?) throws -> String? {
        let stores = try TrustStores(trust, lists)
        guard case .failure(let problem) = unsafe stores.verify(leaf, nil, as: .client, now: now) else { return nil }
        return problem.description
    }

    /// An authority without a current list has taken nothing back, as far as anybody knows: nobody of it is let in.
    @Test func listsAreAsked() throws {
        let root = try CertificateTests.root()
        let (good, bad) = (try Self.client(root, PrivateKey.generate()), try Self.client(root, PrivateKey.generate()))
        func lists(_ end: Int64, by issuer: CertificateIssuer) throws -> RevocationLists {
            let entries = [RevocationList.Entry(serial: bad.serial, revokedAt: Self.now - 100)]
            let validity = CertificateIssuer.Validity(notBefore: Self.now - 100, notAfter: end)
            return try RevocationLists(pem: RevocationList.pem(entries, number: 1, by: issuer, validity))
        }
        let trust = TLSTrust.roots([root.certificate])
        #expect(try Self.problem(bad, trust, nil) == nil)
        let current = try lists(Self.now + 100, by: root)
        #expect(try Self.problem(good, trust, current) == nil)
        #expect(try Self.problem(bad, trust, current)?.contains("revoked") == true)
        #expect(try Self.problem(good, trust, lists(Self.now - 1, by: root))?.contains("CRL has expired") == true)
        #expect(try Self.problem(good, trust, lists(Self.now + 100, by: CertificateTests.root("other")))?.contains("unable to get") == true)
    }

    /// Of a mesh: an intermediate that is newer than the lists at hand is believed, and a list decides on its own authority's alone.
    @Test func listedAuthoritiesDecideOnTheirOwn() throws {
        let mesh = try TLSMesh()
        let id = "spiffe://cluster.local/ns/default/sa/reviews"
        let (good, bad) = (try mesh.credentials(id).leaf, try mesh.credentials(id).leaf)
        let entries = [RevocationList.Entry(serial: bad.serial, revokedAt: Self.now - 100)]
        func lists(by issuer: CertificateIssuer) throws -> RevocationLists {
            try RevocationLists(pem: RevocationList.pem(entries, number: 1, by: issuer, CertificateTests.year))
        }
        func problem(_ leaf: Certificate, _ lists: RevocationLists?) throws -> String? {
            let stores = try TrustStores(.workloads(["cluster.local": [mesh.root.certificate]]), lists, .listedAuthorities)
            guard case .failure(let problem) = unsafe stores.verify(leaf, nil, as: .client, now: Self.now) else { return nil }
            return problem.description
        }
        let (own, other) = (try lists(by: mesh.root), try lists(by: CertificateTests.root("other")))
        #expect(try problem(bad, nil) == nil && problem(good, own) == nil && problem(bad, other) == nil)
        #expect(try problem(bad, own) == "certificate revoked: serial \(bad.serial)")
        #expect(own.revoke(bad) && !own.revoke(good) && !other.revoke(bad))
    }

    /// A ticket that was given under other lists would let a revoked client in without a look at its certificate.
    @Test func otherListsResumeNothing() throws {
        let mesh = try TLSMesh()
        var settings = try mesh.settings("spiffe://cluster.local/ns/default/sa/reviews")
        let keys = TicketKeys()
        var names: Set<[UInt8]> = []
        for serial in ["", "01", "02"] {
            let entries = serial.isEmpty ? [] : [RevocationList.Entry(serial: serial, revokedAt: Self.now)]
            settings.revocations = try RevocationLists(pem: RevocationList.pem(entries, number: 1, by: mesh.root, CertificateTests.year))
            settings.resumeSessions(of: "reviews", with: keys)
            names.insert(settings.resumptionContext)
        }
        settings.revocations = nil
        settings.resumeSessions(of: "reviews", with: keys)
        names.insert(settings.resumptionContext)
        #expect(names.count == 4)
    }

    @Test(arguments: ["", "hello", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"]) func whatIsNoListIsAnError(_ text: String) {
        #expect(throws: TLSError.self) { try RevocationLists(pem: Array(text.utf8)) }
    }

    /// One sum that fits is enough, of either kind.
    @Test func pins() throws {
        let root = try CertificateTests.root()
        let key = try PrivateKey.generate()
        let (leaf, other) = (try Self.client(root, key), try Self.client(root, PrivateKey.generate()))
        let sums = (try Self.client(root, key).publicKeyFingerprint, leaf.fingerprint)
        #expect(sums.0.count == 32 && sums.0 == leaf.publicKeyFingerprint && sums.0 != other.publicKeyFingerprint)
        #expect(CertificatePins().allow(leaf))
        #expect(CertificatePins(publicKeys: [other.publicKeyFingerprint, sums.0]).allow(leaf))
        #expect(CertificatePins(publicKeys: [other.publicKeyFingerprint], certificates: [sums.1]).allow(leaf))
        #expect(!CertificatePins(publicKeys: [other.publicKeyFingerprint]).allow(leaf))
        #expect(!CertificatePins(publicKeys: [sums.1], certificates: [sums.0]).allow(leaf))
    }

    /// Two certificates of one kind would silently be one.
    @Test func certificatesOfOneKindAreRefused() throws {
        let root = try CertificateTests.root()
        func credentials(_ kind: PrivateKey.Kind) throws -> TLSCredentials {
            let key = try PrivateKey.generate(kind)
            return try TLSCredentials(chain: [Self.client(root, key)], key: key)
        }
        var settings = TLSSettings()
        settings.credentials = try credentials(.ecdsa)
        settings.otherCredentials = try credentials(.ecdsa)
        #expect(throws: TLSError.self) { try TLSContext(.server, settings) }
        settings.otherCredentials = try credentials(.rsa(bits: 2048))
        _ = try TLSContext(.server, settings)
    }
}
