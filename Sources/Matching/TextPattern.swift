internal import CRE2

/// One compiled expression that is tested against whole texts: matchers of labels in queries, `label_replace`. Not for the request path,
/// whose expressions are in a `MatcherPool`.
///
/// The expression means what `^(?s:…)$` means to Prometheus: the whole text, and a dot is any character, the end of a line too.
/// Any thread. `@unchecked Sendable`: never changed after `init`, and RE2 lets many threads match at once (re2.h, "Thread safety").
@safe
public final class TextPattern: @unchecked Sendable {
    private let regex: OpaquePointer
    /// The matched text and its groups.
    private let partCount: Int

    /// Fails with the reason, in the words of Go's regexp/syntax where it has some.
    public struct Problem: Error, Hashable, Sendable {
        public var reason: String
    }

    /// Longest pattern, bytes of UTF-8.
    public static let patternBytesMax = 64 * 1024
    /// Groups that a replacement can name.
    static let groupsMax = 1000

    public init(_ pattern: String) throws(Problem) {
        guard pattern.utf8.count <= Self.patternBytesMax else { throw Problem(reason: "longer than \(Self.patternBytesMax) bytes") }
        var whole = "^(?s:\(pattern))$"
        let made = whole.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_new_utf8($0.baseAddress, $0.count, RegexOwner.bytesMax) }
        }
        guard let made = unsafe made else { throw Problem(reason: "no memory") }
        unsafe regex = made
        partCount = unsafe min(Int(skein_re2_groups(made)), Self.groupsMax) + 1
        if let problem = unsafe Self.compileProblem(of: regex) { throw problem }
    }

    deinit { unsafe skein_re2_free(regex) }

    /// Whether the whole text matches. Costs about the text's length, whatever the pattern.
    public func matches(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_full_match(regex, $0.baseAddress, $0.count) }
        }
    }

    /// The template with its groups filled in from the text (`$1`, `${1}`, `${name}`, `$$`; Go's `Regexp.Expand`). Nil when the text does
    /// not match as a whole.
    public func expand(_ template: String, with text: String) -> String? {
        guard let groups = parts(of: text) else { return nil }
        var result: [UInt8] = []
        for piece in ReplacementTemplate.parsed(template) {
            switch piece {
            case .literal(let bytes): result += bytes
            case .group(let number): if number < groups.count { result += groups[number] }
            case .named(let name): result += groupNumber(of: name).map { groups[$0] } ?? []
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private func groupNumber(of name: String) -> Int? {
        var name = name
        let number = name.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_group_named(regex, $0.baseAddress, $0.count) }
        }
        return number >= 0 && number < partCount ? Int(number) : nil
    }

    /// The matched text and its groups; one that took no part is empty. Nil without a match.
    private func parts(of text: String) -> [[UInt8]]? {
        let bytes = Array(text.utf8)
        var starts = [Int](repeating: -1, count: partCount)
        var lengths = starts
        let isMatch = unsafe bytes.withUnsafeBytes { buffer in
            let characters = unsafe buffer.bindMemory(to: CChar.self)
            return unsafe skein_re2_match_groups(
                regex, characters.baseAddress, characters.count, &starts, &lengths, Int32(clamping: partCount))
        }
        guard isMatch else { return nil }
        return (0..<partCount).map { starts[$0] < 0 ? [] : Array(bytes[starts[$0]..<starts[$0] + lengths[$0]]) }
    }

    /// re2::RE2::ErrorCode to the words of Go's regexp/syntax.
    private static let reasons: [Int32: String] = [
        2: "invalid escape sequence", 3: "invalid character class", 4: "invalid character class range", 5: "missing closing ]",
        6: "missing closing )", 7: "unexpected )", 8: "trailing backslash at end of expression",
        9: "missing argument to repetition operator",
        10: "invalid repeat count", 11: "invalid nested repetition operator", 12: "invalid or unsupported Perl syntax", 13: "invalid UTF-8",
        14: "invalid named capture",
    ]

    private static func compileProblem(of regex: OpaquePointer) -> Problem? {
        guard let reason = unsafe skein_re2_error(regex).map({ unsafe String(cString: $0) }) else { return nil }
        guard let words = unsafe reasons[skein_re2_error_code(regex)] else { return Problem(reason: reason) }
        let argument = unsafe skein_re2_error_argument(regex).map { unsafe String(cString: $0) } ?? ""
        return Problem(reason: "error parsing regexp: \(words): `\(argument)`")
    }
}
