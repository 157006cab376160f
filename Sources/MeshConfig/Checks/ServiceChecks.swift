internal import Primitives

/// Istio's rules across the fields of ServiceEntry, WorkloadEntry and Sidecar.
extension Findings {
    mutating func check(serviceEntry spec: NodeReader) {
        let resolution = spec.name("resolution") ?? "NONE"
        let endpoints = spec.children("endpoints")
        checkEntryHosts(spec, resolution, hasEndpoints: !endpoints.isEmpty)
        check(selectorOf: spec, "workloadSelector", "labels")
        check(exportToOf: spec, nobody: true)
        let ports = checkPorts(spec)
        checkTellingApart(spec, resolution)
        for (address, position, path) in spec.positionedStrings("addresses") {
            let isPrefix = IPAddress.isPrefix(address)
            if IPAddress.family(address) == nil, !isPrefix {
                error(position, path, "\"\(address)\" is neither an IP address nor a CIDR prefix such as 10.0.0.0/8")
            } else if isPrefix, resolution.hasPrefix("DNS") {
                error(position, path, "a CIDR prefix cannot be combined with resolution \(resolution); use NONE or STATIC")
            }
        }
        if spec.has("workloadSelector"), !endpoints.isEmpty {
            error(spec.position("workloadSelector"), "spec.workloadSelector", "workloadSelector and endpoints exclude each other; keep one")
        }
        checkResolution(spec, resolution, endpoints.count)
        checkSockets(spec, endpoints)
        for endpoint in endpoints {
            check(endpoint: endpoint, resolution: resolution)
            for (name, entry) in endpoint.entries("ports") where !ports.contains(name) {
                error(
                    entry.position, entry.path,
                    "port \"\(name)\" is not a port of this entry; its ports: \(ports.sorted().joined(separator: ", "))")
            }
        }
        if resolution == "DYNAMIC_DNS" {
            add(.notice, .notYetInEffect, spec.position("resolution"), "spec.resolution", "DYNAMIC_DNS is accepted, not yet in effect")
        }
    }

    private mutating func checkEntryHosts(_ spec: NodeReader, _ resolution: String, hasEndpoints: Bool) {
        let hosts = spec.positionedStrings("hosts")
        if spec.isEmptyList("hosts") { error(spec.position("hosts"), "spec.hosts", "hosts is required: list at least one") }
        for (host, position, path) in hosts {
            if host == "*" {
                error(position, path, "host \"*\" is not accepted; write a name or *.example.com")
            } else if let problem = HostName.hostProblem(host, wildcard: true) {
                error(position, path, "host \"\(host)\" \(problem)")
            } else if host.hasPrefix("*"), resolution.hasPrefix("DNS"), !hasEndpoints {
                error(position, path, "a wildcard cannot be looked up with resolution \(resolution); use NONE, or list endpoints")
            } else if HostName.isPartialWildcard(host) {
                warn(position, path, "\"\(host)\": a wildcard is best the whole first label, *.example.com")
            }
        }
    }

    /// Hosts of one entry that connections must be told apart by: a request names its host, plain TCP does not (Istio refuses it, too).
    private mutating func checkTellingApart(_ spec: NodeReader, _ resolution: String) {
        let hosts = spec.strings("hosts")
        var isTold = false
        let isNamed: Set<String> = ["HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY", "HTTPS", "TLS"]
        for port in spec.children("ports") {
            let spoken = (port.string("protocol") ?? "").uppercased()
            if port.has("targetPort"), resolution == "NONE" {
                warn(
                    port.position("targetPort"), "\(port.path).targetPort",
                    "has no effect with resolution NONE, which goes where the caller dialled")
            }
            if hosts.count > 1, resolution != "NONE", !isNamed.contains(spoken), !isTold {
                isTold = true
                error(
                    port.position, port.path,
                    "connections of \(spoken.isEmpty ? "a port without protocol" : "protocol \(spoken)") name no host, so \(hosts.count) "
                        + "hosts cannot be told apart; write an entry for each")
            }
        }
    }

    /// Names of the ports.
    private mutating func checkPorts(_ spec: NodeReader) -> Set<String> {
        let ports = spec.children("ports")
        if spec.isEmptyList("ports") {
            warn(spec.position("ports"), "spec.ports", "no ports: nothing can be sent to this service. List {number, name, protocol}.")
        }
        var names: Set<String> = []
        var numbers: Set<Int64> = []
        for port in ports {
            if !port.has("number") { error(port.position, port.path, "number is required: 1 to 65535") }
            require(port, "name", "for example http")
            check(protocolOf: port)
            check(portNameOf: port)
            if let name = port.string("name"), !name.isEmpty, !names.insert(name).inserted {
                error(port.position("name"), "\(port.path).name", "port name \"\(name)\" is used twice")
            }
            if let number = port.integer("number"), !numbers.insert(number).inserted {
                error(port.position("number"), "\(port.path).number", "port \(number) is defined twice")
            }
        }
        return names
    }

