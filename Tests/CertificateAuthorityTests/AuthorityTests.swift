@testable import CertificateAuthority
import TLS
import Testing

/// What an authority issues is believed by whoever has its roots, and by nobody else.
@Suite struct AuthorityTests {
    static let now = AuthorityPlace.now

    @Test(arguments: [PrivateKey.Kind.ecdsa, .rsa(bits: 2048)]) func aNewAuthorityIsByTheBook(_ kind: PrivateKey.Kind) throws {
        let place = try AuthorityPlace.created(kind)
        let authority = try place.open()
        #expect(authority.trustDomain == "cluster.local" && authority.rootKeyState == .matching && authority.issued.isEmpty)
        #expect(authority.roots == [authority.root] && authority.root.isSelfIssued && authority.root.isAuthority)
        #expect(authority.certificate.isAuthority && authority.certificate.issuer == authority.root.subject)
        #expect(authority.root.notAfter == Self.now + 3650 * UnixTime.day)
        #expect(authority.certificate.notAfter == Self.now + 365 * UnixTime.day)
        #expect(place.mode("") == 0o700)
        for name in place.contents.keys { #expect(place.mode(name) == 0o600, "\(name)") }
    }

    @Test func aSecondAuthorityOverwritesNothing() throws {
        let place = try AuthorityPlace.created()
        let before = place.contents
        #expect(throws: AuthorityError.self) { try Authority.create(in: place.path, trustDomain: "other", now: Self.now) }
        #expect(place.contents == before)
    }

    /// A certificate's names have 64 bytes (RFC 5280, upper bounds); a trust domain may have 255.
    @Test func aLongTrustDomainFits() throws {
        let place = try AuthorityPlace()
        var authority = try Authority.create(in: place.path, trustDomain: String(repeating: "a", count: 255), now: Self.now)
        let issued = try authority.issue(to: authority.identity(AuthorityPlace.reviews), now: Self.now)
        #expect(try SVIDRules.identity(of: issued.chain[0], as: .server).trustDomain == authority.trustDomain)
    }

    @Test(arguments: ["", "Cluster.Local", "a/b", "a b", "cluster.local:80"]) func whatIsNoTrustDomainIsRefused(_ text: String) throws {
        let place = try AuthorityPlace()
        #expect(throws: AuthorityError.self) { try Authority.create(in: place.path, trustDomain: text, now: Self.now) }
    }

    @Test func aWorkloadGetsThreeFilesThatBelongTogether() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let issued = try authority.issue(to: authority.identity(AuthorityPlace.reviews), now: Self.now)
        #expect(objection(to: issued, roots: authority.roots) == nil && !issued.isShortened)
        #expect(try SVIDRules.identity(of: issued.chain[0], as: .client).principal == "cluster.local/ns/default/sa/reviews")
        #expect(issued.chain[0].notAfter == Self.now + UnixTime.day && issued.chain[0].notBefore == Self.now - 120)
        let out = try AuthorityPlace()
        try issued.write(to: out.path)
        try issued.write(to: out.path)
        #expect(out.mode("tls.key") == 0o600 && out.contents.keys.sorted() == ["ca.crt", "tls.crt", "tls.key"])
        let credentials = try TLSCredentials(certificatePEM: out.bytes("tls.crt"), keyPEM: out.bytes("tls.key"))
        #expect(credentials.chain == issued.chain)
        #expect(try Certificate.chain(pem: out.bytes("ca.crt")) == authority.roots)
        let stranger = try AuthorityPlace.created().open()
        #expect(objection(to: issued, roots: stranger.roots) != nil)
        #expect(throws: AuthorityError.self, "into the authority's own directory") { try issued.write(to: place.path) }
    }

    @Test(arguments: [
        "reviews", "a/b/c", "/reviews", "default/", "default/..", "spiffe://cluster.local", "spiffe://other/ns/a/sa/b", "a b/c",
    ])
    func whatIsNoIdentityIsRefused(_ text: String) throws {
        let authority = try AuthorityPlace.created().open()
        #expect(throws: AuthorityError.self) { try authority.identity(text) }
    }

