import Primitives

/// Policies and requests at random, of so few words that they often meet.
struct AuthorizationGenerator {
    var random: RandomSource

    init(seed: UInt64) { random = RandomSource(seed: seed) }

    private mutating func pick<Item>(_ items: [Item]) -> Item { items[Int(random.below(UInt32(items.count)))] }
    private mutating func chance(_ percent: UInt32) -> Bool { random.below(100) < percent }
    private mutating func some<Item>(_ items: [Item]) -> [Item] { (0...random.below(3)).map { _ in pick(items) } }

    private static let addresses = ["10.0.0.0/8", "10.1.2.3", "10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32", "2001:db8::1", "127.0.0.1"]
    private static let values: [String: [String]] = [
        "principals": [
            "cluster.local/ns/a/sa/x", "cluster.local/ns/a/sa/y", "cluster.local/ns/b/sa/x", "old.example/ns/a/sa/x", "*",
            "cluster.local/ns/a/*", "*/sa/x", "*/ns/a/sa/x", "new.example/ns/b/sa/a.b", "elsewhere/ns/a/sa/x",
        ],
        "requestPrincipals": ["*", "issuer/alice", "issuer/*", "*/bob"], "namespaces": ["a", "b", "*", "a*", "*b", "shop"],
        "serviceAccounts": ["x", "b/x", "a/y", "a/x", "b/a.b"], "ipBlocks": addresses, "remoteIpBlocks": addresses,
        "hosts": ["web.local", "*.local", "web.*", "*", "WEB.local:80", "api.local"], "ports": ["80", "8080", "443"],
        "methods": ["GET", "POST", "P*", "*", "DELETE"],
        "paths": [
            "/api/*", "/api", "*/x", "/api/{*}/x", "/api/{**}", "*", "/", "/admin*", "/api/v1/items", "/{*}/{*}", "/api/v1*", "/a/{*}",
        ],
        "source.ip": addresses, "remote.ip": addresses, "destination.ip": ["10.9.9.9", "10.9.9.0/24", "10.8.0.0/16"],
        "destination.port": ["80", "8080"], "source.namespace": ["a", "b", "*"], "source.trustDomain": ["cluster.local", "*.example", "*"],
        "trustDomains": ["cluster.local", "new.example", "old*"],
        "source.principal": ["cluster.local/ns/a/sa/x", "*"], "connection.sni": ["web.local", "*.local", "*"],
        "request.headers[x-role]": ["admin", "user", "adm*", "*", "*in", "user,admin"],
        "request.auth.principal": ["*", "issuer/*", "*/bob"],
        "request.auth.audiences": ["api", "a*", "*"], "request.auth.presenter": ["app", "*"],
        "request.auth.claims[role]": ["admin", "adm*", "*er", "*"], "request.auth.claims[realm][role]": ["admin", "*"],
    ]
    private static let sourceFields = [
        "principals", "requestPrincipals", "namespaces", "serviceAccounts", "ipBlocks", "remoteIpBlocks", "trustDomains",
    ]
    private static let operationFields = ["hosts", "ports", "methods", "paths"]
    private static let conditionKeys = [
        "source.ip", "remote.ip", "destination.ip", "destination.port", "source.namespace", "source.trustDomain", "source.principal",
        "connection.sni", "request.headers[x-role]", "request.auth.principal", "request.auth.audiences", "request.auth.presenter",
        "request.auth.claims[role]", "request.auth.claims[realm][role]",
    ]

    mutating func model() -> AuthorizationModel {
        let policies = (0..<1 + random.below(5)).map { number -> AuthorizationModel.Policy in
            let action = pick(["ALLOW", "ALLOW", "DENY", "AUDIT"])
            let isDryRun = action != "AUDIT" && chance(20)
            var rules = (0..<random.below(4)).map { _ in rule() }
            if rules.isEmpty, action == "DENY" { rules = [AuthorizationModel.Rule()] }
            return AuthorizationModel.Policy(
                namespace: pick(["a", "istio-system"]), name: "p\(number)", action: action, isDryRun: isDryRun, rules: rules)
        }
        return AuthorizationModel(policies: policies)
    }

    private mutating func rule() -> AuthorizationModel.Rule {
        var rule = AuthorizationModel.Rule()
        if chance(60) { rule.sources = (0...random.below(2)).map { _ in group(Self.sourceFields) } }
        if chance(60) { rule.operations = (0...random.below(2)).map { _ in group(Self.operationFields) } }
        if chance(30) { rule.conditions = (0...random.below(2)).map { _ in clause(pick(Self.conditionKeys)) } }
        return rule
    }

