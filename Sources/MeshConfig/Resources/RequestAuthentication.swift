/// Which tokens are good at the workloads it selects (Istio: RequestAuthentication; semantics 2.9). A value; as written, with the place of
/// each rule, and nothing resolved.
public struct RequestAuthentication: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    public var attachment: PolicyAttachment
    public var rules: [Rule]

    /// Where the keys of an issuer are.
    public enum Keys: Hashable, Sendable {
        /// A key set as JSON (RFC 7517 section 5), or one key.
        case inline(String)
        /// `https://`, `http://` or `file://`.
        case uri(String)
        /// Neither is given: what the issuer says of itself (OpenID Connect Discovery 1.0 section 4).
        case discovery(issuer: String)
    }

    /// A header that carries tokens. An empty prefix = the whole value is one.
    public struct Header: Hashable, Sendable {
        public var name: String
        public var prefix: String

        public init(name: String, prefix: String) {
            self.name = name
            self.prefix = prefix
        }
    }

    /// A claim that is passed on as a header.
    public struct ClaimHeader: Hashable, Sendable {
        public var claim: String
        public var header: String
    }

    /// `jwtRules`.
    public struct Rule: Sendable {
        public var position: SourcePosition
        public var issuer: String
        /// Empty = whoever the token is for.
        public var audiences: [String]
        public var keys: Keys
        public var keysPosition: SourcePosition
        /// All three empty = `Authorization: Bearer` and the parameter `access_token`.
        public var headers: [Header]
        public var parameters: [String]
        public var cookies: [String]
        public var forwardsToken: Bool
        /// The header that the payload is passed on in, as base64url; empty = none.
        public var payloadHeader: String
        public var claimHeaders: [ClaimHeader]
        /// Of one fetch of the keys, nanoseconds.
        public var timeoutNanoseconds: UInt64
        /// Claims whose text is a list of words, besides `scope` and `permission`.
        public var spaceDelimitedClaims: [String]
        /// `presence: REQUIRED`: a request without a token is refused.
        public var isRequired: Bool
    }

    /// Istio's default of `timeout`, nanoseconds.
    public static let timeoutNanoseconds: UInt64 = 5_000_000_000

    /// Whether it speaks for a workload.
    public func selects(namespace: String, labels: [String: String], rootNamespace: String) -> Bool {
        attachment.includes(namespace: namespace, labels: labels, home: id.namespace, rootNamespace: rootNamespace)
    }
}

extension RequestAuthentication {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.id = id
        self.position = position
        attachment = PolicyAttachment(spec: spec)
        rules = spec.children("jwtRules").map { Rule(reader: $0) }
    }
}

extension RequestAuthentication.Rule {
    init(reader: NodeReader) {
        position = reader.position
        issuer = reader.string("issuer") ?? ""
        audiences = reader.strings("audiences")
        let uri = ["jwksUri", "jwksUrl"].first { reader.string($0)?.isEmpty == false }
        if let text = reader.string("jwks"), !text.isEmpty {
            keys = .inline(text)
            keysPosition = reader.position("jwks")
        } else if let uri {
            keys = .uri(reader.string(uri) ?? "")
            keysPosition = reader.position(uri)
        } else {
            keys = .discovery(issuer: reader.string("issuer") ?? "")
            keysPosition = reader.position("issuer")
        }
        headers = reader.children("fromHeaders").map {
            RequestAuthentication.Header(name: ($0.string("name") ?? "").lowercased(), prefix: $0.string("prefix") ?? "")
        }
        parameters = reader.strings("fromParams")
        cookies = reader.strings("fromCookies")
        forwardsToken = reader.bool("forwardOriginalToken") ?? false
        payloadHeader = (reader.string("outputPayloadToHeader") ?? "").lowercased()
        claimHeaders = reader.children("outputClaimToHeaders").map {
            RequestAuthentication.ClaimHeader(claim: $0.string("claim") ?? "", header: ($0.string("header") ?? "").lowercased())
        }
        timeoutNanoseconds = reader.nanoseconds("timeout").map { UInt64(max(1, $0)) } ?? RequestAuthentication.timeoutNanoseconds
        spaceDelimitedClaims = reader.strings("spaceDelimitedClaims")
        isRequired = reader.name("presence") == "REQUIRED"
    }
}
