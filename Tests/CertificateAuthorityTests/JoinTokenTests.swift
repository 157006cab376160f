@testable import CertificateAuthority
import TLS
import Testing

/// A token gets one host one workload's first certificate, and nothing else.
@Suite struct JoinTokenTests {
    static let now = AuthorityPlace.now

    private func request(_ account: String = "reviews", key: PrivateKey? = nil) throws -> CertificateRequest {
        let id = try #require(SPIFFEID(trustDomain: "cluster.local", namespace: "default", serviceAccount: account))
        return try CertificateRequest(for: id, key: key ?? .generate())
    }

    private func refusal(
        _ authority: inout Authority, _ token: JoinToken, _ request: CertificateRequest, now: Int64 = Self.now
    ) -> String? {
        do throws(AuthorityError) {
            _ = try authority.sign(request, with: token, now: now)
            return nil
        } catch {
            return "\(error.kind): \(error)"
        }
    }

    @Test func itsTextIsReadBack() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let token = try authority.makeToken(for: authority.identity("default/reviews"), now: Self.now)
        #expect(JoinToken(Array(" \(token.text)\n".utf8)) == token)
        #expect(token.pin == authority.root.publicKeyFingerprint)
        // Cut short, or with a character changed, it is none or another one: never a trap.
        let bytes = Array(token.text.utf8)
        for count in 0..<bytes.count { if let other = JoinToken(Array(bytes[..<count])) { #expect(other != token) } }
        for place in bytes.indices {
            var changed = bytes
            changed[place] ^= 1
            if let other = JoinToken(changed) { #expect(other != token) }
        }
        #expect(JoinToken(Array(repeating: 0x3A, count: 100)) == nil && JoinToken([]) == nil && JoinToken([0x20]) == nil)
    }

    @Test func itIsUsedOnceAlsoAfterARestart() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let token = try authority.makeToken(for: authority.identity("default/reviews"), now: Self.now)
        #expect(place.mode("tokens") == 0o600)
        #expect(!String(decoding: place.bytes("tokens"), as: UTF8.self).contains(Hexadecimal.text(token.secret)), "only a hash is kept")
        let key = try PrivateKey.generate()
        let issued = try authority.sign(request(key: key), with: token, now: Self.now)
        #expect(issued.record.names == ["spiffe://cluster.local/ns/default/sa/reviews"])
        #expect(objection(to: issued, roots: authority.roots) == nil)
        var again = try reopened(&authority, place)
        #expect(try refusal(&again, token, request())?.contains("used for another key") == true)
        // The answer may have been lost: the same key gets another certificate.
        #expect(try refusal(&again, token, request(key: key)) == nil)
        #expect(try refusal(&again, token, request(key: key), now: Self.now + 3601)?.contains("expired") == true)
    }

    @Test func whatDoesNotFitUsesNothingUp() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let id = try authority.identity("default/reviews")
        let token = try authority.makeToken(for: id, seconds: 60, now: Self.now)
        #expect(try refusal(&authority, token, request("ratings"))?.hasPrefix("forbidden") == true)
        let other = JoinToken(id: token.id, expiresAt: token.expiresAt, pin: token.pin, secret: token.secret.reversed(), identity: id)
        #expect(try refusal(&authority, other, request())?.hasPrefix("unauthenticated") == true)
        // Its own word of its end and of its workload counts for nothing.
        let later = JoinToken(id: token.id, expiresAt: .max, pin: token.pin, secret: token.secret, identity: id)
        #expect(try refusal(&authority, later, request(), now: Self.now + 61)?.contains("expired") == true)
        let ratings = try authority.identity("default/ratings")
        let stolen = JoinToken(id: token.id, expiresAt: token.expiresAt, pin: token.pin, secret: token.secret, identity: ratings)
        #expect(try refusal(&authority, stolen, request("ratings"))?.contains("another workload") == true)
        #expect(try refusal(&authority, token, request()) == nil)
    }

    @Test func theyAreBounded() throws {
        var table = TokenTable()
        let id = try SPIFFEID("spiffe://cluster.local/ns/default/sa/reviews")
        func token(_ number: Int, until end: Int64) -> JoinToken {
            let digits = String(number, radix: 16)
            let name = String(repeating: "0", count: 16 - digits.count) + digits
            return JoinToken(id: name, expiresAt: end, pin: [], secret: [UInt8](repeating: 7, count: 32), identity: id)
        }
        for number in 0..<TokenTable.countMax {
            let isAdded = table.add(token(number, until: 100), now: 0)
            #expect(isAdded)
        }
        let isOneMoreAdded = table.add(token(9999, until: 100), now: 100)
        #expect(!isOneMoreAdded && table.bytes.count <= TokenTable.bytesMax)
        #expect(try TokenTable(table.bytes, file: "tokens").entries == table.entries)
        let isLateAdded = table.add(token(9999, until: 200), now: 101)
        #expect(isLateAdded && table.entries.count == 1, "what is over makes room")
    }

    @Test func aRevokedCertificateRenewsNothing() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let id = try authority.identity("default/reviews")
        let issued = try authority.sign(request(), as: id, now: Self.now)
        _ = try authority.sign(request(), renewing: issued.record.serial, of: id, now: Self.now)
        let serial = issued.record.serial
        #expect(throws: AuthorityError.self) { try authority.sign(request("ratings"), renewing: serial, of: id, now: Self.now) }
        _ = try authority.revoke(serial, now: Self.now)
        #expect(throws: AuthorityError.self) { try authority.sign(request(), renewing: serial, of: id, now: Self.now) }
    }
}
