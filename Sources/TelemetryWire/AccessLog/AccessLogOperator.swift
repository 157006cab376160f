import TelemetryModel

/// One Envoy command operator, compiled.
enum AccessLogOperator: Sendable {
    case startTime(pattern: [UInt8])
    case emitTime(pattern: [UInt8])
    /// A request header: slots to try in order, at most `maxBytes` of it (`Int.max` = all).
    case text(first: RequestText, second: RequestText?, maxBytes: Int)
    /// The original path and, where nothing was rewritten, the path itself.
    case pathWithoutQuery(maxBytes: Int)
    /// `x-envoy-upstream-service-time`: computed, not captured.
    case upstreamServiceTime
    case protocolVersion
    case responseCode
    case responseFlags(long: Bool)
    case responseCodeDetails
    case bytesReceived, bytesSent, requestHeaderBytes, responseHeaderBytes
    case duration(from: TimePoint, to: TimePoint, divisor: UInt64)
    case endpoint(Endpoint, Part)
    case cluster
    case route
    case attemptCount
    case traceID
    case spanID
    case literal([UInt8])
    /// Known to Envoy but without meaning here, such as a Lua filter's state.
    case absent

    enum Endpoint: Sendable { case downstreamRemote, downstreamLocal, upstreamRemote, upstreamLocal }
    enum Part: Sendable { case whole, withoutPort, port }

    /// Envoy's COMMON_DURATION points.
    enum TimePoint: String, Sendable, CaseIterable {
        case downstreamReceiveBegin = "DS_RX_BEG"
        case downstreamReceiveEnd = "DS_RX_END"
        case upstreamConnectBegin = "US_CX_BEG"
        case upstreamConnectEnd = "US_CX_END"
        case upstreamHandshakeEnd = "US_HS_END"
        case upstreamSendBegin = "US_TX_BEG"
        case upstreamSendEnd = "US_TX_END"
        case upstreamReceiveBegin = "US_RX_BEG"
        case upstreamReceiveBodyBegin = "US_RX_BODY_BEG"
        case upstreamReceiveEnd = "US_RX_END"
        case downstreamSendBegin = "DS_TX_BEG"
        case downstreamSendEnd = "DS_TX_END"

        /// Nanoseconds after the start; `RequestTimes.absent` when never reached or not recorded.
        /// Through a pointer, because a copy of the times costs more than formatting one of them.
        @inline(__always)
        func value(_ record: UnsafePointer<RequestRecord>) -> UInt64 {
            switch self {
            case .downstreamReceiveBegin: 0
            case .downstreamReceiveEnd: unsafe record.pointee.times.downstreamReceiveEnd
            case .upstreamConnectBegin: unsafe record.pointee.times.upstreamConnectBegin
            case .upstreamConnectEnd: unsafe record.pointee.times.upstreamConnectEnd
            case .upstreamSendBegin: unsafe record.pointee.times.upstreamSendBegin
            case .upstreamSendEnd: unsafe record.pointee.times.upstreamSendEnd
            case .upstreamReceiveBegin: unsafe record.pointee.times.upstreamReceiveBegin
            case .upstreamReceiveEnd: unsafe record.pointee.times.upstreamReceiveEnd
            case .downstreamSendBegin: unsafe record.pointee.times.downstreamSendBegin
            case .downstreamSendEnd: unsafe record.pointee.times.downstreamSendEnd
            case .upstreamHandshakeEnd, .upstreamReceiveBodyBegin: RequestTimes.absent
            }
        }
    }

