public import Primitives

/// One finished request, as a proxy worker writes it into its record ring: the source of the access log line and the span.
///
/// A record is this fixed part, then one `UInt16` length for each text slot (`RequestText`, `0xFFFF` = the message had no such value),
/// then the bytes of the slots in the same order, then its `AttemptRecord`s, then the texts of its connections, the downstream's and the
/// upstream's (`ConnectionTextCoding`). `RequestRecordView` reads it. Names of routes, clusters, services and workloads are `NameID`s
/// interned once per configuration, never text.
public struct RequestRecord: Sendable, BitwiseCopyable {
    /// Wall clock at the first byte of the request, nanoseconds since 1970.
    public var startUnixNanoseconds: UInt64 = 0
    /// Points in the life of the request, nanoseconds after the start; `absent` = it never got there.
    public var times = RequestTimes()
    /// Body bytes from the downstream, without framing.
    public var requestBodyBytes: UInt64 = 0
    /// Body bytes to the downstream, without framing.
    public var responseBodyBytes: UInt64 = 0
    /// Head bytes as received from the downstream.
    public var requestHeaderBytes: UInt32 = 0
    /// Head bytes as sent to the downstream.
    public var responseHeaderBytes: UInt32 = 0
    public var traceID = TraceID.none
    /// The span of this hop.
    public var spanID = SpanID.none
    public var parentSpanID = SpanID.none
    public var downstreamRemote = SocketEndpoint()
    public var downstreamLocal = SocketEndpoint()
    public var upstreamRemote = SocketEndpoint()
    public var upstreamLocal = SocketEndpoint()
    public var flags: ResponseFlags = []
    public var route = NameID.none
    /// Envoy's form: `outbound|9080|v1|reviews.production.svc.cluster.local`.
    public var cluster = NameID.none
    /// Identity of both ends for labels and spans.
    public var labels = LabelPair.none
    /// 0 = no response was begun.
    public var responseCode: UInt16 = 0
    public var attemptCount: UInt16 = 0
    public var details = ResponseCodeDetails.none
    /// With `rbacAccessDenied`: the rule that refused it; none = no rule allowed it. With `jwtAccessDenied`: why.
    public var policy = NameID.none
    public var shadow = AuthorizationShadow()
    public var protocolVersion = RequestProtocol.http11
    /// What the last try's connection speaks; `.tcp` = none came about.
    public var upstreamProtocol = RequestProtocol.tcp
    public var side = ProxySide.outbound
    public var isGRPC = false
    /// From the response's head or trailers; 255 = none.
    public var grpcStatus: UInt8 = 255
    public var isSampled = false
    public var isDebug = false
    /// Listed so that a reader of a ring written by another version cannot misread: number of text slots that follow.
    public var textCount: UInt8 = 0
    /// `AttemptRecord`s behind the text: tries that were followed by another.
    public var earlierAttempts: UInt8 = 0
    /// Bytes of the connections' texts behind those, at most `ConnectionTextCoding.bytesMax` each.
    public var downstreamTextBytes: UInt16 = 0
    public var upstreamTextBytes: UInt16 = 0

    public init() {}
}

/// Nanoseconds after the start of the request; `absent` where the point was never reached. Named after Envoy's COMMON_DURATION points.
public struct RequestTimes: Sendable, BitwiseCopyable {
    public static let absent = UInt64.max

    /// Last byte of the request received from downstream (DS_RX_END).
    public var downstreamReceiveEnd = Self.absent
    /// Connect to the upstream begun and finished; absent when a pooled connection was used (US_CX_BEG, US_CX_END).
    public var upstreamConnectBegin = Self.absent
    public var upstreamConnectEnd = Self.absent
    /// First and last byte of the request sent upstream (US_TX_BEG, US_TX_END).
    public var upstreamSendBegin = Self.absent
    public var upstreamSendEnd = Self.absent
    /// First and last byte of the response received (US_RX_BEG, US_RX_END).
    public var upstreamReceiveBegin = Self.absent
    public var upstreamReceiveEnd = Self.absent
    /// First and last byte of the response sent downstream (DS_TX_BEG, DS_TX_END). The last is the request's duration.
    public var downstreamSendBegin = Self.absent
    public var downstreamSendEnd = Self.absent

    public init() {}
}

/// An interned name (route, cluster); 0 = none, printed as `-`.
public struct NameID: Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt32

    @inlinable
    public init(_ rawValue: UInt32) { self.rawValue = rawValue }

    public static let none = NameID(0)
}

