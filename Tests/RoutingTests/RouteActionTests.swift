import HTTP
import MeshConfig
import Primitives
import Routing
import Testing

@Suite struct RouteActionTests {
    static let web = Mesh.service("web.local", [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0)])

    static func rules(_ http: String) -> String { Mesh.resource("VirtualService", "web", "hosts: [web.local]\nhttp:\n\(http)") }

    /// The actions and choice of a request.
    static func taken(_ mesh: Mesh, _ line: String = "GET /") -> (RouteActions, RouteChoice)? {
        let text = "\(line) HTTP/1.1\r\nHost: web.local\r\n\r\n"
        switch mesh.decide(0, Array(text.utf8), isHTTPS: false) {
        case .cluster(_, let choice), .redirect(let choice), .directResponse(let choice), .noCluster(let choice):
            return unsafe (mesh.snapshot.tables.actions(choice.route), choice)
        case .notFound, nil: return nil
        }
    }

    static func rewritten(_ mesh: Mesh, _ path: String) -> String? {
        guard let (actions, choice) = taken(mesh, "GET \(path)") else { return nil }
        var out = ByteBuffer()
        unsafe Array(path.utf8).withUnsafeBytes {
            unsafe mesh.snapshot.tables.rewrite(actions.rewrite, match: choice.match, path: LentBytes($0), into: &out)
        }
        return unsafe String(decoding: out.readable, as: UTF8.self)
    }

    @Test func retriesOfTheSeed() throws {
        let mesh = Mesh(
            Self.web
                + Self.rules(
                    "- match: [{uri: {prefix: /api}}]\n  route: [{destination: {host: web.local}}]\n"
                        + "  retries: {attempts: 3, perTryTimeout: 2s, retryOn: '5xx,reset,connect-failure,refused-stream'}\n"
                        + "- route: [{destination: {host: web.local}}]\n"))
        let policy = try #require(Self.taken(mesh, "GET /api/x")).0.retry
        #expect(policy.attempts == 3 && policy.perTryTimeoutNanoseconds == 2_000_000_000 && policy.isAskedFor)
        #expect(policy.conditions == [.fiveXX, .reset, .connectFailure, .refusedStream])
        // A rule that says nothing has Istio's default.
        #expect(try #require(Self.taken(mesh, "GET /")).0.retry.attempts == 2)
    }

    /// An editor jumps to where a message points.
    @Test func anUnknownGRPCStatusIsReportedWhereItStands() throws {
        let yaml =
            Self.web
            + Self.rules(
                "- route: [{destination: {host: web.local}}]\n  fault:\n    abort:\n      percentage: {value: 100}\n"
                    + "      grpcStatus: NOWHERE\n")
        let found = try #require(Mesh(yaml).diagnostics.first { $0.code == "SKN0305" })
        let lines = yaml.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines[found.position.line - 1].dropFirst(found.position.column - 1) == "NOWHERE", "\(found.text)")
    }

    @Test func statusCodesMayStandAmongTheConditions() throws {
        let mesh = Mesh(
            Self.web
                + Self.rules("- route: [{destination: {host: web.local}}]\n  retries: {attempts: 1, retryOn: '503, retriable-4xx ,418'}\n"))
        let policy = try #require(Self.taken(mesh)).0.retry
        #expect(unsafe mesh.snapshot.tables.isRetriable(policy, status: 418) && mesh.snapshot.tables.isRetriable(policy, status: 503))
        #expect(unsafe !mesh.snapshot.tables.isRetriable(policy, status: 500))
        #expect(policy.conditions == [.retriableStatusCodes, .retriable4xx])
        let wrong = Mesh(
            Self.web + Self.rules("- route: [{destination: {host: web.local}}]\n  retries: {attempts: 1, retryOn: 'sometimes'}\n"))
        #expect(wrong.errors.contains { $0.message.contains("sometimes") && $0.position.line > 0 })
    }

    @Test func faultsAndMirrorsOfTheSeeds() throws {
        let mesh = Mesh(
            Self.web
                + Mesh.resource(
                    "DestinationRule", "web",
                    "host: web.local\nsubsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]")
                + Self.rules(
                    "- fault: {delay: {percentage: {value: 50}, fixedDelay: 5s}, abort: {percentage: {value: 10}, httpStatus: 500}}\n"
                        + "  route: [{destination: {host: web.local, subset: v1}, weight: 100}]\n"
                        + "  mirror: {host: web.local, subset: v2}\n  mirrorPercentage: {value: 10}\n"))
        let (actions, _) = try #require(Self.taken(mesh))
        #expect(actions.fault.delayNanoseconds == 5_000_000_000 && actions.fault.delayShare == 500_000)
        #expect(actions.fault.abort == .http && actions.fault.abortStatus == 500 && actions.fault.abortShare == 100_000)
        #expect(actions.mirrors.count == 1)
        let mirror = unsafe mesh.snapshot.tables.mirror(actions.mirrors.indices.lowerBound)
        #expect(mirror.share == 100_000 && mesh.cluster_(Int(mirror.cluster)) == "outbound|80|v2|web.local")
    }

    @Test func pathsAreRewrittenAsEnvoyDoes() {
        let mesh = Mesh(
            Self.web
                + Self.rules(
                    """
                    - match: [{uri: {prefix: /a/}}]
                      rewrite: {uri: /b/}
                      route: [{destination: {host: web.local}}]
                    - match: [{uri: {exact: /exact}}]
                      rewrite: {uri: /whole}
                      route: [{destination: {host: web.local}}]
                    - match: [{uri: {regex: "/n/[0-9]+"}}]
                      rewrite: {uriRegexRewrite: {match: "/n/([0-9]+)", rewrite: '/number/\\1'}}
                      route: [{destination: {host: web.local}}]
                    - rewrite: {uri: /pre/}
                      route: [{destination: {host: web.local}}]
                    """))
        #expect(mesh.errors.isEmpty)
        #expect(Self.rewritten(mesh, "/a/x/y") == "/b/x/y")
        #expect(Self.rewritten(mesh, "/exact") == "/whole")
        #expect(Self.rewritten(mesh, "/n/42") == "/number/42")
        #expect(Self.rewritten(mesh, "/other") == "/pre/other")
        let wrong = Mesh(
            Self.web
                + Self.rules("- rewrite: {uriRegexRewrite: {match: 'a', rewrite: '\\1'}}\n  route: [{destination: {host: web.local}}]\n"))
        #expect(wrong.errors.contains { $0.message.contains("group") })
    }

    /// Of the only destination the rule's come first, replacements before additions; of one of several the destination's are through before
    /// the rule's begin.
    @Test(arguments: [
        ("", ["x-a=own", "x-d=own", "x-b=route", "x-b=own"]),
        (
            "\n    weight: 50\n  - destination: {host: web.local}\n    weight: 50\n"
                + "    headers: {request: {set: {x-a: own, x-d: own}, add: {x-b: own}}}",
            ["x-b=own", "x-a=route", "x-b=route"]),
    ])
    func editsOfRouteAndDestinationMerge(second: String, expected: [String]) throws {
        let mesh = Mesh(
            Self.web
                + Self.rules(
                    """
                    - headers: {request: {set: {x-a: route}, add: {x-b: route}, remove: [X-C, x-d]}}
                      route:
                      - destination: {host: web.local}
                        headers: {request: {set: {x-a: own, x-d: own}, add: {x-b: own}}}
                    """ + second))
        let (_, choice) = try #require(Self.taken(mesh))
        let tables = unsafe mesh.snapshot.tables
        let edits = tables.requestEdits(destination: choice.destination)
        let added = (0..<tables.additionCount(edits)).map { index in
            let (name, value) = tables.addition(edits, index)
            return "\(name.text)=\(value.text)"
        }
        #expect(added == expected)
        for (name, goes) in [("X-A", true), ("x-b", false), ("x-c", true), ("x-D", true), ("x-e", false)] {
            #expect(unsafe Array(name.utf8).withUnsafeBytes { unsafe tables.drops(edits, LentBytes($0)) } == goes, "\(name)")
        }
    }

    /// What is removed is gone when values are made, what is set can still be read: `set: {x-forwarded-for: "%REQ(x-forwarded-for)%,
    /// mine"}`.
    @Test func whatIsSetIsReplacedAndNotRemoved() throws {
        let mesh = Mesh(
            Self.web
                + Self.rules(
                    "- headers: {request: {set: {X-A: a, x-b: b}, add: {x-c: c}, remove: [X-B, x-d]}}\n"
                        + "  route: [{destination: {host: web.local}}]\n"))
        let (_, choice) = try #require(Self.taken(mesh))
        let tables = unsafe mesh.snapshot.tables
        let edits = tables.requestEdits(destination: choice.destination)
        func ask(_ name: String) -> (removes: Bool, replaces: Bool) {
            unsafe Array(name.utf8).withUnsafeBytes { unsafe (tables.removes(edits, LentBytes($0)), tables.replaces(edits, LentBytes($0))) }
        }
        #expect(ask("x-a") == (false, true) && ask("X-b") == (true, true) && ask("x-c") == (false, false) && ask("x-D") == (true, false))
        #expect(tables.drops(edits, "x-a") && tables.drops(edits, "x-d") && !tables.drops(edits, "x-c"))
        #expect(!tables.drops(HeaderEdits(), "x-a"))
    }

    @Test(arguments: ["Content-Length", "Transfer-Encoding", "Connection"])
    func framingIsTheProxysOwn(_ name: String) {
        let mesh = Mesh(Self.web + Self.rules("- headers: {request: {set: {\(name): '1'}}}\n  route: [{destination: {host: web.local}}]\n"))
        #expect(mesh.diagnostics.contains { $0.severity == .warning && $0.message.contains(name) })
    }

    @Test func limitsOfTheSeedReachTheCluster() throws {
        let mesh = Mesh(
            Self.web
                + Mesh.resource(
                    "DestinationRule", "web",
                    """
                    host: web.local
                    trafficPolicy:
                      connectionPool:
                        tcp: {maxConnections: 100}
                        http: {http1MaxPendingRequests: 10, http2MaxRequests: 100, maxRequestsPerConnection: 2, maxRetries: 3}
                      outlierDetection:
                        {consecutiveErrors: 5, interval: 30s, baseEjectionTime: 30s, maxEjectionPercent: 50, minHealthPercent: 50}
                    subsets:
                    - name: v1
                      labels: {version: v1}
                      trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}
                    """)
                + Self.rules(
                    "- match: [{uri: {exact: /v1}}]\n  route: [{destination: {host: web.local, subset: v1}}]\n"
                        + "- route: [{destination: {host: web.local}}]\n"))
        let cluster = try #require(mesh.cluster(named: "outbound|80||web.local"))
        #expect((cluster.maxConnections, cluster.maxPendingRequests, cluster.maxRequests, cluster.maxRetries) == (100, 10, 100, 3))
        #expect(cluster.maxRequestsPerConnection == 2)
        #expect(cluster.outlier.isEnabled && cluster.outlier.consecutiveGateway == 5 && cluster.outlier.consecutive5xx == -1)
        #expect(cluster.outlier.minHealthPercent == 50 && cluster.outlier.intervalNanoseconds == 30_000_000_000)
        let subset = try #require(mesh.cluster(named: "outbound|80|v1|web.local"))
        // The subset's pool replaces the rule's as a group; outlier detection stays.
        #expect(subset.maxConnections == 7 && subset.maxPendingRequests == .max && subset.outlier.isEnabled)
    }

    @Test func pathMatchersOfHeadersSeeTheQuery() {
        let mesh = Mesh(
            Self.web + Self.rules("- match: [{headers: {':path': {exact: '/a?b=c'}}}]\n  route: [{destination: {host: web.local}}]\n"))
        #expect(mesh.ask("web.local", "GET /a?b=c") == "default -> outbound|80||web.local")
        #expect(mesh.ask("web.local", "GET /a") == "404")
    }
}

