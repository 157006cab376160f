internal import CRE2

/// One compiled expression that is tested against whole texts: matchers of labels in queries. Not for the request path, whose expressions
/// are in a `MatcherPool`.
///
/// Any thread. `@unchecked Sendable`: the compiled expression is written in `init` and freed in `deinit`, and RE2 matches with one from
/// several threads at once (re2.h, "Thread safety").
@safe
public final class TextPattern: @unchecked Sendable {
    // Never changed after init; RE2 allows matching from many threads.
    private let regex: OpaquePointer

    /// Fails with RE2's reason.
    public struct Problem: Error, Hashable, Sendable {
        public var reason: String
    }

    /// Longest pattern, bytes of UTF-8.
    public static let patternBytesMax = 64 * 1024

    public init(_ pattern: String) throws(Problem) {
        guard pattern.utf8.count <= Self.patternBytesMax else { throw Problem(reason: "longer than \(Self.patternBytesMax) bytes") }
        var pattern = pattern
        let made = pattern.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_new($0.baseAddress, $0.count, RegexOwner.bytesMax) }
        }
        guard let made = unsafe made else { throw Problem(reason: "no memory") }
        unsafe regex = made
        if let reason = unsafe skein_re2_error(made).map({ unsafe String(cString: $0) }) { throw Problem(reason: reason) }
    }

    deinit { unsafe skein_re2_free(regex) }

    /// Whether the whole text matches. Costs about the text's length, whatever the pattern.
    public func matches(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            unsafe bytes.withMemoryRebound(to: CChar.self) { unsafe skein_re2_full_match(regex, $0.baseAddress, $0.count) }
        }
    }
}
