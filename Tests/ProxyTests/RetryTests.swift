import Primitives
@testable import Proxy
import Simulation
import Synchronization
import TelemetryModel
import Testing

/// Each kind of failure that another attempt may make good, and what it leaves behind.
@Suite struct RetryTests {
    private static func mesh(_ retryOn: String, _ endpoints: [UInt32] = [1, 2], attempts: Int = 2) -> String {
        Mesh.service("a.test", endpoints)
            + Mesh.rules(
                "- route: [{destination: {host: a.test}}]\n"
                    + "  retries: {attempts: \(attempts), retryOn: \"\(retryOn)\", backoff: 1ms}\n")
    }

    /// A proxy before two endpoints: what comes of the first request, wherever it goes, and of all after it.
    private func exchange(
        _ retryOn: String, _ first: SimulatedAnswer, _ text: String = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
    ) throws -> (status: Int?, requests: Int, proxy: SimulatedProxy) {
        let proxy = try SimulatedProxy(Self.mesh(retryOn))
        var served = 0
        let answer: (SimulatedMessage, Int) -> SimulatedAnswer = { _, _ in
            served += 1
            return served == 1 ? first : SimulatedAnswer("second")
        }
        let endpoints = [1, 2].map { SimulatedEndpoint(proxy.network, at: SimulatedProxy.address($0), answer: answer) }
        let client = proxy.client()
        client.send(text)
        proxy.run(.seconds(5))
        proxy.expectSettled()
        return (client.responses.first?.status, endpoints.reduce(0) { $0 + $1.requests.count }, proxy)
    }

    @Test(arguments: [
        ("5xx", SimulatedAnswer(status: 500)), ("5xx", .only(.closes)), ("gateway-error", SimulatedAnswer(status: 503)),
        ("reset", .only(.resets)), ("reset", .only(.closes)), ("retriable-status-codes,429", SimulatedAnswer(status: 429)),
        ("retriable-4xx", SimulatedAnswer(status: 409)), ("5xx", .garbage("nonsense\r\n\r\n")),
    ])
    func anotherAttemptMakesItGood(_ retryOn: String, _ first: SimulatedAnswer) throws {
        let (status, requests, proxy) = try exchange(retryOn, first)
        #expect(status == 200)
        #expect(requests == 2)
        #expect(proxy.finished.map(\.record.attemptCount) == [2])
        #expect(proxy.finished.first?.record.earlierAttempts == 1)
        #expect(proxy.handle.statistics.retries.load(ordering: .relaxed) == 1)
    }

    /// What the policy does not name is the answer.
    @Test(arguments: [
        ("connect-failure", SimulatedAnswer(status: 500)), ("gateway-error", SimulatedAnswer(status: 500)),
        ("5xx", SimulatedAnswer(status: 404)),
    ])
    func whatIsNotNamedIsTheAnswer(_ retryOn: String, _ first: SimulatedAnswer) throws {
        let (status, requests, proxy) = try exchange(retryOn, first)
        #expect(status == first.status)
        #expect(requests == 1)
        #expect(proxy.finished.map(\.record.attemptCount) == [1])
    }

