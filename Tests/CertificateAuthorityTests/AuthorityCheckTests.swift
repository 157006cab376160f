@testable import CertificateAuthority
import Foundation
import TLS
import Testing

/// An operator hears of it before it fails, and what to do.
@Suite struct AuthorityCheckTests {
    static let now = AuthorityPlace.now

    private func bad(_ place: AuthorityPlace, after days: Int64 = 0) -> [String] {
        AuthorityCheck.findings(of: place.path, now: Self.now + days * UnixTime.day).filter { $0.state != .good }
            .map { "\($0.state): \($0.text): \($0.hint ?? "no hint")" }
    }

    @Test func aFreshOneIsGood() throws {
        let place = try AuthorityPlace.created()
        #expect(bad(place).isEmpty)
        try place.remove("root-key.pem")
        #expect(bad(place).isEmpty, "the root's key is better kept elsewhere")
    }

    @Test func endsAreWarnedOf() throws {
        let place = try AuthorityPlace.created()
        let late = bad(place, after: 250)
        #expect(late.count == 1 && late[0].hasPrefix("warning: the signing certificate") && late[0].contains("skein ca rotate"))
        let over = bad(place, after: 366)
        #expect(over.count == 2 && over.allSatisfy { $0.hasPrefix("failure") } && over[1].contains("is believed"))
        #expect(bad(place, after: 3600).contains { $0.hasPrefix("warning: the root") && $0.contains("--root") })
        #expect(bad(place, after: 3651).contains { $0.hasPrefix("failure: the root") })
    }

    @Test func whoWasNotRenewedIsNamed() throws {
        let place = try AuthorityPlace.created()
        do {
            var authority = try place.open()
            for account in ["a", "b"] {
                _ = try authority.issue(to: authority.identity("default/\(account)"), seconds: 9 * UnixTime.day, now: Self.now)
            }
            _ = try authority.issue(to: authority.identity("default/b"), seconds: 9 * UnixTime.day, now: Self.now + 5 * UnixTime.day)
        }
        let late = bad(place, after: 7)
        #expect(late.count == 1 && late[0].contains("/sa/a") && !late[0].contains("/sa/b"))
        #expect(bad(place, after: 20).isEmpty, "what has expired is used by nobody")
    }

    @Test func rightsAreLookedAt() throws {
        let place = try AuthorityPlace.created()
        unsafe chmod("\(place.path)/ca-key.pem", 0o640)
        #expect(bad(place).count == 1 && bad(place)[0].hasPrefix("warning") && bad(place)[0].contains("chmod 600"))
        unsafe chmod("\(place.path)/ca-key.pem", 0o660)
        #expect(bad(place).count == 1 && bad(place)[0].hasPrefix("failure"))
        unsafe chmod("\(place.path)/ca-key.pem", 0o600)
        unsafe chmod(place.path, 0o770)
        #expect(bad(place).count == 1 && bad(place)[0].contains("chmod 700"))
    }

    @Test func whatIsNoAuthorityIsOneFailure() throws {
        #expect(bad(try AuthorityPlace()).count == 1)
        let place = try AuthorityPlace.created()
        try place.put("root-cert.pem", CertificateIssuer.root(
            name: "other", organization: "x", key: .generate(), .init(notBefore: Self.now - 9, notAfter: Self.now + 90 * UnixTime.day)
        ).certificate.pem())
        #expect(bad(place).contains { $0.contains("is believed") })
    }
}
