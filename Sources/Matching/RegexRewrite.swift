public import Primitives

/// A change of a text: every match of a pattern becomes RE2's substitution (`\1` = its first group). Istio: `uriRegexRewrite` (reference:
/// VirtualService).
public struct RegexRewrite: Sendable, BitwiseCopyable {
    public enum Problem: Hashable, Sendable {
        /// Not RE2's syntax, for this reason.
        case pattern(String)
        /// The substitution names a group that the pattern does not have.
        case unknownGroup
    }

    var regex: UInt32 = 0
    var text = TableRange()

    /// A substitution by nothing; for fields that have none.
    public init() {}

    init(regex: UInt32, text: TableRange) {
        self.regex = regex
        self.text = text
    }

    /// Longest result, bytes.
    public static let bytesMax = 32 * 1024
}

extension MatcherPool {
    /// Appends the changed value; one that would be longer than `RegexRewrite.bytesMax` stays as it is.
    public func rewrite(_ rewrite: RegexRewrite, _ value: LentBytes, into out: inout ByteBuffer) {
        let room = RegexRewrite.bytesMax
        let start = unsafe out.reserve(room).assumingMemoryBound(to: CChar.self)
        let count = unsafe rows.regexes.replace(rewrite.regex, in: value, by: rows.text.bytes(rewrite.text), start, room: room)
        if count < 0 { out.append(value) } else { out.commit(count) }
    }
}
