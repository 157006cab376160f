import Primitives
import Routing
import Testing

/// With many rules a path is looked up; the answer must be the first rule's, as if all had been tried.
@Suite struct PathIndexTests {
    struct Rule {
        var kind: Int
        var text: String
        /// A second condition that only some requests meet.
        var needsHeader: Bool

        func takes(_ path: String, header: Bool) -> Bool {
            if needsHeader && !header { return false }
            switch kind {
            case 0: return path == text
            case 1: return path.hasPrefix(text)
            case 2: return path.lowercased() == text.lowercased()
            default: return true
            }
        }

        var yaml: String {
            let header = needsHeader ? ", headers: {x-extra: {exact: 'on'}}" : ""
            switch kind {
            case 0: return "[{uri: {exact: \(text)}\(header)}]"
            case 1: return "[{uri: {prefix: \(text)}\(header)}]"
            case 2: return "[{uri: {exact: \(text)}, ignoreUriCase: true\(header)}]"
            default: return "[{method: {exact: GET}\(header)}]"
            }
        }
    }

    @Test func theFirstRuleWinsWithAndWithoutIndex() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = RandomSource(seed: seed)
        func path() -> String {
            // Few letters and short, so that rules overlap.
            "/" + (0..<random.below(5)).map { _ in ["a", "b", "/", "A"][Int(random.below(4))] }.joined()
        }
        for round in 0..<60 {
            let count = Int([3, 11, 12, 40, 200][Int(random.below(5))])
            var rules = (0..<count).map { _ in
                let roll = random.below(20)
                return Rule(kind: roll < 8 ? 0 : roll < 16 ? 1 : roll < 18 ? 2 : 3, text: path(), needsHeader: random.below(4) == 0)
            }
            // Catch-alls hide everything behind them: only some rounds have any.
            if random.below(2) == 0 { rules.removeAll { $0.kind == 3 && !$0.needsHeader || $0.kind == 1 && $0.text == "/" } }
            // A VirtualService without any rule is refused; three catch-alls of three leave none.
            if rules.isEmpty { continue }
            let http = rules.enumerated().map {
                "- name: r\($0.offset)\n  match: \($0.element.yaml)\n  route: [{destination: {host: web.local}}]"
            }.joined(separator: "\n")
            let mesh = Mesh(RouteActionTests.web + RouteActionTests.rules(http + "\n"))
            #expect(mesh.errors.isEmpty)
            for _ in 0..<200 {
                let asked = path()
                let header = random.below(2) == 0
                let expected = rules.firstIndex { $0.takes(asked, header: header) }.map { "r\($0) -> outbound|80||web.local" } ?? "404"
                let answer = header ? mesh.ask("web.local", "GET \(asked)", fields: "x-extra: on") : mesh.ask("web.local", "GET \(asked)")
                #expect(answer == expected, "seed \(seed), round \(round), \(asked), header \(header)")
            }
        }
    }
}