    mutating func check(protocolOf port: NodeReader) {
        guard let name = port.string("protocol"), !name.isEmpty else { return }
        let accepted = ServicePort.ApplicationProtocol.allCases.map(\.rawValue).filter { !$0.isEmpty }
        if accepted.contains(name.uppercased()) { return }
        if name.uppercased() == "UDP" {
            warn(port.position("protocol"), "\(port.path).protocol", "UDP is not proxied")
            return
        }
        var text = "protocol \"\(name)\" is not accepted; one of \(accepted.joined(separator: ", "))"
        if let nearest = EditDistance.nearest(to: name, among: accepted) { text += ". Did you mean \(nearest)?" }
        error(port.position("protocol"), "\(port.path).protocol", text, code: .unknownEnumValue)
    }

    private mutating func checkResolution(_ spec: NodeReader, _ resolution: String, _ endpoints: Int) {
        switch resolution {
        case "NONE":
            if endpoints > 0 {
                error(
                    spec.position("endpoints"), "spec.endpoints",
                    "resolution NONE sends to the address the caller dialled, so endpoints cannot be given; write resolution: STATIC "
                        + "(addresses) or DNS (names)")
            }
            if spec.has("workloadSelector") {
                warn(
                    spec.position("workloadSelector"), "spec.workloadSelector",
                    "has no effect with resolution NONE; write resolution: STATIC")
            }
            let needsAddress = spec.children("ports").contains {
                ["TCP", ""].contains(($0.string("protocol") ?? "").uppercased())
            }
            if needsAddress, spec.strings("addresses").isEmpty {
                warn(
                    spec.position, "spec.addresses",
                    "a TCP port (or one without protocol) is told apart by its address only: list addresses",
                    code: .addressesRequired)
            }
        case "STATIC":
            if endpoints == 0, !spec.has("workloadSelector") {
                warn(
                    spec.position("resolution"), "spec.resolution",
                    "resolution STATIC without endpoints or a workloadSelector sends nowhere")
            }
        case "DNS", "DNS_ROUND_ROBIN":
            if spec.has("workloadSelector") {
                warn(
                    spec.position("workloadSelector"), "spec.workloadSelector",
                    "goes with resolution STATIC; the workloads' own addresses are used all the same")
            }
            if resolution == "DNS_ROUND_ROBIN", endpoints > 1 {
                error(
                    spec.position("endpoints"), "spec.endpoints",
                    "resolution DNS_ROUND_ROBIN takes one endpoint at most; use DNS for several")
            }
        default: break
        }
    }

    /// A socket does not tell ports apart.
    private mutating func checkSockets(_ spec: NodeReader, _ endpoints: [NodeReader]) {
        let ports = spec.children("ports").count
        guard ports > 1, let socket = endpoints.first(where: { UnixAddress.path($0.string("address") ?? "") != nil }) else { return }
        error(
            socket.position("address"), "\(socket.path).address",
            "a Unix socket is one port, and this entry has \(ports): give each port an entry of its own")
    }

    private mutating func check(endpoint: NodeReader, resolution: String) {
        let address = endpoint.string("address") ?? ""
        let position = endpoint.position("address")
        let path = "\(endpoint.path).address"
        check(portsOf: endpoint)
        check(labelsOf: endpoint, "labels")
        if address.isEmpty {
            guard endpoint.has("network") else {
                error(position, path, "address is required: an IP address, a DNS name or unix:///path")
                return
            }
            warn(
                position, path,
                "without an address the endpoint of network \"\(endpoint.string("network")?.prefix(64) ?? "")\" gets no traffic")
            return
        }
        if address.hasPrefix(UnixAddress.prefix) {
            if let problem = UnixAddress.problem(address) { error(position, path, problem) }
            if endpoint.has("ports") { error(endpoint.position("ports"), "\(endpoint.path).ports", "a Unix socket has no ports") }
            if resolution.hasPrefix("DNS") { error(position, path, "a Unix socket cannot be combined with resolution \(resolution)") }
            return
        }
        if IPAddress.family(address) != nil { return }
        if resolution == "STATIC" {
            error(position, path, "resolution STATIC needs an IP address, got \"\(address)\"; write resolution: DNS to look names up")
        } else if let problem = HostName.hostProblem(address, wildcard: false) {
            error(position, path, "address \"\(address)\" \(problem)")
        }
    }

    /// `ports` of an endpoint: names of service ports and numbers.
    mutating func check(portsOf endpoint: NodeReader) {
        for (name, entry) in endpoint.entries("ports") {
            if let problem = ObjectName.labelProblem(name) {
                error(entry.position, entry.path, "port name \"\(name.prefix(64))\" \(problem)")
            }
            if let number = entry.node.scalar.flatMap(NodeReader.integer), !(1...65535).contains(number) {
                error(entry.position, entry.path, "port \"\(name)\" is \(number); accepted: 1 to 65535", code: .outOfRange)
            }
        }
    }

    mutating func check(workloadEntry spec: NodeReader) { check(endpoint: spec, resolution: "") }

