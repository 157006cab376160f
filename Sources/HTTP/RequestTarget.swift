internal import Primitives

/// The parts of a request target (RFC 9112 3.2), as ranges into its bytes.
public struct RequestTarget: Equatable, Sendable {
    public enum Form: Sendable { case origin, absolute, authority, asterisk }

    public var form: Form
    /// Scheme of an absolute target is `https`.
    public var isHTTPS = false
    /// Host and port of an absolute or authority target; empty otherwise. It replaces `Host` (RFC 9112 3.2.2).
    public var authority: Range<Int>
    /// From the first slash to the question mark; empty when an absolute target has no path (meaning `/`).
    public var path: Range<Int>
    /// From the question mark to the end, the mark included; empty without one.
    public var query: Range<Int>

    /// Splits a target; nil when it has none of the four forms, a fragment, an authority that is none, or `*`/authority for the wrong
    /// method.
    @unsafe
    public static func parse(_ target: UnsafeRawBufferPointer, method: UnsafeRawBufferPointer) -> RequestTarget? {
        guard target.count > 0 else { return nil }
        let none = target.count..<target.count
        if unsafe ASCII.equal(method, "CONNECT") {
            // RFC 9112 3.2.3: here the port is not optional.
            guard let authority = unsafe Authority.parse(target), authority.port != 0 else { return nil }
            return RequestTarget(form: .authority, authority: 0..<target.count, path: none, query: none)
        }
        if unsafe ASCII.equal(target, "*") {
            return unsafe ASCII.equal(method, "OPTIONS") ? RequestTarget(form: .asterisk, authority: none, path: 0..<1, query: none) : nil
        }
        var result = RequestTarget(form: .origin, authority: none, path: none, query: none)
        var start = 0
        if unsafe target[0] != UInt8(ascii: "/") {
            let prefixCount: Int
            if unsafe hasPrefix(target, "http://") {
                prefixCount = 7
            } else if unsafe hasPrefix(target, "https://") {
                prefixCount = 8
                result.isHTTPS = true
            } else {
                return nil
            }
            var end = prefixCount
            while end < target.count,
                unsafe target[end] != UInt8(ascii: "/") && target[end] != UInt8(ascii: "?") && target[end] != UInt8(ascii: "#")
            { end += 1 }
            result.form = .absolute
            result.authority = prefixCount..<end
            guard let authority = unsafe Authority.parse(UnsafeRawBufferPointer(rebasing: target[result.authority])) else { return nil }
            result.authority = prefixCount..<prefixCount + authority.count
            start = end
        }
        var mark = start
        while mark < target.count, unsafe target[mark] != UInt8(ascii: "?") {
            if unsafe target[mark] == UInt8(ascii: "#") { return nil }
            mark += 1
        }
        result.path = start..<mark
        result.query = mark..<target.count
        for position in result.query where unsafe target[position] == UInt8(ascii: "#") { return nil }
        return result
    }

    private static func hasPrefix(_ target: UnsafeRawBufferPointer, _ prefix: StaticString) -> Bool {
        guard target.count > prefix.utf8CodeUnitCount else { return false }
        return unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: target[..<prefix.utf8CodeUnitCount]), ignoringCase: prefix)
    }
}
