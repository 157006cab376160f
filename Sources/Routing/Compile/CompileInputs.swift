internal import MeshConfig
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
    /// The process has a certificate of the mesh: PeerAuthentication is in effect, and mutual TLS is spoken to endpoints.
    public var hasIdentity = false

    public init(node: NodeIdentity, catalogs: Catalogs) {
        self.node = node
        self.catalogs = catalogs
        resolved = [:]
        generation = 0
    }
}

/// The resources and the node they are compiled for; says what of them the node sees.
struct CompileScope {
    let configuration: MeshConfiguration
    let inputs: CompileInputs

    var node: NodeIdentity { inputs.node }

    /// `exportTo` as the node sees it: `.` is the resource's own namespace, `*` or nothing everywhere.
    func isVisible(_ exportTo: [String], from namespace: String) -> Bool {
        exportTo.isEmpty || exportTo.contains("*") || exportTo.contains(node.namespace)
            || exportTo.contains(".") && namespace == node.namespace
    }

    /// Whether the node carries all labels of a selector; an empty one selects everything.
    func isSelected(_ selector: [String: String]) -> Bool { selector.allSatisfy { node.labels[$0.key] == $0.value } }

    /// Labels of what the node sends out.
    var sourceLabels: SourceLabelsID { inputs.catalogs.sources.id(node.sourceLabels) }
}
