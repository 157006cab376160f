public import HTTP
public import Primitives

/// Which parts of a request are tokens of some rules, and what rules pass on: for whoever edits its head.
extension TokenTables {
    /// Rules that look for tokens at the same places are one group.
    public var groupCount: Int { view.rows.groups.count }
    public func group(of rule: Int) -> Int { Int(view.rows.rules[rule].group) }
    public func forwardsToken(_ rule: Int) -> Bool { view.rows.rules[rule].forwardsToken }
    public func hasParameters(_ group: Int) -> Bool { has(.parameter, group) }
    public func hasCookies(_ group: Int) -> Bool { has(.cookie, group) }

    private func has(_ kind: TokenPlaceEntry.Kind, _ group: Int) -> Bool {
        for index in view.rows.groups[group].places.indices where view.rows.places[index].kind == kind { return true }
        return false
    }

    /// Whether a header line carries a token of the group.
    public func isToken(field index: Int, of head: borrowing MessageHead, _ group: Int) -> Bool {
        for place in view.rows.groups[group].places.indices {
            let entry = view.rows.places[place]
            guard entry.kind == .header, head.isNamed(view.text(entry.name), at: index) else { continue }
            let value = head.bytes(at: index).trimmed
            if TokenWalk.token(value, behind: view.text(entry.prefix), entry.ignoresCase) != nil { return true }
        }
        return false
    }

    /// Whether `NAME=VALUE` of a query is one.
    public func isToken(parameter: LentBytes, _ group: Int) -> Bool { isPair(.parameter, parameter, group) }

    /// Whether `NAME=VALUE` of a line of cookies is one.
    public func isToken(cookie: LentBytes, _ group: Int) -> Bool { isPair(.cookie, cookie, group) }

    private func isPair(_ kind: TokenPlaceEntry.Kind, _ pair: LentBytes, _ group: Int) -> Bool {
        for place in view.rows.groups[group].places.indices {
            let entry = view.rows.places[place]
            if entry.kind == kind, TokenWalk.value(of: view.text(entry.name), in: pair) != nil { return true }
        }
        return false
    }

    /// Whether a field is a line of cookies with a token among them.
    public func isToken(cookiesOf index: Int, of head: borrowing MessageHead, _ group: Int) -> Bool {
        guard head.isNamed("cookie", at: index) else { return false }
        let line = head.bytes(at: index)
        var start = 0
        while start < line.count {
            let end = line.index(of: UInt8(ascii: ";"), from: start)
            if isToken(cookie: line[start..<end].trimmed, group) { return true }
            start = end + 1
        }
        return false
    }

    /// The header for the payload; empty = none.
    public func payloadHeader(_ rule: Int) -> LentBytes { view.text(view.rows.rules[rule].payloadHeader) }
    public func claimHeaderCount(_ rule: Int) -> Int { Int(view.rows.rules[rule].claimHeaders.count) }

    /// A claim's path, and the header it is passed on in.
    public func claimHeader(_ index: Int, of rule: Int) -> (path: LentBytes, header: LentBytes) {
        let entry = view.rows.claimHeaders[Int(view.rows.rules[rule].claimHeaders.start) + index]
        return (view.text(entry.claim), view.text(entry.header))
    }
}
