/// What the checks look things up in: the typed configuration, the resources as written, and indexes over both.
struct AnalysisContext {
    let configuration: MeshConfiguration
    /// Every resource of our kinds, in the order of files.
    let resources: [LoadedResource]
    let subsetNames: SubsetNames
    let gateways: [GatewayDescription]
    /// ServiceEntries by each of their hosts, in lower case; wildcards under their own text.
    private let servicesByHost: [String: [Int]]
    private let endpoints: [[WorkloadEndpoint]]
    /// For "did you mean".
    private let hostNames: [String]

    init(_ configuration: MeshConfiguration, _ resources: [LoadedResource]) {
        self.configuration = configuration
        self.resources = resources
        subsetNames = SubsetNames(configuration.destinationRules)
        gateways = resources.filter { $0.id.kind == "Gateway" }.map(GatewayDescription.init)
        var byHost: [String: [Int]] = [:]
        for (index, service) in configuration.serviceEntries.enumerated() {
            for host in Set(service.hosts.map { $0.lowercased() }) { byHost[host, default: []].append(index) }
        }
        servicesByHost = byHost
        let workloads = WorkloadsByLabel(configuration.workloadEntries)
        endpoints = configuration.serviceEntries.map { workloads.endpoints(of: $0) }
        hostNames = Array(configuration.serviceEntries.flatMap(\.hosts).prefix(AnalysisLimits.suggestionCandidates))
    }

    var hasServices: Bool { !configuration.serviceEntries.isEmpty }

    /// Resources of one kind with the place each has in the typed list of that kind: both are filled together, in one order.
    func resources(of kind: String) -> [LoadedResource] { resources.filter { $0.id.kind == kind } }

    /// Places of the ServiceEntries for a resolved host in lower case, those of its own name before those of a wildcard above it.
    func services(for host: String) -> [Int] {
        for name in HostName.withWildcards(host) { if let found = servicesByHost[name] { return found } }
        return []
    }

    /// The endpoints of a ServiceEntry as far as they are addresses written down; nil where names are looked up or callers decide.
    func knownEndpoints(_ service: Int) -> [WorkloadEndpoint]? {
        let entry = configuration.serviceEntries[service]
        let list = endpoints[service]
        let selects = !(entry.workloadSelector?.isEmpty ?? true)
        guard entry.resolution == .static || selects || !list.isEmpty else { return nil }
        return list.allSatisfy { IPAddress.family($0.address) != nil } ? list : nil
    }

    /// All endpoints written down, looked-up names included; nil when there are none to speak of.
    func labelledEndpoints(_ service: Int) -> [WorkloadEndpoint]? { endpoints[service].isEmpty ? nil : endpoints[service] }

    func suggestion(for host: String) -> String? { EditDistance.nearest(to: host, among: hostNames) }

    func virtualService(_ id: ResourceID) -> VirtualService? { configuration.virtualServices.first { $0.id == id } }
}

/// Workloads by label, so that a selector looks at those that carry its rarest label and not at all of them.
struct WorkloadsByLabel {
    private let entries: [WorkloadEntry]
    private var carriers: [String: [Int]] = [:]

    init(_ entries: [WorkloadEntry]) {
        self.entries = entries
        for (index, entry) in entries.enumerated() {
            for (key, value) in entry.labels { carriers["\(entry.id.namespace)/\(key)=\(value)", default: []].append(index) }
        }
    }

    /// Workloads of a namespace that carry all labels; an empty selector selects nobody.
    func selected(by selector: [String: String], namespace: String) -> [WorkloadEntry] {
        let candidates = selector.map { carriers["\(namespace)/\($0.key)=\($0.value)"] ?? [] }.min { $0.count < $1.count } ?? []
        return candidates.map { entries[$0] }.filter { Labels.select(selector, $0.labels) }
    }

    /// As `MeshConfiguration.endpoints(of:)` has them.
    func endpoints(of service: ServiceEntry) -> [WorkloadEndpoint] {
        guard let selector = service.workloadSelector, !selector.isEmpty else { return service.endpoints }
        return selected(by: selector, namespace: service.id.namespace).map { entry in
            var endpoint = entry.endpoint
            endpoint.labels = entry.labels
            return endpoint
        }
    }
}

/// What the checks need of a Gateway, which the proxy does not act upon yet.
struct GatewayDescription {
    struct Server {
        var position: SourcePosition
        var port: UInt16
        var bind: String
        /// `namespace/host` split; the namespace is `*` when none is written, and the Gateway's own for `.`.
        var hosts: [(namespace: String, host: String)]
    }
    var id: ResourceID
    var selector: [String: String]
    var servers: [Server]

    init(_ resource: LoadedResource) {
        id = resource.id
        selector = resource.spec.stringMap("selector")
        let own = resource.id.namespace
        servers = resource.spec.children("servers").map { server in
            Server(
                position: server.position, port: server.child("port")?.port("number") ?? 0, bind: server.string("bind") ?? "",
                hosts: server.strings("hosts").map { text in
                    let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map { String($0).lowercased() }
                    if parts.count == 1 { return ("*", parts[0]) }
                    return (parts[0] == "." ? own : parts[0], parts[1])
                })
        }
    }
}

/// Durations in messages: `2s`, `1.5s`, `250ms`.
enum DurationText {
    static func text(_ nanoseconds: Int64) -> String {
        if nanoseconds % 1_000_000_000 == 0 { return "\(nanoseconds / 1_000_000_000)s" }
        if nanoseconds % 1_000_000 == 0 {
            let milliseconds = nanoseconds / 1_000_000
            guard milliseconds > 1000 else { return "\(milliseconds)ms" }
            var fraction = "\(1000 + milliseconds % 1000)".dropFirst()
            while fraction.last == "0" { fraction = fraction.dropLast() }
            return "\(milliseconds / 1000).\(fraction)s"
        }
        return "\(nanoseconds)ns"
    }
}