public enum RequestProtocol: UInt8, Sendable, BitwiseCopyable {
    case http10, http11, http2, tcp
}

/// Which of the two proxies of a hop saw the request: `outbound` reports as `source`, `inbound` as `destination`.
public enum ProxySide: UInt8, Sendable, BitwiseCopyable {
    case outbound, inbound
}

/// Envoy's response flags (semantics 2.1), one bit each, in the order Envoy prints them.
public struct ResponseFlags: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let failedLocalHealthCheck = ResponseFlags(rawValue: 1 << 0)
    public static let noHealthyUpstream = ResponseFlags(rawValue: 1 << 1)
    public static let upstreamRequestTimeout = ResponseFlags(rawValue: 1 << 2)
    public static let localReset = ResponseFlags(rawValue: 1 << 3)
    public static let upstreamRemoteReset = ResponseFlags(rawValue: 1 << 4)
    public static let upstreamConnectionFailure = ResponseFlags(rawValue: 1 << 5)
    public static let upstreamConnectionTermination = ResponseFlags(rawValue: 1 << 6)
    public static let upstreamOverflow = ResponseFlags(rawValue: 1 << 7)
    public static let noRouteFound = ResponseFlags(rawValue: 1 << 8)
    public static let delayInjected = ResponseFlags(rawValue: 1 << 9)
    public static let faultInjected = ResponseFlags(rawValue: 1 << 10)
    public static let rateLimited = ResponseFlags(rawValue: 1 << 11)
    public static let unauthorizedExternalService = ResponseFlags(rawValue: 1 << 12)
    public static let downstreamConnectionTermination = ResponseFlags(rawValue: 1 << 13)
    public static let upstreamRetryLimitExceeded = ResponseFlags(rawValue: 1 << 14)
    public static let streamIdleTimeout = ResponseFlags(rawValue: 1 << 15)
    public static let downstreamProtocolError = ResponseFlags(rawValue: 1 << 16)
    public static let upstreamProtocolError = ResponseFlags(rawValue: 1 << 17)
    public static let noClusterFound = ResponseFlags(rawValue: 1 << 18)
    public static let durationTimeout = ResponseFlags(rawValue: 1 << 19)
    public static let overloadManagerTerminated = ResponseFlags(rawValue: 1 << 20)
    public static let dnsResolutionFailed = ResponseFlags(rawValue: 1 << 21)
    public static let downstreamRemoteReset = ResponseFlags(rawValue: 1 << 22)

    /// Short and long name of every flag, in bit order.
    public static let names: [(flag: ResponseFlags, short: String, long: String)] = [
        (.failedLocalHealthCheck, "LH", "FailedLocalHealthCheck"),
        (.noHealthyUpstream, "UH", "NoHealthyUpstream"),
        (.upstreamRequestTimeout, "UT", "UpstreamRequestTimeout"),
        (.localReset, "LR", "LocalReset"),
        (.upstreamRemoteReset, "UR", "UpstreamRemoteReset"),
        (.upstreamConnectionFailure, "UF", "UpstreamConnectionFailure"),
        (.upstreamConnectionTermination, "UC", "UpstreamConnectionTermination"),
        (.upstreamOverflow, "UO", "UpstreamOverflow"),
        (.noRouteFound, "NR", "NoRouteFound"),
        (.delayInjected, "DI", "DelayInjected"),
        (.faultInjected, "FI", "FaultInjected"),
        (.rateLimited, "RL", "RateLimited"),
        (.unauthorizedExternalService, "UAEX", "UnauthorizedExternalService"),
        (.downstreamConnectionTermination, "DC", "DownstreamConnectionTermination"),
        (.upstreamRetryLimitExceeded, "URX", "UpstreamRetryLimitExceeded"),
        (.streamIdleTimeout, "SI", "StreamIdleTimeout"),
        (.downstreamProtocolError, "DPE", "DownstreamProtocolError"),
        (.upstreamProtocolError, "UPE", "UpstreamProtocolError"),
        (.noClusterFound, "NC", "NoClusterFound"),
        (.durationTimeout, "DT", "DurationTimeout"),
        (.overloadManagerTerminated, "OM", "OverloadManagerTerminated"),
        (.dnsResolutionFailed, "DF", "DnsResolutionFailed"),
        (.downstreamRemoteReset, "DR", "DownstreamRemoteReset"),
    ]
}

