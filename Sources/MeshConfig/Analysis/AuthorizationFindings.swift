/// AuthorizationPolicies and RequestAuthentications that guard nobody (IST0127), rules that no request fulfils (SKN0372), and
/// policies that decide nothing beside another one (SKN0373).
enum AuthorizationFindings {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        let policies = context.configuration.authorizationPolicies
        let attached =
            policies.map { ($0.id, $0.position, $0.attachment) }
            + context.configuration.requestAuthentications.map { ($0.id, $0.position, $0.attachment) }
        checkAttachments(context, attached, &report)
        let root = context.configuration.mesh.rootNamespace
        let judging = Set(context.configuration.requestAuthentications.filter { !$0.rules.isEmpty }.map(\.id.namespace))
        for policy in policies {
            let hasTokens = !judging.isDisjoint(with: [root, policy.id.namespace]) || policy.id.namespace == root && !judging.isEmpty
            for (place, rule) in policy.rules.enumerated() { check(rule, place, of: policy, hasTokens: hasTokens, &report) }
        }
        checkShadows(policies, context.configuration.mesh.rootNamespace, &report)
    }

    private static func checkAttachments(
        _ context: AnalysisContext, _ policies: [(id: ResourceID, position: SourcePosition, attachment: PolicyAttachment)],
        _ report: inout AnalysisReport
    ) {
        let workloads = context.configuration.workloadEntries
        guard !workloads.isEmpty else { return }
        let byLabel = WorkloadsByLabel(workloads)
        let root = context.configuration.mesh.rootNamespace
        let namespaces = Set(workloads.map(\.id.namespace))
        for policy in policies where !policy.attachment.isWide {
            if case .gateways(let names) = policy.attachment {
                let home = policy.id.namespace
                for name in names where byLabel.selected(by: [PolicyAttachment.gatewayLabel: name], namespace: home).isEmpty {
                    report.add(
                        .noWorkloads, policy.id, policy.position, "spec.targetRefs",
                        "no WorkloadEntry in namespace \(home) carries \(PolicyAttachment.gatewayLabel)=\(name): the policy guards no "
                            + "gateway of that name")
                }
                continue
            }
            let reached = policy.id.namespace == root ? namespaces : [policy.id.namespace]
            guard reached.allSatisfy({ byLabel.selected(by: policy.attachment.selector, namespace: $0).isEmpty }) else { continue }
            report.add(
                .noWorkloads, policy.id, policy.position, "spec.selector",
                "no WorkloadEntry in \(policy.id.namespace == root ? "any namespace" : "namespace \(policy.id.namespace)") carries "
                    + "\(policy.attachment.text): the policy guards nobody")
        }
    }

    // MARK: Rules

    private static func check(
        _ rule: AuthorizationPolicy.Rule, _ place: Int, of policy: AuthorizationPolicy, hasTokens: Bool, _ report: inout AnalysisReport
    ) {
        for groups in [rule.sources, rule.operations] where !groups.isEmpty {
            let reasons = groups.map { reason(in: $0.clauses, hasTokens) }
            guard let first = reasons[0], reasons.allSatisfy({ $0 != nil }) else { continue }
            return report.add(.ruleNeverMatches, policy.id, first.position, first.field, "rule \(place) never matches: \(first.text)")
        }
        guard let first = reason(in: rule.conditions, hasTokens) else { return }
        report.add(.ruleNeverMatches, policy.id, first.position, first.field, "rule \(place) never matches: \(first.text)")
    }

    /// Why clauses never hold together; nil = they may.
    private static func reason(
        in clauses: [AuthorizationPolicy.Clause], _ hasTokens: Bool
    ) -> (text: String, field: String, position: SourcePosition)? {
        for clause in clauses where !clause.isNegated {
            if !hasTokens, clause.attribute.isOfToken {
                let text = "no RequestAuthentication is for its workloads, so no request has a token that was verified"
                return (text, clause.field, clause.position)
            }
            if let text = reason(for: clause, among: clauses) { return (text, clause.field, clause.position) }
        }
        return nil
    }

    private static func reason(for clause: AuthorizationPolicy.Clause, among clauses: [AuthorizationPolicy.Clause]) -> String? {
        switch clause.attribute {
        case .metadata(let key): return "nothing here knows \(key), so no request has one"
        case .method:
            // Methods are compared as they are (RFC 9110 9.1).
            if clause.values.allSatisfy({ $0 != $0.uppercased() }) {
                return "methods are compared in their case: write \(clause.values[0].uppercased())"
            }
        case .path:
            if clause.values.allSatisfy({ !$0.hasPrefix("/") && !$0.hasPrefix("*") }) { return "every path begins with a slash" }
            if clause.values.allSatisfy({ $0.contains("?") && !$0.hasPrefix("*") }) { return "paths are compared without their query" }
        default: break
        }
        let excluded = Set(clauses.filter { $0.isNegated && $0.attribute == clause.attribute }.flatMap(\.values))
        guard clause.values.allSatisfy(excluded.contains) || excluded.contains("*") else { return nil }
        return "what \(clause.field) asks for is excluded beside it"
    }

    // MARK: Shadows

    /// A policy is looked at together with those of its action: one with the rule `{}`, or with the same rules, for the same workloads or
    /// more of them. ALLOW policies add to each other, and so do DENY policies.
    private static func checkShadows(_ policies: [AuthorizationPolicy], _ root: String, _ report: inout AnalysisReport) {
        let wide = policies.filter { !$0.isDryRun && $0.action != .custom && $0.rules.contains(where: \.isEverything) }
        for (place, policy) in policies.enumerated() where !policy.rules.isEmpty && policy.action != .custom {
            guard let other = wide.first(where: { other in
                guard other.id != policy.id, other.action == policy.action, !policy.isDryRun, covers(other, policy, root) else {
                    return false
                }
                // Of two that say the same the later one is told of.
                guard policy.rules.contains(where: \.isEverything), covers(policy, other, root) else { return true }
                return policies.prefix(place).contains { $0.id == other.id }
            })
            else { continue }
            report.add(
                .policyShadowed, policy.id, policy.position, "spec.rules",
                "\(other.id) (\(other.position)) has a rule that matches every request to the same workloads: this policy decides nothing")
        }
    }

    /// Whether one policy speaks for every workload that the other one speaks for.
    private static func covers(_ wide: AuthorizationPolicy, _ narrow: AuthorizationPolicy, _ root: String) -> Bool {
        guard wide.id.namespace == narrow.id.namespace || wide.id.namespace == root else { return false }
        switch (wide.attachment, narrow.attachment) {
        case (.workloads(let wider), .workloads(let narrower)): return wider.allSatisfy { narrower[$0.key] == $0.value }
        case (.workloads(let wider), .gateways(let names)):
            return !names.isEmpty && wider.allSatisfy { $0.key == PolicyAttachment.gatewayLabel && names == [$0.value] }
        case (.gateways(let wider), .gateways(let narrower)):
            return wide.id.namespace == narrow.id.namespace && !narrower.isEmpty && narrower.allSatisfy(wider.contains)
        case (.gateways, .workloads): return false
        }
    }
}

extension AuthorizationPolicy.Rule {
    /// `{}`: it matches every request.
    public var isEverything: Bool { sources.isEmpty && operations.isEmpty && conditions.isEmpty }
}
