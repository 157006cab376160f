internal import HTTP
public import MeshConfig
internal import Primitives
public import Routing
internal import TelemetryModel

/// What is known about the configuration in use, for metrics, readiness and people.
public struct ConfigurationStatus: Sendable {
    public var generation: UInt64 = 0
    public var reloads: UInt64 = 0
    public var failures: UInt64 = 0
    /// Seconds since 1970; 0 = never.
    public var lastSuccessUnixSeconds: UInt64 = 0
    /// First lines of what was wrong with the last attempt; empty when it succeeded.
    public var lastError: [String] = []
    public var warnings = 0
    public var resources: [String: Int] = [:]

    public init() {}
}

/// One configuration, ready to be adopted by everybody.
public struct CompiledConfiguration: Sendable {
    public var mesh: MeshConfiguration
    public var routing: RoutingSnapshot
    public var node: NodeIdentity
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
    private(set) var status = ConfigurationStatus()
    private(set) var current: CompiledConfiguration?
    private var generation: UInt64 = 0

    /// Lines of one failed load that are kept.
    static let errorLinesMax = 20

    init(options: RuntimeOptions, catalogs: Catalogs) {
        self.options = options
        self.catalogs = catalogs
    }

    /// Reads everything anew. On an error nothing changes but the counters.
    mutating func load(resolved: [String: [SocketEndpoint]]) -> Result<(CompiledConfiguration, [Diagnostic]), ConfigurationError> {
        status.reloads += 1
        var (mesh, diagnostics) = MeshConfiguration.load(paths: options.configPaths)
        applyPreferences(to: &mesh.mesh)
        guard !diagnostics.hasErrors else {
            return fail(diagnostics.items.filter { $0.severity == .error }.map(\.text))
        }
        switch compile(mesh, resolved: resolved) {
        case .failure(let error): return .failure(error)
        case .success(let (compiled, problems)):
            status.warnings = diagnostics.warningCount + problems.count { $0.severity == .warning }
            status.resources = mesh.resourceCounts
            return .success((compiled, diagnostics.items + problems))
        }
    }

    /// What the options prefer where the files say nothing.
    private func applyPreferences(to settings: inout MeshSettings) {
        if settings.tracingSampling == nil { settings.tracingSampling = options.samplingPercentage }
        // Reporting stops where neither a Telemetry nor a provider speaks (`MeshConfiguration.tracingPolicy`).
        if !options.reportsSpans, !settings.speaksOfTracing { settings.enableTracing = false }
    }

    /// Compiles the current resources again, because names resolve differently now.
    mutating func recompile(resolved: [String: [SocketEndpoint]]) -> CompiledConfiguration? {
        guard let current else { return nil }
        return try? compile(current.mesh, resolved: resolved).get().0
    }

    private mutating func compile(
        _ mesh: MeshConfiguration, resolved: [String: [SocketEndpoint]]
    ) -> Result<(CompiledConfiguration, [Diagnostic]), ConfigurationError> {
        var node = NodeIdentity(namespace: options.namespace)
        if let name = options.node {
            guard let workload = mesh.workload(named: name) else {
                let known = mesh.workloadEntries.map { "\($0.id.namespace)/\($0.id.name)" }.sorted()
                return fail([
                    "--node \(name): no WorkloadEntry of that name; "
                        + (known.isEmpty ? "the configuration has none" : "the configuration has \(known.prefix(10).joined(separator: ", "))")
                ])
            }
            node = NodeIdentity(workload)
        }
        generation += 1
        var inputs = CompileInputs(node: node, catalogs: catalogs)
        inputs.resolved = resolved
        inputs.generation = generation
        inputs.outboundListener = options.endpoint(options.outboundPort)
        inputs.inboundListener = node.name.isEmpty ? nil : options.endpoint(options.inboundPort)
        let (routing, found) = RouteCompiler.compile(mesh, inputs)
        // An access log that nobody can write is found out here, while the old configuration can still go on.
        let problems = found + TelemetryPlanner.problems(mesh, node)
        let errors = problems.filter { $0.severity == .error }
        guard errors.isEmpty else { return fail(errors.map(\.text)) }
        let compiled = CompiledConfiguration(mesh: mesh, routing: routing, node: node)
        current = compiled
        status.generation = generation
        status.lastSuccessUnixSeconds = SystemClock.unixNanoseconds() / 1_000_000_000
        status.lastError = []
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
