import HTTP
import MeshConfig
import Primitives
import Routing
import TelemetryModel

/// A compiled configuration that can be asked where a request goes.
final class Mesh {
    let snapshot: RoutingSnapshot
    let catalogs: Catalogs
    let diagnostics: [Diagnostic]
    private var draw = RandomSource(seed: 1)

    init(
        _ yaml: String, namespace: String = "default", labels: [String: String] = [:], resolved: [String: [SocketEndpoint]] = [:],
        configure: (inout CompileInputs) -> Void = { _ in }
    ) {
        let (configuration, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
        catalogs = Catalogs()
        var node = NodeIdentity(name: labels.isEmpty ? "" : "me", namespace: namespace)
        node.labels = labels
        var inputs = CompileInputs(node: node, catalogs: catalogs)
        inputs.outboundListener = SocketEndpoint(ipv4: 0x7F00_0001, port: 15001)
        inputs.resolved = resolved
        configure(&inputs)
        let (snapshot, problems) = RouteCompiler.compile(configuration, inputs)
        self.snapshot = snapshot
        diagnostics = list.items + problems
    }

    var errors: [Diagnostic] { diagnostics.filter { $0.severity == .error } }

    func decide(_ listener: Int, _ bytes: [UInt8], isHTTPS: Bool) -> RouteDecision? {
        var head = MessageHead()
        var scan = HeadScan()
        let limits = HTTPLimits()
        return unsafe bytes.withUnsafeBytes { buffer in
            guard unsafe HeadParser.parseRequest(buffer, scan: &scan, limits: limits, into: &head) == .complete,
                let target = RequestTarget.parse(head.targetBytes, method: head.methodBytes)
            else { return nil }
            let text = head.targetBytes
            let authority = target.authority.isEmpty ? head.bytes(of: .host) ?? text : text[target.authority]
            let request = RouteRequest(
                method: head.methodBytes, path: text[target.path], query: text[target.query], authority: authority, isHTTPS: isHTTPS)
            return unsafe snapshot.tables.decide(listener: listener, request, head, draw: &draw)
        }
    }

    /// `route -> cluster`, `404`, or `route -> 503`.
    func ask(_ host: String, _ line: String = "GET /", fields: String..., listener: Int = 0, isHTTPS: Bool = false) -> String {
        let text = "\(line) HTTP/1.1\r\nHost: \(host)\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
        switch decide(listener, Array(text.utf8), isHTTPS: isHTTPS) {
        case nil: return "bad request"
        case .notFound: return "404"
        case .noCluster(let choice): return "\(name(choice.route)) -> 503"
        case .cluster(let cluster, let choice): return "\(name(choice.route)) -> \(cluster_(Int(cluster)))"
        case .redirect(let choice): return "\(name(choice.route)) -> redirect"
        case .directResponse(let choice): return "\(name(choice.route)) -> direct"
        }
    }

    func name(_ route: UInt32) -> String { unsafe catalogs.names.value(snapshot.tables.route(route).name.rawValue) }
    func cluster_(_ index: Int) -> String { unsafe catalogs.names.value(snapshot.tables.cluster(index).name.rawValue) }

    func cluster(named name: String) -> ClusterEntry? {
        for index in 0..<snapshot.clusterCount where cluster_(index) == name { return unsafe snapshot.tables.cluster(index) }
        return nil
    }

    func addresses(_ name: String) -> [String] {
        guard let cluster = cluster(named: name) else { return [] }
        return cluster.endpoints.indices.map { unsafe snapshot.tables.endpoint($0).address.description }
    }

    static func resource(_ kind: String, _ name: String, namespace: String = "default", _ spec: String) -> String {
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n")
        return
            "apiVersion: networking.istio.io/v1\nkind: \(kind)\nmetadata: {name: \(name), namespace: \(namespace)}\nspec:\n\(body)\n---\n"
    }

    /// A service with static endpoints `address version weight`.
    static func service(
        _ host: String, namespace: String = "default", ports: [Int] = [80], _ endpoints: [(String, String, Int)] = [("10.0.0.1", "v1", 0)],
        extra: String = ""
    ) -> String {
        let list = endpoints.map { "- {address: \($0.0), labels: {version: \($0.1)}\($0.2 == 0 ? "" : ", weight: \($0.2)")}" }.joined(
            separator: "\n")
        let portList = ports.map { "- {number: \($0), name: http-\($0), protocol: HTTP}" }.joined(separator: "\n")
        return resource(
            "ServiceEntry", host.split(separator: ".").joined(separator: "-"), namespace: namespace,
            "hosts: [\(host)]\nlocation: MESH_INTERNAL\nresolution: STATIC\nports:\n\(portList)\nendpoints:\n\(list)\n\(extra)")
    }
}
