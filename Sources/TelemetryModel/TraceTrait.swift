internal import Primitives

/// What some span of a trace has, whatever its service: beside Zipkin's criteria, which count under the service that is asked for.
public enum TraceTrait: Sendable, Equatable {
    /// A tag with this key.
    case key(String)
    /// A tag with one of these keys whose value is a number in this range: decimal, without leading zeros, at most 18 digits.
    case number(keys: [String], ClosedRange<UInt64>)
    /// This as a part of its name, a tag's key or value, an annotation or a service's name; letters of ASCII in either case. In lower case.
    case text([UInt8])

    /// Any thread.
    public func isMet(by trace: SpanBatch) -> Bool {
        switch self {
        case .key(let key): return trace.spans.contains { span in trace.tags(of: span).contains { trace.holds(key, at: $0.key) } }
        case .number(let keys, let range):
            return trace.spans.contains { span in
                trace.tags(of: span).contains { tag in
                    keys.contains { trace.holds($0, at: tag.key) } && Self.number(trace.bytes(tag.value)).map(range.contains) ?? false
                }
            }
        // All texts of a trace lie together: one look along them tells most traces that have it nowhere.
        case .text(let part):
            return ASCII.isPart(part, of: trace.text[...]) && trace.spans.contains { Self.holds(part, trace, $0) }
        }
    }

    private static func holds(_ part: [UInt8], _ trace: SpanBatch, _ span: SpanRow) -> Bool {
        func isIn(_ text: TextRef) -> Bool { ASCII.isPart(part, of: trace.bytes(text)) }
        if isIn(span.name) { return true }
        if trace.tags(of: span).contains(where: { isIn($0.key) || isIn($0.value) }) { return true }
        let start = Int(span.annotationStart)
        if trace.annotations[start..<start + Int(span.annotationCount)].contains(where: { isIn($0.value) }) { return true }
        return [span.localEndpoint, span.remoteEndpoint].contains { endpoint in
            endpoint != EndpointRow.absent && Int(endpoint) < trace.endpoints.count && isIn(trace.endpoints[Int(endpoint)].serviceName)
        }
    }

    /// Nil for what is no number as it stands here.
    static func number(_ text: ArraySlice<UInt8>) -> UInt64? {
        guard let first = text.first, text.count <= 18, first != UInt8(ascii: "0") || text.count == 1 else { return nil }
        var value: UInt64 = 0
        for byte in text {
            guard byte &- 48 < 10 else { return nil }
            value = value &* 10 &+ UInt64(byte &- 48)
        }
        return value
    }
}

extension SpanBatch {
    public func tags(of span: SpanRow) -> ArraySlice<TagRow> {
        let start = Int(span.tagStart)
        return tags[start..<start + Int(span.tagCount)]
    }

    func bytes(_ reference: TextRef) -> ArraySlice<UInt8> { text[Int(reference.offset)..<Int(reference.offset) + Int(reference.count)] }

    func holds(_ word: String, at reference: TextRef) -> Bool {
        Int(reference.count) == word.utf8.count && bytes(reference).elementsEqual(word.utf8)
    }
}
