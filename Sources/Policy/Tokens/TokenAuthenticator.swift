public import HTTP
internal import JOSE
public import Matching
public import Primitives

/// Judges the tokens of requests (semantics 2.9), one request after the other. One for each worker; what it lends is good until it judges
/// again.
///
/// A request is let in when a rule takes every token that it has at the rule's places, the first such rule in order is whose token it is.
/// Where none does, the first fault counts, and one of a rule whose issuer the token has before an unknown issuer. Tokens that were
/// verified are remembered until they expire, so that a signature is verified once.
public struct TokenAuthenticator: ~Copyable {
    private var reader = TokenReader()
    private var verifier = SignatureVerifier()
    private var cache = TokenCache()
    /// Of a token that is being verified, or that there was no room to remember.
    private var fresh = VerifiedToken()
    private var path = ByteBuffer()
    private let keys: IssuerKeys
    private var rows: [IssuerKeys.Row]
    /// Where the token of the last request is; none = in `fresh`.
    private var place = SlotID.none
    private var isThere = false
    private let seed: UInt64
    /// Tokens that were remembered, and those that were verified.
    public private(set) var hits: UInt64 = 0
    public private(set) var misses: UInt64 = 0

    /// `seed`: of the hashes of tokens, which nobody outside should know.
    public init(keys: IssuerKeys, seed: UInt64) {
        self.keys = keys
        self.seed = seed
        rows = keys.rows
    }

    /// Takes the keys as they are now; between two turns.
    public mutating func refreshKeys() { rows = keys.rows }

    /// Forgets remembered tokens, whose rules are gone; between two turns.
    public mutating func forget() {
        cache.clear()
        isThere = false
    }

    /// What the token of the last request claims. Mutating: of an authenticator that is only read, the compiler makes a copy first.
    public var claims: ClaimsView {
        mutating get {
            guard isThere else { return ClaimsView() }
            return unsafe place.isNone ? fresh.claims.view : cache[place].claims.view
        }
    }

    /// Its payload, as base64url.
    public var payload: LentBytes {
        guard isThere else { return LentBytes() }
        guard !place.isNone else { return unsafe LentBytes(fresh.token.readable)[fresh.payload] }
        return unsafe LentBytes(cache[place].token.readable)[cache[place].payload]
    }

    /// The next request has no token.
    public mutating func passOver() { isThere = false }

    /// What came of one rule, or of a group of them.
    private enum Outcome {
        case missing
        case verified(rule: Int, at: SlotID)
        case failed(TokenFault)
        case waits
    }

    /// Judges the tokens of a request. `query`: with its question mark. `mayWait`: for keys that are on their way.
    public mutating func judge(
        _ tables: TokenTables, _ head: borrowing MessageHead, query: LentBytes, now: MonotonicInstant, unixSeconds: Int64, mayWait: Bool
    ) -> TokenDecision {
        isThere = false
        let view = tables.view
        var fault: TokenFault?
        var best: (rule: Int, place: SlotID)?
        var bestGroup = 0
        var verified = 0
        var waits = false
        for group in 0..<view.rows.groups.count {
            let outcome = judge(view, group, head, query: query, now, unixSeconds, mayWait: mayWait)
            switch outcome {
            case .missing: continue
            case .waits: waits = true
            case .verified(let rule, let place):
                verified += 1
                if let best, best.rule < rule { continue }
                best = (rule, place)
                bestGroup = group
            case .failed(let found): fault = Self.worse(fault, found)
            }
        }
        // What a later group has verified may lie where the chosen token lay.
        if verified > 1, case .verified(let rule, let place) = judge(
            view, bestGroup, head, query: query, now, unixSeconds, mayWait: mayWait)
        {
            best = (rule, place)
        }
        if let best {
            place = best.place
            isThere = true
            return .verified(rule: best.rule)
        }
        if waits { return .waits }
        if let fault { return .refused(TokenRefusal(fault)) }
        return view.rows.isRequired ? .refused(TokenRefusal(.missing)) : .absent
    }

    /// The one of two that says more.
    private static func worse(_ known: TokenFault?, _ found: TokenFault) -> TokenFault {
        guard let known, known != .unknownIssuer else { return found }
        return known
    }

