import Glibc
@testable import TLS
import Testing

@Suite struct TLSSessionTests {
    static let reviews = "spiffe://cluster.local/ns/default/sa/reviews"
    static let ratings = "spiffe://cluster.local/ns/default/sa/ratings"

    @Test(arguments: [TLSSettings.Version.tls12, .tls13]) func workloadsKnowEachOther(version: TLSSettings.Version) throws {
        let mesh = try TLSMesh()
        var (server, client) = try (mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        server.versions = version...version
        server.protocols = ["istio-h2", "istio-http/1.1"]
        client.protocols = ["istio", "istio-http/1.1", "istio-h2"]
        let pair = try TLSPair(server, client, serverName: "outbound_.9080_._.reviews.default", expecting: .names([Self.reviews]))
        let hands = pair.shakeHands()
        #expect(hands.server == .done && hands.client == .done, "\(pair.server.failure ?? "") \(pair.client.failure ?? "")")
        #expect(pair.server.peer?.identity?.description == Self.ratings && pair.client.peer?.identity?.description == Self.reviews)
        #expect(pair.server.applicationProtocol == "istio-h2" && pair.client.applicationProtocol == "istio-h2")
        #expect(pair.server.serverName == "outbound_.9080_._.reviews.default")
        #expect(pair.server.version == (version == .tls12 ? "TLSv1.2" : "TLSv1.3") && !pair.server.cipher.isEmpty)
        #expect(TLSPair.send(Array("hello".utf8), pair.client) == .bytes(5))
        let (bytes, last) = TLSPair.receive(pair.server)
        #expect(bytes == Array("hello".utf8) && last == .wouldBlock && !pair.server.hasPending)
        pair.client.end()
        #expect(TLSPair.receive(pair.server).last == .end)
    }

    /// Bytes that were looked at before anybody knew that they are TLS.
    @Test func earlyBytesCount() throws {
        let mesh = try TLSMesh()
        let pair = try TLSPair(mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        #expect(pair.client.handshake() == .wantsReadable)
        var hello = [UInt8](repeating: 0, count: 4096)
        let count = unsafe read(pair.ends[0], &hello, 7)
        pair.server = try #require(TLSSession(
            TLSContext(.server, mesh.settings(Self.reviews)), descriptor: pair.ends[0], early: Array(hello[..<count]), now: 1_800_000_000))
        let hands = pair.shakeHands()
        #expect(hands.server == .done && hands.client == .done)
    }

