/// Istio's rules across the fields of ServiceEntry and WorkloadEntry.
struct ServiceChecks {
    let findings: Findings

    func check(serviceEntry spec: NodeReader) {
        let resolution = spec.name("resolution") ?? "NONE"
        let endpoints = spec.children("endpoints")
        checkEntryHosts(spec, resolution, hasEndpoints: !endpoints.isEmpty)
        NameChecks(findings: findings).check(selectorOf: spec, "workloadSelector", "labels")
        NameChecks(findings: findings).check(exportToOf: spec, nobody: true)
        let ports = checkPorts(spec)
        checkTellingApart(spec, resolution)
        for (address, position, path) in spec.positionedStrings("addresses") {
            let isPrefix = IPAddress.isPrefix(address)
            if IPAddress.family(address) == nil, !isPrefix {
                findings.error(position, path, "\"\(address)\" is neither an IP address nor a CIDR prefix such as 10.0.0.0/8")
            } else if isPrefix, resolution.hasPrefix("DNS") {
                findings.error(position, path, "a CIDR prefix cannot be combined with resolution \(resolution); use NONE or STATIC")
            }
        }
        if spec.has("workloadSelector"), !endpoints.isEmpty {
            findings.error(
                spec.position("workloadSelector"), "spec.workloadSelector", "workloadSelector and endpoints exclude each other; keep one")
        }
        checkResolution(spec, resolution, endpoints.count)
        checkSockets(spec, endpoints)
        for endpoint in endpoints {
            check(endpoint: endpoint, resolution: resolution)
            for (name, entry) in endpoint.entries("ports") where !ports.contains(name) {
                findings.error(
                    entry.position, entry.path,
                    "port \"\(name)\" is not a port of this entry; its ports: \(ports.sorted().joined(separator: ", "))")
            }
        }
        if resolution == "DYNAMIC_DNS" {
            findings.add(
                .notice, .notYetInEffect, spec.position("resolution"), "spec.resolution", "DYNAMIC_DNS is accepted, not yet in effect")
        }
    }

    private func checkEntryHosts(_ spec: NodeReader, _ resolution: String, hasEndpoints: Bool) {
        let hosts = spec.positionedStrings("hosts")
        if spec.isEmptyList("hosts") { findings.error(spec.position("hosts"), "spec.hosts", "hosts is required: list at least one") }
        for (host, position, path) in hosts {
            if host == "*" {
                findings.error(position, path, "host \"*\" is not accepted; write a name or *.example.com")
            } else if let problem = HostName.hostProblem(host, wildcard: true) {
                findings.error(position, path, "host \"\(host)\" \(problem)")
            } else if host.hasPrefix("*"), resolution.hasPrefix("DNS"), !hasEndpoints {
                findings.error(position, path, "a wildcard cannot be looked up with resolution \(resolution); use NONE, or list endpoints")
            } else if HostName.isPartialWildcard(host) {
                findings.warn(position, path, "\"\(host)\": a wildcard is best the whole first label, *.example.com")
            }
        }
    }

    /// Hosts of one entry that connections must be told apart by: a request names its host, plain TCP does not (Istio refuses it, too).
    private func checkTellingApart(_ spec: NodeReader, _ resolution: String) {
        let hosts = spec.strings("hosts")
        var isTold = false
        let isNamed: Set<String> = ["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY", "HTTPS", "TLS"]
        for port in spec.children("ports") {
            let spoken = (port.string("protocol") ?? "").uppercased()
            if port.has("targetPort"), resolution == "NONE" {
                findings.warn(
                    port.position("targetPort"), "\(port.path).targetPort",
                    "has no effect with resolution NONE, which goes where the caller dialled")
            }
            if hosts.count > 1, resolution != "NONE", !isNamed.contains(spoken), !isTold {
                isTold = true
                findings.error(
                    port.position, port.path,
                    "connections of \(spoken.isEmpty ? "a port without protocol" : "protocol \(spoken)") name no host, so \(hosts.count) "
                        + "hosts cannot be told apart; write an entry for each")
            }
        }
    }

