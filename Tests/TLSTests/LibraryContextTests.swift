@testable import TLS
import Testing

/// Threads with library contexts of their own work with what other threads made.
@Suite struct LibraryContextTests {
    private static let reviews = "spiffe://cluster.local/ns/default/sa/reviews"
    private static let ratings = "spiffe://cluster.local/ns/default/sa/ratings"

    /// A connection from its handshake to its end.
    private static func connect(_ server: TLSSettings, _ client: TLSSettings, _ kept: KeptSession? = nil) throws -> TLSPair {
        let pair = try TLSPair(server, client, resuming: kept)
        let (one, other) = pair.shakeHands()
        try #require(one == .done && other == .done, "\(pair.server.failure ?? "") \(pair.client.failure ?? "")")
        _ = TLSPair.send([1], pair.server)
        #expect(TLSPair.receive(pair.client).bytes == [1])
        // What does not end well is not resumed.
        pair.client.end()
        pair.server.end()
        return pair
    }

    /// Workers seal and open each other's tickets, whatever library they run in.
    @Test(arguments: [TLSSettings.Version.tls12, .tls13]) func ticketsAreGoodInEach(version: TLSSettings.Version) throws {
        let mesh = try TLSMesh()
        var (server, client) = try (mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        (server.ticketKeys, server.resumptionContext) = (TicketKeys(), [1])
        (server.versions, client.versions) = (version...version, version...version)
        let kept = KeptSession()
        try LibraryContext.withOwn {
            #expect(try !Self.connect(server, client, kept).server.isResumed)
            try LibraryContext.withOwn {
                let next = try Self.connect(server, client, kept)
                #expect(next.server.isResumed && next.server.peer?.identity?.description == Self.ratings)
            }
            #expect(try Self.connect(server, client, kept).server.isResumed)
        }
        #expect(try Self.connect(server, client, kept).server.isResumed)
    }

    /// Roots and revocation lists that were read elsewhere decide here.
    @Test func strangersAndTheRevokedAreRefused() throws {
        let (mesh, strangers) = try (TLSMesh(), TLSMesh("others"))
        var server = try mesh.settings(Self.reviews)
        var (client, stranger) = try (mesh.settings(Self.ratings), strangers.settings(Self.ratings))
        stranger.trust = client.trust
        client.versions = .tls12 ... .tls12
        stranger.versions = client.versions
        func refusal(_ client: TLSSettings) throws -> String? {
            try LibraryContext.withOwn {
                let pair = try TLSPair(server, client)
                _ = pair.shakeHands()
                return pair.server.failure
            }
        }
        #expect(try refusal(client) == nil)
        #expect(try refusal(stranger)?.contains("the peer's certificate is refused") == true)
        let serial = try #require(client.credentials).leaf.serial
        for revoked in [[], [RevocationList.Entry(serial: serial, revokedAt: mesh.validity.notBefore)]] {
            server.revocations = try RevocationLists(pem: RevocationList.pem(revoked, number: 1, by: mesh.root, mesh.validity))
            #expect(try refusal(client)?.contains("revoked") == (revoked.isEmpty ? nil : true))
        }
    }

    /// Certificates that a worker was shown outlive it: they are in what other threads hold.
    @Test func whatAThreadReadOutlivesIt() throws {
        let mesh = try TLSMesh()
        let (server, client) = try (mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        let shown = try LibraryContext.withOwn { try #require(Self.connect(server, client).server.peer).certificate }
        let other = try LibraryContext.withOwn { try #require(Self.connect(server, client).server.peer).certificate }
        #expect(shown == other && shown.publicKeyFingerprint == other.publicKeyFingerprint)
        #expect(try Certificate(der: shown.der()) == shown)
        #expect(client.credentials?.key.matches(shown) == true)
    }

    /// Many threads with one key and one set of roots.
    @Test func manyAtOnce() async throws {
        let mesh = try TLSMesh()
        let (server, client) = try (mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        let done = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    try LibraryContext.withOwn {
                        for _ in 0..<10 { _ = try Self.connect(server, client) }
                        return 10
                    }
                }
            }
            return try await group.reduce(0, +)
        }
        #expect(done == 40)
    }
}
