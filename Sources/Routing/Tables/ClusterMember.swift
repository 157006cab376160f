public import Primitives
public import TelemetryModel

/// A cluster of a snapshot as those see it who count and judge its endpoints.
public struct ClusterMember: Sendable {
    public var name: NameID
    /// Places of its endpoints in the snapshot's table.
    public var endpoints: Range<Int>
    public var addresses: [SocketEndpoint]
    public var outlier: OutlierPolicy
}

extension RoutingSnapshot {
    /// All clusters, in the order of their indices.
    public var clusterMembers: [ClusterMember] {
        (0..<clusterCount).map { index in
            let cluster = view.rows.clusters[index]
            return ClusterMember(
                name: cluster.name, endpoints: cluster.endpoints.indices,
                addresses: cluster.endpoints.indices.map { view.rows.endpoints[$0].address }, outlier: cluster.outlier)
        }
    }
}
