public import CertificateAuthority
internal import EventLoops
internal import HTTPService
internal import Primitives
public import TLS

/// Why an authority gave nothing.
public struct ExchangeError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// It is away, busy or slow: to be tried again.
        case away
        /// It said no, or is not the authority that is meant: trying again does not help.
        case refused
    }

    public var kind: Kind
    public var description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// A host's end of the protocol. Blocks its thread, for `timeoutMilliseconds` between any two bytes and `callNanosecondsMax` for a call. A
/// value.
public struct CertificateClient: Sendable {
    public static let timeoutMilliseconds: Int32 = 5000
    /// An authority that sends a byte now and then would otherwise hold the thread until certificates are over.
    public static let callNanosecondsMax: UInt64 = 20_000_000_000

    /// What came back for a request.
    public struct Answer: Sendable {
        public var credentials: TLSCredentials
        public var roots: [Certificate]
    }

    public let host: String
    public let port: UInt16
    public let trustDomain: String

    /// `trustDomain`: of the authority's workloads, which its own certificate names.
    public init(host: String, port: UInt16, trustDomain: String) {
        self.host = host
        self.port = port
        self.trustDomain = trustDomain
    }

    private static let clockSkewSeconds: Int64 = 120

    // MARK: First certificate

    /// The workload's first certificate, for `key`. The token is sent once the server has shown that it is the authority whose root the
    /// token pins.
    public func first(_ token: JoinToken, key: PrivateKey, seconds: Int64? = nil, now: Int64) throws(ExchangeError) -> Answer {
        // Whoever answers may say what it wants here: the root that is pinned decides, and the next connection is believed by it alone.
        let shown = try get(ExchangeProtocol.bundlePath, trust: .anybody, credentials: nil, now: now)
        let roots = try Self.certificates(shown.body)
        guard let root = roots.first(where: { $0.publicKeyFingerprint == token.pin }) else {
            throw ExchangeError(
                .refused, "\(place) is not the authority that made the token: none of its roots is the one that the token names; nothing "
                    + "was sent to it")
        }
        let headers = [(name: "Authorization", value: "Bearer \(token.text)")]
        do throws(ExchangeError) {
            return try ask(for: token.identity, key, trust: .roots([root]), nil, headers, seconds, now: now)
        } catch {
            throw ExchangeError(error.kind, error.description + Self.clockHint(shown, now: now))
        }
    }

    /// A new certificate for the workload of `old`, for `key`.
    public func renew(
        _ old: TLSCredentials, _ id: SPIFFEID, roots: [Certificate], key: PrivateKey, seconds: Int64? = nil, now: Int64
    ) throws(ExchangeError) -> Answer {
        try ask(for: id, key, trust: .roots(roots), old, [], seconds, now: now)
    }

    private func ask(
        for id: SPIFFEID, _ key: PrivateKey, trust: TLSTrust, _ credentials: TLSCredentials?,
        _ headers: [(name: String, value: String)], _ seconds: Int64?, now: Int64
    ) throws(ExchangeError) -> Answer {
        let request: [UInt8]
        do throws(TLSError) { request = try CertificateRequest(for: id, key: key).pem() } catch {
            throw ExchangeError(.refused, "\(error)")
        }
        let query = seconds.map { "?\(ExchangeProtocol.secondsParameter)=\($0)" } ?? ""
        let answer = try send(
            "POST", ExchangeProtocol.certificatesPath + query, headers, request, trust: trust, credentials: credentials, now: now)
        let chain = try Self.certificates(answer.body)
        let roots = try self.roots(trust, credentials, now: now)
        do {
            let made = try TLSCredentials(chain: chain, key: key)
            guard try SVIDRules.identity(of: made.leaf, as: .client) == id else { throw TLSError("it is for another workload") }
            if let problem = TrustCheck.problem(of: chain, trusting: .workloads([id.trustDomain: roots]), now: now) {
                throw TLSError("\(problem)\(Self.clockHint(answer, now: now))")
            }
            return Answer(credentials: made, roots: roots)
        } catch {
            throw ExchangeError(.refused, "the certificate of \(place) is of no use: \(error)")
        }
    }

