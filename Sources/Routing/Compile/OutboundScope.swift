internal import MeshConfig

/// What one outbound listener serves.
struct OutboundScope {
    /// Nil = every service port.
    var port: UInt16?
    /// Nil = everything.
    var hosts: [Sidecar.EgressHost]?
    /// Clients come to a path: what they dial tells no service from another.
    var isUnix = false

    /// Whether a host of a namespace is served to a node of `own`.
    func sees(_ namespace: String, _ host: String, from own: String) -> Bool {
        guard let hosts else { return true }
        return hosts.contains { allowed in
            let isNamespace =
                switch allowed.namespace {
                case "*": true
                case "~": false
                case ".": namespace == own
                default: namespace == allowed.namespace
                }
            return isNamespace && HostName.matches(allowed.host, host)
        }
    }
}

/// VirtualServices by the hosts they name; the first for a host comes first.
struct RulesByHost {
    private(set) var exact: [String: [VirtualService]] = [:]
    /// In the order of the configuration, or the longest host first.
    private(set) var wildcards: [(host: String, rule: VirtualService)] = []

    init(_ rules: [VirtualService], longestFirst: Bool) {
        for rule in rules {
            for host in rule.hosts {
                let name = HostName.resolve(host, namespace: rule.id.namespace).lowercased()
                if name.hasPrefix("*") { wildcards.append((name, rule)) } else { exact[name, default: []].append(rule) }
            }
        }
        if longestFirst { wildcards.sort { $0.host.utf8.count > $1.host.utf8.count } }
    }

    /// The rule for a service's host.
    func rule(for host: String) -> VirtualService? { exact[host]?.first ?? wildcards.first { HostName.matches($0.host, host) }?.rule }
}
