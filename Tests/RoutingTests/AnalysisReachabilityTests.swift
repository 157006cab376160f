import MeshConfig
import Primitives
import Testing

/// `skein analyze` says that no request reaches a rule; the router itself is asked whether that is true.
@Suite struct AnalysisReachabilityTests {
    /// Rules as text, made of few words so that they often overlap.
    private struct Rules {
        var routes: [[String]] = []

        init(_ random: inout RandomSource) {
            for _ in 0..<2 + random.below(6) {
                let count = random.below(10) == 0 ? 0 : 1 + random.below(2)
                routes.append((0..<count).map { _ in Rules.match(&random) })
            }
        }

        static func pick(_ words: [String], _ random: inout RandomSource) -> String { words[Int(random.below(UInt32(words.count)))] }

        /// A match: usually few conditions, so that the next one often has the same.
        static func match(_ random: inout RandomSource) -> String {
            var parts: [String] = []
            func maybe(_ chance: UInt32, _ text: (inout RandomSource) -> String) {
                if random.below(100) < chance { parts.append(text(&random)) }
            }
            maybe(70) { "uri: {\(pick(["exact", "prefix", "prefix"], &$0)): \(pick(["/", "/a", "/A", "/ab", "/ab/c", "/1"], &$0))}" }
            if parts.isEmpty { maybe(15) { "uri: {regex: '\(pick(["/.*", "/a.*", "/a"], &$0))'}" } }
            maybe(15) { _ in "ignoreUriCase: true" }
            maybe(20) { "method: {\(pick(["exact: GET", "exact: POST", "prefix: P", "regex: 'GET|POST'"], &$0))}" }
            maybe(10) { "authority: {\(pick(["prefix: reviews", "exact: 'reviews:80'"], &$0))}" }
            maybe(8) { "scheme: {exact: \(pick(["http", "https"], &$0))}" }
            maybe(15) { "port: \(pick(["80", "9080"], &$0))" }
            maybe(30) { "headers: {\(named(&$0))}" }
            maybe(20) { "withoutHeaders: {\(named(&$0))}" }
            maybe(15) { "queryParams: {\(named(&$0))}" }
            maybe(12) { "sourceLabels: {\(pick(["app: a", "app: b", "app: a, version: v1"], &$0))}" }
            maybe(10) { "sourceNamespace: \(pick(["default", "other"], &$0))" }
            maybe(10) { "gateways: [\(pick(["mesh", "gw", "mesh, gw"], &$0))]" }
            return parts.isEmpty ? "{name: any}" : "{\(parts.joined(separator: ", "))}"
        }

        static func named(_ random: inout RandomSource) -> String {
            var names = ["x", "y"]
            if random.below(2) == 0 { names.removeLast(Int(random.below(2)) + 1) }
            if names.isEmpty { names = ["y"] }
            return names.map { "\($0): {\(pick(["", "exact: a", "exact: ab", "prefix: a", "prefix: ab", "regex: 'a.*'"], &random))}" }
                .joined(separator: ", ")
        }

        var yaml: String {
            var text = "hosts: [reviews]\ngateways: [mesh, gw]\nhttp:\n"
            for (index, matches) in routes.enumerated() {
                text += "- name: r\(index)\n"
                if !matches.isEmpty { text += "  match:\n" + matches.map { "  - \($0)\n" }.joined() }
                text += "  route: [{destination: {host: reviews}}]\n"
            }
            return Mesh.service("reviews.default.svc.cluster.local", ports: [80, 9080]) + Mesh.resource("VirtualService", "reviews", text)
        }
    }

    private struct Request {
        var line: String
        var host: String
        var fields: String
        var isHTTPS: Bool

        init(_ random: inout RandomSource) {
            func pick(_ words: [String]) -> String { Rules.pick(words, &random) }
            let query = pick(["", "", "?x=a", "?x=ab&y=a", "?y", "?x=b"])
            line = "\(pick(["GET", "GET", "POST", "PUT"])) \(pick(["/", "/a", "/A", "/aB", "/ab", "/ab/c", "/AB/C", "/b", "/1"]))\(query)"
            host = pick(["reviews", "reviews:80", "reviews.default:9080", "reviews.default.svc.cluster.local:9080"])
            fields = pick(["z: 1", "x: a", "x: ab", "x: b", "y: a", "x: a\r\ny: ab", "x:", "x: a\r\nx: b", "y: b\r\nx: ab"])
            isHTTPS = random.below(4) == 0
        }
    }

    private static let nodes: [(labels: [String: String], namespace: String)] = [
        ([:], "default"), (["app": "a"], "default"), (["app": "a", "version": "v1"], "other"), (["app": "b"], "other"),
    ]

    private static func ask(_ mesh: Mesh, _ request: Request) -> String {
        mesh.ask(request.host, request.line, fields: request.fields, isHTTPS: request.isHTTPS)
    }

