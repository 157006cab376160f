import HTTP
import MeshConfig
import Primitives
import TelemetryModel
import Testing

@testable import Policy

@Suite struct AuthorizationTests {
    static func policy(_ name: String, _ spec: String, namespace: String = "a") -> String {
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: \(name), namespace: \(namespace)}\n"
            + "spec: \(spec)\n---\n"
    }

    /// With a policy for each of a thousand clients and paths, a request must be compared with its own alone.
    @Test(arguments: [
        "{rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/s#]}}]}]}",
        "{rules: [{from: [{source: {namespaces: [n#]}}], to: [{operation: {methods: [GET]}}]}]}",
        "{rules: [{to: [{operation: {paths: [/api/v#/*]}}]}]}", "{rules: [{to: [{operation: {paths: ['/api/v#/{*}/x']}}]}]}",
        "{rules: [{to: [{operation: {hosts: [h#.local], paths: [/x]}}]}]}",
        "{rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/one]}}], to: [{operation: {paths: [/v#]}}]}]}",
    ])
    func rulesOfOthersAreNotLookedAt(spec: String) throws {
        let yaml = (0..<1000).map { Self.policy("p\($0)", spec.replacing("#", with: "\($0)")) }.joined()
        let set = try AuthorizationTruthTableTests.compile(yaml)
        let index = set.view.rows.lists[RulePhase.allow.rawValue].forHTTP
        #expect(index.others.isEmpty)
        let crowds = index.keys.indices.map { set.view.rows.keys[$0].rules.count }
        #expect(crowds.max() == 1 && crowds.reduce(0, +) == 1000)
    }

    /// Each length costs every request a look-up, so that they are bounded; longer prefixes are found by their beginnings.
    @Test func prefixesOfManyLengthsAreFound() throws {
        let paths = (1...200).map { "/" + String(repeating: "x", count: $0) }
        let yaml = paths.enumerated().map { Self.policy("p\($0.offset)", "{rules: [{to: [{operation: {paths: [\($0.element)y*]}}]}]}") }
        let set = try AuthorizationTruthTableTests.compile(yaml.joined())
        #expect(set.view.rows.lists[RulePhase.allow.rawValue].forHTTP.prefixLengths.count == UInt32(RuleIndexBuilder.prefixLengthsMax))
        for path in paths {
            var question = AuthorizationQuestion()
            question.path = path + "y/z"
            #expect(question.ask { set.tables.decide($0, $1).isAllowed }, "\(path)")
            question.path = path
            #expect(!question.ask { set.tables.decide($0, $1).isAllowed }, "\(path)")
        }
    }

    @Test func trustDomainsOfTheMeshAreOne() {
        let principals = PrincipalExpansion(trustDomain: "new.example", aliases: ["old.example", "new.example"])
        #expect(principals.expand("cluster.local/ns/a/sa/x") == ["new.example/ns/a/sa/x", "old.example/ns/a/sa/x"])
        #expect(principals.expand("old.example/ns/a/sa/x") == ["new.example/ns/a/sa/x", "old.example/ns/a/sa/x"])
        #expect(principals.expand("elsewhere/ns/a/sa/x") == ["elsewhere/ns/a/sa/x"])
        #expect(principals.expand("*/ns/a/sa/x") == ["*/ns/a/sa/x"] && principals.expand("*") == ["*"])
    }

    /// Who looks for why nobody is let in is told the rule that nearly did, and what was missing.
    @Test func theNearestRuleIsTold() throws {
        let set = try AuthorizationTruthTableTests.compile(
            Self.policy("far", "{rules: [{from: [{source: {namespaces: [b]}}], to: [{operation: {paths: [/x], methods: [PUT]}}]}]}")
                + Self.policy("near", "{rules: [{to: [{operation: {paths: [/api/*], methods: [GET]}}]}]}"))
        var question = AuthorizationQuestion()
        question.path = "/admin"
        let explanation = question.ask { set.explain($0, $1) }
        #expect(explanation.verdict == .notAllowed)
        let nearest = try #require(explanation.nearest)
        #expect(nearest.policy.facts.id.name == "near" && nearest.rule.failureCount == 1)
        #expect(nearest.rule.failure?.field == "paths" && nearest.rule.failure?.found == "/admin")
    }

    /// A rule keeps its counter over reloads, and one beyond the bound never takes another's.
    @Test func rulesKeepTheirCounters() {
        func labels(_ number: Int) -> RuleLabels {
            RuleLabels(namespace: "a", policy: "p", rule: number, action: "ALLOW", isDryRun: false)
        }
        let catalog = RuleCatalog()
        let slots = (0..<RuleCatalog.slotsMax - 1).map { catalog.slot(of: labels($0)) }
        #expect(Set(slots).count == slots.count && !slots.contains(.other))
        #expect(catalog.slot(of: labels(5)) == slots[5])
        #expect(catalog.slot(of: labels(1_000_000)) == .other)
    }

    @Test func templatesThatAreNoneAreErrorsWithTheirPlace() {
        let yaml = Self.policy("p", "{rules: [{to: [{operation: {paths: ['/{**}/{*}']}}]}]}")
        let (mesh, _) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
        let (_, problems) = AuthorizationCompiler.compile(
            mesh, namespace: "a", labels: [:], names: Catalogs(), catalog: RuleCatalog())
        #expect(problems.map(\.code) == ["SKN0320"] && problems.first?.severity == .error && problems.first?.position.line == 4)
    }
}
