internal import HTTP
public import MeshConfig
public import Primitives
public import TelemetryModel

/// What a compilation needs besides the configuration.
public struct CompileInputs: Sendable {
    public var node: NodeIdentity
    public var catalogs: Catalogs
    /// Answers so far; a name without one is not yet resolved.
    public var resolved: [String: [SocketEndpoint]]
    public var generation: UInt64
    /// Address of the outbound listener that every service is reached through; nil = none.
    public var outboundListener: SocketEndpoint?
    /// Address of the inbound listener for workloads whose Sidecar declares no ingress; nil = none.
    public var inboundListener: SocketEndpoint?
    /// Policies that are not enforced are warnings instead of errors.
    public var allowsUnenforced = false

    public init(node: NodeIdentity, catalogs: Catalogs) {
        self.node = node
        self.catalogs = catalogs
        resolved = [:]
        generation = 0
    }
}

/// Compiles Istio resources into a snapshot, as istiod does for Envoy: services become clusters and virtual hosts, VirtualServices
/// their routes, DestinationRules their subsets and policies. Pure; off the worker threads; linear in the configuration.
public struct RouteCompiler: ~Copyable {
    let configuration: MeshConfiguration
    let inputs: CompileInputs
    var builder = SnapshotBuilder()
    var problems: [Diagnostic] = []
    var unenforced = UnenforcedSecurity()
    var services: [Service] = []
    var servicesByHost: [String: Int] = [:]
    var clusterIndex: [ClusterKey: Int32] = [:]
    var unresolvedHosts: Set<String> = []
    /// Places in `services` of wildcard hosts.
    var wildcardServices: [Int] = []
    /// Rules that the node sees, by namespace; so that a cluster costs a look-up, not a pass over all rules.
    var rulesByHost: [NamespacedName: [DestinationRule]] = [:]
    var wildcardRules: [String: [(host: String, rule: DestinationRule)]] = [:]
    /// Workloads that carry a label, in order; so that a selector looks only at those with its first label.
    var workloadsByLabel: [LabelKey: [WorkloadEntry]] = [:]

    /// Endpoints of one cluster; further ones are left out and reported.
    static let endpointsPerClusterMax = 10_000

    struct Service {
        var entry: ServiceEntry
        var host: String
    }

    struct NamespacedName: Hashable {
        var namespace: String
        var name: String
    }

    struct LabelKey: Hashable {
        var namespace: String
        var key: String
        var value: String
    }

    struct ClusterKey: Hashable {
        var host: String
        var subset: String
        var port: UInt16
    }

    init(_ configuration: MeshConfiguration, _ inputs: CompileInputs) {
        self.configuration = configuration
        self.inputs = inputs
    }

    /// Compiles everything. An error-severity diagnostic means that the snapshot must not be adopted.
    public static func compile(_ configuration: MeshConfiguration, _ inputs: CompileInputs) -> (RoutingSnapshot, [Diagnostic]) {
        var compiler = RouteCompiler(configuration, inputs)
        compiler.collectServices()
        compiler.collectRules()
        compiler.collectWorkloads()
        let sidecar = configuration.sidecar(namespace: inputs.node.namespace, labels: inputs.node.labels)
        var plans: [ListenerPlan] = []
        compiler.addOutboundListeners(sidecar, &plans)
        // A gateway's workload is no application to guard, unless a Sidecar says so.
        if !compiler.addGatewayListeners(&plans) || sidecar?.ingress.isEmpty == false { compiler.addInboundListeners(sidecar, &plans) }
        compiler.noteUnenforced(sidecar, plans)
        let unenforced = compiler.unenforced.diagnostics(isAllowed: inputs.allowsUnenforced)
        let settings = SnapshotSettings(
            node: inputs.node, catalogs: inputs.catalogs,
            accessLog: BySide(outbound: compiler.accessLog(.client), inbound: compiler.accessLog(.server)),
            tracing: BySide(outbound: compiler.tracing(.client), inbound: compiler.tracing(.server)),
            pathNormalization: configuration.mesh.pathNormalization, generation: inputs.generation,
            hostsToResolve: compiler.unresolvedHosts.sorted(), unenforced: unenforced)
        let problems = compiler.problems + unenforced
        return (RoutingSnapshot(compiler.takeBuilder(), listeners: plans, cold: settings), problems)
    }

    private func accessLog(_ direction: TrafficDirection) -> AccessLogPolicy {
        configuration.accessLogPolicy(namespace: inputs.node.namespace, labels: inputs.node.labels, direction: direction)
    }

