public import Primitives

/// A condition on one text: Istio's `StringMatch` (reference: VirtualService, `StringMatch`) and the patterns of its AuthorizationPolicy
/// (`*` = present, `abc*` = prefix, `*abc` = suffix; reference: AuthorizationPolicy, `Rule`).
///
/// A plain value; its text and regex are in the `MatcherPool` of the builder that made it.
public struct StringMatcher: Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        /// No condition.
        case any
        /// There, whatever its value.
        case present
        case exact, prefix, suffix
        /// The whole text, in RE2's syntax.
        case regex
    }

    public internal(set) var kind = Kind.any
    /// ASCII case is ignored; `text` is in lower case then. Never of a regex, which says so itself.
    public internal(set) var ignoresCase = false
    /// Bytes in the pool; empty of other kinds than exact, prefix and suffix.
    var text = TableRange()
    /// Index in the pool.
    var regex: UInt32 = 0

    /// No condition.
    public init() {}

    /// Holds for every value that is there.
    public static let present: StringMatcher = {
        var matcher = StringMatcher()
        matcher.kind = .present
        return matcher
    }()

    /// Bytes of the wanted text; 0 of a regex.
    public var textCount: Int { Int(text.count) }
    /// Whether there is a condition.
    @inlinable public var isAny: Bool { kind == .any }
}

extension MatcherPool {
    /// Whether a value that is there fulfils the condition. Where there is none, nothing is called.
    @inlinable @inline(__always)
    public func test(_ matcher: StringMatcher, _ value: LentBytes) -> Bool { matcher.isAny || holds(matcher, value) }

    @usableFromInline
    func holds(_ matcher: StringMatcher, _ value: LentBytes) -> Bool {
        switch matcher.kind {
        case .any, .present: return true
        case .exact: return equal(value, matcher)
        case .prefix: return value.count >= matcher.textCount && equal(value.prefix(matcher.textCount), matcher)
        case .suffix: return value.count >= matcher.textCount && equal(value.suffix(matcher.textCount), matcher)
        case .regex: return rows.regexes.fullMatch(matcher.regex, value)
        }
    }

    @inline(__always)
    private func equal(_ value: LentBytes, _ matcher: StringMatcher) -> Bool {
        let wanted = rows.text.bytes(matcher.text)
        return matcher.ignoresCase ? value.equalsIgnoringCase(wanted) : value == wanted
    }

    /// The wanted text; empty of a regex.
    public func wantedText(_ matcher: StringMatcher) -> LentBytes { rows.text.bytes(matcher.text) }

    /// The condition for people: `prefix "/a" in any case`. Allocates.
    public func describe(_ matcher: StringMatcher) -> String {
        let text = wantedText(matcher).text
        let anyCase = matcher.ignoresCase ? " in any case" : ""
        switch matcher.kind {
        case .any: return "anything"
        case .present: return "present"
        case .exact: return "exact \"\(text)\"" + anyCase
        case .prefix: return "prefix \"\(text)\"" + anyCase
        case .suffix: return "suffix \"\(text)\"" + anyCase
        case .regex: return "regex \"\(rows.regexes.pattern(matcher.regex))\""
        }
    }
}
