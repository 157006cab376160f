import OutlierDetection
import Primitives
@testable import Proxy
import Simulation
import TelemetryModel
import Testing

/// Every deadline of a request and its connections, in virtual time: what happens just before it and just after.
@Suite struct RequestDeadlineTests {
    /// A service whose rule has these lines more.
    private static func mesh(_ lines: String, policy: String = "") -> String {
        Mesh.service() + Mesh.rules("- route: [{destination: {host: a.test}}]\n" + lines) + policy
    }

    private static let noRetries = "  retries: {attempts: 0}\n"

    @Test func aHeadMustEndInTime() throws {
        let proxy = try SimulatedProxy(Mesh.service())
        let client = proxy.client()
        client.send("GET /slow HTTP/1.1\r\nHo")
        proxy.run(.milliseconds(29_900))
        #expect(client.responses.isEmpty)
        proxy.run(.milliseconds(200))
        #expect(client.responses.map(\.status) == [408])
        #expect(proxy.finished.first?.record.details == .requestHeaderTimeout)
        #expect(proxy.finished.first?.path == "/slow")
        // It lingers for a client that does not close, and no longer.
        proxy.run(.seconds(3))
        proxy.expectEmpty()
    }

    @Test func aConnectionWithoutARequestIsClosed() throws {
        var limits = ProxyLimits()
        limits.idleTimeoutNanoseconds = .seconds(5)
        let proxy = try SimulatedProxy(Mesh.service(), limits: limits)
        let first = proxy.client()
        let second = proxy.http2Client()
        proxy.run(.milliseconds(4_900))
        #expect(proxy.worker.traffic.sides.downstreams.connections.count == 2)
        #expect(!first.isEnded)
        proxy.run(.seconds(8))
        #expect(first.isEnded)
        #expect(second.sawGoAway)
        proxy.expectEmpty()
    }