    mutating func check(sidecar spec: NodeReader) {
        check(listenersOf: spec)
        var ports: Set<Int64> = []
        for listener in spec.children("ingress") {
            guard let port = listener.child("port"), let number = port.integer("number") else {
                error(listener.position, listener.path, "port is required: {number, protocol, name}")
                continue
            }
            range(port, "number", 1...65535)
            check(protocolOf: port)
            if !ports.insert(number).inserted { error(port.position, port.path, "port \(number) has two ingress listeners") }
            check(bindOf: listener, unixAllowed: false)
            if let text = listener.string("defaultEndpoint"), text.hasPrefix(UnixAddress.prefix) {
                if let problem = UnixAddress.problem(text) {
                    error(listener.position("defaultEndpoint"), "\(listener.path).defaultEndpoint", problem)
                }
            } else if let text = listener.string("defaultEndpoint"), Sidecar.LocalEndpoint(text: text) == nil {
                error(
                    listener.position("defaultEndpoint"), "\(listener.path).defaultEndpoint",
                    "\"\(text)\" is not accepted; one of 127.0.0.1:PORT, :PORT, 0.0.0.0:PORT, [::1]:PORT, [::]:PORT, unix:///path")
            }
            if let pool = listener.child("connectionPool") { check(connectionPool: pool) }
        }
        let egress = spec.children("egress")
        var sockets: Set<[UInt8]> = []
        for (index, listener) in egress.enumerated() {
            check(egress: listener, isLast: index == egress.count - 1)
            if let bind = listener.string("bind"), bind.hasPrefix(UnixAddress.prefix), !sockets.insert(Array(bind.utf8)).inserted {
                error(listener.position("bind"), "\(listener.path).bind", "\"\(bind)\" has two egress listeners")
            }
        }
        if let pool = spec.child("inboundConnectionPool") { check(connectionPool: pool) }
        if let policy = spec.child("outboundTrafficPolicy"), let proxy = policy.child("egressProxy") {
            require(proxy, "host", "the service that unknown traffic goes to")
        }
    }

    private mutating func check(egress listener: NodeReader, isLast: Bool) {
        if let port = listener.child("port") {
            let isUnix = listener.string("bind")?.hasPrefix(UnixAddress.prefix) ?? false
            if isUnix {
                check(numberOfSocket: port)
            } else {
                if port.integer("number") ?? 0 == 0 {
                    error(port.position, port.path, "number is required: 1 to 65535 (0 is for bind: unix:///path)")
                }
                range(port, "number", 1...65535)
            }
            if isUnix, listener.name("captureMode") == "IPTABLES" {
                error(
                    listener.position("captureMode"), "\(listener.path).captureMode",
                    "nobody is redirected to a Unix socket; write NONE, or delete it")
            }
            check(protocolOf: port)
        } else {
            if !isLast { error(listener.position, listener.path, "a listener without port covers every other port and must be the last") }
            if listener.string("bind")?.isEmpty == false {
                error(
                    listener.position("bind"), "\(listener.path).bind",
                    "bind needs a port; for a Unix socket one with number 0 and its protocol")
            }
        }
        check(bindOf: listener, unixAllowed: true)
        let hosts = listener.positionedStrings("hosts")
        if listener.isEmptyList("hosts") {
            error(listener.position("hosts"), "\(listener.path).hosts", "hosts is required: for example \"./*\" or \"*/*\"")
        }
        for (text, position, path) in hosts {
            guard let host = Sidecar.EgressHost(text: text) else {
                error(position, path, "\"\(text)\" is not NAMESPACE/HOST; for example \"./*\" (this namespace), \"*/reviews.example.com\"")
                continue
            }
            if let problem = HostName.problem(host.host, wildcard: true) { error(position, path, "host \"\(host.host)\" \(problem)") }
            if ![".", "*", "~"].contains(host.namespace), let problem = HostName.problem(host.namespace, wildcard: false) {
                error(position, path, "namespace \"\(host.namespace)\" \(problem)")
            }
        }
    }

    /// Of a listener on a Unix socket.
    mutating func check(numberOfSocket port: NodeReader) {
        guard let number = port.integer("number"), number != 0 else { return }
        error(
            port.position("number"), "\(port.path).number", "\(number) with a Unix socket as bind, which has no port: write 0",
            code: .outOfRange)
    }

    /// The address that a listener or server opens its port at.
    mutating func check(bindOf listener: NodeReader, unixAllowed: Bool) {
        guard let bind = listener.string("bind"), !bind.isEmpty else { return }
        if unixAllowed, bind.hasPrefix(UnixAddress.prefix) {
            if let problem = UnixAddress.problem(bind) { error(listener.position("bind"), "\(listener.path).bind", problem) }
            return
        }
        if IPAddress.family(bind) != nil { return }
        error(
            listener.position("bind"), "\(listener.path).bind", "\"\(bind)\" is not an IP address\(unixAllowed ? " or unix:///path" : "")")
    }
}
