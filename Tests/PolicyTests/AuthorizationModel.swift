import Primitives

/// AuthorizationPolicies evaluated the obvious way, from the words of Istio's reference and semantics 2.8 and nothing of `Policy`: strings,
/// loops, no index. With it, policies and requests at random.
struct AuthorizationModel {
    struct Clause {
        /// `principals`, `request.headers[x-role]`.
        var key: String
        var values: [String]
        var isNegated: Bool
    }

    struct Rule {
        var sources: [[Clause]] = []
        var operations: [[Clause]] = []
        var conditions: [Clause] = []
    }

    struct Policy {
        var namespace: String
        var name: String
        var action: String
        var isDryRun: Bool
        var rules: [Rule]
    }

    var policies: [Policy]
    var domains = ["cluster.local"]

    // MARK: Evaluation

    /// `allowed`, `denied by ns[..]-policy[..]-rule[..]` or `not allowed`, and what the policies that are tried out would have refused.
    func verdict(_ request: AuthorizationQuestion) -> String {
        var dryRun = ""
        let deny = names(request, "DENY", false)
        if !names(request, "DENY", true).isEmpty { dryRun = "; dry run denies" }
        if let first = deny.min() { return "denied by \(first)" + dryRun }
        if policies.contains(where: { $0.action == "ALLOW" && $0.isDryRun }), names(request, "ALLOW", true).isEmpty, dryRun.isEmpty {
            dryRun = "; dry run does not allow"
        }
        let isAllowed = !policies.contains { $0.action == "ALLOW" && !$0.isDryRun } || !names(request, "ALLOW", false).isEmpty
        return (isAllowed ? "allowed" : "not allowed") + dryRun
    }

    /// The first AUDIT rule that matches.
    func audit(_ request: AuthorizationQuestion) -> String? { names(request, "AUDIT", false).min() }

    private func names(_ request: AuthorizationQuestion, _ action: String, _ isDryRun: Bool) -> [String] {
        policies.filter { $0.action == action && $0.isDryRun == isDryRun }.flatMap { policy in
            policy.rules.indices.filter { matches(policy.rules[$0], policy, request) }.map {
                "ns[\(policy.namespace)]-policy[\(policy.name)]-rule[\($0)]"
            }
        }
    }

    private static let httpOnly: Set<String> = ["hosts", "methods", "paths", "requestPrincipals", "request.auth.principal"]

    private static func isHTTPOnly(_ clause: Clause) -> Bool {
        httpOnly.contains(clause.key) || clause.key.hasPrefix("request.headers") || clause.key.hasPrefix("request.auth.")
    }

    private func matches(_ rule: Rule, _ policy: Policy, _ request: AuthorizationQuestion) -> Bool {
        let lets = policy.action == "ALLOW"
        let all = rule.sources.flatMap { $0 } + rule.operations.flatMap { $0 } + rule.conditions
        if !request.isHTTP, lets, all.contains(where: Self.isHTTPOnly) { return false }
        func holds(_ clauses: [Clause]) -> Bool {
            clauses.allSatisfy { clause in
                if !request.isHTTP, Self.isHTTPOnly(clause) { return true }
                let isThere = isOneOf(clause, policy, request, strictly: lets != clause.isNegated)
                return isThere != clause.isNegated
            }
        }
        return (rule.sources.isEmpty || rule.sources.contains(where: holds))
            && (rule.operations.isEmpty || rule.operations.contains(where: holds)) && holds(rule.conditions)
    }

    private static func fits(_ pattern: String, _ text: String) -> Bool {
        if text.isEmpty { return false }
        if pattern == "*" { return true }
        if pattern.hasPrefix("*") { return text.hasSuffix(pattern.dropFirst()) }
        if pattern.hasSuffix("*") { return text.hasPrefix(pattern.dropLast()) }
        return text == pattern
    }

