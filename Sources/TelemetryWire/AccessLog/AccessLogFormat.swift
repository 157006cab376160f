public import TelemetryModel

/// What is wrong with an access-log format: where, and what would have been accepted.
public struct AccessLogFormatError: Error, Equatable, Sendable, CustomStringConvertible {
    /// From 1, in bytes of the format (of the field's template, for JSON).
    public var column: Int
    public var message: String

    public init(column: Int, message: String) {
        self.column = column
        self.message = message
    }

    public var description: String { "column \(column): \(message)" }
}

/// An access-log format that has been read and checked: Envoy's command operators in a text line or in JSON fields (semantics 2.1).
///
/// Formats are compiled in two steps, because several of them share one set of captured headers: `headers` says what this one needs,
/// `program(capture:)` binds it to what the workers really capture. Start-up and reload only; any thread.
public struct AccessLogFormat: Sendable {
    enum Piece: Sendable {
        case fixed(AccessLogOperator)
        case requestHeader(first: String, second: String?, maxBytes: Int)
        case responseHeader(first: String, second: String?, maxBytes: Int)
    }

    struct Field: Sendable {
        /// What stands before the value: `{"start_time":`, `,"method":`. Empty in text.
        var prefix: [UInt8]
        var pieces: [Piece]
    }

    enum Style: Sendable { case text, stringJSON, typedJSON }

    let fields: [Field]
    /// What stands behind the last value.
    let suffix: [UInt8]
    let style: Style
    /// The headers that the workers must capture for this format, beyond those in every record.
    public let headers: HeaderCapture
    /// What the workers must note of connections for this format.
    public let connections: ConnectionTextChoice
    /// Operators of the format that Envoy knows and that always print as missing here, each once.
    public let notInEffect: [String]

    /// A text line. A line feed is added when the format does not end in one, as Istio does.
    public static func text(
        _ format: String, hostname: String = "", environment: (String) -> String? = { _ in nil }
    ) throws(AccessLogFormatError) -> AccessLogFormat {
        let line = format.hasSuffix("\n") ? format : format + "\n"
        var parser = AccessLogFormatParser(line, hostname: hostname)
        let pieces = try parser.pieces(environment)
        return AccessLogFormat([Field(prefix: [], pieces: pieces)], .text, notInEffect: parser.notInEffect)
    }

    /// A value of a JSON format (Envoy's `json_format`, a protobuf Struct).
    public indirect enum Value: Sendable {
        /// Text with command operators.
        case template(String)
        /// JSON text that stands in every line: a number, `true`, `false`, `null`.
        case constant(String)
        /// Keys in the order given.
        case object([(key: String, value: Value)])
        case list([Value])
    }

    /// One JSON object a line, its keys in the order given. A template that is one operator yields a number, a string or null when
    /// `typed`, else always a string with `-` for what is missing. At least one field.
    public static func json(
        _ fields: [(key: String, value: Value)], typed: Bool = true, hostname: String = "", environment: (String) -> String? = { _ in nil }
    ) throws(AccessLogFormatError) -> AccessLogFormat {
        guard !fields.isEmpty else { throw AccessLogFormatError(column: 1, message: "a JSON format needs at least one field") }
        var writer = JSONFieldWriter(hostname: hostname)
        try writer.add(.object(fields), "", environment)
        return AccessLogFormat(
            writer.fields, suffix: writer.prefix, typed ? .typedJSON : .stringJSON, notInEffect: writer.notInEffect)
    }

    private init(_ fields: [Field], suffix: [UInt8] = [], _ style: Style, notInEffect: [String]) {
        self.fields = fields
        self.suffix = suffix
        self.notInEffect = notInEffect
        self.style = style
        var capture = HeaderCapture()
        var connections = ConnectionTextChoice.standard
        for field in fields {
            for piece in field.pieces {
                switch piece {
                case .requestHeader(let first, let second, _):
                    for name in [first, second].compactMap({ $0 }) where Self.wellKnown(name) == nil {
                        if !capture.requestHeaders.contains(name) { capture.requestHeaders.append(name) }
                    }
                case .responseHeader(let first, let second, _):
                    for name in [first, second].compactMap({ $0 }) where name != Self.serviceTimeHeader && name != ":status" {
                        if !capture.responseHeaders.contains(name) { capture.responseHeaders.append(name) }
                    }
                case .fixed(.connection(let text, let end)), .fixed(.connectionTime(let text, let end, _)):
                    connections.insert(text, of: end)
                case .fixed: break
                }
            }
        }
        headers = capture
        self.connections = connections
    }

