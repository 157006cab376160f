/// Bodies of answers to OTLP requests, in the request's own encoding (OTLP specification; semantics 2.12).
public enum OTLPResponse {
    public enum Encoding: Sendable { case protobuf, json }

    /// `ExportTraceServiceResponse`; a full success has no `partial_success` and is empty in protobuf, `{}` in JSON. With no span rejected a
    /// message is a warning (OTLP specification, partial success).
    public static func appendTraceSuccess(_ outcome: OTLPDecodeOutcome, _ encoding: Encoding, to bytes: inout [UInt8]) {
        let message = outcome.message
        switch encoding {
        case .protobuf:
            guard !message.isEmpty else { return }
            var partial: [UInt8] = []
            if outcome.rejectedSpans > 0 { appendVarintField(1, UInt64(outcome.rejectedSpans), to: &partial) }
            appendText(2, message, to: &partial)
            bytes.append(1 << 3 | 2)
            appendVarint(UInt64(partial.count), to: &bytes)
            bytes.append(contentsOf: partial)
        case .json:
            guard !message.isEmpty else {
                bytes.append(ascii: "{}")
                return
            }
            // 64-bit integers are strings in protobuf's JSON.
            bytes.append(ascii: "{\"partialSuccess\":{\"rejectedSpans\":\"")
            bytes.append(decimal: UInt64(outcome.rejectedSpans))
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
