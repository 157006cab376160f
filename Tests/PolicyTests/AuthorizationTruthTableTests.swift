import HTTP
import MeshConfig
import Policy
import Primitives
import TelemetryModel
import Testing

/// A wrong "yes" is an intruder, a wrong "no" an outage: thousands of policies and requests against `AuthorizationModel`.
@Suite struct AuthorizationTruthTableTests {
    static func compile(_ yaml: String, names: Catalogs = Catalogs(), rules: RuleCatalog = RuleCatalog()) throws -> AuthorizationSet {
        let (mesh, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
        let errors = list.items.filter { $0.severity == .error }.map(\.text)
        try #require(errors.isEmpty, "\(errors)\n\(yaml)")
        let (set, problems) = AuthorizationCompiler.compile(mesh, namespace: "a", labels: [:], names: names, catalog: rules)
        try #require(problems.isEmpty, "\(problems.map(\.text))")
        return set
    }

    /// In the words of `AuthorizationModel.verdict`.
    static func verdict(_ decision: AuthorizationDecision, _ names: Catalogs) -> String {
        let text =
            switch decision.verdict {
            case .denied: "denied by " + names.names.value(decision.refusedBy.rawValue)
            case .notAllowed: "not allowed"
            default: "allowed"
            }
        return switch decision.dryRunVerdict {
        case nil: text
        case .dryRunDenied: text + "; dry run denies"
        default: text + "; dry run does not allow"
        }
    }

    @Test(arguments: [["cluster.local"], ["new.example", "old.example"], ["new.example", "cluster.local"]])
    func decisionsAreThoseOfTheModel(domains: [String]) throws {
        let first = UInt64.random(in: 1...UInt64.max)
        var counts: [String: Int] = [:]
        for number in 0..<250 {
            let seed = first &+ UInt64(number)
            var generator = AuthorizationGenerator(seed: seed)
            var model = generator.model()
            model.domains = domains
            let names = Catalogs()
            let set = try Self.compile(model.yaml, names: names)
            for _ in 0..<60 {
                let question = generator.question()
                let expected = model.verdict(question)
                let decision = question.ask { set.tables.decide($0, $1) }
                #expect(Self.verdict(decision, names) == expected, "seed \(seed): \(question)\n\(model.yaml)")
                let audit = model.audit(question) ?? ""
                #expect(names.names.value(decision.shadow.auditRule.rawValue) == audit, "seed \(seed): \(question)\n\(model.yaml)")
                // What is explained is what is decided.
                let explanation = question.ask { set.explain($0, $1) }
                #expect(explanation.verdict == decision.verdict, "seed \(seed)")
                counts[String(expected.prefix { $0 != " " && $0 != ";" }), default: 0] += 1
            }
        }
        // The generator must not have become one-sided.
        #expect(["allowed", "denied", "not"].allSatisfy { counts[$0, default: 0] > 1000 }, "seed \(first): \(counts)")
    }

    /// Rules by the thousand, which the index keeps apart, decide as they do one by one.
    @Test func manyRulesDecideAsFew() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var generator = AuthorizationGenerator(seed: seed)
        var model = generator.model()
        var policies: [AuthorizationModel.Policy] = []
        for number in 0..<120 {
            for var policy in generator.model().policies where policies.count < 400 {
                policy.name = "q\(number)-\(policy.name)"
                policies.append(policy)
            }
        }
        for number in 0..<300 {
            let operation = AuthorizationModel.Clause(key: "paths", values: ["/api/v\(number)/*"], isNegated: false)
            policies.append(
                AuthorizationModel.Policy(
                    namespace: "a", name: "many\(number)", action: number % 2 == 0 ? "DENY" : "ALLOW", isDryRun: false,
                    rules: [AuthorizationModel.Rule(operations: [[operation]])]))
        }
        // Broad rules would decide everything before the narrow ones are asked.
        model.policies = policies.filter { policy in
            policy.action != "DENY" || !policy.rules.contains { $0.sources.isEmpty && $0.operations.isEmpty }
        }
        let names = Catalogs()
        let set = try Self.compile(model.yaml, names: names)
        for number in 0..<400 {
            var question = generator.question()
            if number % 3 == 0 { question.path = "/api/v\(number)/x" }
            let decision = question.ask { set.tables.decide($0, $1) }
            #expect(Self.verdict(decision, names) == model.verdict(question), "seed \(seed): \(question)")
        }
    }
}