    private func isOneOf(_ clause: Clause, _ policy: Policy, _ request: AuthorizationQuestion, strictly: Bool) -> Bool {
        let identity = (request.principal ?? "").split(separator: "/").map(String.init)
        let namespace = identity.count == 5 ? identity[2] : ""
        func any(_ text: String) -> Bool { clause.values.contains { Self.fits($0, text) } }
        func within(_ address: String) -> Bool { clause.values.contains { Self.contains($0, address) } }
        switch clause.key {
        case "principals", "source.principal": return clause.values.contains { means($0, request.principal ?? "") }
        case "namespaces", "source.namespace": return any(namespace)
        case "trustDomains", "source.trustDomain": return any(identity.first ?? "")
        case "serviceAccounts":
            guard identity.count == 5 else { return false }
            return clause.values.contains { ($0.contains("/") ? $0 : "\(policy.namespace)/\($0)") == "\(identity[2])/\(identity[4])" }
        case "ipBlocks", "source.ip": return within(request.source)
        case "remoteIpBlocks", "remote.ip":
            let last = request.fields.last { $0.name == "x-forwarded-for" }?.value.split(separator: ",").last
            let text = last.map { $0.filter { $0 != " " } } ?? ""
            let isLegible = request.isHTTP && !request.isEdge && SocketEndpoint(address: text, port: 0) != nil
            return within(isLegible ? text : request.source)
        case "destination.ip": return within(request.destination)
        case "ports", "destination.port": return clause.values.contains(String(request.port))
        case "connection.sni": return clause.values.contains { Self.fits($0.lowercased(), request.serverName.lowercased()) }
        case "hosts":
            let parts = request.host.lowercased().split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let host = parts[0].hasSuffix(".") ? parts[0].dropLast() : parts[0]
            let whole = host + (parts.count > 1 ? ":" + parts[1] : "")
            return clause.values.contains { Self.fits($0.lowercased(), String(whole)) }
        case "methods": return any(request.method)
        case "paths": return clause.values.contains { Self.isPath($0, request.path) }
        case "requestPrincipals", "request.auth.principal":
            guard let token = request.token, !token.issuer.isEmpty, !token.subject.isEmpty else { return false }
            return any("\(token.issuer)/\(token.subject)")
        case _ where clause.key.hasPrefix("request.auth."):
            guard request.token != nil else { return false }
            let paths = [
                "request.auth.audiences": "aud", "request.auth.presenter": "azp", "request.auth.claims[role]": "role",
                "request.auth.claims[realm][role]": "realm.role",
            ]
            return request.claims.contains { $0.path == paths[clause.key] && any($0.value) }
        default:
            let name = clause.key.dropFirst("request.headers[".count).dropLast()
            let lines = request.fields.filter { $0.name.lowercased() == name }.map(\.value)
            func fits(_ pattern: String, _ text: String) -> Bool { pattern == "*" || (text.isEmpty ? false : Self.fits(pattern, text)) }
            return clause.values.contains { value in
                if strictly { return !lines.isEmpty && lines.allSatisfy { fits(value, $0) } }
                let members = lines.flatMap { line in
                    line.split(separator: ",", omittingEmptySubsequences: false).map { String($0).replacing(" ", with: "") }
                }
                return !lines.isEmpty && (lines + members + [lines.joined(separator: ",")]).contains { fits(value, $0) }
            }
        }
    }

    /// Trust domains of the mesh stand for each other.
    private func means(_ value: String, _ principal: String) -> Bool {
        let parts = value.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 5, parts[0] != "*", parts[0] == "cluster.local" || domains.contains(parts[0]) else {
            return Self.fits(value, principal)
        }
        return domains.contains { Self.fits(([$0] + parts.dropFirst()).joined(separator: "/"), principal) }
    }

    private static func contains(_ block: String, _ address: String) -> Bool {
        let parts = block.split(separator: "/").map(String.init)
        guard let base = SocketEndpoint(address: parts[0], port: 0), let other = SocketEndpoint(address: address, port: 0),
            base.family == other.family
        else { return false }
        func bits(_ endpoint: SocketEndpoint) -> String {
            func binary(_ word: UInt64, _ count: Int) -> String {
                (0..<count).map { word >> UInt64(count - 1 - $0) & 1 == 1 ? "1" : "0" }.joined()
            }
            return endpoint.family == .ipv4 ? binary(endpoint.low, 32) : binary(endpoint.high, 64) + binary(endpoint.low, 64)
        }
        let count = parts.count > 1 ? Int(parts[1]) ?? 0 : 128
        return bits(base).prefix(count) == bits(other).prefix(count)
    }

    private static func isPath(_ value: String, _ path: String) -> Bool {
        guard value.contains("{*}") || value.contains("{**}") else { return fits(value, path) }
        func matches(_ pattern: ArraySlice<Substring>, _ segments: ArraySlice<Substring>) -> Bool {
            guard let first = pattern.first else { return segments.isEmpty }
            if first == "{**}" { return segments.count >= 1 }
            guard let segment = segments.first else { return false }
            guard first == "{*}" ? !segment.isEmpty : first == segment else { return false }
            return matches(pattern.dropFirst(), segments.dropFirst())
        }
        func segments(_ text: String) -> ArraySlice<Substring> { text.split(separator: "/", omittingEmptySubsequences: false)[...] }
        return matches(segments(value), segments(path))
    }
}