@Suite struct TCPRoutingTests {
    static let rules = Mesh.resource(
        "ServiceEntry", "db",
        "hosts: [db.local]\naddresses: [10.1.0.0/16]\nresolution: STATIC\n"
            + "ports: [{number: 5432, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}]\n"
            + "endpoints: [{address: 10.0.0.1}]")
        + Mesh.resource(
            "VirtualService", "db",
            "hosts: [db.local, '*.db.local']\ntls:\n- match: [{port: 443, sniHosts: ['*.db.local']}]\n"
                + "  route: [{destination: {host: db.local, port: {number: 443}}}]\ntcp:\n- match: [{port: 5432}]\n"
                + "  route: [{destination: {host: db.local, port: {number: 5432}}}]")

    static func decide(_ mesh: Mesh, _ address: String, _ port: UInt16, name: String? = nil) -> String {
        var draw = RandomSource(seed: 1)
        let dialled = SocketEndpoint(address: address, port: port) ?? SocketEndpoint()
        let decision = unsafe Array((name ?? "").utf8).withUnsafeBytes {
            unsafe mesh.snapshot.tables.decideTCP(listener: 0, dialled: dialled, isTLS: name != nil, serverName: LentBytes($0), draw: &draw)
        }
        switch decision {
        case .none: return "none"
        case .noCluster: return "no cluster"
        case .cluster(let cluster, _): return mesh.cluster_(Int(cluster))
        }
    }

