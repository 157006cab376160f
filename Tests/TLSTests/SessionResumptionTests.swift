import Glibc
@testable import TLS
import Testing

/// Sessions that go on from a ticket: who they are of, and when they must begin anew.
@Suite struct SessionResumptionTests {
    private static let server = "spiffe://cluster.local/ns/default/sa/reviews"
    private static let client = "spiffe://cluster.local/ns/default/sa/ratings"
    private static let began: Int64 = 1_800_000_000

    /// A server's settings whose tickets are good as long as `name` is the same.
    private static func serving(_ mesh: TLSMesh, _ keys: TicketKeys?, name: String = "one") throws -> TLSSettings {
        var settings = try mesh.settings(server)
        settings.ticketKeys = keys
        settings.resumptionContext = Array(name.utf8)
        return settings
    }

    /// One connection from beginning to end, with a word each way.
    private static func connect(
        _ server: TLSSettings, _ client: TLSSettings, _ kept: KeptSession?, now: Int64 = began, version: TLSSettings.Version = .tls13
    ) throws -> (resumed: Bool, client: TLSPeer?, server: TLSPeer?) {
        var (server, client) = (server, client)
        server.versions = version...version
        client.versions = version...version
        let pair = try TLSPair(server, client, resuming: kept, now: now)
        let (one, other) = pair.shakeHands()
        try #require(one == .done && other == .done, "\(pair.server.failure ?? "") \(pair.client.failure ?? "")")
        _ = TLSPair.send([1], pair.server)
        #expect(TLSPair.receive(pair.client).bytes == [1])
        #expect(pair.client.isResumed == pair.server.isResumed)
        let result = (pair.client.isResumed, pair.server.peer, pair.client.peer)
        pair.client.end()
        pair.server.end()
        return result
    }

    @Test(arguments: [TLSSettings.Version.tls12, .tls13]) func aTicketKnowsWhoseItIs(version: TLSSettings.Version) throws {
        let mesh = try TLSMesh()
        // Two workers of one process, with contexts of their own.
        let keys = TicketKeys()
        let (one, other) = try (Self.serving(mesh, keys), Self.serving(mesh, keys))
        let client = try mesh.settings(Self.client)
        let kept = KeptSession()
        let first = try Self.connect(one, client, kept, version: version)
        #expect(!first.resumed)
        for _ in 0..<3 {
            let next = try Self.connect(other, client, kept, version: version)
            #expect(next.resumed)
            #expect(next.client?.identity?.description == Self.client)
            #expect(next.server?.identity?.description == Self.server)
            #expect(next.client?.notAfter == first.client?.notAfter)
        }
        // Without what was kept it is a whole handshake.
        #expect(try !Self.connect(other, client, nil, version: version).resumed)
    }

    /// Other roots, another configuration, another process: the certificate is looked at again.
    @Test func aServerThatIsAnotherBeginsAnew() throws {
        let mesh = try TLSMesh()
        let keys = TicketKeys()
        let client = try mesh.settings(Self.client)
        let kept = KeptSession()
        _ = try Self.connect(Self.serving(mesh, keys), client, kept)
        #expect(try !Self.connect(Self.serving(mesh, keys, name: "two"), client, kept).resumed)
        _ = try Self.connect(Self.serving(mesh, keys), client, kept)
        #expect(try !Self.connect(Self.serving(mesh, TicketKeys()), client, kept).resumed)
        _ = try Self.connect(Self.serving(mesh, keys), client, kept)
        #expect(try !Self.connect(Self.serving(mesh, nil), client, kept).resumed)
        #expect(try !Self.connect(Self.serving(mesh, nil), client, kept).resumed, "it gives none either")
    }

    /// A ticket lives for one to two hours: its key seals for one and opens for another.
    @Test func keysAreRenewed() throws {
        let mesh = try TLSMesh()
        let keys = TicketKeys()
        let (server, client) = try (Self.serving(mesh, keys), mesh.settings(Self.client))
        let kept = KeptSession()
        _ = try Self.connect(server, client, kept)
        let name = keys.sealing(Self.began)?.name
        #expect(keys.sealing(Self.began + 3599)?.name == name)
        let next = keys.sealing(Self.began + 3600)?.name
        #expect(next != nil && next != name)
        #expect(keys.opening(name ?? [], Self.began + 3600)?.isSealing == false)
        #expect(keys.opening(name ?? [], Self.began + 7200) == nil)
        _ = keys.sealing(Self.began + 7300)
        #expect(keys.opening(name ?? [], Self.began) == nil, "the third key displaces the first")
        #expect(keys.opening(next ?? [], Self.began + 7300)?.isSealing == false)
    }

    /// Who is not believed any more cannot go on with an old session.
    @Test func noSessionOutlivesItsCertificates() throws {
        let mesh = try TLSMesh()
        let keys = TicketKeys()
        let (server, client) = try (Self.serving(mesh, keys), mesh.settings(Self.client, notAfter: Self.began + 60))
        let kept = KeptSession()
        _ = try Self.connect(server, client, kept)
        #expect(try Self.connect(server, client, kept, now: Self.began + 59).resumed)
        let pair = try TLSPair(server, client, resuming: kept, now: Self.began + 61)
        _ = pair.shakeHands()
        #expect(!pair.server.isResumed && pair.server.failure?.contains("expired") == true, "\(pair.server.failure ?? "-")")
    }

    /// A ticket that was tampered with, or is no ticket of ours, costs a whole handshake and nothing else.
    @Test func strangeTicketsAreNoTickets() throws {
        let keys = TicketKeys()
        _ = keys.sealing(Self.began)
        #expect(keys.opening([], Self.began) == nil)
        #expect(keys.opening([UInt8](repeating: 7, count: 16), Self.began) == nil)
        // A clock that was set back does not keep a key for ever.
        let early = keys.sealing(Self.began - 10_000)
        #expect(early?.made == Self.began - 10_000)
    }
}
