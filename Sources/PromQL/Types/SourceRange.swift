/// Bytes of a query's text, from the first to behind the last.
public struct SourceRange: Hashable, Sendable {
    public var start: Int
    public var end: Int

    public init(_ start: Int, _ end: Int) {
        self.start = start
        self.end = end
    }

    /// `line:column` of the start, both from 1; columns count bytes (promql/parser/posrange).
    public func position(in query: String) -> String {
        guard !query.isEmpty else { return "unknown position" }
        guard start >= 0, start <= query.utf8.count else { return "invalid position" }
        var line = 1
        var lastBreak = -1
        for (index, byte) in query.utf8.prefix(start).enumerated() where byte == UInt8(ascii: "\n") {
            line += 1
            lastBreak = index
        }
        return "\(line):\(start - lastBreak)"
    }
}
