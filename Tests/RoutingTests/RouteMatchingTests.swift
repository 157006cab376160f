import MeshConfig
import Primitives
import Routing
import Testing

@Suite struct RouteMatchingTests {
    static let services = Mesh.service(
        "reviews.default.svc.cluster.local", ports: [80, 9080], [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0)])

    /// One VirtualService for `reviews`: each given match goes to a route `hit`, everything else to `miss`.
    static func mesh(_ match: String, labels: [String: String] = [:], namespace: String = "default") -> Mesh {
        let block = match.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n")
        return Mesh(
            services + Mesh.resource(
                "VirtualService", "reviews",
                "hosts: [reviews]\nhttp:\n- name: hit\n  match:\n\(block)\n  route:\n  - destination: {host: reviews}\n"
                    + "- name: miss\n  route:\n  - destination: {host: reviews}"),
            namespace: namespace, labels: labels)
    }

    static func isYes(
        _ mesh: Mesh, _ line: String, _ fields: String = "x-none: 1", host: String = "reviews.default:9080", isHTTPS: Bool = false
    ) -> Bool {
        mesh.ask(host, line, fields: fields, isHTTPS: isHTTPS).hasPrefix("hit ->")
    }

    @Test(arguments: [
        ("- uri: {exact: /a}", ["GET /a", "GET /a?x=/b"], ["GET /a/", "GET /A", "GET /ab", "GET /"]),
        ("- uri: {prefix: /a}", ["GET /a", "GET /a/b", "GET /ab"], ["GET /", "GET /b/a", "GET /A"]),
        ("- uri: {regex: '/a[0-9]+'}", ["GET /a1", "GET /a12?q=1"], ["GET /a", "GET /a1x", "GET /x/a1"]),
        ("- uri: {prefix: /A}\n  ignoreUriCase: true", ["GET /a", "GET /ABc"], ["GET /b"]),
        ("- uri: {exact: /aB}\n  ignoreUriCase: true", ["GET /Ab", "GET /aB"], ["GET /abc"]),
        ("- method: {exact: PUT}", ["PUT /"], ["GET /", "put /"]),
        ("- method: {regex: 'GET|HEAD'}", ["GET /", "HEAD /"], ["POST /", "GETS /"]),
        ("- scheme: {exact: http}", ["GET /"], []),
        ("- scheme: {exact: https}", [], ["GET /"]),
        ("- authority: {prefix: reviews.default}", ["GET /"], ["GET http://reviews:9080/"]),
        ("- port: 9080", ["GET /"], ["GET http://reviews:80/"]),
        (
            "- queryParams:\n    a: {exact: \"1\"}", ["GET /?a=1", "GET /?b=2&a=1", "GET /?a=1&a=2"],
            ["GET /", "GET /?a=2", "GET /?a=2&a=1", "GET /?A=1", "GET /?aa=1", "GET /?a"]
        ),
        ("- queryParams:\n    a: {regex: '[0-9]+'}", ["GET /?a=12"], ["GET /?a=1x", "GET /?a=", "GET /?a"]),
        ("- uri: {prefix: /a}\n  method: {exact: GET}", ["GET /a"], ["GET /b", "POST /a"]),
        ("- uri: {exact: /a}\n- uri: {exact: /b}", ["GET /a", "GET /b"], ["GET /c"]),
    ])
    func requestLine(match: String, yes: [String], no: [String]) {
        let mesh = Self.mesh(match)
        #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
        for line in yes { #expect(Self.isYes(mesh, line), "\(line)") }
        for line in no { #expect(!Self.isYes(mesh, line), "\(line)") }
    }

    @Test(arguments: [
        (
            "- headers:\n    end-user: {exact: jason}", ["end-user: jason", "End-User:  jason "],
            ["end-user: Jason", "end-user: jasons", "x: jason", "end-user: j\r\nend-user: ason"]
        ),
        ("- headers:\n    a: {prefix: b}", ["a: bc", "a: b"], ["a: cb", "a:"]),
        ("- headers:\n    a: {regex: 'b+'}", ["a: bbb"], ["a: bbbc", "a:", "x: b"]),
        ("- headers:\n    a: {}", ["a: b", "a:"], ["b: a"]),
        // Of a repeated field each value is looked at alone (Envoy 1.40).
        ("- headers:\n    a: {exact: b}", ["a: b\r\nx: y\r\nA: c", "a: c\r\na: b"], ["a: b,c", "a: c\r\na: d"]),
        ("- headers:\n    a: {exact: 'b,c'}", ["a: b,c"], ["a: b\r\na: c"]),
        ("- withoutHeaders:\n    a: {exact: b}", ["a: c\r\na: d"], ["a: c\r\na: b"]),
        // A field that is not there is read as an empty one there.
        ("- withoutHeaders:\n    a: {regex: '.*'}", [], ["a: b", "x: y"]),
        ("- withoutHeaders:\n    a: {}", ["b: c"], ["a: b", "a:"]),
        ("- withoutHeaders:\n    a: {exact: b}", ["a: c", "x: b"], ["a: b"]),
        ("- headers:\n    a: {exact: b}\n    c: {exact: d}", ["a: b\r\nc: d"], ["a: b", "c: d"]),
    ])
    func headers(match: String, yes: [String], no: [String]) {
        let mesh = Self.mesh(match)
        #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
        for fields in yes { #expect(Self.isYes(mesh, "GET /", fields), "\(fields)") }
        for fields in no { #expect(!Self.isYes(mesh, "GET /", fields), "\(fields)") }
    }

    /// Who asks is known when the configuration is compiled.
    @Test func source() {
        let byLabel = "- sourceLabels: {app: web}"
        #expect(Self.isYes(Self.mesh(byLabel, labels: ["app": "web", "version": "v1"]), "GET /"))
        #expect(!Self.isYes(Self.mesh(byLabel, labels: ["app": "other"]), "GET /"))
        #expect(!Self.isYes(Self.mesh(byLabel), "GET /"))
        let byNamespace = "- sourceNamespace: shop"
        #expect(Self.isYes(Self.mesh(byNamespace, namespace: "shop"), "GET /"))
        #expect(!Self.isYes(Self.mesh(byNamespace), "GET /"))
    }

    @Test func firstMatchWins() {
        let mesh = Mesh(
            Self.services + Mesh.resource(
                "VirtualService", "reviews",
                """
                hosts: [reviews]
                http:
                - name: one
                  match: [{uri: {prefix: /a}}]
                  timeout: 1.5s
                  route: [{destination: {host: reviews}}]
                - name: two
                  match: [{uri: {prefix: /a/b}}]
                  route: [{destination: {host: reviews}}]
                """))
        #expect(mesh.ask("reviews", "GET /a/b").hasPrefix("one ->"))
        #expect(mesh.ask("reviews", "GET /c") == "404")
        let index = (0..<UInt32(mesh.snapshot.routeCount)).first { mesh.name($0) == "one" }
        #expect(index.map { unsafe mesh.snapshot.tables.route($0).timeoutNanoseconds } == 1_500_000_000)
    }

    @Test func badRegexSaysWhere() throws {
        let mesh = Self.mesh("- uri: {regex: '/a(['}")
        let error = try #require(mesh.errors.first)
        #expect(error.position.file == "t.yaml" && error.position.line > 1 && error.position.column > 1, "\(error.text)")
        #expect(error.text.contains("/a(["))
    }
}

@Suite struct VirtualHostTests {
    @Test func names() {
        let yaml = Mesh.service("reviews.shop.svc.cluster.local", namespace: "shop", ports: [9080, 80])
            + Mesh.service("api.example.com", ports: [443, 8080])
            + Mesh.service("lone.example.com", ports: [7000], extra: "addresses: [10.9.9.9, '2001:db8:0::1', 10.8.0.0/16]")
        let shop = Mesh(yaml, namespace: "shop")
        let cluster = "default -> outbound|9080||reviews.shop.svc.cluster.local"
        for host in [
            "reviews:9080", "REVIEWS:9080", "reviews.shop:9080", "reviews.shop.svc:9080", "reviews.shop.svc.cluster.local:9080",
            "reviews.shop.svc.cluster.local.:9080", "Reviews.Shop.:9080",
        ] {
            #expect(shop.ask(host) == cluster, "\(host)")
        }
        #expect(shop.ask("reviews") == "default -> outbound|80||reviews.shop.svc.cluster.local")
        for host in [
            "reviews:81", "reviews.other:9080", "review:9080", "xreviews:9080", "reviews..:9080", ".:9080", "",
            String(repeating: "a", count: 255),
        ] {
            #expect(shop.ask(host) == "404", "\(host)")
        }
        for host in [
            ":9080", "reviews:99999", "reviews:0", "reviews:x", "reviews:9080:9080", "u@reviews:9080", "[::1",
            String(repeating: "a", count: 300),
        ] {
            #expect(shop.ask(host) == "bad request", "\(host)")
        }
        #expect(shop.ask("reviews:") == shop.ask("reviews"))
        #expect(Mesh(yaml, namespace: "other").ask("reviews:9080") == "404")
        #expect(shop.ask("lone.example.com") == "default -> outbound|7000||lone.example.com")
        #expect(shop.ask("10.9.9.9:7000") == "default -> outbound|7000||lone.example.com")
        #expect(shop.ask("[2001:db8::1]:7000") == "default -> outbound|7000||lone.example.com")
        #expect(shop.ask("[2001:db8::1]") == "default -> outbound|7000||lone.example.com")
        #expect(shop.ask("[2001:db8::2]:7000") == "404")
        #expect(shop.ask("ignored", "GET http://api.example.com:8080/x") == "default -> outbound|8080||api.example.com")
    }

    /// Rules for everybody else are not the rules of a name that is known, at whatever port: what they leave open, its own may not.
    @Test func aPortThatAServiceLacksIsNotServedByTheRulesForAllNames() {
        func rule(_ name: String, _ host: String) -> String {
            Mesh.resource(
                "VirtualService", name, "hosts: ['\(host)']\nhttp:\n- name: \(name)\n  route: [{destination: {host: other.example}}]")
        }
        let mesh = Mesh(
            Mesh.service("a.test", ports: [80, 8080]) + Mesh.service("other.example") + rule("own", "a.test") + rule("all", "*.test"))
        #expect(mesh.errors.isEmpty, "\(mesh.errors.map(\.text))")
        for host in ["a.test", "a.test:80", "a.test:8080", "A.TEST.:8080", "a.test:"] {
            #expect(mesh.ask(host).hasPrefix("own ->"), "\(host): \(mesh.ask(host))")
        }
        for host in ["a.test:81", "a.test.:65535", "a.test:9"] { #expect(mesh.ask(host) == "404", "\(host): \(mesh.ask(host))") }
        for host in ["b.test", "b.test:81"] { #expect(mesh.ask(host).hasPrefix("all ->"), "\(host): \(mesh.ask(host))") }
    }

    @Test func longestWildcardWins() {
        func rule(_ name: String, _ host: String) -> String {
            Mesh.resource(
                "VirtualService", name, "hosts: ['\(host)']\nhttp:\n- name: \(name)\n  route: [{destination: {host: api.example.com}}]")
        }
        let mesh = Mesh(
            Mesh.service("api.example.com") + rule("short", "*.example.org") + rule("long", "*.a.example.org")
                + rule("exact", "x.a.example.org"))
        #expect(mesh.ask("b.example.org").hasPrefix("short"))
        #expect(mesh.ask("b.c.example.org").hasPrefix("short"))
        #expect(mesh.ask("b.a.example.org").hasPrefix("long"))
        #expect(mesh.ask("X.A.example.org").hasPrefix("exact"))
        #expect(mesh.ask("example.org") == "404" && mesh.ask("bexample.org") == "404")
    }
}