    // MARK: Polling

    /// The roots of the trust domain at present.
    public func roots(
        _ trust: TLSTrust, _ credentials: TLSCredentials?, now: Int64
    ) throws(ExchangeError) -> [Certificate] {
        try Self.certificates(get(ExchangeProtocol.bundlePath, trust: trust, credentials: credentials, now: now).body)
    }

    /// The lists of revoked certificates at present, PEM.
    public func lists(_ trust: TLSTrust, now: Int64) throws(ExchangeError) -> [UInt8] {
        let bytes = try get(ExchangeProtocol.listsPath, trust: trust, credentials: nil, now: now).body
        do throws(TLSError) { _ = try RevocationLists(pem: bytes) } catch { throw ExchangeError(.away, "the lists of \(place): \(error)") }
        return bytes
    }

    // MARK: Calls

    private var place: String { "\(host):\(port)" }

    private func get(
        _ path: String, trust: TLSTrust, credentials: TLSCredentials?, now: Int64
    ) throws(ExchangeError) -> HTTPClientResponse {
        try send("GET", path, [], [], trust: trust, credentials: credentials, now: now)
    }

    private func send(
        _ method: String, _ path: String, _ headers: [(name: String, value: String)], _ body: [UInt8], trust: TLSTrust,
        credentials: TLSCredentials?, now: Int64
    ) throws(ExchangeError) -> HTTPClientResponse {
        var settings = TLSSettings()
        settings.protocols = ["http/1.1"]
        settings.credentials = credentials
        settings.trust = trust
        let answer: HTTPClientResponse
        var client = HTTPClient(endpoint: try endpoint())
        client.host = place
        client.timeoutMilliseconds = Self.timeoutMilliseconds
        client.deadline = SystemClock.monotonicNow() + Self.callNanosecondsMax
        client.bodyBytesMax = RevocationLists.pemBytesMax
        do throws(TLSError) {
            client.tls = ClientTLS(try TLSSettingsSource(.client, settings), host: ExchangeProtocol.serverName(of: trustDomain))
        } catch {
            throw ExchangeError(.refused, "\(error)")
        }
        do throws(HTTPClientError) {
            answer = try client.send(method, path, headers: headers, body: body)
        } catch {
            throw ExchangeError(.away, "\(place): \(error)")
        }
        guard answer.status == 200 else {
            let reason = String(decoding: answer.body.prefix(500), as: UTF8.self).split(separator: "\n").first ?? ""
            let isFinal = [400, 401, 403, 404].contains(answer.status)
            throw ExchangeError(
                isFinal ? .refused : .away, "\(place) answers \(answer.status): \(reason)\(Self.clockHint(answer, now: now))")
        }
        return answer
    }

    private func endpoint() throws(ExchangeError) -> SocketEndpoint {
        if let endpoint = SocketEndpoint(address: host == "localhost" ? "127.0.0.1" : host, port: port) { return endpoint }
        switch Resolver.addresses(of: host, port: port) {
        case .success(let found):
            guard let first = found.first else { throw ExchangeError(.away, "\(host) has no address") }
            return first
        case .failure(let error): throw ExchangeError(.away, "\(host): \(error)")
        }
    }

    private static func certificates(_ bytes: [UInt8]) throws(ExchangeError) -> [Certificate] {
        do throws(TLSError) { return try Certificate.chain(pem: bytes) } catch {
            throw ExchangeError(.away, "what the authority answers is of no use: \(error)")
        }
    }

    /// Clocks that differ are why certificates are not believed yet, or not any more.
    private static func clockHint(_ answer: HTTPClientResponse, now: Int64) -> String {
        guard let text = answer.header(ExchangeProtocol.timeField), let theirs = Int64(text) else { return "" }
        let (difference, overflow) = now.subtractingReportingOverflow(theirs)
        guard !overflow, difference.magnitude > UInt64(clockSkewSeconds) else { return "" }
        let span = UnixTime.span(Int64(clamping: difference.magnitude))
        return "; this host's clock is \(span) \(difference < 0 ? "behind" : "ahead of") the authority's: set it right"
    }
}
