internal import Primitives
internal import TelemetryModel

/// What an access-log format compiles to: constants, the values between them, and a bound for the line that they make.
struct AccessLogCode: Sendable {
    /// A key of the format with the values behind it.
    struct Field {
        var prefix: [UInt8]
        var operators: [AccessLogOperator]
    }

    /// One value and the constant text before it. Trivial, so that walking over steps counts no references.
    struct Step: Sendable {
        /// Of `pool`.
        var constantStart: UInt32
        var constantEnd: UInt32
        var value: Value
        var form: Form
    }

    /// How a value stands in the line, and what stands there when the record has none.
    enum Form: UInt8 {
        /// As it is; `-`.
        case bare
        /// A number of typed JSON; `null`.
        case number
        /// A string of typed JSON, its quotes not among the constants; `null`.
        case string
    }

    enum Value: Sendable {
        case time(isEmit: Bool)
        case text(first: RequestText, second: RequestText?, maxBytes: Int)
        case duration(from: AccessLogOperator.TimePoint, to: AccessLogOperator.TimePoint, divisor: UInt64)
        case endpoint(AccessLogOperator.Endpoint, AccessLogOperator.Part)
        case protocolVersion, responseCode, responseFlags(long: Bool), responseCodeDetails, terminationDetails
        case bytesReceived, bytesSent, requestHeaderBytes, responseHeaderBytes
        case cluster, route, attemptCount, traceID, spanID, hostsAttempted(AccessLogOperator.Part), upstreamProtocol, accessLogType,
            transportFailureReason, serverName
        case connection(ConnectionText, ConnectionEnd)
        /// In the format `patterns[index]`; nil = ISO 8601.
        case connectionTime(ConnectionText, ConnectionEnd, index: UInt32?)
        case grpcStatus(AccessLogOperator.GRPCStatusForm)
        case shadow(AuthorizationShadow.Part)
        case pathWithoutQuery(first: RequestText, second: RequestText, maxBytes: Int)
        case query(maxBytes: Int)
        /// Of the parameter `patterns[index]`.
        case queryParameter(index: UInt32, maxBytes: Int)
        /// A time in the format `patterns[index]`.
        case pattern(index: UInt32, isEmit: Bool, isLocal: Bool)
    }

    /// Of the rule behind the details: its brackets, and `none`.
    private let bracketsBytesMax = 6

    let style: AccessLogFormat.Style
    private(set) var steps: [Step] = []
    /// Formats of times, and names of query parameters.
    private(set) var patterns: [[UInt8]] = []
    /// The constants of the steps in their order, the end of the line, the texts of the response code details, slack.
    private(set) var pool: [UInt8] = []
    /// The constant after the last step.
    private(set) var tail: Range<Int> = 0..<0
    /// Of the text of a `ResponseCodeDetails`; index = its raw value, empty = none.
    private(set) var details: [Range<Int>] = []
    /// The most that a line holds besides texts and names, bytes.
    private(set) var fixedBytesMax = 0
    /// How often a text slot, and a name, stands in the line at most.
    private(set) var slotUses = 0
    private(set) var clusterUses = 0
    private(set) var routeUses = 0
    private(set) var detailUses = 0
    private(set) var shadowUses = 0
    /// How often an address stands in it at most.
    private(set) var endpointUses = 0

    /// `suffix`: what stands behind the last value of a JSON line.
    init(fields: [Field], suffix: [UInt8], style: AccessLogFormat.Style) {
        self.style = style
        var uses: [UInt8: Int] = [:]
        for field in fields { compile(field, &uses) }
        slotUses = uses.values.max() ?? 0
        let tailStart = steps.last.map { Int($0.constantEnd) } ?? 0
        pool.append(contentsOf: suffix)
        if style != .text { pool.append(UInt8(ascii: "\n")) }
        tail = tailStart..<pool.count
        fixedBytesMax += pool.count
        for detail in ResponseCodeDetails.allCases {
            let start = pool.count
            pool.append(contentsOf: (detail.text ?? "").utf8)
            let index = Int(detail.rawValue)
            while details.count <= index { details.append(0..<0) }
            details[index] = start..<pool.count
        }
        pool.append(contentsOf: repeatElement(0, count: LineWriter.slack))
    }

    // MARK: Compiling

    private mutating func compile(_ field: Field, _ uses: inout [UInt8: Int]) {
        pool.append(contentsOf: field.prefix)
        if style == .typedJSON, field.operators.count == 1 {
            switch field.operators[0] {
            case .absent: pool.append(ascii: "null")
            case .literal(let literal): appendQuoted(literal)
            case let operation: add(operation, operation.isNumber ? .number : .string, &uses)
            }
            return
        }
        if style != .text { pool.append(UInt8(ascii: "\"")) }
        for operation in field.operators {
            switch operation {
            case .absent: pool.append(UInt8(ascii: "-"))
            case .literal(let literal):
                // A configured literal is trusted in text, where it may hold quotes and line feeds on purpose.
                if style == .text {
                    pool.append(contentsOf: literal)
                } else {
                    unsafe literal.withUnsafeBytes { unsafe pool.append(jsonEscaping: $0) }
                }
            default: add(operation, .bare, &uses)
            }
        }
        if style != .text { pool.append(UInt8(ascii: "\"")) }
    }

    private mutating func appendQuoted(_ literal: [UInt8]) {
        pool.append(UInt8(ascii: "\""))
        unsafe literal.withUnsafeBytes { unsafe pool.append(jsonEscaping: $0) }
        pool.append(UInt8(ascii: "\""))
    }