    @Test(arguments: [UInt64(1), 2, 3, 20_261_126])
    func whatIsCalledUnreachableNeverIs(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        var unreachable = 0
        var ineffective = 0
        for round in 0..<120 {
            let rules = Rules(&random)
            let findings = MeshAnalysis.run(texts: [(name: "t.yaml", text: rules.yaml)]).findings.map(\.diagnostic)
            #expect(!findings.contains { $0.severity == .error }, "seed \(seed) round \(round): \(findings.map(\.text)) in \(rules.yaml)")
            let dead = findings.filter { $0.code == "IST0130" }.compactMap {
                $0.field.split(separator: "[").last.flatMap { Int($0.dropLast()) }
            }
            let idle = findings.filter { $0.code == "IST0131" }
            guard !dead.isEmpty || !idle.isEmpty else { continue }
            unreachable += dead.count
            ineffective += idle.count
            // A match that never decides can be left out, and nothing changes. One at a time: two may each make the other idle.
            var smaller: [Rules] = []
            for finding in idle {
                let numbers = finding.field.split { !$0.isNumber }.compactMap { Int($0) }
                guard numbers.count == 2, rules.routes[numbers[0]].count > 1 else { continue }
                var copy = rules
                copy.routes[numbers[0]].remove(at: numbers[1])
                smaller.append(copy)
            }
            for node in Self.nodes {
                let mesh = Mesh(rules.yaml, namespace: node.namespace, labels: node.labels)
                let others = smaller.map { Mesh($0.yaml, namespace: node.namespace, labels: node.labels) }
                for _ in 0..<40 {
                    let request = Request(&random)
                    let taken = Self.ask(mesh, request)
                    for index in dead where taken.hasPrefix("r\(index) ") {
                        Issue.record("seed \(seed) round \(round): \(request) takes r\(index)\n\(rules.yaml)")
                    }
                    for (place, other) in others.enumerated() where Self.ask(other, request) != taken {
                        let fields = idle.map(\.field)
                        Issue.record(
                            "seed \(seed) round \(round): \(request) decides otherwise without \(fields) [\(place)]\n\(rules.yaml)")
                    }
                }
            }
        }
        // Nothing is shown by rules of which none is ever called unreachable.
        #expect(unreachable > 40 && ineffective > 10, "\(unreachable) \(ineffective)")
    }
}

/// The same for connections: rules of `tls` and `tcp`, asked of the router.
@Suite struct AnalysisConnectionTests {
    private static func pick(_ words: [String], _ random: inout RandomSource) -> String { words[Int(random.below(UInt32(words.count)))] }

    /// Conditions of one match; each rule sends to a subset of its own number.
    private static func match(isTLS: Bool, _ random: inout RandomSource) -> String {
        var parts: [String] = []
        if isTLS {
            parts.append("sniHosts: [\(pick(["t.local", "'*.local'", "x.t.local", "'*.t.local'", "t.local, x.t.local"], &random))]")
        }
        if random.below(3) == 0 { parts.append("port: \(isTLS ? "443" : pick(["5432", "443"], &random))") }
        if random.below(3) == 0 {
            parts.append(
                "destinationSubnets: [\(pick(["10.1.0.0/16", "10.1.2.0/24", "10.9.0.0/16", "10.1.0.0/16, 10.9.0.0/16"], &random))]")
        }
        if random.below(5) == 0 { parts.append("sourceLabels: {app: \(pick(["a", "b"], &random))}") }
        if random.below(6) == 0 { parts.append("gateways: [\(pick(["mesh", "gw"], &random))]") }
        return "{\(parts.joined(separator: ", "))}"
    }

    private static func yaml(_ random: inout RandomSource) -> String {
        var rule = "hosts: ['*.local']\ngateways: [mesh, gw]\n"
        var subsets = ""
        for kind in ["tls", "tcp"] {
            rule += "\(kind):\n"
            for index in 0..<2 + random.below(4) {
                subsets += "- {name: \(kind)\(index), labels: {version: v1}}\n"
                rule += "- route: [{destination: {host: t.local, subset: \(kind)\(index)}}]\n"
                guard kind == "tls" || random.below(4) > 0 else { continue }
                let matches = (0..<1 + random.below(2)).map { _ in match(isTLS: kind == "tls", &random) }
                rule += "  match: [\(matches.joined(separator: ", "))]\n"
            }
        }
        return Mesh.resource(
            "ServiceEntry", "t",
            "hosts: [t.local]\naddresses: [10.1.0.0/16]\nresolution: STATIC\n"
                + "ports: [{number: 5432, name: tcp, protocol: TCP}, {number: 443, name: tls, protocol: TLS}]\n"
                + "endpoints: [{address: 10.0.0.1, labels: {version: v1}}]")
            + Mesh.resource("DestinationRule", "t", "host: t.local\nsubsets:\n\(subsets)") + Mesh.resource("VirtualService", "t", rule)
    }

    @Test(arguments: [UInt64(1), 2, 20_261_126])
    func whatIsCalledUnreachableNeverIs(_ seed: UInt64) {
        var random = RandomSource(seed: seed)
        var unreachable = 0
        for round in 0..<150 {
            let text = Self.yaml(&random)
            let findings = MeshAnalysis.run(texts: [(name: "t.yaml", text: text)]).findings.map(\.diagnostic)
            #expect(!findings.contains { $0.severity == .error }, "\(findings.map(\.text))")
            // `spec.tcp[1]` sends to the subset tcp1.
            let dead = findings.filter { $0.code == "IST0130" }.map { $0.field.dropFirst("spec.".count).filter { $0 != "[" && $0 != "]" } }
            unreachable += dead.count
            guard !dead.isEmpty else { continue }
            for labels in [[:], ["app": "a"], ["app": "b"]] {
                let mesh = Mesh(text, labels: labels)
                for address in ["10.1.2.3", "10.1.9.9", "10.9.1.1", "10.2.0.1"] {
                    for (port, name) in [(5432, nil), (443, nil), (443, "t.local"), (443, "x.t.local"), (443, "other.local"), (443, "")]
                        as [(UInt16, String?)]
                    {
                        let taken = TCPRoutingTests.decide(mesh, address, port, name: name)
                        for subset in dead where taken.contains("|\(subset)|") {
                            Issue.record("seed \(seed) round \(round): \(address):\(port) \(name ?? "-") goes to \(taken)\n\(text)")
                        }
                    }
                }
            }
        }
        #expect(unreachable > 20, "\(unreachable)")
    }
}
