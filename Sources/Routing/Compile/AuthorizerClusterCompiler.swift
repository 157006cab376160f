internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// Finds the cluster that the node's requests are checked at: that of the provider of its policies of action CUSTOM. Which provider that
/// is, and whether it can be asked at all, is for whoever compiles the policies.
struct AuthorizerClusterCompiler {
    /// Nobody can be asked at that address.
    static let unknownService = "SKN0323"
    /// Connections that nobody can be asked about.
    static let closedConnections = "SKN0324"

    let scope: CompileScope
    let services: ServiceCatalog
    let clusters: ClusterCompiler
    let draft: SnapshotBuilder

    /// -1 = nobody is asked, or there is no such service.
    func addCluster() -> Int32 {
        let node = scope.node
        guard !node.name.isEmpty,
            let (provider, settings) = scope.configuration.externalAuthorizer(namespace: node.namespace, labels: node.labels)
        else { return -1 }
        if case .http = settings.transport { reportConnections(provider.name) }
        if let problem = problem(of: settings) {
            draft.report(
                .error, Self.unknownService, settings.servicePosition, scope.configuration.mesh.id,
                "spec.meshConfig.extensionProviders[\(provider.name)].service", problem)
            return -1
        }
        let cluster = clusters.cluster(host: settings.host, subset: "", port: settings.port, fallbackPort: settings.port)
        if cluster >= 0, case .grpc = settings.transport, !speaksHTTP2(draft.clusters[Int(cluster)]) {
            draft.report(
                .error, Self.unknownService, settings.servicePosition, scope.configuration.mesh.id,
                "spec.meshConfig.extensionProviders[\(provider.name)].service",
                "gRPC needs HTTP/2, and port \(settings.port) of \(settings.host) does not speak it: set the port's protocol to GRPC")
        }
        return cluster
    }

    /// An authorizer over HTTP is asked about requests alone.
    private func reportConnections(_ provider: String) {
        guard draft.listeners.items.contains(where: { ($0.side == .inbound || $0.isEdge) && $0.mode == .tcp }) else { return }
        for policy in scope.configuration.customPolicies(namespace: scope.node.namespace, labels: scope.node.labels) {
            draft.report(
                .warning, Self.closedConnections, policy.position, policy.id, "spec.provider",
                "connections to the workload's TCP ports that it matches are closed: provider \(provider) is asked by HTTP, about requests "
                    + "alone. Use envoyExtAuthzGrpc, or list the ports that the policy is for")
        }
    }

    private func problem(of settings: ExternalAuthorizerSettings) -> String? {
        let host = settings.host
        guard let service = services.service(named: host) else { return "no service has the host \(host)" }
        if let namespace = settings.namespace, service.entry.id.namespace != namespace {
            return "the service \(host) is in namespace \(service.entry.id.namespace), not in \(namespace)"
        }
        guard service.entry.port(numbered: settings.port) == nil else { return nil }
        let ports = service.entry.ports.map { String($0.number) }.joined(separator: ", ")
        return "the service \(host) has no port \(settings.port); it has \(ports)"
    }

    /// By its configuration, or as it may turn out with its endpoints.
    private func speaksHTTP2(_ cluster: ClusterEntry) -> Bool {
        cluster.isHTTP2 || cluster.usesClientProtocol || cluster.endpoints.indices.contains { draft.endpoints[$0].security >= 0 }
    }
}
