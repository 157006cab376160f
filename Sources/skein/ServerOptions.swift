internal import ArgumentParser
internal import EventLoops
internal import HTTPService
internal import MeshRuntime
internal import Primitives
internal import TLS

/// Which running server a command asks.
struct ServerOptions: ParsableArguments {
    @Option(help: "Host and port of a running Skein (or, for traces, any Zipkin server); https:// before it for TLS.")
    var server: String?

    @OptionGroup(title: "TLS OF THE SERVER") var tls: ServerTLSOptions

    /// Finds the endpoint, or says what would have been accepted.
    func client(defaultPort: UInt16) throws -> HTTPClient { try tls.client(of: server, defaultPort: defaultPort) }
}

/// How a command speaks with an https server.
struct ServerTLSOptions: ParsableArguments {
    @Option(help: "Authorities of an https server (PEM; environment: SKEIN_CA_FILE); default: the system's.", completion: .file())
    var caFile: String?

    @Option(help: "Certificate to show to it (PEM; environment: SKEIN_CERT).", completion: .file())
    var cert: String?

    @Option(help: "The key of --cert (PEM; environment: SKEIN_KEY).", completion: .file())
    var key: String?

    @Option(help: "Host name or SPIFFE identity that its certificate must have; default: the host of --server.")
    var serverName: String?

    @Flag(help: "Believe whatever certificate it shows.")
    var insecure = false

    /// The client of `server`: `[https://]HOST[:PORT]`; nil = this machine. Blocks for the look-up of a name.
    func client(of server: String?, defaultPort: UInt16) throws -> HTTPClient {
        let text = server ?? "127.0.0.1:\(defaultPort)"
        let isSecure = text.hasPrefix("https://")
        var authority = isSecure || text.hasPrefix("http://") ? text.drop { $0 != "/" }.dropFirst(2) : text[...]
        if authority.hasSuffix("/") { authority.removeLast() }
        // `[::1]:15000`: the colons of an IPv6 address are none before a port.
        let close = authority.lastIndex(of: "]")
        let colon = authority[(close ?? authority.startIndex)...].firstIndex(of: ":")
        let host = authority[..<(colon ?? authority.endIndex)].filter { $0 != "[" && $0 != "]" }
        guard let port = colon.map({ UInt16(authority[authority.index(after: $0)...]) }) ?? defaultPort, port > 0, !host.isEmpty,
            !host.contains("/")
        else { throw ValidationError("--server \(text): write a host and a port, such as 127.0.0.1:\(defaultPort)") }
        var client = HTTPClient(endpoint: try Self.endpoint(host, port, text))
        client.host = String(authority)
        if isSecure { client.tls = try tls(host: host) }
        return client
    }

    private static func endpoint(_ host: String, _ port: UInt16, _ text: String) throws -> SocketEndpoint {
        if let endpoint = SocketEndpoint(address: host == "localhost" ? "127.0.0.1" : host, port: port) { return endpoint }
        switch Resolver.addresses(of: host, port: port) {
        case .success(let found):
            guard let first = found.first else { throw ValidationError("--server \(text): \(host) has no address") }
            return first
        case .failure(let error): throw ValidationError("--server \(text): \(error)")
        }
    }

    private func tls(host: String) throws -> ClientTLS {
        let files = TLSFiles(
            certificate: cert ?? Environment.value("SKEIN_CERT"), key: key ?? Environment.value("SKEIN_KEY"),
            authorities: caFile ?? Environment.value("SKEIN_CA_FILE"))
        guard (files.certificate == nil) == (files.key == nil) else { throw ValidationError("--cert and --key are given together") }
        var settings = TLSSettings()
        do throws(TLSError) {
            settings.credentials = try files.credentials()
            settings.trust = if insecure { .anybody } else if let roots = try files.roots() { .roots(roots) } else { .system }
            return ClientTLS(try TLSSettingsSource(.client, settings), host: host, name: serverName)
        } catch {
            complain("skein: \(error)")
            throw ExitStatus.badInput
        }
    }
}

extension HTTPClientError {
    /// What somebody who gave a command can do about it.
    var advice: String {
        guard case .tls(_, let kind, _) = self else { return "is `skein run` running there? (--server ADDRESS:PORT)" }
        switch kind {
        case .peerCertificate: return "name its authorities with --ca-file"
        case .peerName: return "name the server with --server-name"
        case .ownCertificate, .noPeerCertificate: return "show a certificate with --cert and --key"
        case .plaintext: return "leave https:// away"
        case .truncated, .other: return "does that port speak TLS? (--server https://ADDRESS:PORT)"
        }
    }
}

/// Runs a call to a server; tells what to do when nobody answers.
func calling<T>(_ client: HTTPClient, _ body: (HTTPClient) throws -> T) throws -> T {
    do {
        return try body(client)
    } catch let error as HTTPClientError {
        complain("skein: \(error); \(error.advice)")
        throw ExitStatus.unavailable
    }
}