    @Test func timesHaveBounds() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let id = try authority.identity(AuthorityPlace.reviews)
        for seconds in [Int64.min, -1, 0, 59, 367 * UnixTime.day, .max] {
            #expect(throws: AuthorityError.self) { try authority.issue(to: id, seconds: seconds, now: Self.now) }
        }
        #expect(authority.issued.isEmpty)
        let end = authority.certificate.notAfter
        let last = try authority.issue(to: id, now: end - 3600)
        #expect(last.isShortened && last.chain[0].notAfter == end)
        #expect { try authority.issue(to: id, now: end) } throws: { "\($0)".contains("skein ca rotate") }
    }

    @Test func aRequestSaysWhoseItIs() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let id = try authority.identity(AuthorityPlace.reviews)
        let key = try PrivateKey.generate()
        let request = try CertificateRequest(for: id, key: key)
        let issued = try authority.sign(request, as: nil, now: Self.now)
        #expect(issued.key == nil && key.matches(issued.chain[0]) && objection(to: issued, roots: authority.roots) == nil)
        #expect(try authority.sign(request, as: id, now: Self.now).record.names == [id.description])
        let other = try authority.identity("default/ratings")
        #expect(throws: AuthorityError.self, "not the request's identity") { try authority.sign(request, as: other, now: Self.now) }
        let foreign = try CertificateRequest(for: SPIFFEID("spiffe://other/ns/default/sa/reviews"), key: key)
        #expect(throws: AuthorityError.self) { try authority.sign(foreign, as: nil, now: Self.now) }
        #expect(authority.issued.count == 2)
    }

    @Test func aServersNamesAreNamesAndAddresses() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let issued = try authority.issue(toServer: ["Shop.example.org", "*.example.org", "10.0.0.7", "::1"], now: Self.now)
        #expect(issued.chain[0].alternativeNames(.dns) == ["shop.example.org", "*.example.org"].map { Array($0.utf8) })
        #expect(issued.chain[0].alternativeNames(.address).map(\.count) == [4, 16])
        #expect(TrustCheck.problem(of: issued.chain, trusting: .roots(authority.roots), now: Self.now) == nil)
        // A name goes into OpenSSL's language for extensions: what means something there is no name.
        for name in ["a,URI:spiffe://cluster.local/ns/a/sa/b", "", "a b", "*", "*.org.*", "-a", "a..b", "@section", "a\nb", "a\u{0}"] {
            #expect(throws: AuthorityError.self, "\(name)") { try authority.issue(toServer: [name], now: Self.now) }
        }
        #expect(throws: AuthorityError.self) { try authority.issue(toServer: [], now: Self.now) }
        #expect(throws: AuthorityError.self) { try authority.issue(toServer: Array(repeating: "a", count: 65), now: Self.now) }
    }

    @Test func revokedIsWhatWasValid() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let id = try authority.identity(AuthorityPlace.reviews)
        let first = try authority.issue(to: id, now: Self.now).record
        let second = try authority.issue(to: id, now: Self.now + 10).record
        let shop = try authority.issue(toServer: ["shop.example.org"], now: Self.now).record
        let empty = place.bytes("ca-crl.pem")
        #expect(try authority.revoke(String(first.serial.prefix(12)), now: Self.now + 20).map(\.serial) == [first.serial])
        #expect(try authority.revoke(AuthorityPlace.reviews, now: Self.now + 30).map(\.serial) == [second.serial])
        #expect(try authority.revoke("shop.example.org", now: Self.now + 30).map(\.serial) == [shop.serial])
        #expect(place.bytes("ca-crl.pem").count > empty.count)
        for text in ["default/reviews", "default/nobody", "ffffffff", "shop.example.org", "4"] {
            #expect(throws: AuthorityError.self, "\(text)") { try authority.revoke(text, now: Self.now + 40) }
        }
        #expect(authority.issued.allSatisfy { $0.state(now: Self.now + 40) == .revoked })
        let again = try reopened(&authority, place)
        #expect(again.issued.count == 3 && again.issued.allSatisfy { $0.state(now: Self.now + 40) == .revoked })
    }

    /// Istio's own directory: no trust domain, no log, perhaps no chain.
    @Test(arguments: [true, false]) func istiosDirectoryIsTakenAsItIs(hasIntermediate: Bool) throws {
        let place = try AuthorityPlace()
        var directory = PrivateDirectory(place.path)
        try directory.make()
        let period = CertificateIssuer.Validity(notBefore: Self.now - 10, notAfter: Self.now + 1000 * UnixTime.day)
        let root = try CertificateIssuer.root(name: "Root CA", organization: "Istio", key: .generate(.rsa(bits: 2048)), period)
        let key = try hasIntermediate ? PrivateKey.generate(.rsa(bits: 2048)) : root.key
        let signing = try hasIntermediate ? root.issue(name: "Istio CA", for: key, .authority(pathLength: 0), period) : root.certificate
        try place.put("ca-cert.pem", signing.pem())
        try place.put("ca-key.pem", key.pem())
        try place.put("root-cert.pem", root.certificate.pem())
        try place.put("cert-chain.pem", hasIntermediate ? signing.pem() + root.certificate.pem() : [])
        var authority = try place.open()
        let issued = try authority.issue(to: authority.identity(AuthorityPlace.reviews), now: Self.now)
        #expect(issued.chain.count == (hasIntermediate ? 2 : 1) && issued.key?.kind == .rsa(bits: 2048))
        #expect(objection(to: issued, roots: [root.certificate]) == nil)
        if hasIntermediate {
            let before = place.contents
            #expect { try authority.rotateIntermediate(now: Self.now) } throws: { "\($0)".contains("root-key.pem") }
            #expect(place.contents == before)
            try place.put("root-key.pem", root.key.pem())
        }
        authority = try reopened(&authority, place)
        try authority.rotateIntermediate(now: Self.now)
        #expect(authority.root == root.certificate && authority.rootKeyState == .matching && authority.certificate != signing)
        let next = try authority.issue(to: authority.identity(AuthorityPlace.reviews), now: Self.now)
        #expect(objection(to: next, roots: [root.certificate]) == nil)
    }
}
