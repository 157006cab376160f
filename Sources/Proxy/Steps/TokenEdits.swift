internal import HTTP
internal import Matching
internal import Policy
internal import Primitives

/// What a token changes in a request's head: it is taken out before the request goes on, and what rules pass on of it is added
/// (`forwardOriginalToken`, `outputPayloadToHeader`, `outputClaimToHeaders`).
enum TokenEdits {
    /// Takes the token out of the places of the rule that took it, unless the rule forwards it. A token that is forwarded in the query is
    /// left out of what is logged all the same.
    static func takeOut(_ rule: Int, from request: inout Request, _ rules: TokenTables, _ scratch: inout ByteBuffer) {
        let group = rules.group(of: rule)
        guard rules.forwardsToken(rule) else { return takeOut(group: group, from: &request, rules, &scratch) }
        guard writeQuery(without: group, of: &request, rules, &scratch) else { return }
        request.log.shownTarget = targetText(&request, scratch)
    }

    /// Takes every token out: a request that is refused goes nowhere but into the log.
    static func takeOutAll(from request: inout Request, _ rules: TokenTables, _ scratch: inout ByteBuffer) {
        for group in 0..<rules.groupCount { takeOut(group: group, from: &request, rules, &scratch) }
    }

    private static func takeOut(group: Int, from request: inout Request, _ rules: TokenTables, _ scratch: inout ByteBuffer) {
        request.head.filter { head, index in !rules.isToken(field: index, of: head, group) }
        removeCookies(group, &request, rules, &scratch)
        guard writeQuery(without: group, of: &request, rules, &scratch) else { return }
        let target = targetText(&request, scratch)
        request.target.query = target.lowerBound + request.target.path.count..<target.upperBound
        request.target.path = target.lowerBound..<target.lowerBound + request.target.path.count
        request.head.sentTarget = target
    }

    /// Path and another query, one behind the other.
    private static func targetText(_ request: inout Request, _ query: borrowing ByteBuffer) -> Range<Int> {
        let written = request.head.write { $0.append(contentsOf: query) }
        return request.head.join(request.target.path, written)
    }

    /// Writes the query without the parameters that carry tokens; false = it has none.
    private static func writeQuery(
        without group: Int, of request: inout Request, _ rules: TokenTables, _ output: inout ByteBuffer
    ) -> Bool {
        output.clear()
        guard request.target.query.count > 1, rules.hasParameters(group) else { return false }
        let query = request.head.bytes(request.target.query)
        var start = 1
        var found = false
        while start <= query.count {
            let end = query.index(of: UInt8(ascii: "&"), from: start)
            let part = query[start..<end]
            start = end + 1
            if rules.isToken(parameter: part, group) {
                found = true
                continue
            }
            output.append(output.isEmpty ? "?" : "&")
            output.append(part)
        }
        return found
    }

    private static func removeCookies(_ group: Int, _ request: inout Request, _ rules: TokenTables, _ scratch: inout ByteBuffer) {
        guard rules.hasCookies(group) else { return }
        let end = request.head.fieldCount
        var changed = false
        for index in 0..<end where request.head.nameBytes(at: index).equals(ignoringCase: "cookie") {
            guard writeCookies(request.head.bytes(at: index), without: group, rules, &scratch) else { continue }
            changed = true
            if !scratch.isEmpty { request.head.add(LentBytes("cookie"), scratch.lent) }
        }
        guard changed else { return }
        request.head.filter { head, index in index >= end || !rules.isToken(cookiesOf: index, of: head, group) }
    }

    /// Writes a line of cookies without those that carry tokens; false = it has none.
    private static func writeCookies(_ line: LentBytes, without group: Int, _ rules: TokenTables, _ output: inout ByteBuffer) -> Bool {
        output.clear()
        var start = 0
        var found = false
        while start < line.count {
            let end = line.index(of: UInt8(ascii: ";"), from: start)
            let pair = line[start..<end].trimmed
            start = end + 1
            if rules.isToken(cookie: pair, group) {
                found = true
                continue
            }
            if !output.isEmpty { output.append("; ") }
            output.append(pair)
        }
        return found
    }

    // MARK: What is passed on

    /// Adds the headers that a rule makes of its token; returns how many could not be: a text that no header may have, or no room.
    static func addHeaders(_ rule: Int, to request: inout Request, _ rules: TokenTables, _ context: inout RequestContext) -> UInt64 {
        guard rules.writesHeaders else { return 0 }
        var dropped: UInt64 = 0
        let payload = rules.payloadHeader(rule)
        if !payload.isEmpty, unsafe !request.head.add(payload.buffer, context.tokens.payload.buffer) { dropped += 1 }
        let claims = context.tokens.claims
        for index in 0..<rules.claimHeaderCount(rule) {
            let (path, header) = rules.claimHeader(index, of: rule)
            guard let place = claims.entryIndex(at: path), let value = singleValue(claims[place], claims) else { continue }
            let isFit = HeaderText.isValue(value)
            if !isFit { dropped += 1 } else if unsafe !request.head.add(header.buffer, value.buffer) { dropped += 1 }
        }
        return dropped
    }

    /// A value that stands alone; of a list nothing is passed on.
    private static func singleValue(_ entry: ClaimEntry, _ claims: ClaimsView) -> LentBytes? {
        let value = claims.valueText(entry)
        return entry.isListed || value.isEmpty ? nil : value
    }
}

/// What a header's value may be made of.
enum HeaderText {
    /// RFC 9110 5.5: visible characters, spaces, tabs, and bytes beyond ASCII; no line break and no NUL.
    static func isValue(_ text: LentBytes) -> Bool {
        for index in 0..<text.count where text[index] < 32 && text[index] != 9 || text[index] == 127 { return false }
        return true
    }
}
