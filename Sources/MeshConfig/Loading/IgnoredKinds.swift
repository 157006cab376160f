/// What of one file is not Istio's and is skipped: said once for the file, with a count for each kind, for a file of a cluster holds
/// dozens.
struct IgnoredKinds {
    /// Kinds named in a message.
    private static let shown = 8

    private var counts: [String: Int] = [:]
    private var total = 0
    private var hasGatewayAPI = false
    /// Where the first is; `only` while there is no second.
    private(set) var first: (position: SourcePosition, only: ResourceID?)?

    mutating func add(kind: String, group: String, id: ResourceID, at position: SourcePosition) {
        // The group tells the two kinds of Gateway apart; Kubernetes' own are known without it.
        let isGatewayAPI = group == "gateway.networking.k8s.io"
        hasGatewayAPI = hasGatewayAPI || isGatewayAPI
        counts[isGatewayAPI ? "\(kind) of the Gateway API" : kind, default: 0] += 1
        total += 1
        first = first.map { ($0.position, nil) } ?? (position, id)
    }

    var message: String {
        let kinds = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        var names = kinds.prefix(IgnoredKinds.shown).map { total == 1 ? $0.key : "\($0.value) \($0.key)" }.joined(separator: ", ")
        if kinds.count > IgnoredKinds.shown { names += " and \(kinds.count - IgnoredKinds.shown) kinds more" }
        let what =
            total == 1
            ? "ignored: \(names) is no Istio resource." : "ignored: \(total) resources that are not Istio's, the first here: \(names)."
        let routes = hasGatewayAPI ? " Routes are described by VirtualService and Gateway of networking.istio.io." : ""
        return what + " Services and workloads are described by ServiceEntry and WorkloadEntry." + routes
    }
}
