import Primitives
@testable import Proxy
import Simulation
import TelemetryModel
import Testing

/// What each step before the first attempt makes of a request, as its client and its log see it.
@Suite struct RequestStepTests {
    private func exchange(_ yaml: String, _ text: String) throws -> (SimulatedMessage?, SimulatedProxy) {
        let proxy = try SimulatedProxy(yaml)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let client = proxy.client()
        client.send(text)
        proxy.run(.seconds(1))
        proxy.expectSettled()
        withExtendedLifetime(endpoint) {}
        return (client.responses.first, proxy)
    }

    @Test func aRequestIsForwarded() throws {
        let (response, proxy) = try exchange(Mesh.service(), "GET /x?y=z HTTP/1.1\r\nHost: a.test\r\n\r\n")
        #expect(response?.status == 200)
        #expect(proxy.finished.count == 1)
        #expect(proxy.finished.first?.path == "/x?y=z")
        #expect(proxy.finished.first?.record.upstreamRemote == SimulatedProxy.address(1))
        #expect(proxy.finished.first?.record.details == .viaUpstream)
    }

    /// What cannot be routed safely is refused before any rule is asked: routing one path and forwarding another is how checks are passed
    /// by.
    @Test(arguments: [
        ("GET /a%00b HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, ResponseCodeDetails.pathNormalizationFailed),
        ("GET / HTTP/1.1\r\nHost: a test\r\n\r\n", 400, .http1CodecError), ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, .missingHostHeader),
        ("GET nonsense HTTP/1.1\r\nHost: a.test\r\n\r\n", 400, .http1CodecError),
    ])
    func whatCannotBeNormalisedIsRefused(_ text: String, _ status: Int, _ details: ResponseCodeDetails) throws {
        let (response, proxy) = try exchange(Mesh.service(), text)
        #expect(response?.status == status)
        #expect(proxy.finished.map(\.record.details) == [details])
    }

    @Test func aHostNobodyDeclaredIsNotFound() throws {
        let (response, proxy) = try exchange(Mesh.service(), "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n")
        #expect(response?.status == 404)
        #expect(proxy.finished.first?.record.flags == .noRouteFound)
        #expect(proxy.finished.first?.record.details == .routeNotFound)
    }

    @Test func aRuleRedirects() throws {
        let rules = Mesh.rules("- redirect: {authority: c.test, uri: /new, redirectCode: 302}")
        let (response, proxy) = try exchange(Mesh.service() + rules, "GET /old HTTP/1.1\r\nHost: a.test\r\n\r\n")
        #expect(response?.status == 302)
        #expect(response?["location"] == "http://c.test/new")
        #expect(proxy.finished.count == 1)
    }

    @Test func aRuleAnswersItself() throws {
        let rules = Mesh.rules("- directResponse: {status: 503, body: {string: \"closed\"}}")
        let (response, proxy) = try exchange(Mesh.service() + rules, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        #expect(response?.status == 503)
        #expect(response?.text == "closed")
        #expect(proxy.finished.first?.record.details == .directResponse)
    }

    @Test func aLimitRefusesWhatIsBeyondIt() throws {
        let limit = Mesh.resource("RateLimit", "l", "side: OUTBOUND\nlimits:\n- {requests: 2, per: 10s}", version: "skein.io/v1")
        let request = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
        let proxy = try SimulatedProxy(Mesh.service() + limit)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let client = proxy.client()
        for _ in 0..<3 {
            client.send(request)
            proxy.run(.milliseconds(10))
        }
        #expect(client.responses.map(\.status) == [200, 200, 429])
        #expect(proxy.finished.last?.record.flags == .rateLimited)
        // The window passes in virtual time.
        proxy.run(.seconds(10))
        client.send(request)
        proxy.run(.milliseconds(10))
        #expect(client.responses.map(\.status) == [200, 200, 429, 200])
        #expect(endpoint.requests.count == 3)
        proxy.expectSettled()
    }

    @Test func aFaultDelaysAndThenAborts() throws {
        let fault = "- fault: {delay: {percentage: {value: 100}, fixedDelay: 2s}, abort: {percentage: {value: 100}, httpStatus: 418}}\n"
            + "  route: [{destination: {host: a.test}}]"
        let proxy = try SimulatedProxy(Mesh.service() + Mesh.rules(fault))
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(1900))
        #expect(client.responses.isEmpty)
        #expect(proxy.worker.traffic.requests.count == 1)
        proxy.run(.milliseconds(200))
        #expect(client.responses.map(\.status) == [418])
        #expect(proxy.finished.first?.record.flags == [.delayInjected, .faultInjected])
        #expect(proxy.finished.first?.record.details == .faultFilterAbort)
        proxy.expectSettled()
    }

    /// A client that leaves during the delay leaves nothing behind.
    @Test func aClientMayLeaveWhileItsRequestIsDelayed() throws {
        let fault = "- fault: {delay: {percentage: {value: 100}, fixedDelay: 2s}}\n  route: [{destination: {host: a.test}}]"
        let proxy = try SimulatedProxy(Mesh.service() + Mesh.rules(fault))
        let client = proxy.client()
        client.get()
        proxy.run(.seconds(1))
        client.peer.close()
        proxy.run(.seconds(5))
        #expect(proxy.finished.first?.record.flags.contains(.downstreamConnectionTermination) == true)
        #expect(proxy.finished.first?.record.responseCode == 0)
        proxy.expectEmpty()
    }

    /// A copy goes to the other cluster with the host it is marked by, and its answer, or that it has none, is nobody's concern.
    @Test(arguments: [SimulatedAnswer(status: 500), .silence, .only(.resets)])
    func aCopyIsSentAndForgotten(_ reply: SimulatedAnswer) throws {
        let rules = Mesh.rules("- route: [{destination: {host: a.test}}]\n  mirrors: [{destination: {host: b.test}}]")
        let proxy = try SimulatedProxy(Mesh.service() + Mesh.service("b.test", [2]) + rules)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in SimulatedAnswer("mine") }
        let shadow = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(2)) { _, _ in reply }
        let client = proxy.client()
        client.post("/x", "body")
        proxy.run(.seconds(20))
        #expect(client.responses.map(\.text) == ["mine"])
        #expect(endpoint.requests.map(\.text) == ["body"])
        #expect(shadow.requests.map(\.text) == ["body"])
        #expect(shadow.requests.first?["host"] == "a.test-shadow")
        #expect(proxy.finished.count == 1, "a copy is not counted as a request")
        proxy.expectSettled()
    }

    /// What came of a body before the request was sent anywhere belongs to the copy as well.
    @Test(arguments: [true, false])
    func aCopyHasTheBodyThatCameDuringADelay(_ isWhole: Bool) throws {
        let rules = Mesh.rules(
            "- fault: {delay: {percentage: {value: 100}, fixedDelay: 1s}}\n  route: [{destination: {host: a.test}}]\n"
                + "  mirrors: [{destination: {host: b.test}}]")
        let proxy = try SimulatedProxy(Mesh.service() + Mesh.service("b.test", [2]) + rules)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let shadow = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(2))
        let client = proxy.http2Client()
        let stream = try #require(client.request("POST", body: "early", ends: isWhole))
        proxy.run(.seconds(2))
        if !isWhole { client.send(" late", stream: stream, ends: true) }
        proxy.run(.seconds(2))
        #expect(client.response(stream)?.status == 200)
        #expect(endpoint.requests.map(\.text) == [isWhole ? "early" : "early late"])
        #expect(shadow.requests.map(\.text) == [isWhole ? "early" : "early late"])
        proxy.expectSettled()
    }
}
