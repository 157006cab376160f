internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Makes the clusters that destinations name, each on first use. Shared by all compilers of one compilation.
final class ClusterCompiler {
    /// Endpoints of one cluster; further ones are left out and reported.
    static let endpointsPerClusterMax = 10_000

    private struct Key: Hashable {
        var host: String
        var subset: String
        var port: UInt16
        /// It gets the client's own TLS.
        var isPassedOn = false
    }

    private let scope: CompileScope
    private let services: ServiceCatalog
    private let rules: DestinationRules
    private let ranking: LocalityRanking
    private let securities: UpstreamSecurityCompiler
    private let draft: SnapshotBuilder
    private var known: [Key: Int32] = [:]

    init(_ scope: CompileScope, _ services: ServiceCatalog, _ securities: UpstreamSecurityCompiler, _ draft: SnapshotBuilder) {
        self.scope = scope
        self.securities = securities
        self.services = services
        self.draft = draft
        rules = DestinationRules(scope)
        ranking = LocalityRanking(node: scope.node, mesh: scope.configuration.mesh)
    }

    /// The cluster of a destination; -1 when the host or the subset does not exist.
    func cluster(_ destination: Destination, of namespace: String, fallbackPort: UInt16) -> Int32 {
        let host = HostName.resolve(destination.host, namespace: namespace).lowercased()
        return cluster(host: host, subset: destination.subset, port: destination.port, fallbackPort: fallbackPort)
    }

    func cluster(host: String, subset: String, port requested: UInt16?, fallbackPort: UInt16) -> Int32 {
        guard let service = services.service(named: host), let port = Self.selectPort(of: service.entry, requested, fallbackPort)
        else { return -1 }
        let key = Key(host: host, subset: subset, port: port.number)
        if let known = known[key] { return known }
        let rule = rules.rule(for: host, serviceNamespace: service.entry.id.namespace)
        if !subset.isEmpty, rule?.subset(named: subset) == nil { return -1 }
        let index = addCluster(service, key, port, rule)
        known[key] = index
        return index
    }

    /// The cluster whose endpoints get the client's TLS as it is (Istio: of the gateway mode sni-dnat); -1 when the host, the subset or the
    /// port does not exist.
    func cluster(passingOnTo host: String, subset: String, port number: UInt16) -> Int32 {
        let key = Key(host: host, subset: subset, port: number, isPassedOn: true)
        if let known = known[key] { return known }
        guard let service = services.service(named: host), let port = service.entry.port(numbered: number) else { return -1 }
        let rule = rules.rule(for: host, serviceNamespace: service.entry.id.namespace)
        if !subset.isEmpty, rule?.subset(named: subset) == nil { return -1 }
        let index = addCluster(service, key, port, rule)
        known[key] = index
        return index
    }

    /// Names of the subsets that a DestinationRule gives a service.
    func subsetNames(of service: ServiceCatalog.Service) -> [String] {
        rules.rule(for: service.host, serviceNamespace: service.entry.id.namespace)?.subsets.map(\.name) ?? []
    }

    /// The port asked for, which must exist; without one the fallback, the first for HTTP or the first.
    private static func selectPort(of entry: ServiceEntry, _ requested: UInt16?, _ fallback: UInt16) -> ServicePort? {
        if let requested { return entry.port(numbered: requested) }
        return entry.port(numbered: fallback) ?? entry.ports.first { $0.protocol.isHTTP } ?? entry.ports.first
    }

    private func addCluster(_ service: ServiceCatalog.Service, _ key: Key, _ port: ServicePort, _ rule: DestinationRule?) -> Int32 {
        let (host, subset) = (key.host, key.subset)
        var cluster = ClusterEntry()
        cluster.name = scope.inputs.catalogs.name(
            key.isPassedOn
                ? ClusterServerName.standard(host, subset, port.number) : "outbound|\(port.number)|\(subset)|\(host)")
        cluster.isHTTP2 = !key.isPassedOn && (port.protocol == .http2 || port.protocol == .grpc)
        let policy = rule?.policy(subset: subset, port: port.number)
        if let budget = policy?.retryBudget { cluster.apply(budget) }
        cluster.apply(policy)
        // Captured connections go on to where they were going (Istio: ORIGINAL_DST).
        if service.entry.resolution == .none { cluster.prefersDialled = true }
        let target = ClusterSecurity.Target(
            host: host, subset: subset, port: port, isHTTP2: cluster.isHTTP2, isExternal: service.entry.location == .meshExternal,
            subjectAltNames: service.entry.subjectAltNames,
            mayChooseHTTP: !cluster.usesClientProtocol && cluster.proxyProtocol == 0 && policy?.connectionPool?.forbidsHTTP2 != true)
        let security = key.isPassedOn ? securities.passOn(target) : securities.secure(target, policy?.tls, of: rule, &cluster)
        if let tunnel = policy?.tunnel, !key.isPassedOn { apply(tunnel, of: rule, to: &cluster) }
        let upstreamPolicies = scope.upstreamPolicies(host: host, subset: subset)
        for own in upstreamPolicies { cluster.apply(own) }
        if let resource = scope.meshOutlierDetection(host: host, subset: subset, serviceNamespace: service.entry.id.namespace) {
            cluster.apply(resource)
            draft.meshOutlierDetections[draft.clusters.count] = resource
        }
        // Probes have no TLS of a client to pass on.
        if !key.isPassedOn, let check = upstreamPolicies.last(where: { $0.healthCheck != nil })?.healthCheck {
            draft.healthChecks[draft.clusters.count] = ClusterHealthCheck(settings: check, host: host)
        }
        var destination = DestinationLabels()
        destination.describe(service: host, in: service.entry.id.namespace)
        cluster.labels = scope.inputs.catalogs.destination(destination)
        let labels = rule?.subset(named: subset)?.labels ?? [:]
        let members = services.members(of: service, host: host).filter { endpoint in
            labels.allSatisfy { endpoint.labels[$0.key] == $0.value }
        }
        addEndpoints(members, of: service, port, policy, security, destination, to: &cluster)
        if let hash = policy?.loadBalancer?.consistentHash {
            cluster.hash = HashTableCompiler(draft: draft).compileHash(hash, endpoints: cluster.endpoints)
        }
        return Int32(clamping: draft.clusters.add(cluster))
    }

