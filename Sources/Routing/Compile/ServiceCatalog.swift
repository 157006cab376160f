internal import MeshConfig
internal import Primitives

/// The services that a node sees, and the endpoints they have. A value; made once per compilation.
struct ServiceCatalog {
    struct Service {
        var entry: ServiceEntry
        var host: String
    }

    private struct LabelKey: Hashable {
        var namespace: String
        var key: String
        var value: String
    }

    /// In the order of the configuration.
    private(set) var services: [Service] = []
    private var servicesByHost: [String: Int] = [:]
    /// Places in `services` of wildcard hosts.
    private var wildcardServices: [Int] = []
    private let workloads: [WorkloadEntry]
    /// Workloads that carry a label, in order; so that a selector looks only at those with its first label.
    private var workloadsByLabel: [LabelKey: [WorkloadEntry]] = [:]

    init(_ scope: CompileScope) {
        workloads = scope.configuration.workloadEntries
        for entry in scope.configuration.serviceEntries where scope.isVisible(entry.exportTo, from: entry.id.namespace) {
            for host in entry.hosts { add(Service(entry: entry, host: host.lowercased()), nodeNamespace: scope.node.namespace) }
        }
        for workload in workloads {
            for (key, value) in workload.labels {
                workloadsByLabel[LabelKey(namespace: workload.id.namespace, key: key, value: value), default: []].append(workload)
            }
        }
    }

    private mutating func add(_ service: Service, nodeNamespace: String) {
        if let earlier = servicesByHost[service.host] {
            // The caller's own namespace wins; otherwise the first, as in Istio.
            if service.entry.id.namespace == nodeNamespace, services[earlier].entry.id.namespace != nodeNamespace {
                services[earlier] = service
            }
            return
        }
        servicesByHost[service.host] = services.count
        if service.host.hasPrefix("*") { wildcardServices.append(services.count) }
        services.append(service)
    }

    /// Whether a service has exactly this host.
    func has(host: String) -> Bool { servicesByHost[host] != nil }

    func service(named host: String) -> Service? {
        if let index = servicesByHost[host] { return services[index] }
        // A wildcard service covers the names below it.
        return wildcardServices.first { HostName.matches(services[$0].host, host) }.map { services[$0] }
    }

    func members(of service: Service, host: String) -> [ServiceEndpoint] {
        let entry = service.entry
        if let selector = entry.workloadSelector { return selectedMembers(by: selector, in: entry.id.namespace) }
        if !entry.endpoints.isEmpty {
            return entry.endpoints.map { endpoint in
                var identity = NodeIdentity(name: endpoint.labels["app"] ?? "", namespace: entry.id.namespace)
                identity.labels = endpoint.labels
                return ServiceEndpoint(
                    endpoint, labels: endpoint.labels, of: entry.id.namespace, identity: endpoint.labels.isEmpty ? nil : identity)
            }
        }
        guard entry.resolution != .static, !host.hasPrefix("*") else { return [] }
        // DNS without endpoints resolves the host itself; NONE goes where the caller meant to go, which for a named host is the same.
        return [ServiceEndpoint(address: host, position: entry.position)]
    }

    private func selectedMembers(by selector: [String: String], in namespace: String) -> [ServiceEndpoint] {
        let first = selector.min { $0.key < $1.key }
        let candidates = first.map { workloadsByLabel[LabelKey(namespace: namespace, key: $0.key, value: $0.value)] ?? [] }
        return (candidates ?? workloads).filter { workload in
            workload.id.namespace == namespace && selector.allSatisfy { workload.labels[$0.key] == $0.value }
        }.map { ServiceEndpoint($0.endpoint, labels: $0.labels, of: $0.id.namespace, identity: NodeIdentity($0)) }
    }
}

/// An endpoint as the configuration has it, before its name is resolved.
struct ServiceEndpoint {
    /// IP address, DNS name or `unix://` path.
    var address: String
    /// Service port name to the endpoint's own port.
    var ports: [String: UInt16] = [:]
    var position: SourcePosition
    var labels: [String: String] = [:]
    var weight: UInt32 = 1
    var identity: NodeIdentity?
    var locality = Locality()
    var network = ""
    var namespace = ""
    /// Empty = none is known.
    var serviceAccount = ""

    init(address: String, position: SourcePosition) {
        self.address = address
        self.position = position
    }

    init(_ endpoint: WorkloadEndpoint, labels: [String: String], of namespace: String, identity: NodeIdentity?) {
        address = endpoint.address
        ports = endpoint.ports
        position = endpoint.position
        self.labels = labels
        weight = endpoint.weight
        self.identity = identity
        locality = Locality(endpoint.locality)
        network = endpoint.network
        self.namespace = namespace
        serviceAccount = endpoint.serviceAccount
    }

    /// Its own port for a port of the service.
    func port(for service: ServicePort) -> UInt16 { ports[service.name] ?? service.targetPort ?? service.number }
}