    private func tracing(_ direction: TrafficDirection) -> TracingPolicy {
        configuration.tracingPolicy(namespace: inputs.node.namespace, labels: inputs.node.labels, direction: direction)
    }

    private consuming func takeBuilder() -> SnapshotBuilder { builder }

    // MARK: Services

    private mutating func collectServices() {
        for entry in configuration.serviceEntries where isVisible(entry.exportTo, from: entry.id.namespace) {
            for host in entry.hosts {
                let name = host.lowercased()
                if let earlier = servicesByHost[name] {
                    // The caller's own namespace wins; otherwise the first, as in Istio.
                    if entry.id.namespace == inputs.node.namespace, services[earlier].entry.id.namespace != inputs.node.namespace {
                        services[earlier] = Service(entry: entry, host: name)
                    }
                    continue
                }
                servicesByHost[name] = services.count
                if name.hasPrefix("*") { wildcardServices.append(services.count) }
                services.append(Service(entry: entry, host: name))
            }
        }
    }

    private mutating func collectRules() {
        for rule in configuration.destinationRules
        where isVisible(rule.exportTo, from: rule.id.namespace) && rule.workloadSelector.allSatisfy({ inputs.node.labels[$0.key] == $0.value }) {
            let namespace = rule.id.namespace
            let host = HostName.resolve(rule.host, namespace: namespace).lowercased()
            rulesByHost[NamespacedName(namespace: namespace, name: host), default: []].append(rule)
            if host.hasPrefix("*") { wildcardRules[namespace, default: []].append((host, rule)) }
        }
    }

    private mutating func collectWorkloads() {
        for workload in configuration.workloadEntries {
            for (key, value) in workload.labels {
                workloadsByLabel[LabelKey(namespace: workload.id.namespace, key: key, value: value), default: []].append(workload)
            }
        }
    }

    /// `exportTo` as the node sees it: `.` is the resource's own namespace, `*` or nothing everywhere.
    func isVisible(_ exportTo: [String], from namespace: String) -> Bool {
        exportTo.isEmpty || exportTo.contains("*") || exportTo.contains(inputs.node.namespace)
            || exportTo.contains(".") && namespace == inputs.node.namespace
    }

    func service(named host: String) -> Service? {
        if let index = servicesByHost[host] { return services[index] }
        // A wildcard service covers the names below it.
        return wildcardServices.first { HostName.matches(services[$0].host, host) }.map { services[$0] }
    }

    // MARK: Clusters

    /// The cluster of a destination, made on first use; -1 when the host or the subset does not exist.
    mutating func cluster(host: String, subset: String, port requested: UInt16?, fallbackPort: UInt16) -> Int32 {
        guard let service = service(named: host) else { return -1 }
        let port: ServicePort
        if let requested {
            guard let found = service.entry.port(numbered: requested) else { return -1 }
            port = found
        } else if let found = service.entry.port(numbered: fallbackPort) ?? service.entry.ports.first(where: { $0.protocol.isHTTP })
            ?? service.entry.ports.first
        {
            port = found
        } else {
            return -1
        }
        let key = ClusterKey(host: host, subset: subset, port: port.number)
        if let known = clusterIndex[key] { return known }
        let rule = destinationRule(for: host, service: service)
        if !subset.isEmpty, rule?.subset(named: subset) == nil { return -1 }
        let index = addCluster(service, host: host, port: port, subset: subset, rule: rule)
        clusterIndex[key] = index
        return index
    }

    /// The rule for a host: the caller's namespace first, then the service's, then the root namespace; exact hosts before wildcards.
    private func destinationRule(for host: String, service: Service) -> DestinationRule? {
        let namespaces = [inputs.node.namespace, service.entry.id.namespace, configuration.mesh.rootNamespace]
        for namespace in namespaces {
            if let exact = Self.merged(rulesByHost[NamespacedName(namespace: namespace, name: host)] ?? []) { return exact }
            let wild = (wildcardRules[namespace] ?? []).filter { HostName.matches($0.host, host) }
            guard let longest = wild.max(by: { $0.host.utf8.count < $1.host.utf8.count })?.host else { continue }
            return Self.merged(wild.filter { $0.host == longest }.map(\.rule))
        }
        return nil
    }

