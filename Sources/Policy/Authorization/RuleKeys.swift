internal import MeshConfig

/// The sets of keys that find a rule: for each of them, whatever the rule matches has one of its keys. Off the request path.
struct RuleKeys {
    let rule: AuthorizationPolicy.Rule
    let namespace: String
    let principals: PrincipalExpansion

    /// Of a connection only the client's identity is known.
    var ofConnection: [[RuleKey]] { [keys(.principal), keys(.namespace), keys(.serviceAccount)].compactMap { $0 } }

    var ofRequest: [[RuleKey]] { ofConnection + [keys(.path), keys(.host), keys(.method)].compactMap { $0 } }

    /// Keys by one attribute: where each source, each operation or one condition asks for certain values of it.
    private func keys(_ attribute: AuthorizationAttribute) -> [RuleKey]? {
        for groups in [rule.sources, rule.operations] where !groups.isEmpty {
            let sets = groups.map { keys(attribute, $0.clauses) }
            if sets.allSatisfy({ $0 != nil }) { return sets.flatMap { $0 ?? [] } }
        }
        return keys(attribute, rule.conditions)
    }

    private func keys(_ attribute: AuthorizationAttribute, _ clauses: [AuthorizationPolicy.Clause]) -> [RuleKey]? {
        for clause in clauses where clause.attribute == attribute && !clause.isNegated {
            let found = clause.values.map { keys(attribute, $0) }
            if found.allSatisfy({ $0 != nil }) { return found.flatMap { $0 ?? [] } }
        }
        return nil
    }

    /// Nil = the value says too little.
    private func keys(_ attribute: AuthorizationAttribute, _ value: String) -> [RuleKey]? {
        let isExact = !value.hasPrefix("*") && !value.hasSuffix("*")
        switch attribute {
        case .principal:
            return isExact ? principals.expand(value).map { RuleKey(.principal, $0.utf8) } : nil
        case .namespace: return isExact ? [RuleKey(.namespace, value.utf8)] : nil
        case .serviceAccount: return [RuleKey(.namespace, AccountName(value, in: namespace).namespace.utf8)]
        case .host: return isExact ? [RuleKey(.host, value.lowercased().utf8)] : nil
        case .method: return isExact ? [RuleKey(.method, value.utf8)] : nil
        case .path: return Self.key(ofPath: value).map { [$0] }
        default: return nil
        }
    }

    private static func key(ofPath value: String) -> RuleKey? {
        if let brace = value.utf8.firstIndex(of: UInt8(ascii: "{")), AuthorizationCompiler.isTemplate(value) {
            return RuleKey(.pathPrefix, value.utf8[..<brace])
        }
        if value.hasPrefix("*") { return nil }
        if value.hasSuffix("*") { return RuleKey(.pathPrefix, value.utf8.dropLast()) }
        return RuleKey(.path, value.utf8)
    }
}

/// A value of `serviceAccounts`: `NAMESPACE/NAME`, or a name in the namespace of the policy. No wildcards (semantics 2.8).
struct AccountName {
    var namespace: String
    var account: String

    init(_ value: String, in policyNamespace: String) {
        let parts = value.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        namespace = parts.count == 2 ? parts[0] : policyNamespace
        account = parts.last ?? ""
    }
}
