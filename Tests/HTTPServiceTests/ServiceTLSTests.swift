import EventLoops
import Glibc
import HTTP
import HTTPService
import Primitives
import Synchronization
import TLS
import Testing

/// A mesh's root, and what it signs, for tests: a server for 127.0.0.1 and `web.local`, and workloads.
private struct Authority {
    let issuer: CertificateIssuer
    static let now = Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000)
    static let hour = CertificateIssuer.Validity(notBefore: now - 3600, notAfter: now + 3600)

    init(_ name: String = "root") throws {
        issuer = try CertificateIssuer.root(name: name, organization: "test", key: PrivateKey.generate(), Self.hour)
    }

    func credentials(
        _ purpose: CertificateIssuer.Purpose, name: String = "", _ validity: CertificateIssuer.Validity = hour
    ) throws -> TLSCredentials {
        let key = try PrivateKey.generate()
        return try TLSCredentials(chain: [issuer.issue(name: name, for: key, purpose, validity)], key: key)
    }

    func workload(_ account: String) throws -> TLSCredentials {
        try credentials(.workload(SPIFFEID("spiffe://cluster.local/ns/default/sa/\(account)")))
    }

    var server: CertificateIssuer.Purpose { .server(names: ["web.local"], addresses: ["127.0.0.1"]) }

    func serverSettings(_ clients: TLSSettings.ClientCertificate = .none) throws -> TLSSettings {
        var settings = TLSSettings()
        settings.credentials = try credentials(server)
        settings.clientCertificate = clients
        if clients != .none { settings.trust = .roots([issuer.certificate]) }
        settings.protocols = ["h2", "http/1.1"]
        return settings
    }

    func clientSettings(_ credentials: TLSCredentials? = nil) -> TLSSettings {
        var settings = TLSSettings()
        settings.trust = .roots([issuer.certificate])
        settings.credentials = credentials
        return settings
    }
}

/// Answers who the client is.
private final class WhoHandler: ServiceHandler {
    let requests = Atomic<Int>(0)

    func handle(_ request: borrowing ServiceRequest, _ responder: Responder) -> ServiceOutcome {
        requests.add(1, ordering: .relaxed)
        if request.path == "/large" { return .respond(ServiceResponse(status: 200, body: [UInt8](repeating: 0x61, count: 6 << 20))) }
        let who = request.client?.identity?.description ?? request.client?.certificate.subject ?? "nobody"
        let length = unsafe request.body.count
        return .respond(.text(200, "\(who) \(request.asksClient) \(length)"))
    }
}

/// A server with one listener of TLS and one without.
private final class SecureServer {
    let handler = WhoHandler()
    let server: ServiceServer
    let source: TLSSettingsSource
    let lines = Lines()

    /// What a server says, from its thread.
    final class Lines: Sendable {
        private let state = Mutex<[String]>([])
        func add(_ line: String) { state.withLock { $0.append(line) } }
        var all: [String] { state.withLock { $0 } }
    }

    init(_ settings: TLSSettings, _ configure: (inout ServiceLimits) -> Void = { _ in }) throws {
        var limits = ServiceLimits()
        configure(&limits)
        source = try TLSSettingsSource(.server, settings)
        let lines = lines
        server = try ServiceServer(
            name: "secure", listeners: [ServiceListener(loopback, tls: source), ServiceListener(loopback)], limits: limits,
            handler: handler
        ) { lines.add($0) }
    }

    deinit { server.stop() }

    var secure: SocketEndpoint { server.endpoints[0] }
    var plain: SocketEndpoint { server.endpoints[1] }
    var statistics: ServiceStatistics { server.statistics }

    func client(_ settings: TLSSettings, name: String? = nil) throws -> HTTPClient {
        try HTTPClient(endpoint: secure, tls: ClientTLS(TLSSettingsSource(.client, settings), host: "127.0.0.1", name: name))
    }
}

private func text(_ response: HTTPClientResponse) -> String { String(decoding: response.body, as: UTF8.self) }