    private mutating func add(_ operation: AccessLogOperator, _ form: Form, _ uses: inout [UInt8: Int]) {
        let start = steps.last?.constantEnd ?? 0
        guard let value = value(operation, &uses) else { return }
        steps.append(Step(constantStart: start, constantEnd: UInt32(clamping: pool.count), value: value, form: form))
    }

    /// The value and its share of the line's bound; nil for what is no value.
    private mutating func value(_ operation: AccessLogOperator, _ uses: inout [UInt8: Int]) -> Value? {
        // Two quotes or `null`, and any number.
        fixedBytesMax += 24
        switch operation {
        case .literal, .absent: return nil
        case .startTime(let pattern): return time(pattern, isEmit: false)
        case .emitTime(let pattern): return time(pattern, isEmit: true)
        case .startTimeLocal(let pattern): return time(pattern.isEmpty ? AccessLogTime.localPattern : pattern, isEmit: false, isLocal: true)
        case .emitTimeLocal(let pattern): return time(pattern.isEmpty ? AccessLogTime.localPattern : pattern, isEmit: true, isLocal: true)
        case .text(let first, let second, let maxBytes):
            uses[first.rawValue, default: 0] += 1
            if let second { uses[second.rawValue, default: 0] += 1 }
            return .text(first: first, second: second, maxBytes: maxBytes)
        case .serverName:
            uses[RequestText.serverName.rawValue, default: 0] += 1
            noteUse(.serverName, .downstream, &uses)
            return .serverName
        case .connection(let text, let end):
            noteUse(text, end, &uses)
            return .connection(text, end)
        case .connectionTime(let text, let end, let pattern):
            fixedBytesMax += AccessLogTime.bytesMax(pattern) * LineWriter.escapedBytesMax
            if pattern.isEmpty { return .connectionTime(text, end, index: nil) }
            patterns.append(pattern)
            return .connectionTime(text, end, index: UInt32(clamping: patterns.count - 1))
        case .pathWithoutQuery(let first, let second, let maxBytes):
            for slot in [first, second] { uses[slot.rawValue, default: 0] += 1 }
            return .pathWithoutQuery(first: first, second: second, maxBytes: maxBytes)
        case .query(let maxBytes):
            uses[RequestText.path.rawValue, default: 0] += 1
            return .query(maxBytes: maxBytes)
        case .queryParameter(let name, let maxBytes):
            uses[RequestText.path.rawValue, default: 0] += 1
            patterns.append(name)
            return .queryParameter(index: UInt32(clamping: patterns.count - 1), maxBytes: maxBytes)
        case .upstreamProtocol: return .upstreamProtocol
        case .accessLogType: return .accessLogType
        case .upstreamServiceTime: return .duration(from: .upstreamSendBegin, to: .upstreamReceiveBegin, divisor: 1_000_000)
        case .duration(let from, let to, let divisor): return .duration(from: from, to: to, divisor: max(divisor, 1))
        case .endpoint(let which, let part):
            fixedBytesMax += LineWriter.endpointBytesMax
            endpointUses += 1
            return .endpoint(which, part)
        case .protocolVersion: return .protocolVersion
        case .responseCode: return .responseCode
        case .responseFlags(let isLong):
            fixedBytesMax += LineWriter.flagsBytesMax(isLong: isLong)
            return .responseFlags(long: isLong)
        case .responseCodeDetails:
            fixedBytesMax += (ResponseCodeDetails.allCases.map { $0.text?.utf8.count ?? 0 }.max() ?? 0) + bracketsBytesMax
            detailUses += 1
            noteUse(.failureReason, .upstream, &uses)
            return .responseCodeDetails
        case .terminationDetails:
            fixedBytesMax += (ResponseCodeDetails.rbacAccessDenied.text?.utf8.count ?? 0) + bracketsBytesMax
            detailUses += 1
            noteUse(.failureReason, .downstream, &uses)
            return .terminationDetails
        case .bytesReceived: return .bytesReceived
        case .bytesSent: return .bytesSent
        case .requestHeaderBytes: return .requestHeaderBytes
        case .responseHeaderBytes: return .responseHeaderBytes
        case .cluster:
            clusterUses += 1
            return .cluster
        case .route:
            routeUses += 1
            return .route
        case .attemptCount: return .attemptCount
        case .traceID:
            fixedBytesMax += 32
            return .traceID
        case .spanID: return .spanID
        case .grpcStatus(let form): return .grpcStatus(form)
        case .hostsAttempted(let part):
            fixedBytesMax += (AttemptRecord.countMax + 1) * (LineWriter.endpointBytesMax + 1)
            endpointUses += AttemptRecord.countMax + 1
            return .hostsAttempted(part)
        case .shadow(let part):
            fixedBytesMax += AuthorizationShadow.Result.bytesMax
            shadowUses += 1
            return .shadow(part)
        case .transportFailureReason:
            fixedBytesMax += ResponseCodeDetails.allCases.map { $0.connectError?.utf8CodeUnitCount ?? 0 }.max() ?? 0
            noteUse(.failureReason, .upstream, &uses)
            return .transportFailureReason
        }
    }

    /// A connection's text counts as a slot of its own: above those that records have.
    private func noteUse(_ text: ConnectionText, _ end: ConnectionEnd, _ uses: inout [UInt8: Int]) {
        uses[128 | end.rawValue << 6 | text.rawValue, default: 0] += 1
    }

    private mutating func time(_ pattern: [UInt8], isEmit: Bool, isLocal: Bool = false) -> Value {
        fixedBytesMax += AccessLogTime.bytesMax(pattern) * LineWriter.escapedBytesMax
        if pattern.isEmpty { return .time(isEmit: isEmit) }
        patterns.append(pattern)
        return .pattern(index: UInt32(clamping: patterns.count - 1), isEmit: isEmit, isLocal: isLocal)
    }
}