    @Test(arguments: [false, true])
    func aRequestMayNotStandStill(_ isHTTP2: Bool) throws {
        var limits = ProxyLimits()
        limits.streamIdleTimeoutNanoseconds = .seconds(10)
        let proxy = try SimulatedProxy(Self.mesh(Self.noRetries), limits: limits)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in .silence }
        let client = proxy.client()
        let other = proxy.http2Client()
        let stream = isHTTP2 ? other.request() : nil
        if !isHTTP2 { client.get() }
        proxy.run(.milliseconds(9_900))
        #expect(proxy.finished.isEmpty)
        proxy.run(.milliseconds(200))
        #expect((isHTTP2 ? other.response(stream)?.status : client.responses.first?.status) == 504)
        #expect(proxy.finished.first?.record.flags == .streamIdleTimeout)
        #expect(endpoint.requests.count == 1)
        proxy.expectSettled()
    }

    /// A client that stops in the middle of its body is told that it was too slow, not the endpoint.
    @Test func aBodyMayNotStandStill() throws {
        var limits = ProxyLimits()
        limits.streamIdleTimeoutNanoseconds = .seconds(10)
        let proxy = try SimulatedProxy(Self.mesh(Self.noRetries), limits: limits)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let client = proxy.client()
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nabc")
        proxy.run(.milliseconds(10_200))
        #expect(client.responses.map(\.status) == [408])
        #expect(endpoint.requests.isEmpty)
        proxy.expectSettled()
    }

    /// A response that stands still is cut so that nobody takes it for whole.
    @Test func aResponseMayNotStandStill() throws {
        var limits = ProxyLimits()
        limits.streamIdleTimeoutNanoseconds = .seconds(10)
        let proxy = try SimulatedProxy(Self.mesh(Self.noRetries), limits: limits)
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in
            SimulatedAnswer(String(repeating: "x", count: 100)).pieces(of: 90, every: .seconds(30))
        }
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(10_500))
        #expect(client.responses.isEmpty)
        #expect(client.partial != nil && client.isEnded)
        #expect(proxy.finished.first?.record.flags == .streamIdleTimeout)
        #expect(proxy.finished.first?.record.responseCode == 200)
        withExtendedLifetime(endpoint) {}
        proxy.expectSettled()
    }

    @Test func theRoutesTimeCoversAllOfARequest() throws {
        let proxy = try SimulatedProxy(Self.mesh("  timeout: 3s\n  retries: {attempts: 5, retryOn: 5xx}\n"))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, count in
            count == 0 ? SimulatedAnswer(status: 500).after(.seconds(1)) : .silence
        }
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(2_900))
        #expect(client.responses.isEmpty)
        proxy.run(.milliseconds(200))
        #expect(client.responses.map(\.status) == [504])
        #expect(endpoint.requests.count == 2)
        #expect(proxy.finished.first?.record.flags == .upstreamRequestTimeout)
        #expect(proxy.finished.first?.record.attemptCount == 2)
        proxy.expectSettled()
    }

    /// What a client has of a response is no reason to wait for the rest beyond the route's time.
    @Test func theRoutesTimeCutsAResponse() throws {
        let proxy = try SimulatedProxy(Self.mesh("  timeout: 3s\n"))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in
            SimulatedAnswer(String(repeating: "x", count: 100), framing: .chunked).pieces(of: 90, every: .seconds(30))
        }
        let client = proxy.http2Client()
        let stream = client.request()
        proxy.run(.milliseconds(3_100))
        #expect(client.response(stream)?.status == 200)
        #expect(client.response(stream)?.resetCode != nil)
        #expect(proxy.finished.first?.record.flags == .upstreamRequestTimeout)
        withExtendedLifetime(endpoint) {}
        proxy.expectSettled()
    }

    @Test func eachTryHasItsTime() throws {
        let proxy = try SimulatedProxy(Self.mesh("  timeout: 20s\n  retries: {attempts: 2, perTryTimeout: 1s, retryOn: \"5xx\"}\n"))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, count in
            count < 2 ? .silence : SimulatedAnswer("third")
        }
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(900))
        #expect(endpoint.requests.count == 1)
        proxy.run(.seconds(4))
        #expect(client.responses.map(\.text) == ["third"])
        #expect(endpoint.requests.map { $0["x-envoy-attempt-count"] } == ["1", "2", "3"])
        #expect(proxy.finished.first?.record.attemptCount == 3)
        #expect(proxy.finished.first?.record.earlierAttempts == 2)
        proxy.expectSettled()
    }

    @Test func theLastTryThatTakesTooLongIsTheAnswer() throws {
        let proxy = try SimulatedProxy(Self.mesh("  timeout: 20s\n  retries: {attempts: 1, perTryTimeout: 1s, retryOn: \"5xx\"}\n"))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in .silence }
        let client = proxy.client()
        client.get()
        proxy.run(.seconds(4))
        #expect(client.responses.map(\.status) == [504])
        #expect(proxy.finished.first?.record.flags == [.upstreamRequestTimeout, .upstreamRetryLimitExceeded])
        #expect(proxy.finished.first?.record.details == .upstreamPerTryTimeout)
        #expect(endpoint.requests.count == 2)
        proxy.expectSettled()
    }

    /// Between two tries nothing of the request is anywhere but here; what is held is held by the waiting retry alone.
    @Test func aRetryWaitsBeforeItsTry() throws {
        let proxy = try SimulatedProxy(Self.mesh("  retries: {attempts: 3, retryOn: \"5xx\", backoff: 5s}\n"))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, count in
            SimulatedAnswer(status: count == 0 ? 503 : 200)
        }
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(50))
        if endpoint.requests.count == 1 {
            #expect(proxy.held(.retries) == 1)
            #expect(proxy.held(.requests) == 0)
        }
        proxy.run(.seconds(60))
        #expect(client.responses.map(\.status) == [200])
        proxy.expectSettled()
    }

    @Test func aCallsOwnDeadlineEndsIt() throws {
        let proxy = try SimulatedProxy(Mesh.service("a.test", protocol: "GRPC"))
        let endpoint = SimulatedHTTP2Endpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in .silence }
        let client = proxy.http2Client()
        let fields = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "500m")]
        let stream = client.request("POST", "/pkg.Service/Call", fields: fields, body: "abcde")
        proxy.run(.milliseconds(450))
        #expect(client.response(stream) == nil || client.response(stream)?.isComplete == false)
        proxy.run(.milliseconds(100))
        #expect(client.response(stream)?.status == 200)
        #expect(client.response(stream)?["grpc-status"] == "4")
        #expect(proxy.finished.first?.record.flags == .durationTimeout)
        #expect(proxy.finished.first?.record.grpcStatus == 4)
        #expect(endpoint.requests.count == 1)
        proxy.run(.milliseconds(10))
        proxy.expectSettled()
    }

    @Test func aConnectionMustComeAboutInTime() throws {
        let policy = Mesh.policy("  connectionPool: {tcp: {connectTimeout: 2s}}")
        let proxy = try SimulatedProxy(Self.mesh(Self.noRetries, policy: policy))
        proxy.network.set(.silent, of: SimulatedProxy.address(1))
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(1_900))
        #expect(proxy.held(.pending) == 1)
        #expect(client.responses.isEmpty)
        proxy.run(.milliseconds(200))
        #expect(client.responses.map(\.status) == [503])
        #expect(proxy.finished.first?.record.flags == .upstreamConnectionFailure)
        #expect(proxy.finished.first?.record.details == .connectionTimeoutBeforeResponse)
        proxy.expectSettled()
    }

    /// An idle connection to an endpoint is closed when its time has come, and gives its place back.
    @Test(arguments: [false, true])
    func anIdleConnectionIsClosed(_ isHTTP2: Bool) throws {
        let policy = Mesh.policy("  connectionPool: {http: {idleTimeout: 3s}}")
        let proxy = try SimulatedProxy(Mesh.service("a.test", protocol: isHTTP2 ? "HTTP2" : "HTTP") + policy)
        let one = isHTTP2 ? nil : SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let two = isHTTP2 ? SimulatedHTTP2Endpoint(proxy.network, at: SimulatedProxy.address(1)) : nil
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(100))
        #expect(client.responses.map(\.status) == [200])
        #expect(proxy.held(.connections) == 1)
        proxy.run(.milliseconds(2_700))
        #expect(proxy.held(.connections) == 1)
        proxy.run(.milliseconds(400))
        #expect(proxy.held(.connections) == 0)
        proxy.expectSettled()
        client.get()
        proxy.run(.milliseconds(100))
        #expect(client.responses.map(\.status) == [200, 200])
        withExtendedLifetime((one, two)) {}
    }

    /// What has ended waits for nothing any more, however far its deadlines are.
    @Test func deadlinesEndWithTheirRequest() throws {
        let policy = Mesh.policy("  connectionPool: {http: {idleTimeout: 1s}}")
        let proxy = try SimulatedProxy(Self.mesh("  timeout: 900s\n  retries: {attempts: 1, perTryTimeout: 800s}\n", policy: policy))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1))
        let client = proxy.client()
        let other = proxy.http2Client()
        client.get()
        let stream = other.request()
        proxy.run(.milliseconds(100))
        #expect(client.responses.map(\.status) == [200])
        #expect(other.response(stream)?.status == 200)
        client.peer.close()
        other.peer.close()
        proxy.run(.seconds(5))
        #expect(endpoint.requests.count == 2)
        proxy.expectEmpty()
    }

    /// A client that goes on sending after its refusal gets the answer instead of a reset, and is not listened to for ever.
    @Test func aRefusedClientIsReadForAWhile() throws {
        let proxy = try SimulatedProxy(Mesh.service())
        let client = proxy.client()
        client.send("BROKEN\r\n\r\n")
        for _ in 0..<30 {
            proxy.run(.milliseconds(100))
            client.send("more")
        }
        #expect(client.responses.map(\.status) == [400])
        #expect(client.isEnded)
        proxy.run(.seconds(1))
        proxy.expectEmpty()
    }
}
