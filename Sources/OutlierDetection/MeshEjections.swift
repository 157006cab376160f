public import Primitives

/// An endpoint of this process that is ejected mesh-wide.
public struct MeshEjection: Hashable, Sendable {
    public var cluster: ClusterKey
    public var host: EndpointSlot
    public var reason: EjectionReason
    public var until: MonotonicInstant

    public init(cluster: ClusterKey, host: EndpointSlot, reason: EjectionReason, until: MonotonicInstant) {
        self.cluster = cluster
        self.host = host
        self.reason = reason
        self.until = until
    }
}

/// Which endpoints the collector has ejected. The second cause of an ejection, beside local detection: neither ends the other.
struct MeshEjections {
    private(set) var running: [EndpointSlot: MeshEjection] = [:]
    /// Ejections of the mesh that `maxEjectionPercent` kept from being carried out here.
    private(set) var prevented: UInt64 = 0

    func isEjected(_ host: EndpointSlot) -> Bool { running[host] != nil }

    /// Endpoints of a cluster that are ejected mesh-wide and not also locally.
    func count(in cluster: ClusterKey, butNot isLocal: (EndpointSlot) -> Bool) -> Int {
        running.values.count { $0.cluster == cluster && !isLocal($0.host) }
    }

    mutating func insert(_ ejection: MeshEjection) { running[ejection.host] = ejection }
    mutating func remove(_ host: EndpointSlot) { running[host] = nil }
    mutating func notePrevented() { prevented &+= 1 }
}