    static let serviceTimeHeader = "x-envoy-upstream-service-time"

    /// Values that every record holds, by the name that REQ uses.
    static func wellKnown(_ name: String) -> RequestText? {
        switch name {
        case ":method": .method
        case ":path": .path
        case "x-envoy-original-path": .originalPath
        case ":authority", "host": .authority
        case "user-agent": .userAgent
        case "x-request-id": .requestID
        case "x-forwarded-for": .forwardedFor
        case ":scheme", "x-forwarded-proto": .scheme
        default: nil
        }
    }

    /// Binds the format to the headers that the workers capture. A header that is not among them prints as missing.
    public func program(capture: HeaderCapture) -> AccessLogProgram {
        let fields = fields.map { AccessLogCode.Field(prefix: $0.prefix, operators: $0.pieces.map { Self.bind($0, capture) }) }
        return AccessLogProgram(AccessLogCode(fields: fields, suffix: suffix, style: style))
    }

    private static func bind(_ piece: Piece, _ capture: HeaderCapture) -> AccessLogOperator {
        switch piece {
        case .fixed(let fixed): return fixed
        case .requestHeader(let first, let second, let maxBytes):
            let slots = [first, second].compactMap { $0 }.compactMap { wellKnown($0) ?? capture.slot(requestHeader: $0) }
            guard let slot = slots.first else { return .absent }
            return .text(first: slot, second: slots.count > 1 ? slots[1] : nil, maxBytes: maxBytes)
        case .responseHeader(let first, let second, let maxBytes):
            if first == serviceTimeHeader { return .upstreamServiceTime }
            if first == ":status" { return .responseCode }
            let slots = [first, second].compactMap { $0 }.compactMap { capture.slot(responseHeader: $0) }
            guard let slot = slots.first else { return .absent }
            return .text(first: slot, second: slots.count > 1 ? slots[1] : nil, maxBytes: maxBytes)
        }
    }

    // MARK: Formats people expect

    /// Istio's default since 1.9 (provider `envoy`).
    public static let istioText =
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
        + "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% "
        + "%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
        + "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% "
        + "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"

    /// Envoy's default.
    public static let envoyText =
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
        + "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" "
        + "\"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n"

    /// Istio's JSON keys (typed).
    public static let istioJSON: [(key: String, value: Value)] = [
        ("start_time", .template("%START_TIME%")), ("route_name", .template("%ROUTE_NAME%")), ("method", .template("%REQ(:METHOD)%")),
        ("path", .template("%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%")), ("protocol", .template("%PROTOCOL%")),
        ("response_code", .template("%RESPONSE_CODE%")),
        ("response_flags", .template("%RESPONSE_FLAGS%")), ("response_code_details", .template("%RESPONSE_CODE_DETAILS%")),
        ("connection_termination_details", .template("%CONNECTION_TERMINATION_DETAILS%")),
        ("bytes_received", .template("%BYTES_RECEIVED%")),
        ("bytes_sent", .template("%BYTES_SENT%")), ("duration", .template("%DURATION%")),
        ("upstream_service_time", .template("%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%")),
        ("x_forwarded_for", .template("%REQ(X-FORWARDED-FOR)%")), ("user_agent", .template("%REQ(USER-AGENT)%")),
        ("request_id", .template("%REQ(X-REQUEST-ID)%")),
        ("authority", .template("%REQ(:AUTHORITY)%")), ("upstream_host", .template("%UPSTREAM_HOST%")),
        ("upstream_cluster", .template("%UPSTREAM_CLUSTER_RAW%")),
        ("upstream_local_address", .template("%UPSTREAM_LOCAL_ADDRESS%")),
        ("downstream_local_address", .template("%DOWNSTREAM_LOCAL_ADDRESS%")),
        ("downstream_remote_address", .template("%DOWNSTREAM_REMOTE_ADDRESS%")),
        ("requested_server_name", .template("%REQUESTED_SERVER_NAME%")),
        ("upstream_transport_failure_reason", .template("%UPSTREAM_TRANSPORT_FAILURE_REASON%")),
    ]
}