/// Envoy's response code details that this proxy emits (semantics 2.1).
public enum ResponseCodeDetails: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case none
    case viaUpstream
    case directResponse
    case routeNotFound
    case clusterNotFound
    case noHealthyUpstream
    case upstreamResponseTimeout
    case upstreamPerTryTimeout
    case requestOverallTimeout
    case streamIdleTimeout
    case maxDurationTimeout
    case connectionFailureBeforeResponse
    case connectionTerminationBeforeResponse
    case connectionTerminationAfterResponse
    case protocolErrorBeforeResponse
    case overflowBeforeResponse
    case downstreamRemoteDisconnect
    case downstreamLocalDisconnect
    case overload
    case missingHostHeader
    case pathNormalizationFailed
    case lowVersion
    case http1CodecError
    case requestHeadersTooLarge
    case requestURITooLong
    case requestHeaderTimeout
    case unsupportedTransferEncoding
    case remoteResetBeforeResponse
    case refusedStreamBeforeResponse
    case remoteResetAfterResponse
    case protocolErrorAfterResponse
    case http2RemoteReset
    case http2ProtocolError
    case faultFilterAbort
    case corsPreflight
    case localRateLimited
    case connectionRefusedBeforeResponse
    case connectionTimeoutBeforeResponse
    case tooManyRequestHeaders
    /// Connecting to a Unix socket failed at once (ECONNREFUSED, ENOENT, EACCES, EAGAIN).
    case unixRefusedBeforeResponse
    case unixMissingBeforeResponse
    case unixForbiddenBeforeResponse
    case unixBacklogFullBeforeResponse
    /// TLS with the endpoint did not come about.
    case transportFailureBeforeResponse
    /// A connection that no policy of its port takes, or whose server name no server of the port has: it ended before there was a request.
    case filterChainNotFound
    /// An AuthorizationPolicy refused it. The text is followed by the rule in brackets (`RequestRecord.policy`).
    case rbacAccessDenied
    /// Its token was refused. The text is followed by the reason in braces (`RequestRecord.policy`).
    case jwtAccessDenied
    /// An external authorizer refused it, or could not be asked.
    case externalAuthorizationDenied
    case externalAuthorizationError
    /// Its body is longer than what may be kept of it.
    case requestPayloadTooLarge

    /// Why no connection came about, as Envoy has it in its log with spaces turned to `_` (and from 1.33 on `|remote_address:` behind
    /// it); nil = another matter. An error of a connection that was under way is "delayed" there, one that the first system call told
    /// "immediate".
    public var connectError: StaticString? {
        switch self {
        case .connectionRefusedBeforeResponse: "delayed_connect_error:_Connection_refused"
        case .unixRefusedBeforeResponse: "immediate_connect_error:_Connection_refused"
        case .unixMissingBeforeResponse: "immediate_connect_error:_No_such_file_or_directory"
        case .unixForbiddenBeforeResponse: "immediate_connect_error:_Permission_denied"
        case .unixBacklogFullBeforeResponse: "immediate_connect_error:_Resource_temporarily_unavailable"
        case .transportFailureBeforeResponse: "TLS_error"
        default: nil
        }
    }

    /// What `RequestRecord.policy` stands in behind the text; nil = it does not stand there.
    public var brackets: (open: UInt8, close: UInt8)? {
        switch self {
        case .rbacAccessDenied: (UInt8(ascii: "["), UInt8(ascii: "]"))
        case .jwtAccessDenied: (UInt8(ascii: "{"), UInt8(ascii: "}"))
        default: nil
        }
    }

    /// As the access log prints it; nil = `-`.
    public var text: String? {
        switch self {
        case .none: nil
        case .viaUpstream: "via_upstream"
        case .directResponse: "direct_response"
        case .routeNotFound: "route_not_found"
        case .clusterNotFound: "cluster_not_found"
        case .filterChainNotFound: "filter_chain_not_found"
        case .rbacAccessDenied: "rbac_access_denied_matched_policy"
        case .jwtAccessDenied: "jwt_authn_access_denied"
        case .externalAuthorizationDenied: "ext_authz_denied"
        case .externalAuthorizationError: "ext_authz_error"
        case .requestPayloadTooLarge: "request_payload_too_large"
        case .noHealthyUpstream: "no_healthy_upstream"
        case .upstreamResponseTimeout: "upstream_response_timeout"
        case .upstreamPerTryTimeout: "upstream_per_try_timeout"
        case .requestOverallTimeout: "request_overall_timeout"
        case .streamIdleTimeout: "stream_idle_timeout"
        case .maxDurationTimeout: "max_duration_timeout"
        case .connectionFailureBeforeResponse: "upstream_reset_before_response_started{remote_connection_failure}"
        case .connectionRefusedBeforeResponse, .unixRefusedBeforeResponse, .unixMissingBeforeResponse, .unixForbiddenBeforeResponse,
            .unixBacklogFullBeforeResponse, .transportFailureBeforeResponse:
            "upstream_reset_before_response_started{remote_connection_failure|\(connectError.map(String.init(describing:)) ?? "")}"
        case .connectionTimeoutBeforeResponse: "upstream_reset_before_response_started{connection_timeout}"
        case .connectionTerminationBeforeResponse: "upstream_reset_before_response_started{connection_termination}"
        case .connectionTerminationAfterResponse: "upstream_reset_after_response_started{connection_termination}"
        case .protocolErrorBeforeResponse: "upstream_reset_before_response_started{protocol_error}"
        case .overflowBeforeResponse: "upstream_reset_before_response_started{overflow}"
        case .downstreamRemoteDisconnect: "downstream_remote_disconnect"
        case .downstreamLocalDisconnect: "downstream_local_disconnect"
        case .overload: "overload"
        case .missingHostHeader: "missing_host_header"
        case .pathNormalizationFailed: "path_normalization_failed"
        case .lowVersion: "low_version"
        case .http1CodecError: "http1.codec_error"
        case .requestHeadersTooLarge: "http1.headers_too_large"
        case .tooManyRequestHeaders: "http1.too_many_headers"
        case .requestURITooLong: "request_uri_too_long"
        case .requestHeaderTimeout: "request_header_timeout"
        case .unsupportedTransferEncoding: "http1.invalid_transfer_encoding"
        case .remoteResetBeforeResponse: "upstream_reset_before_response_started{remote_reset}"
        case .refusedStreamBeforeResponse: "upstream_reset_before_response_started{remote_refused_stream_reset}"
        case .remoteResetAfterResponse: "upstream_reset_after_response_started{remote_reset}"
        case .protocolErrorAfterResponse: "upstream_reset_after_response_started{protocol_error}"
        case .http2RemoteReset: "http2.remote_reset"
        case .faultFilterAbort: "fault_filter_abort"
        case .localRateLimited: "local_rate_limited"
        case .corsPreflight: "cors_response"
        case .http2ProtocolError: "http2.violation.of.messaging.rule"
        }
    }
}

