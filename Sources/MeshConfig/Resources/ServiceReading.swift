extension ServiceEntry {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.init(
            id: id, position: position, hosts: spec.strings("hosts"), addresses: spec.strings("addresses"),
            ports: spec.children("ports").map(ServicePort.init(reader:)),
            location: spec.name("location").flatMap(Location.init(rawValue:)) ?? .meshExternal,
            resolution: spec.name("resolution").flatMap(Resolution.init(rawValue:)) ?? .none,
            endpoints: spec.children("endpoints").map(WorkloadEndpoint.init(reader:)),
            workloadSelector: spec.child("workloadSelector")?.stringMap("labels"), exportTo: spec.strings("exportTo"),
            subjectAltNames: spec.strings("subjectAltNames"))
    }
}

extension ServicePort {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, number: reader.port("number") ?? 0,
            protocol: ApplicationProtocol(rawValue: (reader.string("protocol") ?? "").uppercased()) ?? .unspecified,
            name: reader.string("name") ?? "", targetPort: reader.port("targetPort"))
    }
}

extension WorkloadEndpoint {
    init(reader: NodeReader) {
        var ports: [String: UInt16] = [:]
        for (name, entry) in reader.entries("ports") {
            ports[name] = entry.node.scalar.flatMap(NodeReader.integer).flatMap { UInt16(exactly: $0) }
        }
        self.init(
            position: reader.position, address: reader.string("address") ?? "", ports: ports, labels: reader.stringMap("labels"),
            network: reader.string("network") ?? "", locality: reader.string("locality") ?? "",
            weight: reader.uint32("weight") ?? 0, serviceAccount: reader.string("serviceAccount") ?? "")
    }
}

extension Sidecar {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.init(
            id: id, position: position, workloadSelector: spec.child("workloadSelector")?.stringMap("labels"),
            ingress: spec.children("ingress").map(IngressListener.init(reader:)),
            egress: spec.children("egress").map(EgressListener.init(reader:)),
            inboundConnectionPool: spec.child("inboundConnectionPool").map(ConnectionPoolSettings.init(reader:)),
            outboundTrafficPolicy: spec.child("outboundTrafficPolicy")?.name("mode").flatMap(
                MeshSettings.OutboundTrafficMode.init(rawValue:)))
    }
}

extension Sidecar.IngressListener {
    init(reader: NodeReader) {
        let port = reader.child("port") ?? reader
        self.init(
            position: reader.position, port: ServicePort(reader: port), bind: reader.string("bind") ?? "",
            defaultEndpoint: reader.string("defaultEndpoint").flatMap(Sidecar.LocalEndpoint.init(text:)),
            connectionPool: reader.child("connectionPool").map(ConnectionPoolSettings.init(reader:)),
            tls: reader.child("tls").map(ServerTLS.init(reader:)))
    }
}

extension Sidecar.EgressListener {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, port: reader.child("port").map(ServicePort.init(reader:)), bind: reader.string("bind") ?? "",
            hosts: reader.strings("hosts").compactMap(Sidecar.EgressHost.init(text:)))
    }
}

extension Sidecar.EgressHost {
    /// Nil unless `namespace/host`, both non-empty.
    init?(text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        self.init(namespace: String(parts[0]), host: String(parts[1]))
    }
}

extension Sidecar.LocalEndpoint {
    /// Nil unless one of the forms Istio accepts for a Sidecar's defaultEndpoint.
    init?(text: String) {
        if let path = UnixAddress.path(text) {
            guard !path.isEmpty else { return nil }
            self = .unix(path: path)
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
        switch text[..<colon] {
        case "", "127.0.0.1", "localhost": self = .loopback(port: port)
        case "0.0.0.0": self = .sameAddress(port: port)
        case "[::1]", "[::]": self = .ipv6Loopback(port: port)
        default: return nil
        }
    }
}
