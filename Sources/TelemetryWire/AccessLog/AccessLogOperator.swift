import TelemetryModel

/// One Envoy command operator, compiled.
enum AccessLogOperator: Sendable {
    case startTime(pattern: [UInt8])
    case emitTime(pattern: [UInt8])
    /// The same in the local time zone.
    case startTimeLocal(pattern: [UInt8])
    case emitTimeLocal(pattern: [UInt8])
    /// A request header: slots to try in order, at most `maxBytes` of it (`Int.max` = all).
    case text(first: RequestText, second: RequestText?, maxBytes: Int)
    /// The first of the paths that the record has, up to its query.
    case pathWithoutQuery(first: RequestText, second: RequestText, maxBytes: Int)
    /// What follows the `?` of the path; empty where nothing does.
    case query(maxBytes: Int)
    /// The first parameter of this name, decoded.
    case queryParameter(name: [UInt8], maxBytes: Int)
    /// `x-envoy-upstream-service-time`: computed, not captured.
    case upstreamServiceTime
    case protocolVersion
    case responseCode
    case responseFlags(long: Bool)
    case responseCodeDetails
    /// Why we ended a connection.
    case terminationDetails
    case bytesReceived, bytesSent, requestHeaderBytes, responseHeaderBytes
    case duration(from: TimePoint, to: TimePoint, divisor: UInt64)
    case endpoint(Endpoint, Part)
    case cluster
    case route
    case attemptCount
    case traceID
    case spanID
    case grpcStatus(GRPCStatusForm)
    /// Every endpoint that was tried, in order, with commas between.
    case hostsAttempted(Part)
    /// HTTP's version upstream.
    case upstreamProtocol
    /// What the line is written for: the end of a request or of a TCP connection.
    case accessLogType
    case transportFailureReason
    /// Of a TLS connection, whether it ended here or passed through.
    case serverName
    /// What TLS at one end tells.
    case connection(ConnectionText, ConnectionEnd)
    /// A certificate's beginning or end.
    case connectionTime(ConnectionText, ConnectionEnd, pattern: [UInt8])
    /// What policies said of it that decide nothing.
    case shadow(AuthorizationShadow.Part)
    case literal([UInt8])
    /// Known to Envoy but without meaning here, such as a Lua filter's state.
    case absent

    enum Endpoint: Sendable { case downstreamRemote, downstreamLocal, upstreamRemote, upstreamLocal }
    enum Part: Sendable { case whole, withoutPort, port }

    /// How GRPC_STATUS writes a code.
    enum GRPCStatusForm: String, Sendable {
        case camel = "CAMEL_STRING"
        case snake = "SNAKE_STRING"
        case number = "NUMBER"

