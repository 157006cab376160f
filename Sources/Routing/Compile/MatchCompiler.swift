internal import Matching
internal import MeshConfig
internal import Primitives

/// Conditions of rules as matchers; bad ones are reported.
struct MatchCompiler {
    let draft: SnapshotBuilder

    /// One `match` block.
    func compileMatch(_ match: HTTPMatchRequest) -> MatchEntry {
        var entry = MatchEntry()
        entry.path = compileString(match.uri, ignoringCase: match.ignoreURICase)
        entry.scheme = compileString(match.scheme)
        entry.method = compileString(match.method)
        entry.authority = compileString(match.authority)
        entry.port = match.port ?? 0
        let headers = match.headers.map { compileNamed($0) } + match.withoutHeaders.map { compileNamed($0, isNegated: true) }
        entry.headers = draft.named.add(contentsOf: headers)
        entry.queryParameters = draft.named.add(contentsOf: match.queryParameters.map { compileNamed($0) })
        return entry
    }

    /// Nil = no condition. A bad regex is reported and never holds.
    func compileString(_ match: StringMatch?, ignoringCase: Bool = false) -> StringMatcher {
        guard let match else { return StringMatcher() }
        switch match.condition {
        case .present: return .present
        case .exact(let value): return draft.matchers.addExact(value, ignoringCase: ignoringCase)
        case .prefix(let value): return draft.matchers.addPrefix(value, ignoringCase: ignoringCase)
        case .regex(let pattern):
            let (matcher, problem) = draft.matchers.addRegex(pattern)
            if let problem { reportRegex(pattern, problem, match.position, match.field) }
            return matcher
        }
    }

    private func compileNamed(_ match: NamedStringMatch, isNegated: Bool = false) -> NamedMatcher {
        let matcher = compileString(match.match)
        guard let claim = ClaimPath.names(ofHeader: match.name) else {
            return draft.matchers.addNamed(match.name, matcher, isNegated: isNegated)
        }
        draft.usesClaims = true
        return draft.matchers.addNamed("@" + ClaimPath.joined(claim), matcher, isNegated: isNegated)
    }

    func reportRegex(_ pattern: String, _ reason: String, _ position: SourcePosition, _ field: String) {
        draft.report(
            .error, "SKN0301", position, nil, field,
            "\"\(pattern)\" is not a regular expression in RE2 syntax: \(reason); see github.com/google/re2/wiki/Syntax")
    }
}
