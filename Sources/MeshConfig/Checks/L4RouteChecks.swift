/// Istio's rules for `tcp` and `tls` of a VirtualService.
struct L4RouteChecks {
    let findings: Findings

    func check(l4RoutesOf spec: NodeReader) {
        for kind in ["tcp", "tls"] {
            for route in spec.children(kind) {
                if route.isEmptyList("route") {
                    findings.error(route.position, route.path, "route is required: list at least one destination")
                }
                VirtualServiceChecks(findings: findings).checkDestinations(route)
                let matches = route.children("match")
                if kind == "tls", matches.isEmpty {
                    findings.error(route.position, route.path, "match is required: list the server names in sniHosts")
                }
                for match in matches {
                    findings.range(match, "port", 0...65535)
                    NameChecks(findings: findings).check(labelsOf: match, "sourceLabels")
                    NameChecks(findings: findings).check(gatewaysOf: match)
                    check(sourceNamespaceOf: match)
                    for (text, position, path) in match.positionedStrings("destinationSubnets")
                    where IPAddress.family(text) == nil && !IPAddress.isPrefix(text) {
                        findings.error(
                            position, path, "\"\(text.prefix(64))\" is neither an IP address nor a CIDR prefix such as 10.0.0.0/8")
                    }
                    if kind == "tls" { check(serverNamesOf: match, hosts: spec.strings("hosts")) }
                }
            }
        }
    }

    func check(sourceNamespaceOf match: NodeReader) {
        guard let namespace = match.string("sourceNamespace"), !namespace.isEmpty, let problem = ObjectName.labelProblem(namespace) else {
            return
        }
        findings.error(
            match.position("sourceNamespace"), "\(match.path).sourceNamespace", "namespace \"\(namespace.prefix(64))\" \(problem)")
    }

    /// Each server name must be among the hosts that the rule is for, or below a wildcard among them.
    private func check(serverNamesOf match: NodeReader, hosts: [String]) {
        let names = match.positionedStrings("sniHosts")
        if names.isEmpty { findings.error(match.position, match.path, "sniHosts is required: list at least one server name") }
        for (name, position, path) in names {
            if IPAddress.family(name) != nil {
                findings.warn(
                    position, path, "\"\(name)\" is an address: clients send a server name for DNS names only (RFC 6066 section 3)")
            } else if name.hasPrefix("outbound_") {
                continue  // The names that AUTO_PASSTHROUGH gateways are dialled by.
            } else if let problem = HostName.problem(name, wildcard: true) {
                findings.error(position, path, "server name \"\(name.prefix(128))\" \(problem)")
            } else if !hosts.contains(where: { HostName.matches($0, name) }) {
                findings.error(
                    position, path, "server name \"\(name)\" is not covered by the rule's hosts (\(hosts.joined(separator: ", ")))")
            }
        }
    }
}
