import HTTP
import MeshConfig
import OutlierDetection
import Policy
import Primitives
@testable import Proxy
import Routing
import Simulation
import Streams
import TelemetryModel
import Testing

/// Requests that wait for an external authorizer, as their clients, the application and the authorizer see it.
@Suite struct AuthorizationCheckTests {
    /// A workload whose requests are checked, its application, and its authorizer.
    private final class World {
        let proxy: SimulatedProxy
        let application: SimulatedEndpoint
        let authorizer: SimulatedEndpoint
        private(set) lazy var client = proxy.inboundClient(nil)

        /// `settings`: of the provider. `rules`: of the policy. `isTCP`: the application's port, whose connections are checked by gRPC.
        /// `isHTTP2`: the authorizer is, which is then the test's own.
        init(
            _ settings: String = "", rules: String = "[{}]", limits: ProxyLimits = ProxyLimits(), more: String = "", isTCP: Bool = false,
            isHTTP2: Bool = false
        ) throws {
            var node = NodeIdentity(name: "reviews-v1", namespace: "default")
            node.labels = ["app": "reviews"]
            node.ports = ["http": 9080]
            let kind = isTCP ? "envoyExtAuthzGrpc" : "envoyExtAuthzHttp"
            let provider = "name: ask, \(kind): {service: authz.test, port: 80\(settings.isEmpty ? "" : ", " + settings)}"
            let sidecar = Mesh.resource(
                "Sidecar", "s", "workloadSelector: {labels: {app: reviews}}\ningress: [{port: {number: 9080, protocol: TCP, name: tcp}, "
                    + "defaultEndpoint: \"127.0.0.1:9080\"}]")
            let policy = Mesh.resource(
                "AuthorizationPolicy", "custom", "action: CUSTOM\nprovider: {name: ask}\nrules: \(rules)", version: "security.istio.io/v1")
            let mesh = Mesh.resource(
                "IstioOperator", "mesh", "meshConfig: {extensionProviders: [{\(provider)}]}", version: "install.istio.io/v1alpha1")
            let service = Mesh.service("authz.test", [9], protocol: isTCP ? "GRPC" : isHTTP2 ? "HTTP2" : "HTTP")
            proxy = try SimulatedProxy(service + policy + mesh + more + (isTCP ? sidecar : ""), limits: limits, node: node)
            application = SimulatedEndpoint(proxy.network, at: SocketEndpoint(ipv4: 0x7F00_0001, port: 9080))
            authorizer = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(isTCP || isHTTP2 ? 8 : 9))
        }

        func count(_ outcome: CheckOutcome) -> UInt64 {
            (0..<4).reduce(0) { $0 + proxy.handle.authorizers.count(outcome, of: AuthorizerSlot(rawValue: UInt8($1))) }
        }

        /// As `SimulatedProxy.expectSettled`, which counts requests alone.
        func expectNothingHeld() {
            #expect(proxy.worker.traffic.sides.checks.all.count == 0 && proxy.worker.traffic.tunnelTraffic.tunnels.count == 0)
            #expect(proxy.held(.requests) == 0 && proxy.held(.pending) == 0 && proxy.worker.traffic.sides.epochs.count == 1)
            #expect(proxy.finished.count == 1)
        }