    /// The body goes along with each attempt.
    @Test func aBodyIsSentAgain() throws {
        let proxy = try SimulatedProxy(Self.mesh("5xx", [1]))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, count in
            SimulatedAnswer(status: count == 0 ? 500 : 200)
        }
        let client = proxy.client()
        client.post("/", String(repeating: "b", count: 100_000))
        proxy.run(.seconds(1))
        #expect(client.responses.map(\.status) == [200])
        #expect(endpoint.requests.map(\.body.count) == [100_000, 100_000])
        proxy.expectSettled()
    }

    /// A response that has begun is beyond repair: the client must see that it is not whole.
    @Test(arguments: [SimulatedAnswer.Ending.closes, .resets])
    func aResponseThatHasBegunIsNotTriedAgain(_ ending: SimulatedAnswer.Ending) throws {
        let proxy = try SimulatedProxy(Self.mesh("5xx,reset"))
        let answer: (SimulatedMessage, Int) -> SimulatedAnswer = { _, _ in
            SimulatedAnswer(String(repeating: "x", count: 100)).cut(at: 120, ending)
        }
        let endpoints = [1, 2].map { SimulatedEndpoint(proxy.network, at: SimulatedProxy.address($0), answer: answer) }
        let client = proxy.client()
        client.get()
        proxy.run(.seconds(1))
        #expect(client.responses.isEmpty)
        #expect(client.partial != nil)
        #expect(client.isEnded || client.isReset)
        #expect(endpoints.reduce(0) { $0 + $1.requests.count } == 1)
        #expect(proxy.finished.first?.record.flags == .upstreamConnectionTermination)
        proxy.run(.seconds(3))
        proxy.expectSettled()
    }

    @Test func aRefusedConnectionIsTriedElsewhere() throws {
        let proxy = try SimulatedProxy(Self.mesh("connect-failure"))
        proxy.network.set(.refuses, of: SimulatedProxy.address(1))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(2))
        let client = proxy.client()
        for _ in 0..<4 {
            client.get()
            proxy.run(.milliseconds(200))
        }
        #expect(client.responses.map(\.status) == [200, 200, 200, 200])
        #expect(endpoint.requests.count == 4)
        #expect(proxy.handle.statistics.upstreamConnectFailures.load(ordering: .relaxed) > 0)
        proxy.expectSettled()
    }

    @Test func attemptsAreCounted() throws {
        let proxy = try SimulatedProxy(Self.mesh("5xx", [1], attempts: 3))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in SimulatedAnswer(status: 500) }
        let client = proxy.client()
        client.get()
        proxy.run(.seconds(5))
        #expect(client.responses.map(\.status) == [500])
        #expect(endpoint.requests.map { $0["x-envoy-attempt-count"] } == ["1", "2", "3", "4"])
        #expect(proxy.finished.first?.record.flags == .upstreamRetryLimitExceeded)
        proxy.expectSettled()
    }

    /// The route's time may end while a retry waits: the wait is over with the request.
    @Test func theRoutesTimeEndsABackOff() throws {
        let proxy = try SimulatedProxy(
            Mesh.service()
                + Mesh.rules(
                    "- route: [{destination: {host: a.test}}]\n  timeout: 2s\n  retries: {attempts: 9, retryOn: 5xx, backoff: 100s}"))
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in SimulatedAnswer(status: 500) }
        let client = proxy.client()
        client.get()
        proxy.run(.seconds(3))
        #expect(client.responses.map(\.status) == [504])
        #expect(endpoint.requests.count < 9)
        proxy.expectSettled()
    }

    /// A kept connection that the endpoint closed while our request was on its way: the request goes out once more, whatever the policy,
    /// and only once.
    @Test func aStaleConnectionIsReplacedOnce() throws {
        let proxy = try SimulatedProxy(
            Mesh.service() + Mesh.rules("- route: [{destination: {host: a.test}}]\n  retries: {attempts: 0}"))
        var answers: [SimulatedAnswer] = [SimulatedAnswer("one"), .only(.closes), SimulatedAnswer("two"), .only(.closes), .only(.closes)]
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in answers.removeFirst() }
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(100))
        client.get()
        proxy.run(.milliseconds(100))
        #expect(client.responses.map(\.text) == ["one", "two"])
        #expect(endpoint.connectionCount == 2)
        #expect(proxy.handle.statistics.staleRetries.load(ordering: .relaxed) == 1)
        client.get()
        proxy.run(.milliseconds(100))
        #expect(client.responses.map(\.status) == [200, 200, 503])
        #expect(endpoint.requests.count == 5)
        #expect(proxy.handle.statistics.staleRetries.load(ordering: .relaxed) == 2)
        proxy.expectSettled()
    }

    /// A request that may have had effects is not sent twice.
    @Test func aRequestWithEffectsIsNotReplaced() throws {
        let proxy = try SimulatedProxy(
            Mesh.service() + Mesh.rules("- route: [{destination: {host: a.test}}]\n  retries: {attempts: 0}"))
        var answers: [SimulatedAnswer] = [SimulatedAnswer("one"), .only(.closes)]
        let endpoint = SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(1)) { _, _ in answers.removeFirst() }
        let client = proxy.client()
        client.get()
        proxy.run(.milliseconds(100))
        client.post("/", "x")
        proxy.run(.milliseconds(100))
        #expect(client.responses.map(\.status) == [200, 503])
        #expect(endpoint.requests.count == 2)
        proxy.expectSettled()
    }

    /// Streams that an HTTP/2 endpoint refuses have had no effect (RFC 9113 8.7).
    @Test func aRefusedStreamIsTriedAgain() throws {
        let proxy = try SimulatedProxy(
            Mesh.service("a.test", protocol: "HTTP2")
                + Mesh.rules("- route: [{destination: {host: a.test}}]\n  retries: {attempts: 2, retryOn: refused-stream, backoff: 1ms}"))
        let endpoint = SimulatedHTTP2Endpoint(proxy.network, at: SimulatedProxy.address(1)) { _, count in
            count == 0 ? .only(.resets) : SimulatedAnswer("again")
        }
        endpoint.resetCode = 7
        let client = proxy.http2Client()
        let stream = client.request("POST", body: "once")
        proxy.run(.seconds(1))
        #expect(client.response(stream)?.text == "again")
        #expect(endpoint.requests.map(\.text) == ["once", "once"])
        proxy.expectSettled()
    }
}
