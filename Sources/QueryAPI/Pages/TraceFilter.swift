internal import Primitives
internal import TelemetryModel

/// What Zipkin's parameters cannot say of a trace. Pure.
struct TraceFilter {
    /// Bytes of `text`.
    static let textBytesMax = 256

    private var statuses: ClosedRange<Int>?
    private var text: [UInt8] = []
    private var wantsErrors = false

    init(_ parameters: ZipkinParameters) throws(ParameterError) {
        if let status = parameters.text("status") {
            guard let range = Self.range(status) else {
                throw ParameterError(text: "status takes a code (503), a class (5xx) or a range (400-499)")
            }
            statuses = range
        }
        if let part = parameters.text("text") {
            guard part.utf8.count <= Self.textBytesMax else {
                throw ParameterError(text: "text takes at most \(Self.textBytesMax) bytes")
            }
            text = part.utf8.map(ASCII.lower)
        }
        switch parameters.text("errors") {
        case "true": wantsErrors = true
        case nil, "false": break
        default: throw ParameterError(text: "errors takes true or false")
        }
    }

    var isEmpty: Bool { statuses == nil && text.isEmpty && !wantsErrors }

    func matches(_ trace: SpanBatch) -> Bool {
        if isEmpty { return true }
        if wantsErrors, !trace.spans.contains(where: { trace.hasError($0) }) { return false }
        if let statuses {
            guard trace.spans.contains(where: { span in Int(trace.statusText(span)).map(statuses.contains) ?? false }) else { return false }
        }
        // All texts of a trace lie together: one look along them tells most traces that have it nowhere.
        return text.isEmpty || (Self.isPart(text, of: trace.text[...]) && trace.spans.contains { holdsText(trace, $0) })
    }

    private func holdsText(_ trace: SpanBatch, _ span: SpanRow) -> Bool {
        var references = [span.name]
        for tag in trace.tags(of: span) { references += [tag.key, tag.value] }
        let start = Int(span.annotationStart)
        references += trace.annotations[start..<start + Int(span.annotationCount)].map(\.value)
        for endpoint in [span.localEndpoint, span.remoteEndpoint] {
            guard endpoint != EndpointRow.absent, Int(endpoint) < trace.endpoints.count else { continue }
            references.append(trace.endpoints[Int(endpoint)].serviceName)
        }
        return references.contains { Self.isPart(text, of: trace.text[Int($0.offset)..<Int($0.offset) + Int($0.count)]) }
    }

    /// Letters of ASCII in either case.
    private static func isPart(_ part: [UInt8], of bytes: ArraySlice<UInt8>) -> Bool {
        guard bytes.count >= part.count, let first = part.first else { return part.isEmpty }
        // `part` is in lower case.
        let other = (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first) ? first - 32 : first
        var at = bytes.startIndex
        let end = bytes.endIndex - part.count
        while at <= end {
            if bytes[at] == first || bytes[at] == other, bytes[at..<at + part.count].elementsEqual(part, by: { ASCII.lower($0) == $1 }) {
                return true
            }
            at += 1
        }
        return false
    }

    private static func range(_ text: String) -> ClosedRange<Int>? {
        let lower = text.lowercased()
        if lower.utf8.count == 3, lower.hasSuffix("xx"), let digit = lower.first?.wholeNumberValue { return digit * 100...digit * 100 + 99 }
        let parts = lower.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { UInt16($0) }
        guard let low = parts[0] else { return nil }
        guard parts.count == 2 else { return Int(low)...Int(low) }
        guard let high = parts[1], low <= high else { return nil }
        return Int(low)...Int(high)
    }
}