        var flags: ResponseFlags? { proxy.finished.last?.record.flags }
        var details: ResponseCodeDetails? { proxy.finished.last?.record.details }
    }

    private static func request(_ fields: String = "", _ start: String = "GET /a?b=c") -> String {
        "\(start) HTTP/1.1\r\nHost: reviews\r\n\(fields)\r\n"
    }

    @Test func whatTheAuthorizerLetsInGoesOn() throws {
        let world = try World("headersToUpstreamOnAllow: [x-user, x-group-*], headersToDownstreamOnAllow: [x-seen]")
        world.authorizer.answer = { _, _ in
            SimulatedAnswer(fields: [("X-User", "alice"), ("X-Group-A", "1"), ("X-Other", "no"), ("X-Seen", "yes")])
        }
        world.client.send(Self.request("Authorization: secret\r\nX-User: root\r\nX-Mine: 1\r\n"))
        world.proxy.run(.seconds(1))
        world.proxy.expectSettled()
        let check = try #require(world.authorizer.requests.first)
        #expect(check.startLine == "GET /a?b=c HTTP/1.1")
        #expect(check["host"] == "reviews" && check["authorization"] == "secret" && check["content-length"] == "0")
        #expect(check["x-mine"] == nil && check["x-user"] == nil)
        let seen = try #require(world.application.requests.first)
        #expect(seen.fields.filter { $0.name.lowercased() == "x-user" }.map(\.value) == ["alice"])
        #expect(seen["x-group-a"] == "1" && seen["x-other"] == nil && seen["x-mine"] == "1")
        #expect(world.client.responses.map(\.status) == [200])
        #expect(world.client.responses.first?["x-seen"] == "yes")
        #expect(world.count(.ok) == 1)
        #expect(world.details == .viaUpstream)
    }

    /// The client must not take out of the request what the authorizer has put in, by naming it in `Connection`.
    @Test func aClientsConnectionFieldTakesNothingFromTheAuthorizer() throws {
        let world = try World("headersToUpstreamOnAllow: [x-user]")
        world.authorizer.answer = { _, _ in SimulatedAnswer(fields: [("X-User", "alice")]) }
        world.client.send(Self.request("Connection: x-user, x-mine\r\nX-User: root\r\nX-Mine: 1\r\n"))
        world.proxy.run(.seconds(1))
        let seen = try #require(world.application.requests.first)
        #expect(seen["x-user"] == "alice" && seen["x-mine"] == nil)
        world.proxy.expectSettled()
    }

    @Test func whatTheAuthorizerRefusesIsAnsweredByIt() throws {
        let world = try World()
        world.authorizer.answer = { _, _ in
            SimulatedAnswer(
                status: 401, "who are you",
                fields: [("WWW-Authenticate", "Basic"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Content-Type", "x/y")])
        }
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        world.proxy.expectSettled()
        let response = try #require(world.client.responses.first)
        #expect(response.status == 401 && response.text == "who are you")
        #expect(response["www-authenticate"] == "Basic" && response["content-type"] == "x/y" && response["server"] == "skein")
        #expect(response.fields.filter { $0.name.lowercased() == "set-cookie" }.map(\.value) == ["a=1", "b=2"])
        #expect(response.fields.filter { $0.name.lowercased() == "content-type" }.count == 1)
        #expect(world.application.requests.isEmpty)
        #expect(world.flags == [.unauthorizedExternalService] && world.details == .externalAuthorizationDenied)
        #expect(world.count(.denied) == 1)
    }

    /// With a list only its fields go to the client, and the few that a refusal is not understood without.
    @Test func aListSaysWhatARefusedClientGets() throws {
        let world = try World("headersToDownstreamOnDeny: [x-why]")
        world.authorizer.answer = { _, _ in
            SimulatedAnswer(status: 302, fields: [("Location", "http://login.test/"), ("X-Why", "no token"), ("X-Internal", "1")])
        }
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        let response = try #require(world.client.responses.first)
        #expect(response.status == 302 && response["location"] == "http://login.test/" && response["x-why"] == "no token")
        #expect(response["x-internal"] == nil)
        world.proxy.expectSettled()
    }

    /// Only what a rule matches is asked about, and the policies behind it still decide.
    @Test func onlyWhatMatchesIsAskedAbout() throws {
        let deny = Mesh.resource(
            "AuthorizationPolicy", "deny", "action: DENY\nrules: [{to: [{operation: {paths: [/never]}}]}]", version: "security.istio.io/v1")
        let world = try World(rules: "[{to: [{operation: {paths: [\"/admin*\", /never]}}]}]", more: deny)
        for path in ["/open", "/admin/x", "/never"] { world.client.send(Self.request("", "GET \(path)")) }
        world.proxy.run(.seconds(1))
        world.proxy.expectSettled()
        #expect(world.client.responses.map(\.status) == [200, 200, 403])
        #expect(world.authorizer.requests.map(\.target) == ["/admin/x", "/never"])
        #expect(world.details == .rbacAccessDenied)
    }

    @Test(arguments: [
        (SimulatedAnswer(status: 503, "down"), "", 403), (SimulatedAnswer(status: 500), "statusOnError: \"503\"", 503),
        (.only(.closes), "", 403), (.only(.resets), "", 403), (.garbage("nonsense\r\n\r\n"), "", 403),
        (SimulatedAnswer(status: 403, "too much").cut(at: 30, .closes), "", 403), (.silence, "timeout: 2s", 403),
    ])
    func aCheckThatFailsRefuses(answer: SimulatedAnswer, settings: String, status: Int) throws {
        let world = try World(settings)
        world.authorizer.answer = { _, _ in answer }
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        #expect(world.client.responses.isEmpty == answer.isSilent)
        world.proxy.run(.seconds(2))
        world.proxy.expectSettled()
        #expect(world.client.responses.map(\.status) == [status])
        #expect(world.client.responses.first?.body == [])
        #expect(world.application.requests.isEmpty)
        #expect(world.flags == [.unauthorizedExternalService] && world.details == .externalAuthorizationError)
        #expect(world.count(.error) == 1 && world.count(.failureModeAllowed) == 0)
    }

    /// Nobody listens there at all, and the provider lets requests go on.
    @Test(arguments: [false, true]) func aProviderMayFailOpen(isSilent: Bool) throws {
        let world = try World("failOpen: true, timeout: 1s")
        world.authorizer.answer = { _, _ in isSilent ? .silence : .only(.resets) }
        world.client.send(Self.request())
        world.proxy.run(.seconds(3))
        world.proxy.expectSettled()
        #expect(world.client.responses.map(\.status) == [200])
        #expect(world.count(.error) == 1 && world.count(.failureModeAllowed) == 1)
    }

    /// More of a refusal than is kept is no answer.
    @Test func anEndlessRefusalIsAFailure() throws {
        let world = try World()
        world.authorizer.answer = { _, _ in
            SimulatedAnswer(status: 403, String(repeating: "x", count: CheckAnswer.bodyBytesMax + 1), framing: .chunked)
        }
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        world.proxy.expectSettled()
        #expect(world.client.responses.map(\.status) == [403])
        #expect(world.details == .externalAuthorizationError)
    }

    /// A kept connection that the authorizer has closed meanwhile is replaced: the client does not notice.
    @Test func aStaleConnectionIsReplaced() throws {
        let world = try World()
        world.authorizer.answer = { _, number in number == 1 ? .only(.closes) : SimulatedAnswer() }
        for _ in 0..<2 {
            world.client.send(Self.request())
            world.proxy.run(.seconds(1))
        }
        world.proxy.expectSettled()
        #expect(world.client.responses.map(\.status) == [200, 200])
        #expect(world.authorizer.requests.count == 3)
    }

    /// As one does that is about to close the connection: the authorizer says that it did nothing. Once more is enough.
    @Test(arguments: [1, 2]) func aRefusedStreamIsAskedAgain(refusals: Int) throws {
        let world = try World("headersToUpstreamOnAllow: [x-user], includeRequestBodyInCheck: {maxRequestBytes: 100}", isHTTP2: true)
        let authorizer = SimulatedHTTP2Endpoint(world.proxy.network, at: SimulatedProxy.address(9)) { _, number in
            number < refusals ? .only(.resets) : SimulatedAnswer(fields: [("x-user", "alice")])
        }
        authorizer.resetCode = HTTP2ErrorCode.refusedStream
        world.client.send(Self.request("Content-Length: 4\r\n", "POST /") + "body")
        world.proxy.run(.seconds(1))
        world.proxy.expectSettled()
        #expect(world.client.responses.map(\.status) == [refusals == 1 ? 200 : 403])
        #expect(authorizer.requests.map(\.text) == ["body", "body"])
        #expect(world.application.requests.first?["x-user"] == (refusals == 1 ? "alice" : nil))
        authorizer.goAway()
        world.proxy.run(.seconds(1))
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        #expect(world.client.responses.last?.status == 200)
    }

    @Test func aClientThatGoesEndsItsCheck() throws {
        let world = try World()
        world.authorizer.answer = { _, _ in .silence }
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        #expect(world.proxy.worker.traffic.sides.checks.all.count == 1)
        world.client.peer.close()
        world.proxy.run(.seconds(1))
        world.proxy.expectSettled()
        #expect(world.application.requests.isEmpty)
        #expect(world.flags == [.downstreamConnectionTermination])
    }

    @Test func aResetEndsItsCheck() throws {
        let world = try World()
        world.authorizer.answer = { _, _ in .silence }
        let client = world.proxy.inboundHTTP2Client()
        let stream = client.request(host: "reviews")
        world.proxy.run(.seconds(1))
        #expect(world.proxy.worker.traffic.sides.checks.all.count == 1)
        client.cancel(try #require(stream))
        world.proxy.run(.seconds(1))
        world.proxy.expectSettled()
        #expect(world.flags == [.downstreamRemoteReset])
    }

    /// What the client sends meanwhile waits, and reaches the application whole.
    @Test func aBodyWaitsForTheCheck() throws {
        let world = try World()
        world.authorizer.answer = { _, _ in SimulatedAnswer().after(.milliseconds(500)) }
        let body = String(repeating: "0123456789", count: 30_000)
        world.client.send(Self.request("Content-Length: \(body.count)\r\n", "POST /") + body)
        world.proxy.run(.milliseconds(400))
        #expect(world.application.requests.isEmpty)
        world.proxy.run(.seconds(2))
        world.proxy.expectSettled()
        #expect(world.application.requests.first?.text == body)
        #expect(world.authorizer.requests.first?["content-length"] == "0")
    }

    /// Clients of both versions, bodies below, at and above what is checked.
    @Test(arguments: [false, true], [10, 1000, 1001, 200_000]) func theBodyIsChecked(isHTTP2: Bool, count: Int) throws {
        let world = try World("includeRequestBodyInCheck: {maxRequestBytes: 1000, allowPartialMessage: true}")
        let body = String(repeating: "x", count: count)
        if isHTTP2 {
            let client = world.proxy.inboundHTTP2Client()
            let stream = try #require(client.request("POST", "/", host: "reviews", body: "", ends: false))
            client.send(body, stream: stream, ends: true)
            world.proxy.run(.seconds(3))
            #expect(client.response(stream)?.status == 200)
        } else {
            world.client.send(Self.request("Content-Length: \(body.count)\r\n", "POST /") + body)
            world.proxy.run(.seconds(3))
            #expect(world.client.responses.map(\.status) == [200])
        }
        world.proxy.expectSettled()
        let check = try #require(world.authorizer.requests.first)
        #expect(check.body.count == min(1000, count))
        #expect(check["x-envoy-auth-partial-body"] == (count > 1000 ? "true" : "false"))
        #expect(world.application.requests.first?.text == body)
    }

    /// A client that asks before it sends is told to go on: there is nobody else to tell it yet.
    @Test func aClientThatAsksFirstIsToldToGoOn() throws {
        let world = try World("includeRequestBodyInCheck: {maxRequestBytes: 1000}")
        world.client.send(Self.request("Content-Length: 5\r\nExpect: 100-continue\r\n", "POST /"))
        world.proxy.run(.seconds(1))
        #expect(world.client.interim.map(\.status) == [100])
        world.client.send("hello")
        world.proxy.run(.seconds(1))
        #expect(world.client.responses.map(\.status) == [200])
        #expect(world.authorizer.requests.first?.text == "hello" && world.application.requests.first?.text == "hello")
        world.proxy.expectSettled()
    }

    @Test func aBodyTooLongToBeCheckedIsRefused() throws {
        let world = try World("failOpen: true, includeRequestBodyInCheck: {maxRequestBytes: 1000}")
        world.client.send(Self.request("Content-Length: 2000\r\n", "POST /") + String(repeating: "x", count: 2000))
        world.proxy.run(.seconds(1))
        #expect(world.client.responses.map(\.status) == [413])
        #expect(world.details == .requestPayloadTooLarge)
        #expect(world.authorizer.requests.isEmpty && world.application.requests.isEmpty)
        world.proxy.run(.seconds(10))
        world.proxy.expectSettled()
    }

    /// More checks than the worker may have at once count as failed ones.
    @Test func checksAreBounded() throws {
        var limits = ProxyLimits()
        limits.authorizationChecksMax = 1
        let world = try World(limits: limits)
        world.authorizer.answer = { _, _ in SimulatedAnswer().after(.seconds(1)) }
        let second = world.proxy.inboundClient(nil)
        world.client.send(Self.request())
        world.proxy.run(.milliseconds(100))
        second.send(Self.request())
        world.proxy.run(.seconds(2))
        #expect(world.client.responses.map(\.status) == [200] && second.responses.map(\.status) == [403])
        world.proxy.expectSettled()
    }

    /// Policies behind the check are asked about the client of the request, not about the one that came last.
    @Test func whoTheClientIsOutlivesTheWait() throws {
        let allow = Mesh.resource(
            "AuthorizationPolicy", "allow", "rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/good]}}]}]",
            version: "security.istio.io/v1")
        let world = try World(more: allow)
        world.authorizer.answer = { _, _ in SimulatedAnswer().after(.seconds(1)) }
        func identity(_ name: String) -> PeerIdentity { PeerIdentity(uris: ["spiffe://cluster.local/ns/default/sa/\(name)"]) }
        let bad = world.proxy.inboundClient(identity("bad"))
        let good = world.proxy.inboundClient(identity("good"))
        bad.send(Self.request())
        world.proxy.run(.milliseconds(100))
        good.send(Self.request())
        world.proxy.run(.seconds(3))
        #expect(bad.responses.map(\.status) == [403] && good.responses.map(\.status) == [200])
        world.proxy.expectSettled()
    }

    /// The route is chosen by what the authorizer has said, where the provider asks for that.
    @Test(arguments: [false, true]) func theRouteMayBeChosenAgain(clears: Bool) throws {
        // At the workload's own port there is one route: the request is still sent once, and counted once.
        let world = try World("clearRouteCache: \(clears), headersToUpstreamOnAllow: [x-user]")
        world.authorizer.answer = { _, _ in SimulatedAnswer(fields: [("x-user", "a")]) }
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        #expect(world.client.responses.map(\.status) == [200])
        #expect(world.authorizer.requests.count == 1 && world.application.requests.first?["x-user"] == "a")
        world.proxy.expectSettled()
    }

    /// A request lives under its configuration until its end, also one whose check is under way when the policy goes.
    @Test func aReloadMeanwhileChangesNothing() throws {
        let world = try World()
        world.authorizer.answer = { _, _ in SimulatedAnswer(status: 403).after(.seconds(1)) }
        world.client.send(Self.request())
        world.proxy.run(.milliseconds(100))
        try world.proxy.reload(Mesh.service("authz.test", [9]))
        world.proxy.run(.seconds(2))
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        #expect(world.client.responses.map(\.status) == [403, 200])
        world.proxy.expectSettled()
    }

    // MARK: Connections

    /// An authorizer by gRPC whose answers are messages; nil = none ever comes.
    private func authorizer(_ world: World, _ message: [UInt8]?, after pause: UInt64 = 0) -> SimulatedHTTP2Endpoint {
        SimulatedHTTP2Endpoint(world.proxy.network, at: SimulatedProxy.address(9)) { _, _ in
            guard let message else { return .silence }
            var answer = SimulatedAnswer(fields: [("content-type", "application/grpc"), ("grpc-status", "0")])
            answer.body = [0, 0, 0, 0, UInt8(message.count)] + message
            answer.pauseNanoseconds = pause
            return answer
        }
    }

    /// What the client sends meanwhile waits for the check.
    @Test func aConnectionWaitsForItsCheck() throws {
        let world = try World(isTCP: true)
        let asked = authorizer(world, [], after: .milliseconds(500))
        world.client.send(Self.request())
        world.proxy.run(.milliseconds(400))
        #expect(world.application.requests.isEmpty && world.proxy.worker.traffic.sides.checks.all.count == 1)
        world.proxy.run(.seconds(1))
        #expect(world.client.responses.map(\.status) == [200] && world.count(.ok) == 1)
        world.client.peer.close()
        world.proxy.run(.seconds(1))
        world.expectNothingHeld()
        withExtendedLifetime(asked) {}
    }

    @Test(arguments: [[10, 2, 8, 7], nil]) func aConnectionThatIsNotLetInIsClosed(message: [UInt8]?) throws {
        let world = try World("timeout: 1s", isTCP: true)
        let asked = authorizer(world, message)
        world.client.send(Self.request())
        world.proxy.run(.seconds(3))
        world.expectNothingHeld()
        #expect(world.client.responses.isEmpty && (world.client.isEnded || world.client.isReset) && world.application.connectionCount == 0)
        #expect(world.details == (message == nil ? .externalAuthorizationError : .externalAuthorizationDenied))
        #expect(world.flags == [.unauthorizedExternalService])
        withExtendedLifetime(asked) {}
    }

    @Test func aConnectionThatIsResetEndsItsCheck() throws {
        let world = try World(isTCP: true)
        let asked = authorizer(world, nil)
        world.client.send(Self.request())
        world.proxy.run(.seconds(1))
        #expect(world.proxy.worker.traffic.sides.checks.all.count == 1)
        world.client.peer.reset()
        world.proxy.run(.seconds(1))
        world.expectNothingHeld()
        withExtendedLifetime(asked) {}
    }
}
