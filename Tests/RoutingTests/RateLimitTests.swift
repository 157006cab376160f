import HTTP
import MeshConfig
import Primitives
import Routing
import Testing

@Suite struct RateLimitTests {
    /// A limit of the common listener with this `limits` entry.
    static func mesh(_ limit: String, hosts: String = "") -> Mesh {
        Mesh(
            Mesh.service("a.test") + "apiVersion: skein.io/v1\nkind: RateLimit\nmetadata: {name: l, namespace: default}\nspec:\n"
                + "  side: OUTBOUND\n  \(hosts)\n  limits:\n  - {requests: 2, per: 1s, \(limit)}\n---\n")
    }

    /// What the limit counts a request by: values, `client` or `absent`; nil = it does not count it.
    static func parts(_ mesh: Mesh, _ line: String = "GET /", host: String = "a.test", _ fields: String...) -> [String]? {
        let bytes = Array(("\(line) HTTP/1.1\r\nHost: \(host)\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
        var head = MessageHead()
        var scan = HeadScan()
        return unsafe bytes.withUnsafeBytes { buffer in
            guard unsafe HeadParser.parseRequest(buffer, scan: &scan, limits: HTTPLimits(), into: &head) == .complete,
                let target = RequestTarget.parse(head.targetBytes, method: head.methodBytes)
            else { return nil }
            let text = head.targetBytes
            let request = RouteRequest(
                method: head.methodBytes, path: text[target.path], query: text[target.query],
                authority: head.bytes(of: .host) ?? text, isHTTPS: false)
            let tables = unsafe mesh.snapshot.tables
            let entry = tables.rateLimit(tables.listener(0).rateLimits.indices.lowerBound)
            guard tables.applies(entry, port: 80, request, head) else { return nil }
            var parts: [String] = []
            tables.forEachPart(entry, request, head) { part in
                switch part {
                case .value(let value): parts.append(value.text)
                case .client: parts.append("client")
                case .absent: parts.append("absent")
                }
            }
            return parts
        }
    }

    @Test func keysAreTakenInTheirOrder() {
        let mesh = Self.mesh("by: [{queryParameter: q}, {clientIP: true}, {header: X-User}]")
        #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
        #expect(Self.parts(mesh, "GET /?a=1&q=2", "x-user: ann") == ["2", "client", "ann"])
        #expect(Self.parts(mesh, "GET /?a=1") == ["absent", "client", "absent"])
        #expect(Self.parts(mesh, "GET /?q=", "X-User:") == ["", "client", ""])
        #expect(Self.parts(Self.mesh("burst: 3")) == [])
    }

    @Test func conditionsAndHosts() {
        let mesh = Self.mesh("match: {uri: {prefix: /a}}", hosts: "hosts: [a.test, '*.b.test']")
        #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
        #expect(Self.parts(mesh, "GET /a") == [] && Self.parts(mesh, "GET /ab", host: "X.B.test:80") == [])
        #expect(Self.parts(mesh, "GET /b") == nil && Self.parts(mesh, "GET /a", host: "b.test") == nil)
        #expect(Self.parts(mesh, "GET /a", host: "c.test") == nil)
    }
}
