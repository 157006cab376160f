internal import HTTP
internal import JOSE
internal import Matching
internal import MeshConfig
internal import Policy
internal import Primitives

/// Who is let in at a workload by the configuration: what explaining asks besides routes.
struct AccessPolicies {
    var authorization = AuthorizationSet.empty
    var tokens = TokenRuleSet.empty
    /// Of the running proxy; of a configuration alone those that stand in it.
    var keys = IssuerKeys()
}

/// What `skein explain` says of a request's token. Nothing of the token is shown but whom it is about.
extension RequestExplanation {
    /// Adds what RequestAuthentications say; true = the request goes on. `query`: with its question mark.
    @unsafe
    mutating func authenticate(
        _ authenticator: inout TokenAuthenticator, _ access: AccessPolicies, _ head: borrowing MessageHead, query: UnsafeRawBufferPointer
    ) -> Bool {
        guard !access.tokens.rules.isEmpty else { return true }
        let decision = unsafe authenticator.judge(
            access.tokens.tables, head, query: LentBytes(query), now: SystemClock.monotonicNow(),
            unixSeconds: Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000), mayWait: false)
        let rules = access.tokens.rules.map { Self.node($0, access.keys) }
        switch decision {
        case .absent:
            nodes.append(Node("authentication", "no token: the request is nobody's", rules))
        case .verified(let rule):
            let facts = access.tokens.rules[rule]
            let principal = authenticator.claims.principal
            let who = principal.isEmpty ? "nobody (iss or sub is missing)" : principal.text
            let by = "rule \(facts.place) of \(facts.id) (\(facts.source.position))"
            nodes.append(Node("authentication", "a good token of \(who), by \(by)", rules))
        case .refused(let refusal):
            nodes.append(Node("authentication", "refused: \(refusal.status) \(refusal.text)", rules))
            return false
        case .waits:
            nodes.append(Node("authentication", "waits for keys", rules))
            return false
        }
        return true
    }

    private static func node(_ facts: TokenRuleFacts, _ keys: IssuerKeys) -> Node {
        var text = "issuer \(facts.source.issuer) (\(facts.source.position))"
        if !facts.source.audiences.isEmpty { text += ", audiences \(facts.source.audiences.joined(separator: ", "))" }
        let rows = keys.rows
        if rows.indices.contains(facts.keys) {
            let row = rows[facts.keys]
            text += ", keys of \(row.name): "
            text += row.set.map { "\($0.count)" } ?? (row.attempted == nil ? "not fetched" : "none")
            if let failure = row.failure { text += " (the last fetch failed: \(failure))" }
        }
        return Node("\(facts.id) rule \(facts.place)", text)
    }
}