    /// Operators that need no argument.
    static let plain: [String: AccessLogOperator] = [
        "START_TIME": .startTime(pattern: []),
        "EMIT_TIME": .emitTime(pattern: []),
        "PROTOCOL": .protocolVersion,
        "RESPONSE_CODE": .responseCode,
        "RESPONSE_FLAGS": .responseFlags(long: false),
        "RESPONSE_FLAGS_LONG": .responseFlags(long: true),
        "RESPONSE_CODE_DETAILS": .responseCodeDetails,
        "BYTES_RECEIVED": .bytesReceived,
        "BYTES_SENT": .bytesSent,
        "REQUEST_HEADERS_BYTES": .requestHeaderBytes,
        "RESPONSE_HEADERS_BYTES": .responseHeaderBytes,
        "DURATION": .duration(from: .downstreamReceiveBegin, to: .downstreamSendEnd, divisor: 1_000_000),
        "REQUEST_DURATION": .duration(from: .downstreamReceiveBegin, to: .downstreamReceiveEnd, divisor: 1_000_000),
        "REQUEST_TX_DURATION": .duration(from: .downstreamReceiveBegin, to: .upstreamSendEnd, divisor: 1_000_000),
        "RESPONSE_DURATION": .duration(from: .downstreamReceiveBegin, to: .upstreamReceiveBegin, divisor: 1_000_000),
        "RESPONSE_TX_DURATION": .duration(from: .upstreamReceiveBegin, to: .downstreamSendEnd, divisor: 1_000_000),
        "UPSTREAM_HOST": .endpoint(.upstreamRemote, .whole),
        "UPSTREAM_REMOTE_ADDRESS": .endpoint(.upstreamRemote, .whole),
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .endpoint(.upstreamRemote, .withoutPort),
        "UPSTREAM_REMOTE_PORT": .endpoint(.upstreamRemote, .port),
        "UPSTREAM_LOCAL_ADDRESS": .endpoint(.upstreamLocal, .whole),
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": .endpoint(.upstreamLocal, .withoutPort),
        "UPSTREAM_LOCAL_PORT": .endpoint(.upstreamLocal, .port),
        "DOWNSTREAM_REMOTE_ADDRESS": .endpoint(.downstreamRemote, .whole),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": .endpoint(.downstreamRemote, .withoutPort),
        "DOWNSTREAM_REMOTE_PORT": .endpoint(.downstreamRemote, .port),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": .endpoint(.downstreamRemote, .whole),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": .endpoint(.downstreamRemote, .withoutPort),
        "DOWNSTREAM_DIRECT_REMOTE_PORT": .endpoint(.downstreamRemote, .port),
        "DOWNSTREAM_LOCAL_ADDRESS": .endpoint(.downstreamLocal, .whole),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": .endpoint(.downstreamLocal, .withoutPort),
        "DOWNSTREAM_LOCAL_PORT": .endpoint(.downstreamLocal, .port),
        "UPSTREAM_CLUSTER": .cluster,
        "UPSTREAM_CLUSTER_RAW": .cluster,
        "ROUTE_NAME": .route,
        "UPSTREAM_REQUEST_ATTEMPT_COUNT": .attemptCount,
        "TRACE_ID": .traceID,
        "SPAN_ID": .spanID,
        // Nothing of these is known to this proxy yet, or ever.
        "CONNECTION_TERMINATION_DETAILS": .absent, "UPSTREAM_TRANSPORT_FAILURE_REASON": .absent, "REQUESTED_SERVER_NAME": .absent,
        "DOWNSTREAM_TRANSPORT_FAILURE_REASON": .absent, "DOWNSTREAM_TLS_VERSION": .absent, "DOWNSTREAM_TLS_CIPHER": .absent,
        "DOWNSTREAM_TLS_SESSION_ID": .absent, "DOWNSTREAM_PEER_URI_SAN": .absent, "DOWNSTREAM_PEER_SUBJECT": .absent,
        "DOWNSTREAM_PEER_ISSUER": .absent, "DOWNSTREAM_PEER_SERIAL": .absent, "DOWNSTREAM_PEER_CERT": .absent,
        "DOWNSTREAM_PEER_CERT_V_START": .absent, "DOWNSTREAM_PEER_CERT_V_END": .absent, "DOWNSTREAM_PEER_FINGERPRINT_256": .absent,
        "DOWNSTREAM_PEER_FINGERPRINT_1": .absent, "DOWNSTREAM_PEER_DNS_SAN": .absent, "DOWNSTREAM_LOCAL_URI_SAN": .absent,
        "DOWNSTREAM_LOCAL_SUBJECT": .absent, "UPSTREAM_TLS_VERSION": .absent, "UPSTREAM_TLS_CIPHER": .absent,
        "UPSTREAM_PEER_URI_SAN": .absent, "UPSTREAM_PEER_SUBJECT": .absent, "UPSTREAM_PROTOCOL": .absent, "CONNECTION_ID": .absent,
        "UPSTREAM_CONNECTION_ID": .absent, "STREAM_ID": .absent, "GRPC_STATUS": .absent, "GRPC_STATUS_NUMBER": .absent,
        "VIRTUAL_CLUSTER_NAME": .absent, "VIRTUAL_HOST_NAME": .absent, "FILTER_CHAIN_NAME": .absent, "JA3_FINGERPRINT": .absent,
        "TLS_JA3_FINGERPRINT": .absent, "UNIQUE_ID": .absent, "ACCESS_LOG_TYPE": .absent, "UPSTREAM_HOSTS_ATTEMPTED": .absent,
        "REQUEST_TRAILERS_BYTES": .absent, "RESPONSE_TRAILERS_BYTES": .absent, "UPSTREAM_WIRE_BYTES_SENT": .absent,
        "UPSTREAM_WIRE_BYTES_RECEIVED": .absent, "DOWNSTREAM_WIRE_BYTES_SENT": .absent, "DOWNSTREAM_WIRE_BYTES_RECEIVED": .absent,
        "UPSTREAM_HEADER_BYTES_SENT": .absent, "UPSTREAM_HEADER_BYTES_RECEIVED": .absent, "ROUNDTRIP_DURATION": .absent,
        "UPSTREAM_HOST_NAME": .absent, "UPSTREAM_METADATA": .absent, "CUSTOM_FLAGS": .absent,
    ]

    /// Operators with an argument in parentheses.
    static let withArgument = [
        "REQ", "RESP", "TRAILER", "REQ_WITHOUT_QUERY", "START_TIME", "EMIT_TIME", "COMMON_DURATION", "ENVIRONMENT", "DYNAMIC_METADATA",
        "FILTER_STATE", "CLUSTER_METADATA", "UPSTREAM_METADATA", "GRPC_STATUS", "METADATA", "QUERY_PARAM",
    ]

    static let names: [String] = (Array(plain.keys) + withArgument + ["HOSTNAME"]).sorted()

    /// Whether typed JSON writes it as a number when it is the whole value.
    var isNumber: Bool {
        switch self {
        case .responseCode, .bytesReceived, .bytesSent, .requestHeaderBytes, .responseHeaderBytes, .duration, .attemptCount: true
        case .endpoint(_, .port): true
        default: false
        }
    }
}