    /// Names of the ports.
    private func checkPorts(_ spec: NodeReader) -> Set<String> {
        let ports = spec.children("ports")
        if spec.isEmptyList("ports") {
            findings.warn(
                spec.position("ports"), "spec.ports", "no ports: nothing can be sent to this service. List {number, name, protocol}.")
        }
        var names: Set<String> = []
        var numbers: Set<Int64> = []
        for port in ports {
            if !port.has("number") { findings.error(port.position, port.path, "number is required: 1 to 65535") }
            findings.require(port, "name", "for example http")
            PortChecks(findings: findings).check(protocolOf: port)
            NameChecks(findings: findings).check(portNameOf: port)
            if let name = port.string("name"), !name.isEmpty, !names.insert(name).inserted {
                findings.error(port.position("name"), "\(port.path).name", "port name \"\(name)\" is used twice")
            }
            if let number = port.integer("number"), !numbers.insert(number).inserted {
                findings.error(port.position("number"), "\(port.path).number", "port \(number) is defined twice")
            }
        }
        return names
    }

    private func checkResolution(_ spec: NodeReader, _ resolution: String, _ endpoints: Int) {
        switch resolution {
        case "NONE":
            if endpoints > 0 {
                findings.error(
                    spec.position("endpoints"), "spec.endpoints",
                    "resolution NONE sends to the address the caller dialled, so endpoints cannot be given; write resolution: STATIC "
                        + "(addresses) or DNS (names)")
            }
            if spec.has("workloadSelector") {
                findings.warn(
                    spec.position("workloadSelector"), "spec.workloadSelector",
                    "has no effect with resolution NONE; write resolution: STATIC")
            }
            let needsAddress = spec.children("ports").contains {
                ["TCP", ""].contains(($0.string("protocol") ?? "").uppercased())
            }
            if needsAddress, spec.strings("addresses").isEmpty {
                findings.warn(
                    spec.position, "spec.addresses",
                    "a TCP port (or one without protocol) is told apart by its address only: list addresses",
                    code: .addressesRequired)
            }
        case "STATIC":
            if endpoints == 0, !spec.has("workloadSelector") {
                findings.warn(
                    spec.position("resolution"), "spec.resolution",
                    "resolution STATIC without endpoints or a workloadSelector sends nowhere")
            }
        case "DNS", "DNS_ROUND_ROBIN":
            if spec.has("workloadSelector") {
                findings.warn(
                    spec.position("workloadSelector"), "spec.workloadSelector",
                    "goes with resolution STATIC; the workloads' own addresses are used all the same")
            }
            if resolution == "DNS_ROUND_ROBIN", endpoints > 1 {
                findings.error(
                    spec.position("endpoints"), "spec.endpoints",
                    "resolution DNS_ROUND_ROBIN takes one endpoint at most; use DNS for several")
            }
        default: break
        }
    }

    /// A socket does not tell ports apart.
    private func checkSockets(_ spec: NodeReader, _ endpoints: [NodeReader]) {
        let ports = spec.children("ports").count
        guard ports > 1, let socket = endpoints.first(where: { UnixAddress.path($0.string("address") ?? "") != nil }) else { return }
        findings.error(
            socket.position("address"), "\(socket.path).address",
            "a Unix socket is one port, and this entry has \(ports): give each port an entry of its own")
    }

    private func check(endpoint: NodeReader, resolution: String) {
        let address = endpoint.string("address") ?? ""
        let position = endpoint.position("address")
        let path = "\(endpoint.path).address"
        PortChecks(findings: findings).check(portsOf: endpoint)
        NameChecks(findings: findings).check(labelsOf: endpoint, "labels")
        if address.isEmpty {
            guard endpoint.has("network") else {
                findings.error(position, path, "address is required: an IP address, a DNS name or unix:///path")
                return
            }
            findings.warn(
                position, path,
                "without an address the endpoint of network \"\(endpoint.string("network")?.prefix(64) ?? "")\" gets no traffic")
            return
        }
        if address.hasPrefix(UnixAddress.prefix) {
            if let problem = UnixAddress.problem(address) { findings.error(position, path, problem) }
            if endpoint.has("ports") { findings.error(endpoint.position("ports"), "\(endpoint.path).ports", "a Unix socket has no ports") }
            if resolution.hasPrefix("DNS") {
                findings.error(position, path, "a Unix socket cannot be combined with resolution \(resolution)")
            }
            return
        }
        if IPAddress.family(address) != nil { return }
        if resolution == "STATIC" {
            findings.error(
                position, path, "resolution STATIC needs an IP address, got \"\(address)\"; write resolution: DNS to look names up")
        } else if let problem = HostName.hostProblem(address, wildcard: false) {
            findings.error(position, path, "address \"\(address)\" \(problem)")
        }
    }

    func check(workloadEntry spec: NodeReader) { check(endpoint: spec, resolution: "") }
}