    @Test func byAddressPortAndServerName() {
        let mesh = Mesh(Self.rules)
        #expect(mesh.errors.isEmpty)
        #expect(Self.decide(mesh, "10.1.2.3", 5432) == "outbound|5432||db.local")
        #expect(Self.decide(mesh, "10.1.2.3", 443, name: "x.DB.local") == "outbound|443||db.local")
        #expect(Self.decide(mesh, "10.1.2.3", 443, name: "db.local") == "outbound|443||db.local")
        // Nobody's address, port or name.
        #expect(Self.decide(mesh, "10.2.2.3", 5432) == "PassthroughCluster")
        #expect(Self.decide(mesh, "10.1.2.3", 5433) == "PassthroughCluster")
        #expect(Self.decide(mesh, "10.1.2.3", 443, name: "other") == "PassthroughCluster")
        let strict = Mesh(
            Self.rules
                + "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: m}\n"
                    + "spec: {meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}}\n")
        #expect(Self.decide(strict, "10.2.2.3", 5432) == "none")
    }

    @Test func aCapturedPortSaysWhatIsSpoken() throws {
        let mesh = Mesh(Self.rules + RouteActionTests.web)
        let tables = unsafe mesh.snapshot.tables
        func mode(_ address: String, _ port: UInt16) -> ListenerMode {
            tables.mode(listener: 0, dialled: SocketEndpoint(address: address, port: port) ?? SocketEndpoint())
        }
        #expect(mode("10.1.0.1", 5432) == .tcp && mode("10.9.0.1", 80) == .http && mode("10.9.0.1", 81) == .detect)
    }
}