    private func apply(_ tunnel: TunnelSettings, of rule: DestinationRule?, to cluster: inout ClusterEntry) {
        guard !tunnel.usesPOST, !cluster.isHTTP2 else {
            draft.report(
                .notice, "SKN0201", tunnel.position, rule?.id, "spec.trafficPolicy.tunnel",
                "tunnels by POST or over HTTP/2 are accepted, not yet in effect: TCP goes to the destination itself. "
                    + "CONNECT over HTTP/1.1 is in effect.")
            return
        }
        let host = tunnel.targetHost.contains(":") ? "[\(tunnel.targetHost)]" : tunnel.targetHost
        cluster.tunnelAuthority = draft.text.add(text: "\(host):\(tunnel.targetPort)")
    }

    // MARK: Endpoints

    /// Adds the members in the order of priority and locality, so that each group is a range.
    private func addEndpoints(
        _ members: [ServiceEndpoint], of service: ServiceCatalog.Service, _ port: ServicePort, _ policy: TrafficPolicy?,
        _ security: ClusterSecurity, _ destination: DestinationLabels, to cluster: inout ClusterEntry
    ) {
        let start = draft.endpoints.count
        let index = UInt32(draft.clusters.count)
        let ranks = ranking.ranks(of: members, policy)
        var groups: [(rank: EndpointRank, range: TableRange)] = []
        for place in members.indices.sorted(by: { (ranks[$0], $0) < (ranks[$1], $1) }) where ranks[place] != .excluded {
            let endpoint = members[place]
            var own = destination
            endpoint.identity?.describe(&own)
            let room = Self.endpointsPerClusterMax - (draft.endpoints.count - start)
            let addresses = resolve(endpoint, port: port, service: service, cluster: &cluster).prefix(room)
            var entry = EndpointEntry(weight: max(1, endpoint.weight), cluster: index)
            entry.security = securities.securityIndex(
                of: endpoint, security, port: endpoint.port(for: port), addresses: addresses.count)
            // Nobody else is taken for this endpoint.
            own.principal = securities.principal(entry.security)
            entry.labels = scope.inputs.catalogs.destination(own)
            let added = draft.endpoints.add(
                contentsOf: addresses.map { address in
                    entry.address = address
                    return entry
                })
            if let last = groups.indices.last, groups[last].rank == ranks[place] {
                groups[last].range.count += added.count
            } else if !added.isEmpty {
                groups.append((ranks[place], added))
            }
        }
        let compiler = EndpointGroupCompiler(draft: draft)
        cluster.all = compiler.makeGroup(of: draft.endpoints.range(from: start))
        if groups.count > 1 { cluster.groups = compiler.add(groups) }
        if !cluster.endpoints.isEmpty { cluster.isUnresolved = false }
    }

    private func resolve(
        _ endpoint: ServiceEndpoint, port: ServicePort, service: ServiceCatalog.Service, cluster: inout ClusterEntry
    ) -> [SocketEndpoint] {
        let number = endpoint.port(for: port)
        if let literal = SocketEndpoint(address: endpoint.address, port: number) { return [literal] }
        if let path = UnixAddress.path(endpoint.address) {
            let socket = SocketAddresses(draft: draft).unixSocket(path, endpoint.position, service.entry.id, "spec.endpoints.address")
            return socket.map { [$0] } ?? []
        }
        let name = endpoint.address.lowercased()
        guard !name.isEmpty else { return [] }
        draft.noteName(name, ofCluster: draft.clusters.count)
        guard let answers = scope.inputs.resolved[name] else {
            cluster.isUnresolved = true
            return []
        }
        let addresses = answers.map { $0.with(port: number) }
        return service.entry.resolution == .dnsRoundRobin ? Array(addresses.prefix(1)) : addresses
    }

    /// The cluster of addresses that nobody declared: to where the client dialled (Istio's PassthroughCluster).
    func addPassthrough(named name: String = "PassthroughCluster", labels: DestinationLabelsID? = nil) -> Int32 {
        var cluster = ClusterEntry()
        cluster.name = scope.inputs.catalogs.name(name)
        cluster.isPassthrough = true
        var destination = DestinationLabels()
        destination.service = name
        destination.serviceName = name
        cluster.labels = labels ?? scope.inputs.catalogs.destination(destination)
        cluster.all.endpoints = draft.endpoints.range(from: draft.endpoints.count)
        return Int32(clamping: draft.clusters.add(cluster))
    }
}

extension DestinationLabels {
    /// Istio's destination labels of a service: a Kubernetes-like name is split, any other is its own service name.
    mutating func describe(service host: String, in namespace: String) {
        service = host
        serviceNamespace = namespace
        let parts = host.split(separator: ".")
        serviceName = parts.count > 2 && parts[2] == "svc" ? String(parts[0]) : host
    }
}
