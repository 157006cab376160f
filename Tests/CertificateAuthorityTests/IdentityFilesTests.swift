@testable import CertificateAuthority
import Foundation
import TLS
import Testing

/// A host's certificate outlives whatever happens to the host while a new one is written.
@Suite struct IdentityFilesTests {
    private static let now = AuthorityPlace.now

    private func credentials(_ authority: inout Authority) throws -> TLSCredentials {
        let issued = try authority.issue(to: authority.identity(AuthorityPlace.reviews), now: Self.now)
        return try TLSCredentials(chain: issued.chain, key: #require(issued.key))
    }

    private func read(_ place: AuthorityPlace, _ name: String) -> [UInt8] {
        FileManager.default.contents(atPath: "\(place.path)-id/\(name)").map { Array($0) } ?? []
    }

    private func current(_ place: AuthorityPlace) throws -> TLSCredentials {
        try TLSCredentials(certificatePEM: read(place, "tls.crt"), keyPEM: read(place, "tls.key"))
    }

    /// Stopped after any step, the set is the old one or the new one, never a key with another's certificate.
    @Test func aSetIsReplacedWholeOrNotAtAll() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let path = "\(place.path)-id"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let old = try credentials(&authority)
        let new = try credentials(&authority)
        var sawOld = false
        var isDone = false
        for steps in 0..<40 where !isDone {
            try IdentityFiles(path).prepare()
            try IdentityFiles(path).replace(old, roots: authority.roots)
            do throws(AuthorityError) {
                try IdentityFiles(path, stepsLeft: steps).replace(new, roots: authority.roots)
                isDone = true
            } catch {
                #expect(error.description == "stopped by a test")
            }
            try IdentityFiles(path).prepare()
            let found = try current(place)
            #expect(found.leaf == old.leaf || found.leaf == new.leaf)
            if found.leaf == old.leaf { sawOld = true }
            #expect(try Certificate.chain(pem: read(place, "ca.crt")) == authority.roots)
        }
        #expect(isDone && sawOld)
        #expect(try current(place).leaf == new.leaf)
    }

    /// A lost answer must not cost the token: it is bound to the key that asked.
    @Test func theKeyThatAskedIsKeptUntilThereIsACertificate() throws {
        let place = try AuthorityPlace.created()
        var authority = try place.open()
        let path = "\(place.path)-id"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try IdentityFiles(path).prepare()
        let first = try IdentityFiles(path).pendingKey().pem()
        #expect(try IdentityFiles(path).pendingKey().pem() == first)
        try IdentityFiles(path).replace(credentials(&authority), roots: authority.roots)
        #expect(try IdentityFiles(path).pendingKey().pem() != first)
    }

    @Test func anAuthoritysDirectoryIsLeftAlone() throws {
        let place = try AuthorityPlace.created()
        #expect(throws: AuthorityError.self) { try IdentityFiles(place.path).prepare() }
    }
}
