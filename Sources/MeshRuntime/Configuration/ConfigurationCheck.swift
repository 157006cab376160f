public import MeshConfig
internal import Policy
internal import Primitives
internal import Routing
internal import TelemetryModel

/// What `skein validate` and `skein analyze` find: everything a start would, without starting.
public struct ConfigurationCheck: Sendable {
    public var diagnostics: [Diagnostic] = []
    public var otherErrors: [String] = []
    public var omitted = 0
    public var resources: [String: Int] = [:]
    public var errors = 0
    public var warnings = 0
    public var notices = 0

    public var isValid: Bool { errors == 0 }

    /// `12 resources: 0 errors, 1 warning, 3 notices`.
    public var summary: String {
        func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
        let total = resources.values.reduce(0, +)
        return "\(count(total, "resource")): \(count(errors, "error")), \(count(warnings, "warning")), \(count(notices, "notice"))"
    }

    /// `allowsUnenforced`: as a start with `--allow-unenforced` would find; `hasIdentity`: as one with `--identity`.
    public static func run(
        from source: ConfigurationSource, node: String?, allowsUnenforced: Bool = false, hasIdentity: Bool = false
    ) -> ConfigurationCheck {
        let (mesh, list) = MeshConfiguration.load(from: source)
        var check = ConfigurationCheck()
        check.diagnostics = list.items
        check.omitted = list.omitted
        check.resources = mesh.resourceCounts
        check.errors = list.errorCount
        check.warnings = list.warningCount
        check.notices = list.noticeCount
        guard !list.hasErrors else { return check }
        // Compile for the named node, or for every workload: regexes and listeners are checked only then.
        var identities = [NodeIdentity()] + mesh.workloadEntries.map { NodeIdentity($0) }
        if let node {
            guard let workload = mesh.workload(named: node) else {
                check.otherErrors.append("--node \(node): no WorkloadEntry of that name")
                check.errors += 1
                return check
            }
            identities = [NodeIdentity(workload)]
        }
        var seen = Set(check.diagnostics)
        for problem in compile(mesh, identities, allowsUnenforced, hasIdentity) where seen.insert(problem).inserted {
            check.diagnostics.append(problem)
            switch problem.severity {
            case .error: check.errors += 1
            case .warning: check.warnings += 1
            case .notice: check.notices += 1
            }
        }
        return check
    }

    /// What `skein analyze` finds of warning or error severity that is not said here already; 0 for a configuration with errors, whose
    /// other findings may be but what follows from them. Reads the files once more and compiles nothing.
    public func furtherFindings(from source: ConfigurationSource) -> Int {
        guard isValid else { return 0 }
        let said = Set(diagnostics.map(\.position))
        return MeshAnalysis.run(from: source).findings.count { $0.severity >= .warning && !said.contains($0.diagnostic.position) }
    }

    /// `skein analyze`: what loading and the checks across resources say, and what a compilation for every workload does.
    public static func analyze(
        from source: ConfigurationSource, allowsUnenforced: Bool = false, hasIdentity: Bool = false
    ) -> MeshAnalysis {
        var analysis = MeshAnalysis.run(from: source)
        // As for a start: what has errors is not compiled.
        guard analysis.count(.error) == 0 else { return analysis }
        let mesh = analysis.configuration
        let nodes = [NodeIdentity()] + mesh.workloadEntries.map { NodeIdentity($0) }
        analysis.add(compilation: compile(mesh, nodes, allowsUnenforced, hasIdentity))
        return analysis
    }

    /// What compilations for some nodes say, each thing once.
    private static func compile(
        _ mesh: MeshConfiguration, _ identities: [NodeIdentity], _ allowsUnenforced: Bool, _ hasIdentity: Bool
    ) -> [Diagnostic] {
        var seen: Set<Diagnostic> = []
        var problems: [Diagnostic] = []
        for identity in identities.prefix(nodesMax) {
            var inputs = CompileInputs(node: identity, catalogs: Catalogs())
            inputs.outboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15001)
            if !identity.name.isEmpty { inputs.inboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15006) }
            inputs.allowsUnenforced = allowsUnenforced
            inputs.hasIdentity = hasIdentity
            let rules = AuthorizationCompiler.compile(
                mesh, namespace: identity.namespace, labels: identity.labels, names: inputs.catalogs, catalog: RuleCatalog())
            let tokens = RequestAuthenticationCompiler.compile(
                mesh, namespace: identity.namespace, labels: identity.labels, names: inputs.catalogs, keys: IssuerKeys())
            for problem in RouteCompiler.compile(mesh, inputs).1 + rules.1 + tokens.1 + TelemetryPlanner.problems(mesh, identity)
            where seen.insert(problem).inserted {
                problems.append(problem)
            }
        }
        return problems
    }

    /// Workloads compiled for; more add time, not findings.
    static let nodesMax = 200
}
