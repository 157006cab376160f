/// What the checks look things up in: the typed configuration, the resources as written, and indexes over both.
struct AnalysisContext {
    let configuration: MeshConfiguration
    /// Every resource of our kinds, in the order of files.
    let resources: [LoadedResource]
    let subsetNames: SubsetNames
    /// ServiceEntries by each of their hosts, in lower case; wildcards under their own text.
    private let servicesByHost: [String: [Int]]
    /// Of those, the wildcards that end within a label, the longest first.
    private let partialHosts: [String]
    private let endpoints: [[WorkloadEndpoint]]
    /// For "did you mean".
    let hostNames: [String]
    /// Every host of a ServiceEntry.
    let hosts: HostSet

    init(_ configuration: MeshConfiguration, _ resources: [LoadedResource]) {
        self.configuration = configuration
        self.resources = resources
        subsetNames = SubsetNames(configuration.destinationRules)
        var byHost: [String: [Int]] = [:]
        for (index, service) in configuration.serviceEntries.enumerated() {
            for host in Set(service.hosts.map { $0.lowercased() }) { byHost[host, default: []].append(index) }
        }
        servicesByHost = byHost
        partialHosts = byHost.keys.filter(HostName.isPartialWildcard).sorted { $0.utf8.count > $1.utf8.count }
        let workloads = WorkloadsByLabel(configuration.workloadEntries)
        endpoints = configuration.serviceEntries.map { workloads.endpoints(of: $0) }
        hostNames = Array(configuration.serviceEntries.flatMap(\.hosts).prefix(AnalysisLimits.suggestionCandidates))
        hosts = HostSet(byHost.keys)
    }

    var hasServices: Bool { !configuration.serviceEntries.isEmpty }

    /// Resources of one kind with the place each has in the typed list of that kind: both are filled together, in one order.
    func resources(of kind: String) -> [LoadedResource] { resources.filter { $0.id.kind == kind } }

    /// Places of the ServiceEntries for a resolved host in lower case, those of its own name before those of a wildcard above it.
    func services(for host: String) -> [Int] {
        for name in HostName.withWildcards(host) { if let found = servicesByHost[name] { return found } }
        return partialHosts.first { HostName.matches($0, host) }.flatMap { servicesByHost[$0] } ?? []
    }

    /// The same with those of every wildcard above it.
    func allServices(for host: String) -> [Int] {
        (HostName.withWildcards(host) + partialHosts.filter { HostName.matches($0, host) }).flatMap { servicesByHost[$0] ?? [] }
    }

    /// Endpoints that a ServiceEntry lists or selects, by its place.
    func endpoints(ofService place: Int) -> [WorkloadEndpoint] { endpoints[place] }

    /// The endpoints of a host, when every ServiceEntry that has it lists or selects some; nil where they are not written down.
    func endpoints(of host: String) -> EndpointsByLabel? {
        let lists = services(for: host).map { endpoints[$0] }
        guard !lists.isEmpty, lists.allSatisfy({ !$0.isEmpty }) else { return nil }
        return EndpointsByLabel(lists.flatMap { $0 })
    }
}

/// Endpoints by label, so that a subset looks at those that carry its rarest label.
struct EndpointsByLabel {
    private let endpoints: [WorkloadEndpoint]
    private var carriers: [String: [Int]] = [:]
    private(set) var values: [String: Set<String>] = [:]
    /// Whether each is one address, not a name that may stand for many.
    let areAddresses: Bool

    init(_ endpoints: [WorkloadEndpoint]) {
        self.endpoints = endpoints
        areAddresses = endpoints.allSatisfy { IPAddress.family($0.address) != nil || UnixAddress.path($0.address) != nil }
        for (index, endpoint) in endpoints.enumerated() {
            for (key, value) in endpoint.labels {
                carriers["\(key)=\(value)", default: []].append(index)
                values[key, default: []].insert(value)
            }
        }
    }

    var count: Int { endpoints.count }

    /// How many carry all the labels.
    func count(_ labels: [String: String]) -> Int {
        guard !labels.isEmpty else { return count }
        let candidates = labels.map { carriers["\($0.key)=\($0.value)"] ?? [] }.min { $0.count < $1.count } ?? []
        return candidates.count { Labels.select(labels, endpoints[$0].labels) }
    }
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

    /// Workloads of a namespace for which a policy of that namespace speaks by a label or a gateway's name.
    func attached(_ attachment: PolicyAttachment, in namespace: String) -> [WorkloadEntry] {
        switch attachment {
        case .workloads(let selector): selected(by: selector, namespace: namespace)
        case .gateways(let names): names.flatMap { selected(by: [PolicyAttachment.gatewayLabel: $0], namespace: namespace) }
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

/// The hosts of a Gateway's servers by the namespace of the VirtualServices that may be served there; `*` = any.
struct GatewayHosts {
    private var byNamespace: [String: HostSet] = [:]

    init(_ gateway: Gateway) {
        for scope in gateway.servers.flatMap(\.hosts) {
            byNamespace[scope.namespace == "." ? gateway.id.namespace : scope.namespace, default: HostSet()].insert(scope.host)
        }
    }

    /// Whether a VirtualService of a namespace is served at one of these hosts (resolved, in lower case).
    func serve(_ wanted: [String], from namespace: String) -> Bool {
        [byNamespace["*"], byNamespace[namespace]].contains { set in set.map { set in wanted.contains(where: set.overlaps) } ?? false }
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
