import Primitives
@testable import Proxy
import Routing
import Simulation
import Testing

/// A world that one seed decides: what clients ask and when, what endpoints make of it, how the network behaves, reloads and a drain.
///
/// Requests and answers carry marks, so that it shows when a client is given another's answer, or an endpoint another's body.
final class RandomWorld {
    let proxy: SimulatedProxy
    private let seed: UInt64
    private var draws: RandomSource
    private var clients: [(client: SimulatedClient, targets: [String])] = []
    private var sessions: [(client: SimulatedHTTP2Client, targets: [Int32: String])] = []
    private var endpoints: [SimulatedEndpoint] = []
    private var http2Endpoints: [SimulatedHTTP2Endpoint] = []
    private var asked = 0
    /// Clients ask the workload's own application, and an external authorizer about it.
    private let isChecked: Bool

    init(seed: UInt64, isChecked: Bool = false) throws {
        self.seed = seed
        self.isChecked = isChecked
        draws = RandomSource(seed: seed &* 77 &+ 5)
        var node = NodeIdentity(name: isChecked ? "reviews-v1" : "", namespace: "default")
        if isChecked { node.labels = ["app": "reviews"] }
        proxy = try SimulatedProxy(Self.mesh(&draws, isChecked: isChecked), seed: seed, limits: Self.limits(&draws), node: node)
        proxy.network.conditions.latencyNanoseconds = pick([1_000...1_000, 1_000...200_000, 1_000_000...80_000_000])
        proxy.network.conditions.bufferBytes = pick([500, 4_000, 64 * 1024])
        proxy.network.conditions.pieceBytesMax = pick([0, 0, 0, 60, 2_000])
        for number in 1...3 as ClosedRange<UInt32> {
            endpoints.append(
                SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(number)) { [unowned self] request, _ in answer(request) })
        }
        if isChecked { addChecks() }
        for number in 4...5 as ClosedRange<UInt32> {
            http2Endpoints.append(
                SimulatedHTTP2Endpoint(proxy.network, at: SimulatedProxy.address(number)) { [unowned self] request, _ in answer(request) })
        }
    }

    private func addChecks() {
        endpoints.append(SimulatedEndpoint(proxy.network, at: SocketEndpoint(ipv4: 0x7F00_0001, port: 9080)) { [unowned self] request, _ in
            answer(request)
        })
        endpoints.append(SimulatedEndpoint(proxy.network, at: SimulatedProxy.address(6)) { [unowned self] _, _ in judge(isGRPC: false) })
        http2Endpoints.append(
            SimulatedHTTP2Endpoint(proxy.network, at: SimulatedProxy.address(7)) { [unowned self] _, _ in judge(isGRPC: true) })
    }

    // MARK: Draws

    private func draw(_ bound: Int) -> Int { Int(draws.below(UInt32(bound))) }
    private func chance(_ percent: Int) -> Bool { draw(100) < percent }
    private func pick<Value>(_ values: [Value]) -> Value { values[draw(values.count)] }
    private func milliseconds(_ most: Int) -> UInt64 { UInt64(draw(most * 1000)) * 1000 }

    private static func limits(_ draws: inout RandomSource) -> ProxyLimits {
        var limits = ProxyLimits()
        limits.readBytes = draws.below(2) == 0 ? 4096 : 64 * 1024
        limits.outputHighWatermark = draws.below(2) == 0 ? 3_000 : 256 * 1024
        limits.outputLowWatermark = limits.outputHighWatermark / 4
        limits.readsPerTurnMax = draws.below(2) == 0 ? 1 : 8
        limits.headerTimeoutNanoseconds = .seconds(2)
        limits.idleTimeoutNanoseconds = .seconds(6)
        limits.streamIdleTimeoutNanoseconds = .seconds(4)
        limits.lingerNanoseconds = .seconds(1)
        limits.shadowTimeoutNanoseconds = .seconds(3)
        limits.shadowBytesMax = 5_000
        limits.retryBufferBytesMax = draws.below(2) == 0 ? 2_000 : 1 << 20
        limits.drainNanoseconds = .seconds(8)
        limits.allowsHalfClose = draws.below(2) == 0
        if draws.below(4) == 0 { limits.downstreamConnectionsMax = 4 }
        if draws.below(4) == 0 { limits.upstreamConnectionsMax = 3 }
        return limits
    }

    /// Services `a` (HTTP/1.1, two endpoints), `b` (HTTP/1.1) and `h` (HTTP/2), with rules that differ from one draw to the next.
    private static func mesh(_ draws: inout RandomSource, isChecked: Bool) -> String {
        func one(_ texts: [String]) -> String { texts[Int(draws.below(UInt32(texts.count)))] }
        let retries = one([
            "  retries: {attempts: 0}", "  retries: {attempts: 2, retryOn: \"5xx,reset,connect-failure,refused-stream\", backoff: 10ms}",
            "  retries: {attempts: 3, perTryTimeout: 400ms, retryOn: \"5xx,retriable-4xx\"}",
        ])
        let timeout = one(["", "  timeout: 600s", "  timeout: 1s", "  timeout: 50ms"])
        let mirror = one([
            "", "  mirrors: [{destination: {host: b.test}}]", "  mirrors: [{destination: {host: h.test}, percentage: {value: 50}}]",
        ])
        let fault = one([
            "", "", "  fault: {delay: {percentage: {value: 40}, fixedDelay: 300ms}}",
            "  fault: {delay: {percentage: {value: 50}, fixedDelay: 100ms}, abort: {percentage: {value: 30}, httpStatus: 555}}",
        ])
        let pool = one([
            "", ", tcp: {maxConnections: 1}", ", tcp: {maxConnections: 2, connectTimeout: 300ms}",
            ", tcp: {connectTimeout: 500ms, maxConnectionDuration: 700ms}",
        ])
        let http = one(["", ", http1MaxPendingRequests: 1", ", http2MaxRequests: 2", ", maxRequestsPerConnection: 2", ", maxRetries: 1"])
        let balancer = one(["", "\n  loadBalancer: {simple: ROUND_ROBIN}", "\n  loadBalancer: {simple: RANDOM}"])
        var text = Mesh.service("a.test", one(["", "x"]).isEmpty ? [1, 2] : [1])
        text += Mesh.service("b.test", [3]) + Mesh.service("h.test", [4, 5], protocol: "HTTP2")
        for host in ["a.test", "b.test", "h.test"] {
            let extra = host == "b.test" ? "" : [timeout, mirror, fault].filter { !$0.isEmpty }.map { "\n" + $0 }.joined()
            text += Mesh.rules("- route: [{destination: {host: \(host)}}]\n" + retries + extra, host: host)
            text += Mesh.policy("  connectionPool: {http: {idleTimeout: 1500ms\(http)}\(pool)}\(balancer)", host: host)
        }
        return isChecked ? text + checks(&draws) : text
    }

    /// An application whose requests are checked, over HTTP or gRPC, or not any more.
    private static func checks(_ draws: inout RandomSource) -> String {
        func one(_ texts: [String]) -> String { texts[Int(draws.below(UInt32(texts.count)))] }
        let body = one(["", ", includeRequestBodyInCheck: {maxRequestBytes: 2000}",
                        ", includeRequestBodyInCheck: {maxRequestBytes: 2000, allowPartialMessage: true}"])
        let settings = one(["", ", failOpen: true", ", clearRouteCache: true"]) + one(["", ", timeout: 300ms", ", timeout: 900s"]) + body
        let lists = "headersToUpstreamOnAllow: [x-user], headersToDownstreamOnAllow: [x-seen]"
        let provider = one([
            "envoyExtAuthzHttp: {service: authz.test, port: 80, \(lists)\(settings)}",
            "envoyExtAuthzGrpc: {service: grpc.test, port: 80\(settings)}",
        ])
        let rules = one(["[{}]", "[{}]", "[{}]", "[{to: [{operation: {methods: [POST]}}]}]"])
        let sidecar = Mesh.resource(
            "Sidecar", "s", "workloadSelector: {labels: {app: reviews}}\ningress: [{port: {number: 9080, protocol: HTTP, name: http}, "
                + "defaultEndpoint: \"127.0.0.1:9080\", connectionPool: {http: {idleTimeout: 1500ms}}}]")
        return Mesh.service("authz.test", [6]) + Mesh.service("grpc.test", [7], protocol: "GRPC") + sidecar
            + Mesh.policy(
                "  connectionPool: {http: {idleTimeout: 1500ms, http1MaxPendingRequests: 3}, tcp: {maxConnections: 2}}", host: "authz.test")
            + Mesh.policy("  connectionPool: {http: {idleTimeout: 1500ms}}", host: "grpc.test")
            + Mesh.resource(
                "AuthorizationPolicy", "custom", "action: CUSTOM\nprovider: {name: ask}\nrules: \(rules)", version: "security.istio.io/v1")
            + Mesh.resource(
                "IstioOperator", "mesh", "meshConfig: {extensionProviders: [{name: ask, \(provider)}]}",
                version: "install.istio.io/v1alpha1")
    }

    // MARK: Endpoints

    /// What the authorizer says: mostly something, mostly yes.
    private func judge(isGRPC: Bool) -> SimulatedAnswer {
        switch draw(12) {
        case 0: return .silence
        case 1: return .only(pick([.closes, .resets, .halfCloses]))
        case 2: if !isGRPC { return .garbage("HTTP/1.1 what\r\n\r\n") }
        default: break
        }
        var answer = SimulatedAnswer(fields: [("x-user", "alice"), ("x-seen", "1")])
        if isGRPC {
            // Trailers only: no client of these worlds needs more than the failure, or the message of status 7 and a body.
            answer.fields = [("content-type", "application/grpc"), ("grpc-status", pick(["0", "0", "0", "14"]))]
            answer.body = pick([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 4, 10, 2, 8, 7], [0, 0, 0]])
        } else {
            answer.status = pick([200, 200, 200, 403, 302, 500])
            answer.body = Array(repeating: UInt8(ascii: "j"), count: pick([0, 0, 10, 5_000]))
            answer.framing = pick([.length, .chunked, .untilClose])
        }
        if answer.framing == .untilClose { answer.ending = .closes }
        if chance(40) { answer.pauseNanoseconds = milliseconds(700) }
        if chance(20) { answer = answer.pieces(of: 10 + draw(400), every: milliseconds(20)) }
        if chance(10) { answer = answer.cut(at: draw(answer.body.count + 50), pick([.closes, .resets, .halfCloses])) }
        return answer
    }

    private func answer(_ request: SimulatedMessage) -> SimulatedAnswer {
        if let size = request["x-size"].flatMap({ Int($0) }) { #expect(request.body.count == size, "seed \(seed): \(request.target)") }
        if request["upgrade"] != nil, chance(70) {
            var answer = SimulatedAnswer(status: 101, fields: [("Upgrade", "websocket"), ("Connection", "Upgrade")], framing: .length)
            answer.body = Array("hello".utf8)
            answer.ending = pick([.keeps, .halfCloses, .closes, .resets])
            return answer
        }
        switch draw(14) {
        case 0: return .silence
        case 1: return .only(pick([.closes, .resets, .halfCloses]))
        case 2: return .garbage("HTTP/1.1 what\r\n\r\n")
        default: break
        }
        var answer = SimulatedAnswer(fields: [("x-target", request.target)])
        answer.status = pick([200, 200, 200, 200, 500, 503, 404, 409, 204, 304])
        if answer.status != 204, answer.status != 304 {
            answer.body = Array(repeating: UInt8(ascii: "r"), count: pick([0, 1, 300, 5_000, 20_000]))
            answer.framing = pick([.length, .length, .chunked, .untilClose])
        }
        if answer.framing == .untilClose { answer.ending = .closes }
        if chance(30) { answer.pauseNanoseconds = milliseconds(700) }
        if chance(20) { answer.interim = [pick([100, 103]), 103] }
        if chance(30) { answer = answer.pieces(of: 200 + draw(4_000), every: milliseconds(20)) }
        if chance(15) { answer = answer.cut(at: draw(answer.body.count + 150), pick([.closes, .resets, .halfCloses])) }
        return answer
    }

    private func unsettleNetwork() {
        let address = SimulatedProxy.address(UInt32(1 + draw(isChecked ? 7 : 5)))
        proxy.network.set(pick([.accepts, .accepts, .refuses, .silent, .fails(101)]), of: address)
    }

    // MARK: Clients

    private func addClient() {
        let usual = proxy.network.conditions
        // A client with a small buffer before an endpoint with a large one, or the other way round, is where sources are held back.
        if chance(50) { proxy.network.conditions.bufferBytes = pick([300, 5_000, 1 << 20]) }
        defer { proxy.network.conditions = usual }
        if chance(35) { return addSession() }
        let client = isChecked ? proxy.inboundClient(nil) : proxy.client()
        let place = clients.count
        clients.append((client, []))
        var at: UInt64 = 0
        for _ in 0..<1 + draw(4) {
            let (target, bytes) = request()
            clients[place].targets.append(target)
            // Where nobody switches, the bytes behind the request are another one, of no form.
            if bytes.suffix(3) == Array("tes".utf8)[...] { clients[place].targets.append("none") }
            at = later(at)
            at = send(bytes[...], to: client, at: at)
            if chance(60) { at += milliseconds(800) }
        }
        if chance(30) { client.peer.isReading = false }
        if chance(30) { after(milliseconds(3000)) { client.peer.isReading = true } }
        guard chance(50) else { return }
        let end = pick([{ client.peer.close() }, { client.peer.end() }, { client.peer.reset() }])
        after(at + milliseconds(1500), end)
    }

    private func later(_ at: UInt64) -> UInt64 { at + (chance(50) ? 0 : milliseconds(300)) }

    /// Sends bytes in pieces, some time apart; returns when the last one goes.
    private func send(_ bytes: ArraySlice<UInt8>, to client: SimulatedClient, at start: UInt64) -> UInt64 {
        var rest = bytes
        var at = start
        while !rest.isEmpty {
            let count = chance(40) ? rest.count : min(rest.count, 1 + draw(chance(50) ? 40 : 8_000))
            let piece = Array(rest.prefix(count))
            rest = rest.dropFirst(count)
            after(at) { client.peer.send(piece) }
            if chance(30) { at += milliseconds(60) }
        }
        return at
    }

    private func after(_ nanoseconds: UInt64, _ body: @escaping () -> Void) { proxy.clock.after(nanoseconds, body) }

    private func host() -> String { pick(["a.test", "a.test", "a.test", "b.test", "h.test", "nobody.test"]) }

    private func request() -> (target: String, bytes: [UInt8]) {
        asked += 1
        let target = "/\(asked)"
        if chance(4) { return (target, Array("NONSENSE \(target)\r\n\r\n".utf8)) }
        if chance(8) {
            let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
            return (target, Array((SimulatedClient.head("GET", target, "a.test", upgrade) + "\r\nraw bytes").utf8))
        }
        guard chance(50) else {
            return (target, Array((SimulatedClient.head(pick(["GET", "GET", "DELETE"]), target, host()) + "\r\n").utf8))
        }
        let size = pick([0, 5, 1_500, 10_000])
        var fields = [("X-Size", "\(size)")]
        if chance(10) { fields.append(("Expect", "100-continue")) }
        var bytes: [UInt8]
        let body = Array(repeating: UInt8(ascii: "q"), count: size)
        if chance(50) {
            fields.append(("Content-Length", "\(size)"))
            bytes = Array((SimulatedClient.head(pick(["POST", "PUT"]), target, host(), fields) + "\r\n").utf8) + body
        } else {
            bytes = Array((SimulatedClient.head("POST", target, host(), fields) + "Transfer-Encoding: chunked\r\n\r\n").utf8)
            for start in stride(from: 0, to: size, by: 900) {
                let piece = body[start..<min(size, start + 900)]
                bytes += Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + [13, 10]
            }
            bytes += Array((chance(5) ? "zz\r\n\r\n" : "0\r\n\r\n").utf8)
        }
        return (target, bytes)
    }

    private func addSession() {
        let client = isChecked ? proxy.inboundHTTP2Client() : proxy.http2Client()
        let place = sessions.count
        sessions.append((client, [:]))
        for _ in 0..<1 + draw(6) { after(milliseconds(900)) { [self] in ask(place) } }
        if chance(20) { client.peer.isReading = false }
        if chance(20) { after(milliseconds(3000)) { client.peer.isReading = true } }
        guard chance(40) else { return }
        after(milliseconds(2500), pick([{ client.peer.close() }, { client.peer.end() }, { client.peer.reset() }]))
    }

    private func ask(_ place: Int) {
        let client = sessions[place].client
        asked += 1
        let size = pick([0, 10, 3_000, 12_000])
        let isWhole = chance(60)
        let body = String(repeating: "q", count: size)
        let fields = [("x-size", "\(size)")] + (chance(20) ? [("content-type", "application/grpc"), ("grpc-timeout", "200m")] : [])
        let first = size == 0 ? nil : String(body.prefix(isWhole ? size : 5))
        let stream = client.request(
            size == 0 ? "GET" : "POST", "/\(asked)", host: host(), fields: fields, body: first, ends: isWhole)
        guard let stream else { return }
        sessions[place].targets[stream] = "/\(asked)"
        if !isWhole, size > 5, chance(70) {
            after(milliseconds(500)) { client.send(String(body.dropFirst(5)), stream: stream, ends: true) }
        }
        if chance(20) { after(milliseconds(600)) { client.cancel(stream) } }
    }

    // MARK: A life

    /// Has everything happen, and checks that nothing is left.
    func live() throws {
        for _ in 0..<1 + draw(6) { after(milliseconds(1500)) { [self] in addClient() } }
        for _ in 0..<draw(4) { after(milliseconds(3000)) { [self] in unsettleNetwork() } }
        let drains = chance(15)
        for _ in 0..<4 {
            proxy.run(milliseconds(1500))
            if !proxy.hasStopped { proxy.expectBalanced("seed \(seed)") }
            if chance(15) { http2Endpoints[draw(2)].goAway() }
            if chance(40) { try proxy.reload(Self.mesh(&draws, isChecked: isChecked)) }
            if drains, chance(30) { proxy.send(pick([.drain, .handOver])) }
        }
        proxy.run(.seconds(3))
        for (client, _) in clients { client.peer.isReading = true }
        for (client, _) in sessions { client.peer.isReading = true }
        proxy.run(.seconds(8))
        checkThatAllWereAnswered()
        // Whoever is still there leaves.
        for (client, _) in clients { if chance(50) { client.peer.close() } else { client.peer.reset() } }
        for (client, _) in sessions { if chance(50) { client.peer.close() } else { client.peer.reset() } }
        proxy.run(.seconds(8))
        checkAnswers()
        if !proxy.hasStopped { proxy.expectEmpty("seed \(seed)") }
    }

    /// A client that stayed has an answer to everything it asked, whole or broken off.
    private func checkThatAllWereAnswered() {
        if proxy.hasStopped { return }
        for (client, targets) in clients where !client.peer.isGone && !client.responses.contains(where: { $0.status == 101 }) {
            #expect(client.responses.count == targets.count, "seed \(seed): \(targets)")
        }
        for (client, targets) in sessions where !client.peer.isGone {
            for (stream, target) in targets {
                let response = client.response(stream)
                #expect(response?.isComplete == true || response?.resetCode != nil, "seed \(seed): \(target)")
            }
        }
    }

    /// Nobody was given what another one asked for.
    private func checkAnswers() {
        for (client, targets) in clients {
            #expect(client.responses.count <= targets.count, "seed \(seed)")
            for (response, target) in zip(client.responses, targets) {
                if let marked = response["x-target"] { #expect(marked == target, "seed \(seed)") }
            }
        }
        for (client, targets) in sessions {
            for (stream, target) in targets {
                if let marked = client.response(stream)?["x-target"] { #expect(marked == target, "seed \(seed)") }
            }
        }
    }
}