    private mutating func judge(
        _ view: TokenView, _ index: Int, _ head: borrowing MessageHead, query: LentBytes, _ now: MonotonicInstant, _ unixSeconds: Int64,
        mayWait: Bool
    ) -> Outcome {
        let group = view.rows.groups[index]
        var walk = TokenWalk(group)
        var count = 0
        var outcome = Outcome.missing
        while let token = walk.next(view, head, query: query) {
            count += 1
            if count > TokenLimits.tokensOfRequestMax { return .failed(.multipleTokens) }
            let found = judge(token, view, index, now, unixSeconds, mayWait: mayWait)
            // All tokens of a request must be good, and by one rule: an application might read another than was verified.
            switch (outcome, found) {
            case (.missing, _): outcome = found
            case (.verified(let first, _), .verified(let rule, _)): if rule != first { return .failed(.multipleTokens) }
            case (.verified, _): outcome = found
            default: break
            }
        }
        // The first one counts, and the others may lie where it lay.
        guard count > 1, case .verified = outcome else { return outcome }
        walk = TokenWalk(group)
        guard let first = walk.next(view, head, query: query) else { return outcome }
        return judge(first, view, index, now, unixSeconds, mayWait: mayWait)
    }

    private mutating func judge(
        _ token: LentBytes, _ view: TokenView, _ group: Int, _ now: MonotonicInstant, _ unixSeconds: Int64, mayWait: Bool
    ) -> Outcome {
        let hash = max(1, token.hash(seed: seed ^ UInt64(group)))
        if let known = cache.find(token, hash: hash, serial: view.rows.serial, unixSeconds: unixSeconds) {
            let rule = cache[known].rule
            let row = Int(view.rows.rules[rule].keys)
            if rows.indices.contains(row), rows[row].generation == cache[known].generation {
                hits &+= 1
                return .verified(rule: rule, at: known)
            }
            cache[known].forget()
        }
        misses &+= 1
        if let fault = reader.read(token) { return .failed(fault) }
        return judgeRead(token, hash, view, group, now, unixSeconds, mayWait: mayWait)
    }

    /// Asks the rules whose issuer the token names.
    private mutating func judgeRead(
        _ token: LentBytes, _ hash: UInt64, _ view: TokenView, _ group: Int, _ now: MonotonicInstant, _ unixSeconds: Int64, mayWait: Bool
    ) -> Outcome {
        var fault = TokenFault.unknownIssuer
        var waits = false
        for place in view.rows.groups[group].rules.indices {
            let rule = Int(view.rows.groupRules[place])
            let entry = view.rows.rules[rule]
            guard let issuer = reader.issuer, issuer == view.text(entry.issuer) else { continue }
            let found = reader.timeFault(now: unixSeconds, skew: TokenLimits.clockSkewSeconds) ?? audienceFault(entry, view)
            if let found {
                fault = Self.worse(fault, found)
                continue
            }
            switch verify(Int(entry.keys), now, mayWait: mayWait) {
            case .failed(let found): fault = Self.worse(fault, found)
            case .waits: waits = true
            case .missing, .verified:
                return .verified(rule: rule, at: keep(token, hash, view, rule))
            }
        }
        return waits ? .waits : .failed(fault)
    }

    private func audienceFault(_ entry: TokenRuleEntry, _ view: TokenView) -> TokenFault? {
        guard !entry.audiences.isEmpty else { return nil }
        for place in 0..<reader.audienceCount {
            let audience = TokenAudience.essence(reader.audience(place))
            for index in entry.audiences.indices where view.text(view.rows.texts[index]) == audience { return nil }
        }
        return .audienceNotAllowed
    }

    /// `missing` = nothing is amiss.
    private mutating func verify(_ row: Int, _ now: MonotonicInstant, mayWait: Bool) -> Outcome {
        guard rows.indices.contains(row) else { return .failed(.keySetUnavailable) }
        let mayFetch = mayWait && rows[row].mayFetch(now: now)
        guard let set = rows[row].set else {
            guard mayFetch else { return .failed(.keySetUnavailable) }
            keys.want(row)
            return .waits
        }
        let verification = verifier.verify(reader, with: set)
        if verification == .unknownKey, mayFetch {
            keys.want(row)
            return .waits
        }
        guard let fault = verification.fault else { return .missing }
        return .failed(fault)
    }

    private mutating func keep(_ token: LentBytes, _ hash: UInt64, _ view: TokenView, _ rule: Int) -> SlotID {
        let entry = view.rows.rules[rule]
        fresh.note(
            reader, token: token, serial: view.rows.serial, rule: rule, generation: rows[Int(entry.keys)].generation, hash: hash)
        TokenClaims.fill(&fresh.claims, reader, entry, view, &path)
        return cache.keep(&fresh) ?? .none
    }
}
