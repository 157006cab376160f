/// What travels on ports: ports without protocol (IST0118), ports whose name says something else than their protocol (SKN0365), and ports
/// of which a connection does not tell the service (IST0134).
enum PortProtocols {
    static func check(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        let originating = hostsWithTLS(context)
        for (resource, service) in zip(context.resources(of: "ServiceEntry"), context.configuration.serviceEntries) {
            let isOriginating = service.hosts.contains { originating.contains($0.lowercased()) }
            for reader in resource.spec.children("ports") { check(reader, service.id, isOriginating: isOriginating, &report) }
        }
        checkAddresses(context, &report)
        for resource in context.resources(of: "Sidecar") {
            for listener in resource.spec.children("ingress") + resource.spec.children("egress") {
                if let reader = listener.child("port") { check(reader, resource.id, isOriginating: false, &report) }
            }
        }
    }

    /// Captured connections are told apart by address, then by port: a service without addresses takes its TCP port on every address. Not
    /// so where a Sidecar listens for the port, or a rule sends there by name. With resolution NONE loading says it.
    private static func checkAddresses(_ context: AnalysisContext, _ report: inout AnalysisReport) {
        let configuration = context.configuration
        let listened = Set(configuration.sidecars.flatMap(\.egress).compactMap { $0.port?.number })
        var named = HostSet()
        for rule in configuration.virtualServices {
            for destination in rule.l4.flatMap(\.destinations) {
                named.insert(HostName.resolve(destination.destination.host, namespace: rule.id.namespace).lowercased())
            }
        }
        for service in configuration.serviceEntries where service.resolution != .none && service.addresses.isEmpty {
            if service.hosts.contains(where: { named.overlaps($0.lowercased()) }) { continue }
            for (index, port) in service.ports.enumerated() where port.protocol == .tcp {
                guard port.number > 0, !listened.contains(port.number) else { continue }
                report.add(
                    .addressesRequired, service.id, port.position, "spec.ports[\(index)]",
                    "port \(port.number) is TCP and the service has no addresses: every captured connection to port \(port.number), "
                        + "whatever its address, is taken for it",
                    hint: "List spec.addresses, or an egress listener with this port in a Sidecar.")
            }
        }
    }

    private enum Family: String {
        case http = "HTTP", tls = "TLS", tcp = "TCP"

        init?(_ protocol: ServicePort.ApplicationProtocol) {
            switch `protocol` {
            case .http, .http2, .grpc, .grpcWeb, .httpProxy: self = .http
            case .https, .tls: self = .tls
            case .tcp, .mongo, .mysql, .redis: self = .tcp
            case .hbone, .unspecified: return nil
            }
        }

        /// Of a port's name: `http`, `http-admin`, `grpc-web-x`.
        init?(portName: String) {
            switch portName.lowercased().split(separator: "-", maxSplits: 1).first {
            case "http", "http2", "grpc": self = .http
            case "https", "tls": self = .tls
            case "tcp", "mongo", "mysql", "redis": self = .tcp
            default: return nil
            }
        }
    }

    private static func check(_ reader: NodeReader, _ id: ResourceID, isOriginating: Bool, _ report: inout AnalysisReport) {
        let port = ServicePort(reader: reader)
        guard port.number > 0 else { return }
        let named = Family(portName: port.name)
        guard port.protocol != .unspecified else {
            // One that is not proxied (UDP) is written all the same.
            if reader.string("protocol")?.isEmpty == false { return }
            let guess = named.map { $0 == .http ? "protocol: HTTP" : "protocol: \($0.rawValue)" }
            report.add(
                .portWithoutProtocol, id, port.position, "\(reader.path).protocol",
                "port \(port.number) has no protocol: the first bytes of each connection decide what it is, whatever the name "
                    + "\"\(port.name.prefix(63))\" says",
                hint: guess.map { "Write \($0), if that is what it is." })
            return
        }
        guard let named, let declared = Family(port.protocol), named != declared else { return }
        // TLS that is passed on unread is TCP; and a proxy that speaks TLS to the endpoint gets the port named after that.
        if named == .tls, declared == .tcp || isOriginating { return }
        report.add(
            .portNameContradicts, id, port.position, reader.path,
            "port \(port.number) is named \"\(port.name.prefix(63))\" and has protocol \(port.protocol.rawValue), so it is read as "
                + "\(declared.rawValue)")
    }

    /// Hosts whose DestinationRule has the proxy speak TLS.
    private static func hostsWithTLS(_ context: AnalysisContext) -> Set<String> {
        var hosts: Set<String> = []
        for (resource, rule) in zip(context.resources(of: "DestinationRule"), context.configuration.destinationRules) {
            let policies = [resource.spec.child("trafficPolicy")] + resource.spec.children("subsets").map { $0.child("trafficPolicy") }
            let speaks = policies.contains { policy in
                guard let policy else { return false }
                return policy.has("tls") || policy.children("portLevelSettings").contains { $0.has("tls") }
            }
            if speaks { hosts.insert(HostName.resolve(rule.host, namespace: rule.id.namespace).lowercased()) }
        }
        return hosts
    }
}
