internal import HTTP
internal import Matching
internal import Primitives

/// Conditions of matches in words. Cold code.
extension TableView {
    /// Every condition of a match with its verdict, in the order in which they are tested.
    func clauses(
        _ match: MatchEntry, port: UInt16, _ request: RequestParts, _ head: borrowing MessageHead
    ) -> [RouteExplanation.Clause] {
        var clauses: [RouteExplanation.Clause] = []
        if match.port != 0 {
            clauses.append(RouteExplanation.Clause(subject: "port", wanted: "\(match.port)", found: "\(port)", holds: match.port == port))
        }
        let texts = [request.path, request.method, request.authority, request.scheme]
        for ((subject, matcher), value) in zip(match.texts, texts) where !matcher.isAny {
            clauses.append(
                RouteExplanation.Clause(
                    subject: subject, wanted: rows.matchers.describe(matcher), found: value.text,
                    holds: rows.matchers.test(matcher, value)))
        }
        for index in match.headers.indices {
            let header = rows.named[index]
            let name = rows.matchers.name(header)
            let isClaim = !name.isEmpty && name[0] == UInt8(ascii: "@")
            let field = isClaim ? nil : head.bytes(named: name)?.text
            let found = isClaim ? request.claims.shownValues(at: name.from(1)) : field
            clauses.append(
                RouteExplanation.Clause(
                    subject: header.subject(name), wanted: rows.matchers.describe(header.matcher),
                    found: found, holds: isMatch(header: header, request, head)))
        }
        for index in match.queryParameters.indices {
            let parameter = rows.named[index]
            clauses.append(
                RouteExplanation.Clause(
                    subject: "query parameter " + rows.matchers.name(parameter).text, wanted: rows.matchers.describe(parameter.matcher),
                    found: request.query.text, holds: rows.matchers.test(parameter: parameter, query: request.query)))
        }
        return clauses
    }

    /// The conditions of a match as text, without a request.
    func describeConditions(_ match: MatchEntry) -> [String] {
        var conditions: [String] = []
        if match.port != 0 { conditions.append("port \(match.port)") }
        for (subject, matcher) in match.texts where !matcher.isAny { conditions.append("\(subject) \(rows.matchers.describe(matcher))") }
        for index in match.headers.indices {
            let entry = rows.named[index]
            conditions.append("\(entry.subject(rows.matchers.name(entry))) \(rows.matchers.describe(entry.matcher))")
        }
        for index in match.queryParameters.indices {
            let entry = rows.named[index]
            conditions.append("query parameter \(rows.matchers.name(entry).text) \(rows.matchers.describe(entry.matcher))")
        }
        return conditions
    }
}

extension MatchEntry {
    fileprivate var texts: [(subject: String, matcher: StringMatcher)] {
        [("uri", path), ("method", method), ("authority", authority), ("scheme", scheme)]
    }
}

extension NamedMatcher {
    /// `header x-a`, or `claim a.b` of a token; `without` in front of what must not be.
    fileprivate func subject(_ name: LentBytes) -> String {
        let text = name.text
        let subject = text.hasPrefix("@") ? "claim " + text.dropFirst().replacing("\0", with: ".") : "header " + text
        return isNegated ? "without " + subject : subject
    }
}
