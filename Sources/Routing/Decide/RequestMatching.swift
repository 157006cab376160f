internal import HTTP
internal import Matching
internal import Primitives

extension TableView {
    /// Whether the request fulfils all conditions of a `MatchEntry`, read in place. `port`: of the virtual host, or the one dialled.
    func isMatch(_ index: Int, port: UInt16, _ request: RequestParts, _ head: borrowing MessageHead) -> Bool {
        let match = rows.matches.slot(index)
        if match.entry.port != 0 && match.entry.port != port { return false }
        let matchers = rows.matchers
        guard matchers.test(match.entry.path, request.path), matchers.test(match.entry.method, request.method),
            matchers.test(match.entry.authority, request.authority), matchers.test(match.entry.scheme, request.scheme)
        else { return false }
        for place in match.entry.headers.indices where !isMatch(header: rows.named[place], request, head) { return false }
        for place in match.entry.queryParameters.indices where !matchers.test(parameter: rows.named[place], query: request.query) {
            return false
        }
        return true
    }

    /// Pseudo-headers are matched under their HTTP/2 names, as in Envoy. A name behind an `@` is the path of a token's claim.
    func isMatch(header: NamedMatcher, _ request: RequestParts, _ head: borrowing MessageHead) -> Bool {
        let name = rows.matchers.name(header)
        guard !name.isEmpty, name[0] == UInt8(ascii: ":") else { return rows.matchers.test(header: header, head, request.claims) }
        if name == ":path" { return isMatch(target: header, request) }
        if name == ":method" { return rows.matchers.test(header, value: request.method) }
        if name == ":authority" { return rows.matchers.test(header, value: request.authority) }
        return header.isNegated
    }

    /// `:path` is path and query, as in Envoy. Both stand next to each other unless the path was normalised.
    private func isMatch(target header: NamedMatcher, _ request: RequestParts) -> Bool {
        let (path, query) = (request.path, request.query)
        guard !query.isEmpty else { return rows.matchers.test(header, value: path) }
        return unsafe withUnsafeTemporaryAllocation(byteCount: path.count + query.count, alignment: 1) { joined in
            unsafe joined.copyMemory(from: path.buffer)
            unsafe UnsafeMutableRawBufferPointer(rebasing: joined[path.count...]).copyMemory(from: query.buffer)
            return unsafe rows.matchers.test(header, value: LentBytes(UnsafeRawBufferPointer(joined)))
        }
    }
}
