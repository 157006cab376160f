/// A server that policies of action CUSTOM have requests checked by (Istio: `envoyExtAuthzHttp` and `envoyExtAuthzGrpc` of
/// `meshConfig.extensionProviders`). As written, with Istio's defaults.
public struct ExternalAuthorizerSettings: Sendable {
    /// Fields of headers by their names: `abc`, `abc*` or `*abc`, in any case.
    public struct HTTP: Sendable {
        /// In front of the request's path; empty = nothing.
        public var pathPrefix: String
        /// Of the request, besides those that are always sent.
        public var includedHeaders: [String]
        /// Sent with every check, in place of the request's own.
        public var additionalHeaders: [(name: String, value: String)]
        /// Of an answer that lets in: into the request, in place of its own.
        public var headersToUpstream: [String]
        /// Of an answer that refuses; empty = all.
        public var headersToDownstreamOnDeny: [String]
        /// Of an answer that lets in: into the response.
        public var headersToDownstreamOnAllow: [String]
    }

    public enum Transport: Sendable {
        case http(HTTP)
        /// `envoy.service.auth.v3.Authorization/Check`.
        case grpc
    }

    public struct Body: Sendable {
        /// 1...`bodyBytesMax`.
        public var bytesMax: UInt32
        /// A longer body is checked by its beginning; otherwise it is refused (413).
        public var allowsPartial: Bool
        /// gRPC: as bytes instead of text.
        public var packsAsBytes: Bool
    }

    /// `host` or `namespace/host`, as written.
    public var service: String
    public var servicePosition: SourcePosition
    public var port: UInt16
    public var transport: Transport
    /// For the whole check.
    public var timeoutNanoseconds: UInt64
    /// Requests go on where the check fails.
    public var isFailOpen: Bool
    /// The route is chosen again by what the authorizer has changed.
    public var clearsRouteCache: Bool
    /// What a request is answered whose check fails, 100...599.
    public var statusOnError: UInt16
    /// Nil = the body is not sent.
    public var body: Body?

    /// Of a body that is kept for a check.
    static let bodyBytesMax: Int64 = 4 << 20
    private static let defaultTimeoutNanoseconds: UInt64 = 600_000_000_000

    /// Without the namespace.
    public var host: String { service.split(separator: "/").last.map { $0.lowercased() } ?? "" }
    /// Nil = none was written.
    public var namespace: String? { service.contains("/") ? service.split(separator: "/").first.map(String.init) : nil }

    /// `envoyExtAuthzHttp` or `envoyExtAuthzGrpc` of a provider; nil = it is of another kind.
    init?(provider: NodeReader) {
        guard let reader = provider.child("envoyExtAuthzHttp") ?? provider.child("envoyExtAuthzGrpc") else { return nil }
        service = reader.string("service") ?? ""
        servicePosition = reader.position("service")
        port = reader.port("port") ?? 0
        let timeout = reader.nanoseconds("timeout") ?? 0
        timeoutNanoseconds = timeout > 0 ? UInt64(timeout) : Self.defaultTimeoutNanoseconds
        isFailOpen = reader.bool("failOpen") ?? false
        clearsRouteCache = reader.bool("clearRouteCache") ?? false
        statusOnError = reader.name("statusOnError").flatMap { UInt16($0) } ?? 403
        body = reader.child("includeRequestBodyInCheck").map {
            Body(
                bytesMax: $0.uint32("maxRequestBytes") ?? 0, allowsPartial: $0.bool("allowPartialMessage") ?? false,
                packsAsBytes: $0.bool("packAsBytes") ?? false)
        }
        guard provider.has("envoyExtAuthzHttp") else {
            transport = .grpc
            return
        }
        transport = .http(
            HTTP(
                pathPrefix: reader.string("pathPrefix") ?? "",
                includedHeaders: reader.strings("includeRequestHeadersInCheck") + reader.strings("includeHeadersInCheck"),
                additionalHeaders: reader.stringPairs("includeAdditionalHeadersInCheck"),
                headersToUpstream: reader.strings("headersToUpstreamOnAllow"),
                headersToDownstreamOnDeny: reader.strings("headersToDownstreamOnDeny"),
                headersToDownstreamOnAllow: reader.strings("headersToDownstreamOnAllow")))
    }
}

extension MeshConfiguration {
    /// The policies of action CUSTOM that select a workload.
    public func customPolicies(namespace: String, labels: [String: String]) -> [AuthorizationPolicy] {
        authorizationPolicies.filter {
            $0.action == .custom && $0.selects(namespace: namespace, labels: labels, rootNamespace: mesh.rootNamespace)
        }
    }

    /// The provider that the workload's policies of action CUSTOM ask: that of the first, as all must name the same
    /// (`AuthorizationCompiler`). Nil = there is no such policy, or no such provider.
    public func externalAuthorizer(
        namespace: String, labels: [String: String]
    ) -> (provider: ExtensionProvider, settings: ExternalAuthorizerSettings)? {
        guard let name = customPolicies(namespace: namespace, labels: labels).first?.provider.name,
            let provider = mesh.provider(named: name), case .externalAuthorizer(let settings) = provider.configuration
        else { return nil }
        return (provider, settings)
    }
}
