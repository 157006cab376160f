import HTTP
import Primitives
import Routing
import Testing

/// Explaining a request must never say anything else than serving it does.
@Suite struct ExplanationTests {
    /// Configurations of one host with up to 12 rules out of a small vocabulary, so that rules overlap and requests meet them.
    struct Generator {
        var draw: RandomSource

        mutating func pick(_ list: [String]) -> String { list[Int(draw.below(UInt32(list.count)))] }
        mutating func chance(_ percent: UInt32) -> Bool { draw.below(100) < percent }

        mutating func string(_ all: [String]) -> String {
            let values = all.filter { !$0.isEmpty }
            return switch draw.below(4) {
            case 0: "{exact: '\(pick(values))'}"
            case 1: "{prefix: '\(pick(values).prefix(Int(1 + draw.below(4))))'}"
            case 2: "{regex: '\(pick(values)).*'}"
            default: "{regex: '[a-c/]*\(pick(["1", "2", ""]))'}"
            }
        }

        static let paths = ["/", "/a", "/a/", "/a/1", "/a/2", "/b", "/b/1", "/ab", "/a/1/c", "/c"]
        static let names = ["x-a", "x-b"]
        static let values = ["a", "ab", "1", "a1", ""]
        static let methods = ["GET", "POST", "PUT"]

        mutating func match() -> String {
            var clauses: [String] = []
            if chance(70) { clauses.append("uri: \(string(Self.paths))" + (chance(20) ? ", ignoreUriCase: true" : "")) }
            if chance(30) { clauses.append("method: {exact: \(pick(Self.methods))}") }
            if chance(30) { clauses.append("headers: {\(pick(Self.names)): \(chance(30) ? "{}" : string(Self.values))}") }
            if chance(15) { clauses.append("withoutHeaders: {\(pick(Self.names)): \(chance(50) ? "{}" : string(Self.values))}") }
            if chance(20) { clauses.append("queryParams: {q: \(string(Self.values))}") }
            if chance(10) { clauses.append("port: \(pick(["80", "81"]))") }
            if chance(10) { clauses.append("authority: \(string(["web.local", "b"]))") }
            if clauses.isEmpty { clauses.append("uri: {prefix: /}") }
            return "{\(clauses.joined(separator: ", "))}"
        }

        mutating func rule(_ index: Int) -> String {
            var lines = ["name: r\(index)"]
            if chance(90) { lines.append("match: [\((0..<1 + draw.below(3)).map { _ in match() }.joined(separator: ", "))]") }
            switch draw.below(6) {
            case 0: lines.append("redirect: {uri: /elsewhere}")
            case 1: lines.append("directResponse: {status: 204}")
            case 2: lines.append("route: [{destination: {host: web.local, subset: gone}}]")
            default:
                lines.append(
                    "route: [{destination: {host: web.local, subset: v1}, weight: \(draw.below(101))}, {destination: {host: web.local, "
                        + "subset: v2}, weight: \(1 + draw.below(100))}]")
            }
            return "- " + lines.joined(separator: "\n  ")
        }

        mutating func mesh() -> Mesh {
            let count = 1 + Int(draw.below(12))
            let rules = (0..<count).map { rule($0) }.joined(separator: "\n")
            return Mesh(
                Mesh.service("web.local", ports: [80, 81], [("10.0.0.1", "v1", 0), ("10.0.0.2", "v2", 0)])
                    + Mesh.resource(
                        "DestinationRule", "web",
                        "host: web.local\nsubsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]")
                    + Mesh.resource("VirtualService", "web", "hosts: [web.local]\nhttp:\n\(rules)"))
        }

        mutating func request() -> String {
            var text =
                "\(pick(Self.methods)) \(pick(Self.paths))\(chance(20) ? "x" : "")\(chance(30) ? "?q=\(pick(Self.values))" : "") "
                    + "HTTP/1.1\r\n"
            text += "Host: \(pick(["web.local", "web.local:80", "web.local:81", "WEB.local", "other.local"]))\r\n"
            for name in Self.names where chance(40) { text += "\(name): \(pick(Self.values))\r\n" }
            return text + "\r\n"
        }
    }

    @Test(arguments: [11, 12, 13, 14, 15, 16, 17, 18] as [UInt64]) func explainingIsServing(seed: UInt64) {
        var generator = Generator(draw: RandomSource(seed: seed))
        var taken = 0
        for round in 0..<40 {
            let mesh = generator.mesh()
            #expect(mesh.errors.isEmpty, "seed \(seed) round \(round): \(mesh.errors)")
            for _ in 0..<60 {
                let text = generator.request()
                var head = MessageHead()
                var scan = HeadScan()
                let limits = HTTPLimits()
                unsafe Array(text.utf8).withUnsafeBytes { buffer in
                    guard unsafe HeadParser.parseRequest(buffer, scan: &scan, limits: limits, into: &head) == .complete,
                        let target = RequestTarget.parse(head.targetBytes, method: head.methodBytes),
                        let authority = head.bytes(of: .host)
                    else {
                        Issue.record("seed \(seed): \(text)")
                        return
                    }
                    let request = RouteRequest(
                        method: head.methodBytes, path: head.targetBytes[target.path], query: head.targetBytes[target.query],
                        authority: authority, isHTTPS: false)
                    let drawSeed = generator.draw.next()
                    var serving = RandomSource(seed: drawSeed)
                    var explaining = RandomSource(seed: drawSeed)
                    let served = unsafe mesh.snapshot.tables.decide(listener: 0, request, head, draw: &serving)
                    let explanation = mesh.snapshot.explain(listener: 0, request, head, draw: &explaining)
                    #expect("\(served)" == "\(explanation.decision)", "seed \(seed) round \(round): \(text)")
                    // What the clauses say must lead to the same rule by themselves.
                    let byClauses = explanation.rules.first { $0.matches.isEmpty || $0.matches.contains { $0.clauses.allSatisfy(\.holds) } }
                    switch served {
                    case .notFound: #expect(byClauses == nil, "seed \(seed) round \(round): \(text)")
                    case .noCluster(let choice), .redirect(let choice), .directResponse(let choice), .cluster(_, let choice):
                        taken += 1
                        #expect(byClauses?.route == choice.route, "seed \(seed) round \(round): \(text)")
                        #expect(explanation.rules.last?.route == choice.route && explanation.rules.dropLast().allSatisfy { !$0.takes })
                    }
                }
            }
        }
        #expect(taken > 500, "the generator hardly ever meets a rule")
    }
}
