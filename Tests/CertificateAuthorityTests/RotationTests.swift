@testable import CertificateAuthority
import TLS
import Testing

/// At no moment of a rotation do two workloads of the mesh disbelieve each other.
@Suite struct RotationTests {
    static let now = AuthorityPlace.now

    private func issue(_ authority: inout Authority, _ account: String) throws -> IssuedSet {
        try authority.issue(to: authority.identity("default/\(account)"), now: Self.now)
    }

    @Test func intermediatesChangeUnderOneRoot() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let before = try issue(&authority, "a")
        let old = authority.certificate
        try authority.rotateIntermediate(now: Self.now)
        let after = try issue(&authority, "b")
        #expect(authority.certificate != old && before.roots == after.roots)
        for issued in [before, after] { #expect(objection(to: issued, roots: before.roots) == nil) }
    }

    /// Everybody believes everybody, over three roots, whether they renewed in between or not.
    @Test func rootsOverlap() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        var sets = [try issue(&authority, "first")]
        for number in 0..<3 {
            try authority.rotateRoot(now: Self.now)
            sets.append(try issue(&authority, "renewed\(number)"))
            try authority.rotateIntermediate(now: Self.now)
            sets.append(try issue(&authority, "again\(number)"))
        }
        #expect(authority.roots.count == 4)
        for issued in sets {
            for other in sets { #expect(objection(to: issued, roots: other.roots) == nil, "\(issued.record.names) \(other.record.names)") }
        }
    }

    @Test func oldRootsAreForgottenWhenNobodyNeedsThem() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        #expect(throws: AuthorityError.self, "there is one root") { try authority.forgetOldRoots(anyway: false, now: Self.now) }
        let old = try issue(&authority, "a")
        try authority.rotateRoot(now: Self.now)
        let new = try issue(&authority, "a")
        #expect(authority.issuedUnderOldRoots(now: Self.now).map(\.serial) == [old.record.serial])
        #expect { try authority.forgetOldRoots(anyway: false, now: Self.now) } throws: { "\($0)".contains("/sa/a") }
        let forced = try place.copy()
        // As if the process had ended: the lock goes with the object.
        let later = Self.now + UnixTime.day + 1
        try authority.forgetOldRoots(anyway: false, now: later)
        #expect(authority.roots == [authority.root])
        let last = try authority.issue(to: authority.identity("default/a"), now: later)
        #expect(last.chain.count == 2 && objection(to: last, roots: new.roots, now: later) == nil)
        #expect(objection(to: last, roots: old.roots, now: later) != nil)
        var other = try forced.open()
        try other.forgetOldRoots(anyway: true, now: Self.now)
        #expect(other.roots == [other.root])
    }

    /// Late, and still a way out.
    @Test func aRootWhoseTimeIsOverIsReplaced() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let later = Self.now + 3651 * UnixTime.day
        let id = try authority.identity("default/a")
        #expect { try authority.issue(to: id, now: later) } throws: { "\($0)".contains("skein ca rotate") }
        #expect { try authority.rotateIntermediate(now: later) } throws: { "\($0)".contains("skein ca rotate --root") }
        try authority.rotateRoot(now: later)
        #expect(authority.roots == [authority.root] && authority.root.notAfter == later + 3650 * UnixTime.day)
        #expect(objection(to: try authority.issue(to: id, now: later), roots: authority.roots, now: later) == nil)
    }

    @Test func rootsHaveABound() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        for _ in 1..<8 { try authority.rotateRoot(now: Self.now) }
        #expect { try authority.rotateRoot(now: Self.now) } throws: { "\($0)".contains("--forget-roots") }
        let issued = try issue(&authority, "a")
        for root in authority.roots { #expect(objection(to: issued, roots: [root]) == nil) }
    }

    @Test func withoutTheRootsKeyNothingChanges() throws {
        let place = try AuthorityPlace.created()
        try place.remove("root-key.pem")
        let before = place.contents
        var authority = try place.open()
        #expect(authority.rootKeyState == .absent)
        #expect { try authority.rotateRoot(now: Self.now) } throws: { "\($0)".contains("root-key.pem") }
        #expect(try issue(&authority, "a").chain.count == 2)
        try place.put("root-key.pem", PrivateKey.generate().pem())
        authority = try reopened(&authority, place)
        #expect(authority.rootKeyState == .foreign)
        #expect(throws: AuthorityError.self) { try authority.rotateIntermediate(now: Self.now) }
        #expect(place.bytes("ca-cert.pem") == before["ca-cert.pem"])
    }

    /// What an earlier intermediate took back stays on a list for as long as it matters.
    @Test func listsOutliveTheirIntermediate() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let first = try issue(&authority, "a").record
        _ = try authority.revoke(first.serial, now: Self.now)
        let list = place.bytes("ca-crl.pem")
        try authority.rotateIntermediate(now: Self.now)
        #expect(place.bytes("retired-crl.pem") == list && place.bytes("ca-crl.pem").suffix(list.count).elementsEqual(list))
        #expect(!authority.isListed(first))
        let second = try issue(&authority, "b").record
        _ = try authority.revoke(second.serial, now: Self.now + 1)
        #expect(place.bytes("ca-crl.pem").suffix(list.count).elementsEqual(list) && authority.isListed(second))
        try authority.rotateIntermediate(now: Self.now + 2 * UnixTime.day)
        #expect(place.bytes("retired-crl.pem").isEmpty)
    }
}
