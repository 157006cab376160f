internal import JOSE
internal import Matching
internal import Primitives

/// Makes claims of a token that was verified (semantics 2.9): words of `scope` and the like become values of their own.
enum TokenClaims {
    /// `path`: room for a path being put together.
    static func fill(
        _ claims: inout ClaimsBuffer, _ reader: borrowing TokenReader, _ rule: TokenRuleEntry, _ view: TokenView,
        _ path: inout ByteBuffer
    ) {
        claims.clear()
        claims.note(issuer: reader.issuer ?? LentBytes(), subject: reader.subject ?? LentBytes())
        for place in 0..<reader.claimCount {
            let claim = reader.claim(place)
            guard let kind = kind(claim.kind), join(&path, reader, claim) else { continue }
            let name = unsafe LentBytes(path.readable)
            if kind == .string, claim.pathCount == 1, !claim.isListElement, hasWords(name, rule, view) {
                claims.add(wordsOf: claim.value, path: name)
            } else {
                claims.add(kind, isListed: claim.isListElement, path: name, value: claim.value)
            }
        }
    }

    private static func kind(_ kind: Claim.Kind) -> ClaimEntry.Kind? {
        switch kind {
        case .string: .string
        case .number: .number
        case .isTrue, .isFalse: .boolean
        case .null: nil
        }
    }

    /// False = a name has the separator in it, so that the path would be another's.
    private static func join(_ path: inout ByteBuffer, _ reader: borrowing TokenReader, _ claim: Claim) -> Bool {
        path.clear()
        for place in 0..<claim.pathCount {
            let name = reader.pathName(place, of: claim)
            if name.index(of: ClaimPath.separator, from: 0) < name.count { return false }
            if place > 0 { path.append(byte: ClaimPath.separator) }
            path.append(name)
        }
        return true
    }

    private static func hasWords(_ name: LentBytes, _ rule: TokenRuleEntry, _ view: TokenView) -> Bool {
        for index in rule.wordClaims.indices where view.text(view.rows.texts[index]) == name { return true }
        return false
    }
}
