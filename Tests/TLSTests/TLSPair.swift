import Glibc
@testable import TLS
import Testing

/// Both ends of a connection over a pair of sockets that do not block.
final class TLSPair {
    let ends: [Int32]
    var server: TLSSession
    var client: TLSSession

    init(
        _ serverSettings: TLSSettings, _ clientSettings: TLSSettings, serverName: String = "", expecting: TLSExpectation = .anybody,
        resuming kept: KeptSession? = nil, now: Int64 = 1_800_000_000
    ) throws {
        var ends: [Int32] = [0, 0]
        #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0)
        self.ends = ends
        server = try #require(TLSSession(TLSContext(.server, serverSettings), descriptor: ends[0], now: now))
        client = try #require(TLSSession(
            TLSContext(.client, clientSettings), descriptor: ends[1], serverName: serverName, expecting: expecting, resuming: kept,
            now: now))
    }

    deinit { for end in ends { close(end) } }

    /// Until both are done, or one has failed.
    func shakeHands() -> (server: TLSSession.Progress, client: TLSSession.Progress) {
        var (server, client) = (TLSSession.Progress.wantsReadable, TLSSession.Progress.wantsReadable)
        for _ in 0..<20 where !(server == .done && client == .done) {
            if client != .failed { client = self.client.handshake() }
            if server != .failed { server = self.server.handshake() }
        }
        return (server, client)
    }

    /// What arrives at one end, until it would block or is over.
    static func receive(_ session: TLSSession) -> (bytes: [UInt8], last: TLSSession.Transfer) {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 20_000)
        while true {
            let result = unsafe buffer.withUnsafeMutableBytes { unsafe session.read(into: $0) }
            guard case .bytes(let count) = result else { return (all, result) }
            all += buffer[..<count]
        }
    }

    static func send(_ bytes: [UInt8], _ session: TLSSession) -> TLSSession.Transfer {
        unsafe bytes.withUnsafeBytes { unsafe session.write($0) }
    }
}

/// A mesh of two workloads under one root.
struct TLSMesh {
    let root: CertificateIssuer
    let validity = CertificateIssuer.Validity(notBefore: 1_790_000_000, notAfter: 1_821_536_000)

    init(_ name: String = "root") throws { root = try CertificateTests.root(name) }

    func credentials(_ uri: String, notAfter: Int64? = nil) throws -> TLSCredentials {
        let key = try PrivateKey.generate()
        let leaf = try root.issue(name: "", for: key, .workload(SPIFFEID(uri)),
            CertificateIssuer.Validity(notBefore: validity.notBefore, notAfter: notAfter ?? validity.notAfter))
        return try TLSCredentials(chain: [leaf], key: key)
    }

    func settings(_ uri: String, client: TLSSettings.ClientCertificate = .required, notAfter: Int64? = nil) throws -> TLSSettings {
        var settings = TLSSettings()
        settings.credentials = try credentials(uri, notAfter: notAfter)
        settings.trust = .workloads(["cluster.local": [root.certificate]])
        settings.clientCertificate = client
        return settings
    }
}