        /// Of the codes 0 to 16 (gRPC "Status codes").
        static let camelNames: [String] = [
            "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
            "ResourceExhausted",
            "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
        ]
        static let snakeNames: [String] = [
            "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
            "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
            "UNAUTHENTICATED",
        ]
    }

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
        "CONNECTION_TERMINATION_DETAILS": .terminationDetails,
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
        "STREAM_ID": .text(first: .requestID, second: nil, maxBytes: .max),
        "GRPC_STATUS_NUMBER": .grpcStatus(.number),
        "UPSTREAM_HOSTS_ATTEMPTED": .hostsAttempted(.whole),
        "UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT": .hostsAttempted(.withoutPort),
        "UPSTREAM_PROTOCOL": .upstreamProtocol,
        "ACCESS_LOG_TYPE": .accessLogType,
        "UPSTREAM_TRANSPORT_FAILURE_REASON": .transportFailureReason,
        "REQUESTED_SERVER_NAME": .serverName,
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": .endpoint(.downstreamLocal, .whole),
        "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": .endpoint(.downstreamLocal, .withoutPort),
        "DOWNSTREAM_DIRECT_LOCAL_PORT": .endpoint(.downstreamLocal, .port),
    ]

    /// A QUIC connection's round trip, and what JA4 is made of: missing on TCP in Envoy as well, unless a listener filter is told to look.
    static let missingInEnvoyToo: Set<String> = ["TLS_JA4_FINGERPRINT", "ROUNDTRIP_DURATION"]

    /// What else Envoy 1.40 accepts in a format, tried one by one. It may not refuse a configuration that Envoy takes; `skein validate`
    /// says that these print as missing.
    static let notInEffect: Set<String> = [
        "DOWNSTREAM_PEER_OTHERNAME_SAN", "DOWNSTREAM_LOCAL_OTHERNAME_SAN", "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256",
        "DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", "DOWNSTREAM_PEER_CHAIN_SERIALS", "TLS_JA3_FINGERPRINT", "JA3_FINGERPRINT",
        "CLUSTER_METADATA", "COALESCE", "CONNECTION_ID", "CUSTOM_FLAGS",
        "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", "DOWNSTREAM_DETECTED_CLOSE_TYPE", "DOWNSTREAM_HEADER_BYTES_RECEIVED",
        "DOWNSTREAM_HEADER_BYTES_SENT", "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID", "DOWNSTREAM_LOCAL_CLOSE_REASON",
        "DOWNSTREAM_WIRE_BYTES_RECEIVED",
        "DOWNSTREAM_WIRE_BYTES_SENT", "DYNAMIC_METADATA", "FILTER_CHAIN_NAME", "FILTER_STATE", "METADATA", "REQUEST_TRAILERS_BYTES",
        "RESPONSE_TRAILERS_BYTES",
        "UNIQUE_ID", "UPSTREAM_CONNECTION_ID", "UPSTREAM_CONNECTION_IDS_ATTEMPTED", "UPSTREAM_CONNECTION_POOL_READY_DURATION",
        "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED", "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT", "UPSTREAM_DETECTED_CLOSE_TYPE",
        "UPSTREAM_FILTER_STATE", "UPSTREAM_HEADER_BYTES_RECEIVED", "UPSTREAM_HEADER_BYTES_SENT",
        "UPSTREAM_HOST_NAME", "UPSTREAM_HOST_NAMES_ATTEMPTED", "UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT",
        "UPSTREAM_HOST_NAME_WITHOUT_PORT",
        "UPSTREAM_LOCAL_CLOSE_REASON", "UPSTREAM_METADATA", "UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID",
        "UPSTREAM_WIRE_BYTES_RECEIVED", "UPSTREAM_WIRE_BYTES_SENT", "VIRTUAL_CLUSTER_NAME", "VIRTUAL_HOST_NAME",
    ]

    /// Operators that have arguments of their own.
    private static let withArgument = [
        "REQ", "RESP", "TRAILER", "REQUEST_HEADER", "RESPONSE_HEADER", "RESPONSE_TRAILER", "REQ_WITHOUT_QUERY", "COMMON_DURATION",
        "ENVIRONMENT",
        "GRPC_STATUS", "HOSTNAME", "START_TIME_LOCAL", "EMIT_TIME_LOCAL",
        "PATH", "QUERY_PARAM", "QUERY_PARAMS",
    ]

    /// The ones that take an argument and no length, as in Envoy 1.40.
    static let withArgumentOnly = Set(ConnectionOperators.times.keys).union([
        "START_TIME", "EMIT_TIME", "START_TIME_LOCAL", "EMIT_TIME_LOCAL", "GRPC_STATUS", "COMMON_DURATION", "HOSTNAME",
    ])

    /// Plain operators whose argument Envoy 1.40 takes: it refuses those of all others, and the length of each.
    static func takesArgument(_ name: String) -> Bool { name.hasSuffix("_ADDRESS_WITHOUT_PORT") || name == "RESPONSE_CODE_DETAILS" }

    static let names: [String] = [
        Array(plain.keys), withArgument, Array(ConnectionOperators.texts.keys), Array(ConnectionOperators.times.keys),
        Array(missingInEnvoyToo), Array(notInEffect),
    ].flatMap(\.self).sorted()

    /// Whether typed JSON writes it as a number when it is the whole value.
    var isNumber: Bool {
        switch self {
        case .responseCode, .bytesReceived, .bytesSent, .requestHeaderBytes, .responseHeaderBytes, .duration, .attemptCount: true
        case .endpoint(_, .port), .grpcStatus(.number): true
        default: false
        }
    }
}
