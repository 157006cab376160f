public import HTTP
public import Primitives

/// A condition on one header field or query parameter. Istio: `headers`, `withoutHeaders` and `queryParams` (reference: VirtualService,
/// `HTTPMatchRequest`), `when: request.headers[...]` of policies.
public struct NamedMatcher: Sendable, BitwiseCopyable {
    /// Bytes in the pool; lower-case for header fields.
    let name: TableRange
    public let matcher: StringMatcher
    /// `withoutHeaders`: must not match.
    public let isNegated: Bool
}

extension MatcherPool {
    /// The name of a field or parameter.
    public func name(_ named: NamedMatcher) -> LentBytes { rows.text.bytes(named.name) }

    /// Whether a value that is there fulfils the condition, its negation included: for what a name stands for that is no field.
    public func test(_ named: NamedMatcher, value: LentBytes) -> Bool { test(named.matcher, value) != named.isNegated }

    /// Whether the fields of a head fulfil the condition.
    ///
    /// Of a repeated field any value will do, as in Envoy 1.40. A negated condition reads a field that is not there as an empty one
    /// (istiod's `treat_missing_header_as_empty`), but where it asks for presence.
    ///
    /// A name behind an `@` is the path of a claim (`ClaimPath`): one of its texts must be as wanted.
    public func test(header: NamedMatcher, _ head: borrowing MessageHead, _ claims: ClaimsView = ClaimsView()) -> Bool {
        let name = name(header)
        if !name.isEmpty, name[0] == UInt8(ascii: "@") { return test(claim: name.from(1), header.matcher, claims) != header.isNegated }
        var isThere = false
        for index in 0..<head.fieldCount where head.isNamed(name, at: index) {
            if test(header.matcher, head.bytes(at: index)) { return !header.isNegated }
            isThere = true
        }
        if !isThere, header.isNegated, header.matcher.kind != .present, header.matcher.kind != .any {
            return !test(header.matcher, LentBytes())
        }
        return header.isNegated
    }

    /// Whether the first parameter of that name fulfils the condition; values are compared as sent, without decoding, as Envoy does.
    /// `query`: with its question mark; empty without one.
    public func test(parameter: NamedMatcher, query: LentBytes) -> Bool {
        let name = name(parameter)
        var start = 1
        while start <= query.count {
            let end = query.index(of: UInt8(ascii: "&"), from: start)
            let field = query[start..<end]
            let mark = field.index(of: UInt8(ascii: "="), from: 0)
            if field.prefix(mark) == name { return test(parameter.matcher, field.from(min(mark + 1, field.count))) }
            start = end + 1
        }
        return false
    }

    /// Whether one of the texts that a token has at a path is as wanted. Numbers and truth values are no texts, as in Envoy's matchers of
    /// metadata.
    public func test(claim path: LentBytes, _ wanted: StringMatcher, _ claims: ClaimsView) -> Bool {
        var place = claims.entryIndex(at: path)
        while let index = place {
            let entry = claims[index]
            if entry.kind == .string, test(wanted, claims.valueText(entry)) { return true }
            place = claims.entryIndex(at: path, from: index + 1)
        }
        return false
    }
}
