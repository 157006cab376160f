/// Ports that proxies at the mesh's edge open (networking.istio.io Gateway). What is served there say the VirtualServices that name it in
/// `gateways`.
public struct Gateway: Sendable {
    public var id: ResourceID
    public var position: SourcePosition
    /// Labels of the workloads whose proxies open the ports, of any namespace; empty = proxies that stand beside no workload.
    public var selector: [String: String]
    public var servers: [Server]

    /// As VirtualServices call it: `namespace/name`.
    public var name: String { "\(id.namespace)/\(id.name)" }

    public struct Server: Sendable {
        public var position: SourcePosition
        public var port: ServicePort
        /// Address; empty = the workload's own, else loopback.
        public var bind: String
        /// Whose VirtualServices may serve which hosts here.
        public var hosts: [HostScope]
        /// Nil without `tls`; means nothing on a port that is not TLS.
        public var tls: ServerTLS?
        /// Requests are sent to https instead of being served.
        public var redirectsToHTTPS: Bool
        public var name: String
    }

    /// `namespace/host` or `host`.
    public struct HostScope: Sendable, Hashable {
        /// `*` = any, `.` = the Gateway's own, or a name.
        public var namespace: String
        /// `*`, `*.suffix` or a full name, in lower case.
        public var host: String

        /// `own`: the Gateway's namespace.
        public func allows(namespace other: String, own: String) -> Bool {
            namespace == "*" || namespace == other || namespace == "." && other == own
        }
    }

    /// The full name of a gateway that a rule of `namespace` names: `mesh`, `namespace/name`; also the `name.namespace.svc.cluster.local`
    /// of old.
    public static func resolve(_ text: String, namespace: String) -> String {
        if text == "mesh" || text.contains("/") { return text }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        if parts.count > 1, parts.count == 2 || parts[2] == "svc" { return "\(parts[1])/\(parts[0])" }
        return "\(namespace)/\(text)"
    }
}

extension Gateway {
    init(id: ResourceID, position: SourcePosition, spec: NodeReader) {
        self.init(
            id: id, position: position, selector: spec.stringMap("selector"), servers: spec.children("servers").map(Server.init(reader:)))
    }
}

extension Gateway.Server {
    init(reader: NodeReader) {
        let tls = reader.child("tls")
        self.init(
            position: reader.position, port: ServicePort(reader: reader.child("port") ?? reader), bind: reader.string("bind") ?? "",
            hosts: reader.strings("hosts").compactMap(Gateway.HostScope.init(text:)),
            tls: tls.map(ServerTLS.init(reader:)),
            redirectsToHTTPS: tls?.bool("httpsRedirect") ?? false, name: reader.string("name") ?? "")
    }
}

extension Gateway.HostScope {
    /// Nil when a side of the slash is empty.
    init?(text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let host = parts.last, parts.count <= 2, !host.isEmpty, !parts[0].isEmpty else { return nil }
        self.init(namespace: parts.count == 2 ? String(parts[0]) : "*", host: host.lowercased())
    }
}
