// What a route may do besides forwarding. Parsed and validated; which of it is in effect says `EffectTable`.

public struct HTTPRedirect: Sendable {
    public enum Port: Sendable, Hashable {
        case number(UInt16)
        /// 80 or 443 by the new scheme.
        case fromProtocolDefault
        /// The port of the request.
        case fromRequestPort
    }
    /// Empty = unchanged.
    public var uri: String
    public var authority: String
    public var scheme: String
    public var port: Port?
    /// 301 unless set; 301, 302, 303, 307 or 308.
    public var redirectCode: UInt16
}

public struct HTTPDirectResponse: Sendable {
    public enum Body: Sendable, Hashable {
        case string(String)
        /// Decoded from base64.
        case bytes([UInt8])
    }
    /// 200...599.
    public var status: UInt16
    public var body: Body?
}

public struct HTTPRewrite: Sendable {
    /// Replaces the path, or the matched prefix. Empty = unchanged.
    public var uri: String
    public var authority: String
    /// RE2 pattern and substitution (`\1`), when given.
    public var uriRegex: (match: String, rewrite: String)?
    public var position: SourcePosition

    public init(uri: String, authority: String, uriRegex: (match: String, rewrite: String)?, position: SourcePosition) {
        self.uri = uri
        self.authority = authority
        self.uriRegex = uriRegex
        self.position = position
    }
}

/// semantics 2.3
public struct HTTPRetry: Sendable {
    public var position: SourcePosition
    public var retryOnPosition: SourcePosition
    /// Tries after the first; nil and 0 turn retries off. (A route without `retries` has Istio's two.)
    public var attempts: UInt32?
    public var perTryTimeoutNanoseconds: Int64?
    /// Names and status codes as written, split on commas, trimmed.
    public var retryOn: [String]
    public var retryRemoteLocalities: Bool?
    public var retryIgnorePreviousHosts: Bool?
    public var backoffNanoseconds: Int64?
}

public struct HTTPFaultInjection: Sendable {
    public struct Delay: Sendable {
        public var fixedDelayNanoseconds: Int64
        /// 0...100; omitted = 0 (semantics 2.6).
        public var percentage: Double
    }
    public struct Abort: Sendable {
        public enum Error: Sendable, Hashable {
            case httpStatus(UInt16)
            case grpcStatus(String)
        }
        public var error: Error
        /// Of the field that `error` is from.
        public var errorPosition: SourcePosition
        /// 0...100; omitted = 0 (semantics 2.6).
        public var percentage: Double
    }
    public var delay: Delay?
    public var abort: Abort?
}

public struct HTTPMirror: Sendable {
    public var destination: Destination
    /// 0...100; omitted = 100, an explicit 0 is off (semantics 2.6).
    public var percentage: Double
}

public struct HeaderOperations: Sendable {
    public struct Operations: Sendable {
        /// Overwritten, then appended, then removed.
        public var set: [(name: String, value: String)]
        public var add: [(name: String, value: String)]
        public var remove: [String]
    }
    public var request: Operations?
    public var response: Operations?
}

public struct CORSPolicy: Sendable {
    public var allowOrigins: [StringMatch]
    public var allowMethods: [String]
    public var allowHeaders: [String]
    public var exposeHeaders: [String]
    public var maxAgeNanoseconds: Int64?
    public var allowCredentials: Bool?
    /// `unmatchedPreflights: IGNORE`: they are answered here, not forwarded.
    public var ignoresUnmatchedPreflights = false
}