    /// One rule of several for one host. A rule for some workloads, the node among them, comes before those for all. Those that select alike
    /// pool their subsets, the first of a name counting, and take the first traffic policy that there is
    /// (Istio: `mergeDestinationRule` in pilot/pkg/model/destination_rule.go).
    private static func merged(_ rules: [DestinationRule]) -> DestinationRule? {
        guard var first = rules.first(where: { !$0.workloadSelector.isEmpty }) ?? rules.first else { return nil }
        for other in rules where other.id != first.id && other.workloadSelector == first.workloadSelector {
            first.subsets += other.subsets.filter { subset in !first.subsets.contains { $0.name == subset.name } }
            first.trafficPolicy = first.trafficPolicy ?? other.trafficPolicy
        }
        return first
    }

    private mutating func addCluster(
        _ service: Service, host: String, port: ServicePort, subset: String, rule: DestinationRule?
    ) -> Int32 {
        var cluster = ClusterEntry()
        cluster.name = inputs.catalogs.name("outbound|\(port.number)|\(subset)|\(host)")
        cluster.isHTTP2 = port.protocol == .http2 || port.protocol == .grpc
        let policy = rule?.policy(subset: subset, port: port.number)
        if let budget = policy?.retryBudget {
            cluster.hasRetryBudget = true
            cluster.retryBudgetShare = FaultPolicy.share(percent: budget.percent)
            cluster.retryBudgetMin = budget.minRetryConcurrency
            cluster.retryBudgetNanoseconds = UInt64(budget.intervalNanoseconds)
        }
        apply(policy, to: &cluster)
        unenforced.note(policy?.tls, of: rule)
        if let tunnel = policy?.tunnel { apply(tunnel, of: rule, to: &cluster) }
        let upstreamPolicies = upstreamPolicies(host: host, subset: subset)
        for own in upstreamPolicies { apply(own, to: &cluster) }
        if let check = upstreamPolicies.last(where: { $0.healthCheck != nil })?.healthCheck {
            builder.healthChecks[builder.clusters.count] = ClusterHealthCheck(settings: check, host: host)
        }
        var identity = IdentityLabels()
        inputs.node.describeSource(&identity)
        describe(service, host: host, in: &identity)
        cluster.labels = inputs.catalogs.labelSet(identity)

        let labels = rule?.subset(named: subset)?.labels ?? [:]
        let start = builder.endpoints.count
        let members = endpoints(of: service, host: host).filter { endpoint in labels.allSatisfy { endpoint.labels[$0.key] == $0.value } }
        let ranks = ranks(of: members, policy)
        // In the order of priority and locality, so that each group is a range.
        var groups: [(rank: EndpointRank, range: TableRange)] = []
        for place in members.indices.sorted(by: { (ranks[$0], $0) < (ranks[$1], $1) }) where ranks[place] != .excluded {
            let endpoint = members[place]
            var own = identity
            endpoint.identity?.describeDestination(&own)
            let labelSet = inputs.catalogs.labelSet(own)
            let first = builder.endpoints.count
            for address in addresses(of: endpoint, port: port, service: service, cluster: &cluster) {
                guard builder.endpoints.count - start < Self.endpointsPerClusterMax else { break }
                builder.endpoints.append(
                    EndpointEntry(address: address, weight: max(1, endpoint.weight), cluster: UInt32(builder.clusters.count), labels: labelSet))
            }
            let added = builder.range(first, builder.endpoints.count)
            if let last = groups.indices.last, groups[last].rank == ranks[place] {
                groups[last].range.count += added.count
            } else if !added.isEmpty {
                groups.append((ranks[place], added))
            }
        }
        cluster.all = builder.group(of: builder.range(start, builder.endpoints.count))
        if groups.count > 1 { cluster.groups = builder.add(groups: groups) }
        if !cluster.endpoints.isEmpty { cluster.isUnresolved = false }
        if let hash = policy?.loadBalancer?.consistentHash { cluster.hash = addHash(hash, endpoints: cluster.endpoints) }
        builder.clusters.append(cluster)
        return Int32(clamping: builder.clusters.count - 1)
    }

