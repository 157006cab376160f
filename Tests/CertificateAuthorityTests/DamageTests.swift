@testable import CertificateAuthority
import Foundation
import TLS
import Testing

/// Whatever happens to the files, there is an authority or a word about why there is none.
@Suite struct DamageTests {
    static let now = AuthorityPlace.now

    /// A process may end between any two steps: the next one finds the old authority or the new one, whole, and can go on.
    @Test(arguments: ["rotate", "root", "issue", "revoke"]) func anEndBetweenTwoStepsLeavesOneWholeAuthority(_ operation: String) throws {
        let original = try AuthorityPlace.created()
        do {
            var authority = try original.open()
            _ = try authority.issue(to: authority.identity(AuthorityPlace.reviews), now: Self.now)
        }
        let before = try original.open().certificate
        var (stops, olds, news) = (0, 0, 0)
        for steps in 0..<100 {
            let place = try original.copy()
            var isDone = true
            do {
                var authority = try Authority(openIn: PrivateDirectory(place.path, stepsLeft: steps))
                switch operation {
                case "rotate": try authority.rotateIntermediate(now: Self.now)
                case "root": try authority.rotateRoot(now: Self.now)
                case "issue": _ = try authority.issue(to: authority.identity("default/other"), now: Self.now)
                default: _ = try authority.revoke(AuthorityPlace.reviews, now: Self.now)
                }
            } catch {
                try #require("\(error)" == "stopped by a test")
                isDone = false
                stops += 1
            }
            var found = try place.open()
            #expect(found.problem(now: Self.now) == nil && found.rootKeyState == .matching, "after \(steps) steps")
            let names = FileManager.default.subpaths(atPath: place.path) ?? []
            #expect(!names.contains { $0.hasPrefix("next") }, "after \(steps) steps")
            #expect(found.issued.contains { $0.names == ["spiffe://cluster.local/ns/default/sa/reviews"] })
            if found.certificate == before { olds += 1 } else { news += 1 }
            let issued = try found.issue(to: found.identity("default/next"), now: Self.now)
            #expect(objection(to: issued, roots: found.roots) == nil)
            if isDone { break }
        }
        #expect(stops >= (operation == "issue" ? 2 : 4))
        if ["rotate", "root"].contains(operation) { #expect(olds > 5 && news > 5, "\(olds) \(news)") }
    }

    @Test func anEndWhileItIsMadeLeavesNothingOrAll() throws {
        var stops = 0
        for steps in 0..<100 {
            let place = try AuthorityPlace()
            do {
                _ = try Authority.create(
                    in: PrivateDirectory(place.path, stepsLeft: steps), trustDomain: "cluster.local", .ecdsa,
                    rootSeconds: UnixTime.day, now: Self.now)
                break
            } catch { stops += 1 }
            if let found = try? place.open() {
                #expect(found.problem(now: Self.now) == nil)
            } else {
                _ = try Authority.create(in: place.path, trustDomain: "cluster.local", now: Self.now)
            }
        }
        #expect(stops > 10)
    }

    /// Cut or flipped anywhere: a value or an error, never the end of the process.
    @Test(arguments: AuthorityFile.allCases) func damageIsSaid(_ file: AuthorityFile) throws {
        let place = try AuthorityPlace.created()
        do {
            var authority = try place.open()
            _ = try authority.issue(to: authority.identity(AuthorityPlace.reviews), now: Self.now)
        }
        let whole = place.bytes(file.rawValue)
        for length in stride(from: 0, to: whole.count, by: 41) {
            try place.put(file.rawValue, Array(whole[..<length]))
            _ = try? place.open()
            var flipped = whole
            flipped[length] ^= 0x15
            try place.put(file.rawValue, flipped)
            _ = try? place.open()
        }
        for name in [AuthorityFile.key, .certificate, .roots] where file == name {
            try place.put(file.rawValue, [])
            #expect { try place.open() } throws: { "\($0)".contains(file.rawValue) }
            try place.remove(file.rawValue)
            #expect { try place.open() } throws: { "\($0)".contains(file.rawValue) }
        }
    }

    @Test func aKeyOfAnotherCertificateIsRefused() throws {
        let place = try AuthorityPlace.created()
        try place.put("ca-key.pem", PrivateKey.generate().pem())
        #expect { try place.open() } throws: { "\($0)".contains("ca-key.pem is not the key of ca-cert.pem") }
    }

    @Test func aKeyThatEverybodyMayWriteIsNobodys() throws {
        let place = try AuthorityPlace.created()
        unsafe chmod("\(place.path)/ca-key.pem", 0o666)
        #expect { try place.open() } throws: { "\($0)".contains("chmod 600") }
    }

    @Test func theLockIsOneHolders() throws {
        let place = try AuthorityPlace.created()
        let held = try place.open()
        let other = DirectoryLock(unsafe open("\(place.path)/lock", O_RDWR | O_CLOEXEC))
        other.attempt()
        #expect(!other.isHeld && held.path == place.path)
        withExtendedLifetime(held) {}
    }

    @Test func noSecretIsInWordsAboutIt() throws {
        let place = try AuthorityPlace.created()
        let authority = try place.open()
        #expect(!"\(authority)".contains("PRIVATE KEY"))
    }
}
