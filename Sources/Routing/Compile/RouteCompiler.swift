public import MeshConfig
internal import TelemetryModel

/// Compiles Istio resources into a snapshot, as istiod does for Envoy: services become clusters and virtual hosts, VirtualServices
/// their routes, DestinationRules their subsets and policies. Pure; off the worker threads; linear in the configuration.
///
/// The work is done by the small compilers of this folder, each handed what it needs; this one only says in which order.
public struct RouteCompiler {
    private let scope: CompileScope
    private let services: ServiceCatalog
    private let draft = SnapshotBuilder()
    private let policies: PeerAuthentications
    private let securities: UpstreamSecurityCompiler
    private let clusters: ClusterCompiler

    /// Destinations that one route mirrors to.
    static let mirrorsMax = RouteActionCompiler.mirrorsMax

    private init(_ configuration: MeshConfiguration, _ inputs: CompileInputs) {
        scope = CompileScope(configuration: configuration, inputs: inputs)
        services = ServiceCatalog(scope)
        policies = PeerAuthentications(configuration)
        securities = UpstreamSecurityCompiler(scope, policies, draft)
        clusters = ClusterCompiler(scope, services, securities, draft)
    }

    /// Compiles everything. An error-severity diagnostic means that the snapshot must not be adopted.
    public static func compile(_ configuration: MeshConfiguration, _ inputs: CompileInputs) -> (RoutingSnapshot, [Diagnostic]) {
        RouteCompiler(configuration, inputs).compile()
    }

    private func compile() -> (RoutingSnapshot, [Diagnostic]) {
        let sidecar = scope.configuration.sidecar(namespace: scope.node.namespace, labels: scope.node.labels)
        OutboundListenerCompiler(scope: scope, services: services, clusters: clusters, draft: draft).addListeners(sidecar)
        // A gateway's workload is no application to guard, unless a Sidecar says so.
        let isEdge = GatewayCompiler(scope: scope, services: services, clusters: clusters, draft: draft).addListeners()
        if !isEdge || sidecar?.ingress.isEmpty == false {
            InboundListenerCompiler(scope: scope, services: services, clusters: clusters, policies: policies, draft: draft)
                .addListeners(sidecar)
        }
        InboundSecurityCompiler(scope: scope, policies: policies, draft: draft).addPorts()
        let authorizer = AuthorizerClusterCompiler(scope: scope, services: services, clusters: clusters, draft: draft).addCluster()
        securities.reportLackOfIdentity()
        draft.unenforced.note(scope, draft.plans)
        let unenforced = draft.unenforced.diagnostics(isAllowed: scope.inputs.allowsUnenforced)
        return (draft.finish(collectFacts(unenforced, authorizer)), draft.problems + unenforced)
    }

    /// What the resources say of more than requests.
    private func collectFacts(_ unenforced: [Diagnostic], _ authorizer: Int32) -> SnapshotFacts {
        let configuration = scope.configuration
        let (namespace, labels) = (scope.node.namespace, scope.node.labels)
        func accessLog(_ direction: TrafficDirection) -> AccessLogPolicy {
            configuration.accessLogPolicy(namespace: namespace, labels: labels, direction: direction)
        }
        func tracing(_ direction: TrafficDirection) -> TracingPolicy {
            configuration.tracingPolicy(namespace: namespace, labels: labels, direction: direction)
        }
        return SnapshotFacts(
            node: scope.node, catalogs: scope.inputs.catalogs,
            accessLog: BySide(outbound: accessLog(.client), inbound: accessLog(.server)),
            tracing: BySide(outbound: tracing(.client), inbound: tracing(.server)),
            pathNormalization: configuration.mesh.pathNormalization, generation: scope.inputs.generation, unenforced: unenforced,
            authorizerCluster: authorizer)
    }
}
