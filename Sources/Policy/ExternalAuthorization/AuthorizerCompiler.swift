internal import MeshConfig

/// Finds the provider that a workload's policies of action CUSTOM ask, and says what is wrong with it (Istio: all of a workload's name the
/// same).
enum AuthorizerCompiler {
    /// The provider does not exist, or is none for authorization.
    static let badProvider = "SKN0321"
    /// Several providers for one workload.
    static let severalProviders = "SKN0322"

    /// `policies`: those that select the workload. Nil without any, and besides an error.
    static func compile(
        _ policies: [AuthorizationPolicy], _ mesh: MeshSettings, _ catalog: AuthorizerCatalog
    ) -> (ExternalAuthorizer?, [Diagnostic]) {
        guard let first = policies.first else { return (nil, []) }
        var problems: [Diagnostic] = []
        for policy in policies {
            if let problem = problem(of: policy, mesh) {
                report(policy, policy.provider.position, badProvider, "spec.provider.name", problem, &problems)
            }
        }
        let names = Set(policies.map(\.provider.name))
        if names.count > 1 {
            let list = names.sorted().joined(separator: ", ")
            for policy in policies {
                report(
                    policy, policy.provider.position, severalProviders, "spec.provider.name",
                    "the CUSTOM policies of one workload must name one provider, and these name \(list)", &problems)
            }
        }
        guard problems.isEmpty, case .externalAuthorizer(let settings)? = mesh.provider(named: first.provider.name)?.configuration else {
            return (nil, problems)
        }
        return (ExternalAuthorizer(named: first.provider.name, settings, slot: catalog.slot(of: first.provider.name)), [])
    }

    private static func problem(of policy: AuthorizationPolicy, _ mesh: MeshSettings) -> String? {
        let name = policy.provider.name
        guard let provider = mesh.provider(named: name) else {
            let known = mesh.extensionProviders.compactMap { provider in
                if case .externalAuthorizer = provider.configuration { provider.name } else { nil }
            }
            return "provider \"\(name.prefix(64))\" is not in meshConfig.extensionProviders; "
                + (known.isEmpty ? "it has no external authorizer" : "its external authorizers are \(known.joined(separator: ", "))")
        }
        if case .externalAuthorizer = provider.configuration { return nil }
        return "provider \"\(name.prefix(64))\" is no external authorizer: it needs envoyExtAuthzHttp or envoyExtAuthzGrpc"
    }

    private static func report(
        _ policy: AuthorizationPolicy, _ position: SourcePosition, _ code: String, _ field: String, _ message: String,
        _ problems: inout [Diagnostic]
    ) {
        problems.append(
            Diagnostic(severity: .error, code: code, position: position, resource: policy.id, field: field, message: message))
    }
}