    private func apply(_ policy: TrafficPolicy?, to cluster: inout ClusterEntry) {
        switch policy?.loadBalancer?.simple {
        case .roundRobin: cluster.balancer = .roundRobin
        case .random: cluster.balancer = .random
        case .leastRequest, .passthrough, nil: cluster.balancer = .leastRequest
        }
        cluster.prefersDialled = policy?.loadBalancer?.simple == .passthrough
        if let outlier = policy?.outlierDetection { cluster.outlier = OutlierPolicy(outlier) }
        if let warmup = policy?.loadBalancer?.warmup, cluster.balancer == .leastRequest || cluster.balancer == .roundRobin {
            cluster.warmup = WarmupPolicy(
                nanoseconds: UInt64(max(0, warmup.durationNanoseconds)), minimum: warmup.minimumPercent / 100, aggression: warmup.aggression)
        }
        if let pool = policy?.connectionPool { apply(pool, to: &cluster) }
        if let version = policy?.proxyProtocol {
            cluster.proxyProtocol = version == .v1 ? 1 : 2
            // What a connection has said of its client holds for no other.
            cluster.maxRequestsPerConnection = 1
            cluster.maxConcurrentStreams = 1
        }
    }

    private mutating func apply(_ tunnel: TunnelSettings, of rule: DestinationRule?, to cluster: inout ClusterEntry) {
        guard !tunnel.usesPOST, !cluster.isHTTP2 else {
            report(
                .notice, "SKN0201", tunnel.position, rule?.id, "spec.trafficPolicy.tunnel",
                "tunnels by POST or over HTTP/2 are accepted, not yet in effect: TCP goes to the destination itself. CONNECT over HTTP/1.1 is in effect.")
            return
        }
        let host = tunnel.targetHost.contains(":") ? "[\(tunnel.targetHost)]" : tunnel.targetHost
        cluster.tunnelTarget = builder.add(text: "\(host):\(tunnel.targetPort)")
    }

    func apply(_ pool: ConnectionPoolSettings, to cluster: inout ClusterEntry) {
        if pool.upgradesToHTTP2 { cluster.isHTTP2 = true }
        // 0 cannot be told from absent in Istio's resource (semantics 2.4).
        if let limit = pool.maxConnections, limit > 0 { cluster.maxConnections = limit }
        if let limit = pool.http1MaxPendingRequests, limit > 0 { cluster.maxPendingRequests = limit }
        if let limit = pool.http2MaxRequests, limit > 0 { cluster.maxRequests = limit }
        if let limit = pool.maxRetries, limit > 0 { cluster.maxRetries = limit }
        if let timeout = pool.connectTimeoutNanoseconds, timeout > 0 { cluster.connectTimeoutNanoseconds = UInt64(timeout) }
        if let timeout = pool.idleTimeoutNanoseconds, timeout >= 0 { cluster.idleTimeoutNanoseconds = UInt64(timeout) }
        cluster.maxRequestsPerConnection = pool.maxRequestsPerConnection ?? 0
        cluster.maxConnectionNanoseconds = UInt64(max(0, pool.maxConnectionDurationNanoseconds ?? 0))
        if let timeout = pool.tcpIdleTimeoutNanoseconds, timeout >= 0 { cluster.tcpIdleTimeoutNanoseconds = UInt64(timeout) }
        if let limit = pool.maxConcurrentStreams, limit > 0 { cluster.maxConcurrentStreams = limit }
        cluster.usesClientProtocol = pool.usesClientProtocol
        if let keepalive = pool.keepalive { cluster.keepalive = KeepalivePolicy(keepalive) }
    }

    /// Istio's destination labels of a service: a Kubernetes-like name is split, any other is its own service name.
    private func describe(_ service: Service, host: String, in identity: inout IdentityLabels) {
        identity.destinationService = host
        identity.destinationServiceNamespace = service.entry.id.namespace
        let parts = host.split(separator: ".")
        identity.destinationServiceName = parts.count > 2 && parts[2] == "svc" ? String(parts[0]) : host
    }

    // MARK: Endpoints

    struct ServiceEndpoint {
        /// IP address, DNS name or `unix://` path.
        var address: String
        /// Service port name to the endpoint's own port.
        var ports: [String: UInt16]
        var position: SourcePosition
        var labels: [String: String]
        var weight: UInt32
        var identity: NodeIdentity?
        var locality = Locality()
        var network = ""

        init(
            address: String, ports: [String: UInt16], position: SourcePosition, labels: [String: String], weight: UInt32, identity: NodeIdentity?
        ) {
            self.address = address
            self.ports = ports
            self.position = position
            self.labels = labels
            self.weight = weight
            self.identity = identity
        }

        init(_ endpoint: WorkloadEndpoint, labels: [String: String], identity: NodeIdentity?) {
            self.init(
                address: endpoint.address, ports: endpoint.ports, position: endpoint.position, labels: labels, weight: endpoint.weight,
                identity: identity)
            locality = Locality(endpoint.locality)
            network = endpoint.network
        }
    }

