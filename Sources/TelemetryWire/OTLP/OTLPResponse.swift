/// Bodies of answers to OTLP requests, in the request's own encoding (OTLP specification; semantics 2.12).
public enum OTLPResponse {
    public enum Encoding: Sendable { case protobuf, json }

    /// `ExportTraceServiceResponse`.
    public static func appendTraceSuccess(_ outcome: OTLPDecodeOutcome, _ encoding: Encoding, to bytes: inout [UInt8]) {
        appendSuccess(rejected: outcome.rejectedSpans, "rejectedSpans", outcome.message, encoding, to: &bytes)
    }

    /// The response of any signal's export: a full success has no `partial_success` and is empty in protobuf, `{}` in JSON. With nothing
    /// rejected a message is a warning (OTLP specification, partial success). `name`: of the number of rejected items in JSON.
    public static func appendSuccess(
        rejected: Int, _ name: StaticString, _ message: String, _ encoding: Encoding, to bytes: inout [UInt8]
    ) {
        switch encoding {
        case .protobuf:
            guard !message.isEmpty else { return }
            var partial: [UInt8] = []
            if rejected > 0 { appendVarintField(1, UInt64(rejected), to: &partial) }
            appendText(2, message, to: &partial)
            appendMessage(1, partial, to: &bytes)
        case .json:
            guard !message.isEmpty else {
                bytes.append(ascii: "{}")
                return
            }
            // 64-bit integers are strings in protobuf's JSON.
            bytes.append(ascii: "{\"partialSuccess\":{\"")
            bytes.append(ascii: name)
            bytes.append(ascii: "\":\"")
            bytes.append(decimal: UInt64(rejected))
            bytes.append(ascii: "\",\"errorMessage\":\"")
            bytes.append(jsonEscaping: message)
            bytes.append(ascii: "\"}}")
        }
    }

    /// `google.rpc.Status`, the body of every OTLP error. `code` is a gRPC status code (3 = invalid argument, 14 = unavailable).
    public static func appendStatus(code: Int32, message: String, _ encoding: Encoding, to bytes: inout [UInt8]) {
        switch encoding {
        case .protobuf:
            if code != 0 { appendVarintField(1, UInt64(bitPattern: Int64(code)), to: &bytes) }
            appendText(2, message, to: &bytes)
        case .json:
            bytes.append(ascii: "{\"code\":")
            bytes.append(decimal: Int64(code))
            bytes.append(ascii: ",\"message\":\"")
            bytes.append(jsonEscaping: message)
            bytes.append(ascii: "\"}")
        }
    }

    /// What `grpc-status-details-bin` says of an error that may be tried again: `google.rpc.Status` with a `RetryInfo` among its details,
    /// in base64. OTLP clients wait that long and send the same again (OTLP specification, throttling).
    public static func retryableStatus(code: Int32, message: String, retryAfterSeconds: UInt64) -> String {
        var detail: [UInt8] = []
        appendText(1, "type.googleapis.com/google.rpc.RetryInfo", to: &detail)
        appendMessage(2, retryInfo(retryAfterSeconds), to: &detail)
        var status: [UInt8] = []
        appendStatus(code: code, message: message, .protobuf, to: &status)
        appendMessage(3, detail, to: &status)
        return base64(status)
    }

    /// The same delay as a `google.rpc.RetryInfo` alone, for `google.rpc.retryinfo-bin`: OpenTelemetry's Python exporter looks there and
    /// nowhere else.
    public static func retryDelay(retryAfterSeconds: UInt64) -> String { base64(retryInfo(retryAfterSeconds)) }

    /// `RetryInfo { Duration retry_delay = 1; }`, `Duration { int64 seconds = 1; }`
    private static func retryInfo(_ seconds: UInt64) -> [UInt8] {
        var duration: [UInt8] = []
        appendVarintField(1, seconds, to: &duration)
        var info: [UInt8] = []
        appendMessage(1, duration, to: &info)
        return info
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        unsafe bytes.withUnsafeBytes { unsafe text.append(base64: $0) }
        return String(decoding: text, as: UTF8.self)
    }

    private static func appendMessage(_ field: UInt8, _ message: [UInt8], to bytes: inout [UInt8]) {
        bytes.append(field << 3 | 2)
        appendVarint(UInt64(message.count), to: &bytes)
        bytes.append(contentsOf: message)
    }

    private static func appendText(_ field: UInt8, _ text: String, to bytes: inout [UInt8]) {
        guard !text.isEmpty else { return }
        bytes.append(field << 3 | 2)
        appendVarint(UInt64(text.utf8.count), to: &bytes)
        bytes.append(contentsOf: text.utf8)
    }

    private static func appendVarintField(_ field: UInt8, _ value: UInt64, to bytes: inout [UInt8]) {
        bytes.append(field << 3)
        appendVarint(value, to: &bytes)
    }

    private static func appendVarint(_ value: UInt64, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}
