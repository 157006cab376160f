internal import EventLoops
internal import Glibc
internal import HTTPService
internal import JOSE
internal import MeshConfig
internal import Policy
internal import Primitives

/// One fetch of an issuer's keys (semantics 2.9). Blocks, for its own threads.
struct KeyDownload {
    /// Of connections by https.
    let tls: @Sendable (String) -> Result<ClientTLS, KeyFetchError>
    let contexts: ClientContexts

    /// Bytes of a key set, or of what an issuer says of itself.
    static let bytesMax = 1 << 20
    /// Redirects that are followed; all of them on the same server.
    static let redirectsMax = 3
    /// Addresses of a name that are tried.
    static let addressesTriedMax = 3

    /// The bytes of a key set. `timeout`: of the whole fetch, nanoseconds.
    func run(_ source: RequestAuthentication.Keys, timeoutNanoseconds timeout: UInt64) throws(KeyFetchError) -> [UInt8] {
        let deadline = SystemClock.monotonicNow() + timeout
        switch source {
        case .inline: throw KeyFetchError("the keys are in the configuration")
        case .uri(let text): return try fetch(text, deadline)
        case .discovery(let issuer):
            let base = issuer.hasSuffix("/") ? String(issuer.dropLast()) : issuer
            let place = base + "/.well-known/openid-configuration"
            guard let asked = KeyURL(place), asked.scheme != .file else {
                throw KeyFetchError("the issuer \"\(issuer.prefix(128))\" is no URL that could be asked for its keys: give jwks or jwksUri")
            }
            switch ProviderMetadata.parse(try fetch(place, deadline)) {
            case .failure(let problem): throw KeyFetchError("\(place): \(problem.reason)")
            case .success(let metadata):
                // OpenID Connect Discovery 1.0 section 4.3: it must be the one that was asked.
                guard metadata.issuer == issuer else {
                    throw KeyFetchError("\(place) speaks for another issuer, \"\(metadata.issuer.prefix(128))\"")
                }
                // What a server says leads to no file of this machine, and from https to nothing else.
                guard let keys = KeyURL(metadata.keySetURI), keys.scheme == .https || keys.scheme == asked.scheme else {
                    throw KeyFetchError("\(place): its jwks_uri is no URL of \(asked.scheme == .https ? "https" : "https or http")")
                }
                return try fetch(metadata.keySetURI, deadline)
            }
        }
    }

    private func fetch(_ text: String, _ deadline: MonotonicInstant) throws(KeyFetchError) -> [UInt8] {
        guard var url = KeyURL(text) else { throw KeyFetchError("\"\(text.prefix(128))\" is no URL of https, http or file") }
        if url.scheme == .file { return try read(url.target) }
        for _ in 0...Self.redirectsMax {
            let response = try ask(url, deadline)
            guard [301, 302, 303, 307, 308].contains(response.status) else {
                guard response.status == 200 else { throw KeyFetchError("\(text.prefix(256)) answered \(response.status), not 200") }
                return response.body
            }
            guard let location = response.header("location"), let next = url.redirected(to: location) else {
                throw KeyFetchError("\(text.prefix(256)) answered \(response.status) without a place to go to")
            }
            guard next.isSameServer(as: url) else {
                throw KeyFetchError("\(text.prefix(256)) sends to another server, \(next.authority.prefix(128)), which is not asked")
            }
            url = next
        }
        throw KeyFetchError("\(text.prefix(256)): more than \(Self.redirectsMax) redirects")
    }

    private func ask(_ url: KeyURL, _ deadline: MonotonicInstant) throws(KeyFetchError) -> HTTPClientResponse {
        let addresses: [SocketEndpoint]
        switch Resolver.addresses(of: url.host, port: url.port) {
        case .success(let found): addresses = found
        case .failure(let error): throw KeyFetchError("\(error)")
        }
        var problem = KeyFetchError("\(url.host) has no address")
        for address in addresses.prefix(Self.addressesTriedMax) {
            var client = HTTPClient(endpoint: address)
            client.host = url.authority
            client.bodyBytesMax = Self.bytesMax
            client.deadline = deadline
            if url.scheme == .https { client.tls = try tls(url.host).get() }
            do throws(HTTPClientError) {
                let fields = [("Accept", "application/jwk-set+json, application/json")]
                return try client.send("GET", url.target, headers: fields, contexts: contexts)
            } catch {
                problem = KeyFetchError("\(url.scheme.rawValue)://\(url.authority): \(error)")
                guard case .connect = error else { break }
            }
        }
        throw problem
    }

    private func read(_ path: String) throws(KeyFetchError) -> [UInt8] {
        let file = unsafe fopen(path, "rbe")
        guard let file = unsafe file else { throw KeyFetchError("\(path): \(unsafe String(cString: strerror(errno)))") }
        defer { unsafe fclose(file) }
        var bytes = [UInt8](repeating: 0, count: Self.bytesMax + 1)
        let count = unsafe fread(&bytes, 1, bytes.count, file)
        guard count <= Self.bytesMax else { throw KeyFetchError("\(path): more than \(Self.bytesMax) bytes") }
        return Array(bytes.prefix(count))
    }
}
