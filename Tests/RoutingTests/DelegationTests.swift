import HTTP
import MeshConfig
import Primitives
import Routing
import Testing

@Suite struct DelegationTests {
    /// A delegate's own word wins, field by field; what it leaves out comes from its parent (Istio's mergeHTTPRoute).
    @Test func aDelegatesFieldsWinOverItsParents() throws {
        func mesh(_ root: String, _ delegate: String) -> Mesh {
            let child = "http:\n- \(delegate)\n  route: [{destination: {host: web.local}}]"
            return Mesh(
                RouteActionTests.web + RouteActionTests.rules("- \(root)\n  delegate: {name: child}")
                    + Mesh.resource("VirtualService", "child", child))
        }
        func timeout(_ root: String, _ delegate: String) throws -> UInt64 {
            let mesh = mesh(root, delegate)
            let (_, choice) = try #require(RouteActionTests.taken(mesh))
            return unsafe mesh.snapshot.tables.route(choice.route).timeoutNanoseconds
        }
        #expect(try timeout("timeout: 0.2s", "timeout: 2s") == 2_000_000_000)
        #expect(try timeout("timeout: 0.2s", "name: x") == 200_000_000)
        #expect(try timeout("name: x", "timeout: 2s") == 2_000_000_000)
        func actions(_ root: String, _ delegate: String) throws -> RouteActions {
            try #require(RouteActionTests.taken(mesh(root, delegate))).0
        }
        #expect(try actions("retries: {attempts: 1}", "retries: {attempts: 3}").retry.attempts == 3)
        #expect(try actions("retries: {attempts: 1}", "name: x").retry.attempts == 1)
        func delay(_ seconds: Int) -> String { "fault: {delay: {fixedDelay: \(seconds)s, percentage: {value: 100}}}" }
        #expect(try actions(delay(1), delay(2)).fault.delayNanoseconds == 2_000_000_000)
        #expect(try actions(delay(1), "name: x").fault.delayNanoseconds == 1_000_000_000)
        #expect(RouteActionTests.rewritten(mesh("rewrite: {uri: /root}", "rewrite: {uri: /own}"), "/") == "/own")
        #expect(RouteActionTests.rewritten(mesh("rewrite: {uri: /root}", "name: x"), "/") == "/root")
        #expect(try actions("mirrors: [{destination: {host: web.local}, percentage: {value: 10}}]", "name: x").mirrors.count == 1)
        func name(_ root: String, _ delegate: String) throws -> String {
            let mesh = mesh(root, delegate)
            return mesh.name(try #require(RouteActionTests.taken(mesh)).1.route)
        }
        #expect(try name("name: root", "name: own") == "root-own")
        #expect(try name("name: root", "timeout: 1s") == "root")
        #expect(try name("timeout: 1s", "name: own") == "own")
    }

    /// A delegate decides only within what was handed to it: a rule that reaches further is left out whole, and said so.
    @Test func aDelegatesMatchOutsideItsParentsIsLeftOut() {
        func mesh(_ root: String, _ delegate: String) -> Mesh {
            let child = "http:\n- match: \(delegate)\n  name: own\n  route: [{destination: {host: web.local}}]"
            return Mesh(
                RouteActionTests.web
                    + RouteActionTests.rules(
                        "- match: \(root)\n  delegate: {name: child}\n- name: next\n  route: [{destination: {host: web.local}}]")
                    + Mesh.resource("VirtualService", "child", child))
        }
        func taker(_ root: String, _ delegate: String, _ line: String = "GET /a/b", _ fields: String = "x: 1") -> String {
            let mesh = mesh(root, delegate)
            let answer = String(mesh.ask("web.local", line, fields: fields).prefix { $0 != " " })
            let isSaid = mesh.diagnostics.contains { $0.code == "SKN0318" }
            return answer + (isSaid ? ", said" : "")
        }
        #expect(taker("[{uri: {prefix: /a}}]", "[{uri: {prefix: /a/b}}]") == "own")
        #expect(taker("[{uri: {prefix: /a}}]", "[{uri: {prefix: /}}]") == "next, said")
        #expect(taker("[{uri: {exact: /a/b}}]", "[{uri: {prefix: /a}}]") == "next, said")
        #expect(taker("[{uri: {regex: /a.*}}]", "[{uri: {regex: /a.*}}]") == "next, said", "nobody can say of two expressions")
        #expect(taker("[{uri: {regex: /a.*}}]", "[{headers: {x: {exact: '1'}}}]") == "own")
        // One match of several outside: the whole rule.
        #expect(taker("[{uri: {prefix: /a}}]", "[{uri: {prefix: /a/b}}, {uri: {prefix: /c}}]") == "next, said")
        #expect(taker("[{uri: {prefix: /a}}, {uri: {prefix: /c}}]", "[{uri: {prefix: /a/b}}, {uri: {prefix: /c/d}}]") == "own")
        // Fields and parameters by their names: the delegate's is the narrower one, and stands for both.
        #expect(taker("[{headers: {x: {prefix: '1'}}}]", "[{headers: {x: {exact: '1'}}}]") == "own")
        #expect(taker("[{headers: {x: {exact: '2'}}}]", "[{headers: {x: {exact: '1'}}}]") == "next, said")
        #expect(taker("[{method: {exact: POST}}]", "[{method: {exact: GET}}]") == "next, said")
        #expect(taker("[{queryParams: {q: {exact: '1'}}}]", "[{queryParams: {q: {exact: '2'}}}]", "GET /a?q=2") == "next, said")
    }
}
