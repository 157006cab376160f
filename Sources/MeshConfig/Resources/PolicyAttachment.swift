/// Whom a policy speaks for: workloads that carry labels, or gateways by their name (`targetRefs`; Gateway API, GEP-2648). A value.
///
/// A workload is the gateway NAME of its namespace when it carries the label `gateway.networking.k8s.io/gateway-name: NAME`, which the
/// Gateway API's implementations give to the workloads of a Gateway. A policy with a selector speaks for such a workload as for any
/// other. Services, ServiceEntries and GatewayClasses are guarded at waypoints, of which there are none here: nobody is meant by them.
public enum PolicyAttachment: Sendable, Equatable {
    /// Empty = every workload of the policy's namespace; of the mesh, in the root namespace.
    case workloads([String: String])
    /// Names of gateways in the policy's own namespace, also where that is the root namespace. Empty = nobody.
    case gateways([String])

    /// Which gateway of its namespace a workload is.
    public static let gatewayLabel = "gateway.networking.k8s.io/gateway-name"

    /// Of `spec.selector.matchLabels`, `spec.targetRefs` and `spec.targetRef`.
    init(spec: NodeReader) {
        guard !spec.isEmptyList("targetRefs") || spec.has("targetRef") else {
            self = .workloads(spec.child("selector")?.stringMap("matchLabels") ?? [:])
            return
        }
        self = .gateways(Self.references(of: spec).filter(Self.isGateway).compactMap { $0.string("name") })
    }

    /// Whether a policy of the namespace `home` speaks for a workload.
    public func includes(namespace: String, labels: [String: String], home: String, rootNamespace: String) -> Bool {
        switch self {
        case .workloads(let selector):
            (home == namespace || home == rootNamespace) && selector.allSatisfy { labels[$0.key] == $0.value }
        case .gateways(let names): home == namespace && labels[Self.gatewayLabel].map(names.contains) ?? false
        }
    }

    /// The labels that a workload has to carry; empty for gateways.
    public var selector: [String: String] {
        if case .workloads(let selector) = self { selector } else { [:] }
    }

    /// Whether everything in a namespace is meant.
    public var isWide: Bool { self == .workloads([:]) }

    /// `app=web,version=v1`, `gateway public`; empty where everything is meant.
    public var text: String {
        switch self {
        case .workloads(let selector): selector.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: ",")
        case .gateways(let names): "gateway \(names.isEmpty ? "none" : names.joined(separator: ", "))"
        }
    }

    /// The references of a policy, in order.
    static func references(of spec: NodeReader) -> [NodeReader] {
        spec.children("targetRefs") + [spec.child("targetRef")].compactMap(\.self)
    }

    static func isGateway(_ reference: NodeReader) -> Bool {
        reference.string("kind") == "Gateway" && reference.string("group") == "gateway.networking.k8s.io"
    }
}