    @Test func muchGoesThrough() throws {
        let mesh = try TLSMesh()
        let pair = try TLSPair(mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        _ = pair.shakeHands()
        let sent = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        var offset = 0
        var received: [UInt8] = []
        while received.count < sent.count {
            if offset < sent.count, case .bytes(let count) = TLSPair.send(Array(sent[offset...]), pair.server) { offset += count }
            received += TLSPair.receive(pair.client).bytes
        }
        #expect(received == sent)
    }

    /// A connection that ends without TLS' own end was cut.
    @Test func aCutIsNoEnd() throws {
        let mesh = try TLSMesh()
        let pair = try TLSPair(mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        _ = pair.shakeHands()
        _ = TLSPair.send(Array("half of".utf8), pair.client)
        shutdown(pair.ends[1], Int32(SHUT_WR))
        let (bytes, last) = TLSPair.receive(pair.server)
        #expect(bytes == Array("half of".utf8) && last == .failed)
        #expect(pair.server.failure?.contains("unexpected eof") == true, "\(pair.server.failure ?? "")")
    }

    /// The queue of errors is the thread's: a certificate that cannot be read must not end the connections of others.
    @Test func othersErrorsAreNotOurs() throws {
        let mesh = try TLSMesh()
        let pair = try TLSPair(mesh.settings(Self.reviews), mesh.settings(Self.ratings))
        _ = pair.shakeHands()
        let der = try mesh.credentials(Self.ratings).leaf.der()
        for index in der.indices {
            var bytes = der
            bytes[index] ^= 0xFF
            guard let odd = try? Certificate(der: bytes), odd.alternativeNames(.uri).isEmpty else { continue }
            #expect(TLSPair.receive(pair.server).last == .wouldBlock, "byte \(index)")
        }
        #expect(TLSPair.send([1], pair.client) == .bytes(1) && TLSPair.receive(pair.server).bytes == [1])
    }

    @Test func strangersAreRefused() throws {
        let (mesh, other) = try (TLSMesh(), TLSMesh("other"))
        func attempt(
            _ server: TLSSettings, _ client: TLSSettings, _ expecting: TLSExpectation = .anybody, now: Int64 = 1_800_000_000
        ) throws -> (server: String, client: String) {
            let pair = try TLSPair(server, client, expecting: expecting, now: now)
            let hands = pair.shakeHands()
            #expect(hands.server == .failed || hands.client == .failed)
            return (pair.server.failure ?? "", pair.client.failure ?? "")
        }
        let server = try mesh.settings(Self.reviews)
        // A root of the same name that is another.
        #expect(try attempt(server, other.settings(Self.ratings)).client.contains("certificate"))
        var stranger = try other.settings(Self.ratings)
        stranger.trust = .anybody
        #expect(try attempt(server, stranger).server.contains("refused"))
        // Nobody.
        var nobody = TLSSettings()
        nobody.trust = .workloads(["cluster.local": [mesh.root.certificate]])
        #expect(try attempt(server, nobody).server.contains("peer did not return a certificate"))
        // Another trust domain, though under a root that is trusted for this one.
        var foreign = try mesh.settings("spiffe://other.local/ns/default/sa/ratings")
        foreign.trust = .anybody
        #expect(try attempt(server, foreign).server.contains("the trust domain other.local is not trusted: cluster.local is"))
        // Not the one that is wanted.
        let wrong = try attempt(server, mesh.settings(Self.ratings), .names(["spiffe://cluster.local/ns/default/sa/review"])).client
        #expect(wrong.contains("it names \(Self.reviews), and spiffe://cluster.local/ns/default/sa/review is wanted"))
        // Time.
        #expect(try attempt(server, mesh.settings(Self.ratings), now: 1_821_536_001).client.contains("expired"))
        #expect(try attempt(server, mesh.settings(Self.ratings), now: 1_789_999_999).client.contains("not yet valid"))
        // A server's certificate of the same root that names no workload.
        let key = try PrivateKey.generate()
        let web = try mesh.root.issue(name: "web", for: key, .server(names: ["web.local"], addresses: []), mesh.validity)
        var unnamed = try mesh.settings(Self.ratings)
        unnamed.credentials = try TLSCredentials(chain: [web], key: key)
        unnamed.trust = .anybody
        #expect(try attempt(server, unnamed).server.contains("no URI name"))
        // An authority that stands in for a workload.
        var authority = try mesh.settings(Self.ratings)
        authority.credentials = try TLSCredentials(chain: [mesh.root.certificate], key: mesh.root.key)
        authority.trust = .anybody
        #expect(try attempt(server, authority).server.contains("no URI name"))
    }

    @Test func hostsAreNamed() throws {
        let mesh = try TLSMesh()
        let key = try PrivateKey.generate()
        let names = ["web.local", "*.wild.local"]
        let leaf = try mesh.root.issue(name: "", for: key, .server(names: names, addresses: ["127.0.0.1"]), mesh.validity)
        var server = TLSSettings()
        server.credentials = try TLSCredentials(chain: [leaf], key: key)
        var client = TLSSettings()
        client.trust = .roots([mesh.root.certificate])
        for (host, fits) in [
            ("web.local", true), ("WEB.local", true), ("127.0.0.1", true), ("a.wild.local", true), ("a.b.wild.local", false),
            ("web.local.evil", false), ("127.0.0.2", false), ("wild.local", false),
        ] {
            let pair = try TLSPair(server, client, serverName: host, expecting: .host(host))
            #expect((pair.shakeHands().client == .done) == fits, "\(host): \(pair.client.failure ?? "")")
        }
    }

    /// Whatever comes instead of a handshake: an error, and never more.
    @Test func garbageIsRefused() throws {
        let mesh = try TLSMesh()
        for garbage in [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [0x16, 3, 1, 0xFF, 0xFF, 1], [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0], [0x80, 0x2E, 1, 3, 1],
        ] {
            let pair = try TLSPair(mesh.settings(Self.reviews), mesh.settings(Self.ratings))
            #expect(unsafe write(pair.ends[1], garbage, garbage.count) == garbage.count)
            shutdown(pair.ends[1], Int32(SHUT_WR))
            var last = TLSSession.Progress.wantsReadable
            for _ in 0..<5 { last = pair.server.handshake() }
            #expect(last == .failed && pair.server.failure != nil)
        }
    }
}