    private mutating func group(_ fields: [String]) -> [AuthorizationModel.Clause] {
        var clauses: [AuthorizationModel.Clause] = []
        for _ in 0...random.below(3) {
            let one = clause(pick(fields))
            let isTaken = clauses.contains { $0.key == one.key && $0.isNegated == one.isNegated }
            // Not to be combined, as Istio has it.
            let identity: Set = ["principals", "namespaces"]
            let clashes = clauses.contains {
                $0.key == "serviceAccounts" && identity.contains(one.key) || one.key == "serviceAccounts" && identity.contains($0.key)
            }
            if !isTaken, !clashes { clauses.append(one) }
        }
        return clauses
    }

    private mutating func clause(_ key: String) -> AuthorizationModel.Clause {
        AuthorizationModel.Clause(key: key, values: some(Self.values[key] ?? []), isNegated: chance(30))
    }

    mutating func question() -> AuthorizationQuestion {
        var question = AuthorizationQuestion()
        if chance(70) {
            question.principal = pick([
                "cluster.local/ns/a/sa/x", "cluster.local/ns/a/sa/y", "cluster.local/ns/b/sa/x", "old.example/ns/a/sa/x",
                "new.example/ns/b/sa/a.b", "new.example/ns/b/sa/axb", "cluster.local/other",
            ])
            if chance(50) { question.serverName = pick(["web.local", "WEB.local", "api.local", "outside"]) }
        }
        question.source = pick(["10.1.2.3", "10.1.9.9", "10.200.0.1", "192.168.0.1", "2001:db8::1", "2001:db8:1::", "127.0.0.1"])
        question.destination = pick(["10.9.9.9", "10.8.1.1"])
        question.port = pick([80, 8080, 443])
        question.isHTTP = chance(80)
        question.isEdge = chance(20)
        question.method = pick(["GET", "POST", "PUT", "DELETE", "get"])
        question.host = pick(["web.local", "WEB.local:80", "api.local", "web.local.", "web.local.:80", "other"])
        question.path = pick([
            "/", "/api", "/api/", "/api/x", "/api/v1/x", "/api/v1/items", "/admin", "/admin/x", "/API/x", "/apix", "/api//x", "/a/b", "/a/",
        ])
        let roles = ["admin", "user", "user, admin", "admin,user", "", "administrator"]
        if chance(40) { question.fields += some(roles).map { ("X-Role", $0) } }
        let forwarded = ["10.1.2.3", "192.168.0.1, 10.1.9.9", "unknown", "2001:db8::1"]
        if chance(30) { question.fields += some(forwarded).map { ("x-forwarded-for", $0) } }
        guard chance(60) else { return question }
        question.token = (pick(["issuer", "other", ""]), pick(["alice", "bob", ""]))
        let claims = [
            ("aud", ["api", "web"]), ("azp", ["app", "other"]), ("role", ["admin", "user", "administrator"]),
            ("realm.role", ["admin", "user"]),
        ]
        for (path, values) in claims where chance(50) { question.claims += some(values).map { (path, $0) } }
        return question
    }
}

extension AuthorizationModel {
    /// As YAML.
    var yaml: String {
        policies.map { policy in
            let annotations = policy.isDryRun ? ", annotations: {istio.io/dry-run: \"true\"}" : ""
            let rules = policy.rules.map { "  - \(Self.text($0))\n" }.joined()
            return "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                + "metadata: {name: \(policy.name), namespace: \(policy.namespace)\(annotations)}\n"
                + "spec:\n  action: \(policy.action)\n" + (rules.isEmpty ? "" : "  rules:\n\(rules)") + "---\n"
        }.joined()
            + "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: m}\nspec: {meshConfig: {trustDomain: "
            + "\(domains[0]), trustDomainAliases: [\(domains.dropFirst().joined(separator: ", "))]}}\n"
    }

    private static func text(_ rule: Rule) -> String {
        func list(_ values: [String]) -> String { "[" + values.map { "\"\($0)\"" }.joined(separator: ", ") + "]" }
        func group(_ clauses: [Clause]) -> String {
            clauses.map { clause in
                let name = clause.isNegated ? "not" + clause.key.prefix(1).uppercased() + clause.key.dropFirst() : clause.key
                return "\(name): \(list(clause.values))"
            }.joined(separator: ", ")
        }
        var parts: [String] = []
        for (list, inner, groups) in [("from", "source", rule.sources), ("to", "operation", rule.operations)] where !groups.isEmpty {
            parts.append("\(list): [" + groups.map { "{\(inner): {\(group($0))}}" }.joined(separator: ", ") + "]")
        }
        if !rule.conditions.isEmpty {
            let conditions = rule.conditions.map {
                "{key: \"\($0.key)\", \($0.isNegated ? "notValues" : "values"): \(list($0.values))}"
            }
            parts.append("when: [" + conditions.joined(separator: ", ") + "]")
        }
        return "{" + parts.joined(separator: ", ") + "}"
    }
}
