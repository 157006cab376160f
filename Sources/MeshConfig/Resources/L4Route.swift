/// One entry of `spec.tcp` or `spec.tls`: connections by port, address and server name.
public struct L4Route: Sendable {
    public var position: SourcePosition
    /// Any of these; empty = every connection.
    public var matches: [L4Match]
    public var destinations: [L4Destination]
    /// From `spec.tls`: for TLS connections only, by their server name.
    public var isTLS: Bool
}

public struct L4Destination: Sendable {
    public var position: SourcePosition
    public var destination: Destination
    public var weight: UInt32
}

public struct L4Match: Sendable {
    public var position: SourcePosition
    /// Server names (`*.suffix` is a wildcard); `tls` only. Empty = any.
    public var sniHosts: [String]
    /// Addresses or CIDR ranges that the client dialled; empty = any.
    public var destinationSubnets: [String]
    public var port: UInt16?
    public var sourceLabels: [String: String]
    public var sourceNamespace: String
    public var gateways: [String]
}

extension L4Route {
    init(reader: NodeReader, isTLS: Bool) {
        self.init(
            position: reader.position, matches: reader.children("match").map(L4Match.init(reader:)),
            destinations: reader.children("route").map {
                L4Destination(
                    position: $0.position, destination: Destination(reader: $0.child("destination"), parent: $0),
                    weight: $0.uint32("weight") ?? 0)
            }, isTLS: isTLS)
    }
}

extension L4Match {
    init(reader: NodeReader) {
        self.init(
            position: reader.position, sniHosts: reader.strings("sniHosts").map { $0.lowercased() },
            destinationSubnets: reader.strings("destinationSubnets"), port: reader.port("port").flatMap { $0 == 0 ? nil : $0 },
            sourceLabels: reader.stringMap("sourceLabels"),
            sourceNamespace: reader.string("sourceNamespace") ?? "", gateways: reader.strings("gateways"))
    }

    /// Whether the entry can apply to a proxy that serves one of these gateways (`mesh` for one beside a workload).
    public func applies(to names: Set<String>, ruleGateways: [String]) -> Bool {
        (gateways.isEmpty ? ruleGateways : gateways).contains(where: names.contains)
    }
}
