/// The server name that clients of the mesh ask for, where no rule says another (Istio: the DNS SRV form of a cluster's name).
enum ClusterServerName {
    static func standard(_ host: String, _ subset: String, _ port: UInt16) -> String { "outbound_.\(port)_.\(subset)_.\(host)" }
}