    private func endpoints(of service: Service, host: String) -> [ServiceEndpoint] {
        if let selector = service.entry.workloadSelector {
            let namespace = service.entry.id.namespace
            let first = selector.min { $0.key < $1.key }
            let candidates = first.map { workloadsByLabel[LabelKey(namespace: namespace, key: $0.key, value: $0.value)] ?? [] }
            return (candidates ?? configuration.workloadEntries).filter { workload in
                workload.id.namespace == service.entry.id.namespace
                    && selector.allSatisfy { workload.labels[$0.key] == $0.value }
            }.map {
                ServiceEndpoint($0.endpoint, labels: $0.labels, identity: NodeIdentity($0))
            }
        }
        if !service.entry.endpoints.isEmpty {
            return service.entry.endpoints.map { endpoint in
                var identity = NodeIdentity(name: endpoint.labels["app"] ?? "", namespace: service.entry.id.namespace)
                identity.labels = endpoint.labels
                return ServiceEndpoint(endpoint, labels: endpoint.labels, identity: endpoint.labels.isEmpty ? nil : identity)
            }
        }
        guard service.entry.resolution != .static, !host.hasPrefix("*") else { return [] }
        // DNS without endpoints resolves the host itself; NONE goes where the caller meant to go, which for a named host is the same.
        return [ServiceEndpoint(address: host, ports: [:], position: service.entry.position, labels: [:], weight: 1, identity: nil)]
    }

    private mutating func addresses(
        of endpoint: ServiceEndpoint, port: ServicePort, service: Service, cluster: inout ClusterEntry
    ) -> [SocketEndpoint] {
        let number = endpoint.ports[port.name] ?? port.targetPort ?? port.number
        if let literal = SocketEndpoint(address: endpoint.address, port: number) { return [literal] }
        if let path = UnixAddress.path(endpoint.address) {
            return unixSocket(path, endpoint.position, service.entry.id, "spec.endpoints.address").map { [$0] } ?? []
        }
        let name = endpoint.address.lowercased()
        guard !name.isEmpty else { return [] }
        unresolvedHosts.insert(name)
        if !(builder.dnsNames[builder.clusters.count] ?? []).contains(name) { builder.dnsNames[builder.clusters.count, default: []].append(name) }
        guard let answers = inputs.resolved[name] else {
            cluster.isUnresolved = true
            return []
        }
        let addresses = answers.map { $0.with(port: number) }
        return service.entry.resolution == .dnsRoundRobin ? Array(addresses.prefix(1)) : addresses
    }

    mutating func unixSocket(_ path: String, _ position: SourcePosition, _ resource: ResourceID, _ field: String) -> SocketEndpoint? {
        do throws(UnixPathTable.Refusal) {
            return try SocketEndpoint(unixPath: path)
        } catch {
            report(.error, "SKN0317", position, resource, field, "the socket \"\(path)\" cannot be used: \(error)")
            return nil
        }
    }

    // MARK: Diagnostics

    mutating func report(
        _ severity: Diagnostic.Severity, _ code: String, _ position: SourcePosition, _ resource: ResourceID?, _ field: String, _ message: String
    ) {
        problems.append(
            Diagnostic(severity: severity, code: code, position: position, resource: resource, field: field, message: message))
    }

    static func badRegex(_ match: StringMatch, pattern: String, reason: String) -> Diagnostic {
        Diagnostic(
            severity: .error, code: "SKN0301", position: match.position, resource: nil, field: match.field,
            message: "\"\(pattern)\" is not a regular expression in RE2 syntax: \(reason); see github.com/google/re2/wiki/Syntax")
    }
}

extension TableRange {
    var isEmpty: Bool { count == 0 }
}

extension OutlierPolicy {
    init(_ settings: OutlierDetectionSettings) {
        isEnabled = true
        consecutive5xx = settings.consecutive5xxErrors.map(Int64.init) ?? -1
        consecutiveGateway = settings.consecutiveGatewayErrors.map(Int64.init) ?? -1
        consecutiveLocalOrigin = settings.consecutiveLocalOriginFailures.map(Int64.init) ?? -1
        splitsLocalOrigin = settings.splitExternalLocalOriginErrors
        intervalNanoseconds = settings.intervalNanoseconds ?? -1
        baseEjectionNanoseconds = settings.baseEjectionTimeNanoseconds ?? -1
        maxEjectionPercent = settings.maxEjectionPercent.map(Int64.init) ?? -1
        minHealthPercent = settings.minHealthPercent.map(Int64.init) ?? -1
    }
}
