import EventLoops
import Glibc
import Primitives
import Streams
import Testing
import TLS

/// TLS under a stream of bytes: nothing that came is left lying.
@Suite struct SecureLayerTests {
    private static let now: Int64 = 1_800_000_000

    /// A server's session and a client's stream, connected and secured.
    private static func connect() throws -> (server: TLSSession, client: End, ends: [Int32]) {
        let year = CertificateIssuer.Validity(notBefore: now - 1000, notAfter: now + 1000)
        let root = try CertificateIssuer.root(name: "root", organization: "tests", key: PrivateKey.generate(), year)
        let key = try PrivateKey.generate()
        let leaf = try root.issue(name: "", for: key, .workload(SPIFFEID("spiffe://cluster.local/ns/default/sa/web")), year)
        var settings = TLSSettings()
        settings.credentials = try TLSCredentials(chain: [leaf], key: key)
        settings.versions = .tls12 ... .tls12
        var ends: [Int32] = [0, 0]
        #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        let server = try #require(TLSSession(TLSContext(.server, settings), descriptor: ends[0], now: now))
        let session = try #require(TLSSession(TLSContext(.client, TLSSettings()), descriptor: ends[1], now: now))
        return (server, End(ends[1], layer: SecureLayer(session, descriptor: ends[1])), ends)
    }

    private static func send(_ text: String, _ session: TLSSession) {
        let bytes = Array(text.utf8)
        #expect(unsafe bytes.withUnsafeBytes { unsafe session.write($0) } == .bytes(bytes.count))
    }

    /// What came with the handshake is in OpenSSL's buffer when the poller tells of it. If more has come by then, the poller has told of
    /// that, too, and will not do so again: a read that the buffer serves must not end the reading.
    @Test func bytesBehindTheHandshakeDoNotHideLaterOnes() throws {
        let (server, client, ends) = try Self.connect()
        defer { close(ends[0]) }
        // The last flight of the handshake and the first words arrive together.
        var isDone = false
        for _ in 0..<10 where !isDone {
            if client.stream.handshake() == .done { break }
            isDone = server.handshake() == .done
        }
        Self.send("one", server)
        #expect(client.stream.handshake() == .done)
        Self.send("two", server)
        client.stream.note([.readable])
        #expect(client.read().bytes == Array("one".utf8))
        #expect(client.isReadable, "the socket has more, and nobody will say so")
        #expect(client.read().bytes == Array("two".utf8))
        // Then it is empty, and says so without being asked twice.
        #expect(!client.isReadable)
    }
}
