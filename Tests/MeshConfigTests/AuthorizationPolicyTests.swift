import Testing

@testable import MeshConfig

@Suite struct AuthorizationPolicyTests {
    /// A list that is accepted and not read would let in, or keep out, others than were meant.
    @Test func everyListOfARuleIsRead() throws {
        func lists(_ message: String) throws -> [String] {
            try #require(Schema.istio.messages[message]).fields.map(\.name).filter { !$0.hasPrefix("not") }.sorted()
        }
        let (source, operation) = try (message(below: "from", "source"), message(below: "to", "operation"))
        #expect(try lists(source) == AuthorizationPolicy.sourceFields.map(\.name).sorted())
        #expect(try lists(operation) == AuthorizationPolicy.operationFields.map(\.name).sorted())
    }

    /// The name of the message that a rule has below a list.
    private func message(below list: String, _ inner: String) throws -> String {
        func named(_ name: String, in message: String) throws -> String {
            var type = try #require(Schema.istio.messages[message]?.field(named: name), "\(message).\(name)").type
            while case .list(let element) = type { type = element }
            guard case .message(let found) = type else { throw Missing() }
            return found
        }
        return try named(inner, in: named(list, in: named("rules", in: "AuthorizationPolicy")))
    }

    private struct Missing: Error {}

    @Test func rulesAreReadWithTheirPlaces() throws {
        let text = """
            apiVersion: security.istio.io/v1
            kind: AuthorizationPolicy
            metadata: {name: p, namespace: shop, annotations: {istio.io/dry-run: "true"}}
            spec:
              selector: {matchLabels: {app: web}}
              action: DENY
              rules:
              - from:
                - source: {notNamespaces: [a, b]}
                to:
                - operation: {paths: ["/x"], notMethods: [GET]}
                when:
                - {key: "request.headers[X-Token]", values: [v], notValues: [w]}
            """
        let (mesh, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: text)])
        #expect(list.items.filter { $0.severity == .error }.isEmpty)
        let policy = try #require(mesh.authorizationPolicies.first)
        #expect(policy.action == .deny && policy.isDryRun && policy.attachment == .workloads(["app": "web"]))
        let rule = try #require(policy.rules.first)
        #expect(rule.sources.map { $0.clauses.map(\.field) } == [["notNamespaces"]] && rule.sources[0].clauses[0].isNegated)
        #expect(rule.operations[0].clauses.map(\.attribute) == [.method, .path])
        #expect(rule.conditions.map(\.isNegated) == [false, true] && rule.conditions[0].attribute == .header("x-token"))
        #expect(rule.position.line == 8)
    }
}
