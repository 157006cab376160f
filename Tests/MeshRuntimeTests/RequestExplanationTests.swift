import MeshConfig
import Foundation
@testable import MeshRuntime
import Testing

@Suite struct RequestExplanationTests {
    private let directory = TemporaryDirectory()

    private static let gateway =
        YAML.resource(
            "Gateway", "edge",
            "selector: {istio: ingressgateway}\nservers:\n- port: {number: 8080, name: http, protocol: HTTP}\n  hosts: [shop.example]")
        + YAML.resource(
            "VirtualService", "shop",
            "hosts: [shop.example]\ngateways: [edge]\nhttp:\n- match:\n  - uri: {prefix: /cart}\n  route:\n"
                + "  - destination: {host: cart.example, port: {number: 80}}")
        + YAML.service("cart.example")
        + "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: gw, namespace: default}\nspec:\n"
            + "  address: 127.0.0.1\n  labels: {istio: ingressgateway}\n---\n"

    private func explain(
        _ yaml: String, _ url: String, node: String? = nil, configure: (inout RequestDescription) -> Void = { _ in }
    ) -> RequestExplanation {
        directory.write("mesh.yaml", yaml)
        var request = RequestDescription(url: url)
        configure(&request)
        return RequestExplanation.run(from: [directory.path], node: node, request)
    }

    private func value(_ explanation: RequestExplanation, _ key: String) -> String? { explanation.nodes.first { $0.key == key }?.value }

    @Test func saysWhereARequestGoes() throws {
        let found = explain(YAML.service("cart.example", endpoints: ["10.0.0.1", "10.0.0.2"]), "http://cart.example/items?x=1")
        #expect(found.errors.isEmpty)
        #expect(found.isRouted)
        #expect(value(found, "decision")?.contains("cart.example") == true)
        let endpoints = found.nodes.flatMap { [$0] + $0.children }.map(\.key)
        #expect(endpoints.contains { $0.hasPrefix("10.0.0.1") } && endpoints.contains { $0.hasPrefix("10.0.0.2") }, "\(endpoints)")
    }

    /// Who asks why a connection is plaintext gets the rule or what is missing, on both sides.
    @Test func saysHowConnectionsAreSecured() {
        let rule = YAML.resource("DestinationRule", "tls", "host: cart.example\ntrafficPolicy: {tls: {mode: SIMPLE, sni: cart}}")
        let secured = explain(YAML.service("cart.example", endpoints: ["10.0.0.1"]) + rule, "http://cart.example/")
        #expect(value(secured, "security")?.hasPrefix("SIMPLE by DestinationRule default/tls (") == true)
        let endpoint = secured.nodes.flatMap(\.children).first { $0.key.hasPrefix("10.0.0.1") }
        #expect(endpoint?.value == "weight 1, TLS with server name cart, must be cart under the system's authorities")
        let plain = explain(YAML.service("cart.example", endpoints: ["10.0.0.1"]), "http://cart.example/")
        #expect(value(plain, "security")?.hasPrefix("plaintext: ") == true)

        let workload =
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w}\n"
            + "spec: {address: 127.0.0.1, ports: {http: 8080}}\n---\n"
            + "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict}\nspec: {mtls: {mode: STRICT}}\n---\n"
        let inbound = explain(YAML.service("cart.example") + workload, "http://cart.example/", node: "w") { $0.isInbound = true }
        let takes = value(inbound, "takes")
        #expect(takes?.hasPrefix("plaintext (STRICT by PeerAuthentication default/strict (") == true, "\(takes ?? "-")")
        var request = RequestDescription(url: "http://cart.example/")
        request.isInbound = true
        let identified = RequestExplanation.run(from: [directory.path], node: "w", request, hasIdentity: true)
        #expect(value(identified, "takes")?.hasPrefix("STRICT by PeerAuthentication default/strict (") == true)
    }

    /// At a gateway, the port of the URL chooses the listener: 80 is not 8080.
    @Test func findsTheGatewaysListenerByItsPort() {
        let found = explain(Self.gateway, "http://shop.example:8080/cart/1", node: "gw")
        #expect(found.errors.isEmpty)
        #expect(found.isRouted)
        #expect(value(found, "listener")?.contains("8080") == true)
        #expect(value(found, "decision")?.contains("cart.example") == true)

        let other = explain(Self.gateway, "http://shop.example:8080/elsewhere", node: "gw")
        #expect(!other.isRouted)
        #expect(value(other, "decision")?.contains("404") == true)

        let wrongPort = explain(Self.gateway, "http://shop.example/cart", node: "gw")
        #expect(wrongPort.errors == ["the gateway has no port 80; it has 8080"])
        #expect(explain(Self.gateway, "https://shop.example/cart", node: "gw").errors == ["the gateway has no port 443; it has 8080"])
        #expect(!wrongPort.isRouted)
    }

    /// A URL typed by hand: what is none says how to write one.
    @Test(arguments: ["", "/", "http://", "http:///path", "https://?x", "ftp://cart.example/", "ws://cart.example/x", "#cart.example"])
    func aBadURLSaysHowToWriteOne(_ url: String) {
        let found = explain(YAML.service("cart.example"), url)
        #expect(found.errors == ["\(url): write http://host[:port]/path"])
        #expect(found.nodes.isEmpty)
        #expect(!found.isRouted)
    }

    /// These are URLs, as people and browsers write them. A fragment is never sent, so that no rule may see it.
    @Test(arguments: [
        "cart.example", "cart.example:80/", "http://cart.example?x=1", "http://cart.example/a?u=http://b/", "http://cart.example/#top",
        "cart.example#top",
    ])
    func takesShortForms(_ url: String) {
        let found = explain(YAML.service("cart.example"), url)
        #expect(found.errors.isEmpty)
        #expect(found.isRouted, "\(found.json)")
    }

    /// A request that the proxy would refuse is explained as refused, whatever was injected into it.
    @Test func explainsRefusals() {
        let yaml = YAML.service("cart.example")
        #expect(value(explain(yaml, "http://cart.example/a b"), "refused")?.hasPrefix("400") == true)
        let injected = explain(yaml, "http://cart.example/") { $0.headers = [("X-A", "1\r\nHost: other.example")] }
        #expect(!injected.isRouted)
        #expect(value(explain(yaml, "http://cart.example/") { $0.headers = [("bad name", "1")] }, "refused")?.hasPrefix("400") == true)
    }

    @Test func anInboundRequestNeedsAWorkload() {
        let found = explain(YAML.service("cart.example"), "http://cart.example/") { $0.isInbound = true }
        #expect(found.errors == ["there is no inbound listener; name the workload with --node"])
        #expect(
            explain(YAML.service("cart.example"), "http://cart.example/", node: "nobody").errors == [
                "--node nobody: no WorkloadEntry of that name"
            ])
        #expect(explain(YAML.broken, "http://cart.example/").errors.isEmpty == false)
    }

    /// `--output json` is for scripts: quotes and control characters of a request must not break it.
    @Test func writesJSONThatAnotherParserReads() throws {
        let found = explain(YAML.service("cart.example"), "http://cart.example/\"\\?q=\u{1}\"") { $0.method = "POST" }
        let object = try JSONSerialization.jsonObject(with: Data(found.json.utf8)) as? [String: Any]
        #expect(object?["routed"] as? Bool == found.isRouted)
        #expect((object?["steps"] as? [[String: Any]])?.count == found.nodes.count)
    }
}