@Suite struct ServiceTLSTests {
    @Test(arguments: ["127.0.0.1", "web.local", "web.local."]) func aRequestComesThrough(name: String) throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings())
        let client = try server.client(authority.clientSettings(), name: name)
        #expect(try text(client.send("POST", "/", body: Array("hello".utf8))) == "nobody false 5\n")
        #expect(try client.send("GET", "/large").body.count == 6 << 20)
        #expect(try text(client.send("POST", "/", body: [UInt8](repeating: 1, count: 3 << 20))) == "nobody false \(3 << 20)\n")
        #expect(server.statistics.handshakes.load(ordering: .relaxed) == 3)
    }

    /// A stolen key would otherwise go on for as long as its thief keeps the connection open.
    @Test func aRevokedClientIsCutOff() throws {
        let authority = try Authority()
        var settings = try authority.serverSettings(.required)
        let server = try SecureServer(settings)
        let thief = try authority.workload("thief")
        let stolen = authority.clientSettings(thief)
        let good = try authority.clientSettings(authority.workload("reviews"))
        func connect(_ settings: TLSSettings) throws -> BlockingConnection {
            let tls = try ClientTLS(TLSSettingsSource(.client, settings), host: "127.0.0.1")
            return try BlockingConnection(to: server.secure, tls: tls, limits: HTTPLimits(), wait: SecureClient.wait)
        }
        var bad = try connect(stolen)
        var other = try connect(good)
        #expect(try SecureClient.ask(&bad) == 200)
        #expect(try SecureClient.ask(&other) == 200)
        bad.next()
        other.next()

        let entry = RevocationList.Entry(serial: thief.leaf.serial, revokedAt: Authority.now)
        settings.revocations = try RevocationLists(pem: RevocationList.pem([entry], number: 1, by: authority.issuer, Authority.hour))
        settings.revocationScope = .listedAuthorities
        try server.source.replace(settings)
        // Nothing is sent by either: the server ends it by itself.
        eventually("the connection is ended") { server.statistics.revokedEnded.load(ordering: .relaxed) == 1 }
        #expect(throws: (any Error).self) { try SecureClient.ask(&bad) }
        #expect(try SecureClient.ask(&other) == 200)
        #expect(server.lines.all.contains { $0.contains("revoked are ended: 1") })
        let requests = server.handler.requests.load(ordering: .relaxed)
        #expect(throws: (any Error).self) {
            var again = try connect(stolen)
            _ = try SecureClient.ask(&again)
        }
        #expect(server.handler.requests.load(ordering: .relaxed) == requests)
    }

    /// Who a client is, is known before its first request is looked at.
    @Test func aClientIsWhoItsCertificateSays() throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings(.required))
        let reviews = try authority.clientSettings(authority.workload("reviews"))
        #expect(try text(server.client(reviews).send("GET", "/")) == "spiffe://cluster.local/ns/default/sa/reviews true 0\n")
        // TLS 1.2 shows certificates in another place.
        var old = reviews
        old.versions = .tls12 ... .tls12
        #expect(try text(server.client(old).send("GET", "/")) == "spiffe://cluster.local/ns/default/sa/reviews true 0\n")
    }

    @Test func aCertificateMayBeOptional() throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings(.wanted))
        #expect(try text(server.client(authority.clientSettings()).send("GET", "/")) == "nobody true 0\n")
        let foreign = try authority.clientSettings(Authority("foreign").workload("reviews"))
        #expect(throws: HTTPClientError.self, "one that is shown is believed or refused") { try server.client(foreign).send("GET", "/") }
        #expect(server.handler.requests.load(ordering: .relaxed) == 1)
    }

    /// A stranger's request must not reach a handler, in either version of TLS: in 1.3 the client believes to be connected by then.
    @Test(arguments: [TLSSettings.Version.tls12, .tls13]) func strangersAreRefused(version: TLSSettings.Version) throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings(.required))
        for (credentials, reason) in [
            (nil, "the client shows no certificate"), (try Authority("foreign").workload("reviews"), "the peer's certificate is refused"),
        ] {
            var settings = authority.clientSettings(credentials)
            settings.versions = version...version
            let client = try server.client(settings)
            do throws(HTTPClientError) {
                _ = try client.send("POST", "/", body: [UInt8](repeating: 1, count: 100_000))
                Issue.record("a stranger is let in")
            } catch {
                if version == .tls13 { #expect("\(error)".contains("demands a certificate"), "\(error)") }
            }
            eventually("it is said") { server.lines.all.contains { $0.contains(reason) && $0.contains("127.0.0.1") } }
        }
        eventually("they are counted") { server.statistics.clientsRefused.load(ordering: .relaxed) == 2 }
        #expect(server.handler.requests.load(ordering: .relaxed) == 0)
    }

    /// A client must not send its telemetry to whoever answers.
    @Test func aServerIsRefusedThatIsNotTheOneMeant() throws {
        let authority = try Authority()
        let now = Authority.now
        func failure(_ settings: TLSSettings, name: String? = nil, _ serverSettings: TLSSettings) throws -> (TLSFailureKind, String)? {
            let server = try SecureServer(serverSettings)
            let client = try server.client(settings, name: name)
            do throws(HTTPClientError) {
                _ = try client.send("GET", "/")
            } catch {
                if case .tls(_, let kind, let reason) = error { return (kind, reason) }
            }
            return nil
        }
        let good = try authority.serverSettings()
        let trusting = authority.clientSettings()
        let wrong = try #require(try failure(trusting, name: "api.local", good))
        #expect(wrong.0 == .peerName && wrong.1.contains("it is not for api.local, but for web.local"))
        #expect(try failure(trusting, name: "127.0.0.2", good)?.0 == .peerName)
        #expect(try failure(trusting, name: "spiffe://cluster.local/ns/default/sa/web", good)?.0 == .peerName)
        let foreign = try #require(try failure(Authority("foreign").clientSettings(), good))
        #expect(foreign.0 == .peerCertificate && foreign.1.contains("unable to get local issuer certificate"))
        var expired = good
        expired.credentials = try authority.credentials(authority.server, .init(notBefore: now - 7200, notAfter: now - 60))
        let late = try #require(try failure(trusting, expired))
        #expect(late.0 == .peerCertificate && late.1.contains("expired"))
        // The subject's name counts for nothing.
        var named = good
        named.credentials = try authority.credentials(.server(names: ["other.local"], addresses: []), name: "web.local")
        #expect(try failure(trusting, name: "web.local", named)?.0 == .peerName)
        var trustsAnybody = trusting
        trustsAnybody.trust = .anybody
        #expect(try failure(trustsAnybody, name: "api.local", expired) == nil)
    }

    /// A server whose certificate is a workload's has no host name.
    @Test func aServerMayBeKnownByItsIdentity() throws {
        let authority = try Authority()
        var settings = try authority.serverSettings()
        settings.credentials = try authority.workload("collector")
        let server = try SecureServer(settings)
        let name = "spiffe://cluster.local/ns/default/sa/collector"
        #expect(try server.client(authority.clientSettings(), name: name).send("GET", "/").status == 200)
        #expect(throws: HTTPClientError.self) { try server.client(authority.clientSettings(), name: name + "s").send("GET", "/") }
        #expect(throws: HTTPClientError.self) { try server.client(authority.clientSettings()).send("GET", "/") }
    }

    /// Connections that there are go on under what they began with.
    @Test func renewedSettingsAreForNewConnections() throws {
        let (first, second) = try (Authority(), Authority("second"))
        let server = try SecureServer(first.serverSettings())
        let settings = try TLSSettingsSource(.client, first.clientSettings())
        var kept = try BlockingConnection(
            to: server.secure, tls: ClientTLS(settings, host: "127.0.0.1"), limits: HTTPLimits(), wait: SecureClient.wait)
        #expect(try SecureClient.ask(&kept) == 200)
        kept.next()
        try server.source.replace(second.serverSettings())
        #expect(try SecureClient.ask(&kept) == 200)
        #expect(try server.client(second.clientSettings()).send("GET", "/").status == 200)
        #expect(throws: HTTPClientError.self) { try server.client(first.clientSettings()).send("GET", "/") }
        #expect(throws: TLSError.self, "a server without a certificate is none") { try server.source.replace(TLSSettings()) }
        #expect(try server.client(second.clientSettings()).send("GET", "/").status == 200)
    }

    /// A stranger's telephone number: both are told what they did.
    @Test func theOtherProtocolIsAnswered() throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings())
        let curl = try RawClient(server.secure)
        curl.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        curl.wait { $0.text.hasSuffix("this port speaks TLS: use https://\n") }
        #expect(curl.text.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
        // More of it changes nothing.
        curl.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        curl.waitForEnd()
        #expect(curl.text.count(of: "HTTP/1.1 ") == 1)
        let noise = try RawClient(server.secure)
        noise.send([0, 1, 2])
        noise.waitForEnd()
        #expect(noise.received.isEmpty)
        eventually("both are said") { server.lines.all.count(where: { $0.hasSuffix("plaintext to a port that speaks TLS") }) == 2 }
        #expect(server.statistics.plaintextToTLS.load(ordering: .relaxed) == 2)

        let tls = try ClientTLS(TLSSettingsSource(.client, authority.clientSettings()), host: "127.0.0.1")
        let error = #expect(throws: HTTPClientError.self) { try HTTPClient(endpoint: server.plain, tls: tls).send("GET", "/") }
        #expect(error.map { "\($0)".contains("does it speak TLS there?") } == true)
        eventually("it is said") { server.lines.all.contains { $0.contains("TLS to a port that speaks plaintext") } }
        #expect(server.statistics.tlsToPlaintext.load(ordering: .relaxed) == 1)
        #expect(try HTTPClient(endpoint: server.plain).send("GET", "/").status == 200)
    }

    /// A client against a server of plaintext.
    @Test func aClientSaysThatNobodySpeaksTLS() throws {
        let plain = try TestServer()
        let tls = try ClientTLS(TLSSettingsSource(.client, Authority().clientSettings()), host: "127.0.0.1")
        let error = #expect(throws: HTTPClientError.self) { try HTTPClient(endpoint: plain.endpoint, tls: tls).send("GET", "/") }
        #expect(error != nil)
    }

    /// Half a handshake, or none, for ever: connections are worth something.
    @Test func handshakesHaveATimeAndANumber() throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings()) {
            $0.handshakeTimeoutNanoseconds = 200_000_000
            $0.handshakesMax = 2
        }
        let silent = try RawClient(server.secure)
        let stalled = try (0..<3).map { _ in try RawClient(server.secure) }
        for client in stalled { client.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]) }
        for client in stalled + [silent] { client.waitForEnd() }
        eventually("they are counted") { server.statistics.handshakesFailed.load(ordering: .relaxed) == 2 }
        #expect(server.statistics.handshakesOverflowed.load(ordering: .relaxed) == 1)
        #expect(server.lines.all.count(where: { $0.contains("the handshake was not done in time") }) == 2)
        // Their places are free.
        #expect(try server.client(authority.clientSettings()).send("GET", "/").status == 200)
    }

    /// Records come in any pieces; a byte at a time is the worst.
    @Test func aHandshakeMayComeByteByByte() throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings(.required))
        let client = try SlicedClient(server.secure, authority.clientSettings(authority.workload("reviews")))
        #expect(client.shakeHands())
        client.send(Array("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".utf8))
        client.wait { $0.hasSuffix("spiffe://cluster.local/ns/default/sa/reviews true 3\n") }
        #expect(server.handler.requests.load(ordering: .relaxed) == 1)
    }

    /// Whoever can cut a connection must not make half a request a whole one.
    @Test func aRequestThatIsCutIsNone() throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings())
        let client = try SlicedClient(server.secure, authority.clientSettings())
        #expect(client.shakeHands())
        client.send(Array("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n".utf8))
        // The socket's end, and none of TLS.
        client.endWithoutNotice()
        eventually("it is gone") { server.statistics.connectionsActive.load(ordering: .relaxed) == 0 }
        #expect(server.handler.requests.load(ordering: .relaxed) == 0)
    }

    /// A client that never reads its answers must not keep a server from others, or its thread busy.
    @Test func aClientThatDoesNotReadIsLeft() throws {
        let authority = try Authority()
        let server = try SecureServer(authority.serverSettings()) { $0.stallTimeoutNanoseconds = 300_000_000 }
        let client = try SlicedClient(server.secure, authority.clientSettings())
        #expect(client.shakeHands())
        client.send(Array("GET /large HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        #expect(try server.client(authority.clientSettings()).send("GET", "/").status == 200)
        eventually("it is gone") { server.statistics.connectionsActive.load(ordering: .relaxed) == 0 }
    }
}
