internal import HTTP
public import MeshConfig
public import Policy
internal import Primitives
internal import QueryAPI
public import Routing
internal import TelemetryModel

/// One configuration, ready to be adopted by everybody.
public struct CompiledConfiguration: Sendable {
    public var mesh: MeshConfiguration
    public var routing: RoutingSnapshot
    public var authorization: AuthorizationSet
    public var tokens: TokenRuleSet
    public var node: NodeIdentity
    /// What the load that made it changed.
    public var changes: ConfigurationChanges
}

/// Why no configuration could be made.
public struct ConfigurationError: Error, Sendable {
    /// Lines for people, each with its place.
    public var lines: [String]
}

/// Loads, validates and compiles configurations; keeps count of how that went. On the control thread.
struct ConfigurationController {
    let options: RuntimeOptions
    let catalogs: Catalogs
    let rules = RuleCatalog()
    let keys = IssuerKeys()
    let authorizers = AuthorizerCatalog()
    private(set) var status = ConfigurationStatus()
    private(set) var current: CompiledConfiguration?
    /// What `current` and `status` were before the last load that succeeded.
    private var before: (current: CompiledConfiguration?, status: ConfigurationStatus)?
    private var generation: UInt64 = 0

    /// Lines of one failed load that are kept.
    static let errorLinesMax = 20

    init(options: RuntimeOptions, catalogs: Catalogs) {
        self.options = options
        self.catalogs = catalogs
    }

    /// Reads everything anew. On an error nothing changes but the counters. What had resources and has none is refused unless `isMeant`.
    mutating func load(
        resolved: [String: [SocketEndpoint]], isMeant: Bool = false
    ) -> Result<(CompiledConfiguration, [Diagnostic]), ConfigurationError> {
        var (mesh, diagnostics) = MeshConfiguration.load(from: options.configuration)
        applyPreferences(to: &mesh.mesh)
        guard !diagnostics.hasErrors else {
            return fail(diagnostics.items.filter { $0.severity == .error }.flatMap(\.lines))
        }
        if !isMeant, let loss = loss(in: mesh) { return fail(loss) }
        let earlier = (current, status)
        let changes = ConfigurationChanges(from: current?.mesh, to: mesh)
        switch compile(mesh, resolved: resolved, changes) {
        case .failure(let error): return .failure(error)
        case .success(let (compiled, problems)):
            before = earlier
            status.reloads += 1
            status.warnings = diagnostics.warningCount + problems.count { $0.severity == .warning }
            status.resources = mesh.resourceCounts
            return .success((compiled, diagnostics.items + problems))
        }
    }

    /// Takes the last load back: it turned out that it cannot be used.
    mutating func withdraw(_ reason: String) {
        guard let before else { return }
        (current, status) = before
        self.before = nil
        status.failures += 1
        status.lastError = [reason]
    }

    /// Files that had resources when the current configuration was read and have none now: most likely caught while being written.
    private func loss(in mesh: MeshConfiguration) -> [String]? {
        guard let old = current?.mesh.resourcesByFile else { return nil }
        var emptied = old.filter { $0.value > 0 && mesh.resourcesByFile[$0.key] == 0 }.map { "\($0.key) had \($0.value)" }.sorted()
        if emptied.isEmpty, old.values.contains(where: { $0 > 0 }), !mesh.resourcesByFile.values.contains(where: { $0 > 0 }) {
            emptied = ["the configuration had \(old.values.reduce(0, +))"]
        }
        guard !emptied.isEmpty else { return nil }
        return emptied.prefix(Self.errorLinesMax - 1).map { "\($0) resource(s) and has none now: perhaps it is being written" }
            + ["the last good configuration goes on; send SIGHUP if this is meant"]
    }

    /// What the options prefer where the files say nothing.
    private func applyPreferences(to settings: inout MeshSettings) {
        if settings.tracingSampling == nil { settings.tracingSampling = options.samplingPercentage }
        // Reporting stops where neither a Telemetry nor a provider speaks (`MeshConfiguration.tracingPolicy`).
        if !options.reportsSpans, !settings.speaksOfTracing { settings.enableTracing = false }
    }

    /// Compiles the current resources again, because names resolve differently now. Tokens that were verified stay so.
    mutating func recompile(resolved: [String: [SocketEndpoint]]) -> CompiledConfiguration? {
        guard let current else { return nil }
        return try? compile(current.mesh, resolved: resolved, tokens: current.tokens, current.changes).get().0
    }

    private mutating func compile(
        _ mesh: MeshConfiguration, resolved: [String: [SocketEndpoint]], tokens known: TokenRuleSet? = nil,
        _ changes: ConfigurationChanges
    ) -> Result<(CompiledConfiguration, [Diagnostic]), ConfigurationError> {
        var node = NodeIdentity(namespace: options.namespace)
        if let name = options.node {
            guard let workload = mesh.workload(named: name) else {
                let known = mesh.workloadEntries.map { "\($0.id.namespace)/\($0.id.name)" }.sorted()
                return fail([
                    "--node \(name): no WorkloadEntry of that name; "
                        + (known.isEmpty
                            ? "the configuration has none" : "the configuration has \(known.prefix(10).joined(separator: ", "))")
                ])
            }
            node = NodeIdentity(workload)
        }
        generation += 1
        var inputs = CompileInputs(node: node, catalogs: catalogs)
        inputs.resolved = resolved
        inputs.allowsUnenforced = options.allowsUnenforced
        inputs.hasIdentity = options.identityDirectory != nil
        inputs.generation = generation
        inputs.outboundListener = options.endpoint(options.outboundPort)
        inputs.inboundListener = node.name.isEmpty ? nil : options.endpoint(options.inboundPort)
        let (routing, found) = RouteCompiler.compile(mesh, inputs)
        // An access log that nobody can write is found out here, while the old configuration can still go on.
        let (authorization, badRules) = AuthorizationCompiler.compile(
            mesh, namespace: node.namespace, labels: node.labels, names: catalogs, catalog: rules, authorizers: authorizers)
        let (tokens, badKeys) = known.map { ($0, []) } ?? RequestAuthenticationCompiler.compile(
            mesh, namespace: node.namespace, labels: node.labels, names: catalogs, keys: keys)
        let problems = found + badRules + badKeys + TelemetryPlanner.problems(mesh, node)
        let errors = problems.filter { $0.severity == .error }
        guard errors.isEmpty else { return fail(errors.map(\.text)) }
        let compiled = CompiledConfiguration(
            mesh: mesh, routing: routing, authorization: authorization, tokens: tokens, node: node, changes: changes)
        current = compiled
        status.generation = generation
        status.lastSuccessUnixSeconds = SystemClock.unixNanoseconds() / 1_000_000_000
        status.lastError = []
        status.unenforced = routing.unenforced.map(\.text)
        status.unenforcedByKind = routing.unenforced.reduce(into: [:]) { $0[$1.resource?.kind ?? "other", default: 0] += 1 }
        return .success((compiled, problems))
    }

    private mutating func fail<T>(_ lines: [String]) -> Result<T, ConfigurationError> {
        status.failures += 1
        status.lastError = Array(lines.prefix(Self.errorLinesMax))
        return .failure(ConfigurationError(lines: lines))
    }
}

extension PathNormalization {
    init(_ mode: MeshSettings.PathNormalization) {
        switch mode {
        case .none: self = .none
        case .base: self = .base
        case .mergeSlashes: self = .mergeSlashes
        case .decodeAndMergeSlashes: self = .decodeAndMergeSlashes
        }
    }
}
