import CertificateAuthority
import CertificateExchange
import Foundation
import Primitives
import TLS
import Testing

/// Both ends of the protocol, over real connections; the host's clock is the test's.
@Suite struct CertificateServerTests {
    private final class Place {
        let path: String
        let server: CertificateServer
        private let directory: URL

        init() throws {
            directory = FileManager.default.temporaryDirectory.appendingPathComponent("skein-serve-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            path = directory.path + "/ca"
            do {
                _ = try Authority.create(in: path, trustDomain: "cluster.local", now: Place.now)
            }
            let endpoint = try #require(SocketEndpoint(address: "127.0.0.1", port: 0))
            server = try CertificateServer(
                directory: path, endpoints: [endpoint], names: ["localhost"], seconds: 3600, log: { _ in }, warn: { _ in })
        }

        deinit {
            server.stop()
            try? FileManager.default.removeItem(at: directory)
        }

        static var now: Int64 { Int64(Date().timeIntervalSince1970) }

        var client: CertificateClient {
            CertificateClient(host: "127.0.0.1", port: server.endpoints[0].port, trustDomain: "cluster.local")
        }

        func token(_ workload: String = "default/reviews") throws -> JoinToken {
            var authority = try Authority(openIn: path)
            return try authority.makeToken(for: authority.identity(workload), now: Place.now)
        }
    }

    private func failure(_ body: () throws -> Void) -> ExchangeError? {
        do { try body() } catch { return error as? ExchangeError }
        return nil
    }

    @Test func aFirstCertificateThenRenewals() throws {
        let place = try Place()
        let token = try place.token()
        let first = try place.client.first(token, key: .generate(), now: Place.now)
        let key = try PrivateKey.generate()
        let second = try place.client.renew(first.credentials, token.identity, roots: first.roots, key: key, now: Place.now)
        #expect(second.credentials.leaf != first.credentials.leaf && key.matches(second.credentials.leaf))
        #expect(second.credentials.leaf.notAfter - second.credentials.leaf.notBefore == 3720)
        // Renewing what is revoked is refused, once the server has seen it.
        var authority = try Authority(openIn: place.path)
        _ = try authority.revoke(first.credentials.leaf.serial, now: Place.now)
        authority = try Authority.create(in: place.path + "-other", trustDomain: "cluster.local", now: Place.now)
        let refused = failure {
            _ = try place.client.renew(first.credentials, token.identity, roots: first.roots, key: .generate(), now: Place.now)
        }
        #expect(refused?.kind == .refused && refused?.description.contains("revoked") == true)
    }

    /// What a host whose clock is wrong learns.
    @Test func clocksThatDifferAreNamed() throws {
        let place = try Place()
        let behind = try place.token()
        let late = failure { _ = try place.client.first(behind, key: .generate(), now: Place.now - 3600) }
        #expect(late?.description.contains("behind the authority's") == true, "\(String(describing: late))")
        // Ahead, it is good for less time.
        let ahead = try place.token()
        let short = failure { _ = try place.client.first(ahead, key: .generate(), now: Place.now + 3000) }
        #expect(short == nil)
        let over = try place.token()
        let expired = failure { _ = try place.client.first(over, key: .generate(), now: Place.now + 7200) }
        #expect(expired?.description.contains("ahead of the authority's") == true, "\(String(describing: expired))")
    }

    @Test func anotherRootGetsNoToken() throws {
        let place = try Place()
        let other = try Place()
        let token = try other.token()
        let refused = failure { _ = try place.client.first(token, key: .generate(), now: Place.now) }
        #expect(refused?.kind == .refused && refused?.description.contains("nothing was sent") == true)
    }

    @Test func oneProcessServesADirectory() throws {
        let place = try Place()
        let endpoint = try #require(SocketEndpoint(address: "127.0.0.1", port: 0))
        #expect(throws: AuthorityError.self) {
            try CertificateServer(directory: place.path, endpoints: [endpoint], names: [], seconds: 3600, log: { _ in }, warn: { _ in })
        }
    }
}
