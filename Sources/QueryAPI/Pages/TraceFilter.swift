internal import Primitives
internal import TelemetryModel

/// What Zipkin's parameters cannot say of a trace. Pure.
struct TraceFilter {
    /// Bytes of `text`.
    static let textBytesMax = 256
    /// Tags that a status is in: what spans had before OpenTelemetry's conventions, and since.
    private static let statusKeys = ["http.status_code", "http.response.status_code"]

    private(set) var traits: [TraceTrait] = []

    init(_ parameters: ZipkinParameters) throws(ParameterError) {
        if let status = parameters.text("status") {
            guard let range = Self.range(status) else {
                throw ParameterError(text: "status takes a code (503), a class (5xx) or a range (400-499)")
            }
            traits.append(.number(keys: Self.statusKeys, range))
        }
        if let part = parameters.text("text") {
            guard part.utf8.count <= Self.textBytesMax else {
                throw ParameterError(text: "text takes at most \(Self.textBytesMax) bytes")
            }
            traits.append(.text(part.utf8.map(ASCII.lower)))
        }
        switch parameters.text("errors") {
        case "true": traits.append(.key("error"))
        case nil, "false": break
        default: throw ParameterError(text: "errors takes true or false")
        }
    }

    private static func range(_ text: String) -> ClosedRange<UInt64>? {
        let lower = text.lowercased()
        if lower.utf8.count == 3, lower.hasSuffix("xx"), let digit = lower.first.flatMap({ UInt64(String($0)) }) {
            return digit * 100...digit * 100 + 99
        }
        let parts = lower.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
        guard let low = parts[0] else { return nil }
        guard parts.count == 2 else { return UInt64(low)...UInt64(low) }
        guard let high = parts[1], low <= high else { return nil }
        return UInt64(low)...UInt64(high)
    }
}