/// The text slots of a record. Slots from `firstCaptured` on are the headers that the configured access-log formats ask for:
/// first the request headers, then the response headers, in the order of `HeaderCapture`.
public struct RequestText: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let method = RequestText(rawValue: 0)
    /// Path and query as the client sent them.
    public static let originalPath = RequestText(rawValue: 1)
    /// Path and query after normalisation and rewrite, as the upstream got them.
    public static let path = RequestText(rawValue: 2)
    public static let authority = RequestText(rawValue: 3)
    public static let userAgent = RequestText(rawValue: 4)
    public static let requestID = RequestText(rawValue: 5)
    /// As forwarded, our own hop included.
    public static let forwardedFor = RequestText(rawValue: 6)
    public static let scheme = RequestText(rawValue: 7)
    /// Of a TCP connection, which has no scheme: the name its ClientHello asks for.
    public static let serverName = RequestText(rawValue: 7)

    public static let firstCaptured: UInt8 = 8
}

/// Which extra headers the workers copy into each record, because some access-log format prints them. Names are lower-case and unique.
public struct HeaderCapture: Equatable, Sendable {
    /// More than this are refused when the format is compiled.
    public static let countMax = 48

    public var requestHeaders: [String]
    public var responseHeaders: [String]

    public init(requestHeaders: [String] = [], responseHeaders: [String] = []) {
        self.requestHeaders = requestHeaders
        self.responseHeaders = responseHeaders
    }

    /// The slot of a captured request header, or nil when it is not captured.
    public func slot(requestHeader name: String) -> RequestText? {
        requestHeaders.firstIndex(of: name).map { RequestText(rawValue: RequestText.firstCaptured + UInt8(clamping: $0)) }
    }

    public func slot(responseHeader name: String) -> RequestText? {
        responseHeaders.firstIndex(of: name).map {
            RequestText(rawValue: RequestText.firstCaptured + UInt8(clamping: requestHeaders.count + $0))
        }
    }
}
