import Primitives
@testable import Proxy
import Routing
import Simulation
import TelemetryModel
import Testing

/// A world of TCP connections that one seed decides: what both sides send and when, how they end, how the network behaves, reloads and
/// a drain. Connections come in by a Sidecar's listeners, for the workload's application and for services.
///
/// Every client sends a stream of its own, which begins with its number, and is sent one: it shows when bytes are lost, twice or
/// another's.
final class TunnelWorld {
    /// A connection as both of its ends see it.
    final class Connection {
        let number: UInt16
        let client: SimulatedPeer
        var endpoint: SimulatedPeer?
        var sentByClient = 0
        var sentByEndpoint = 0
        var receivedByClient: [UInt8] = []
        var receivedByEndpoint: [UInt8] = []
        /// Both sides end their half only, and always read whatever comes.
        var isOrderly = true

        init(_ number: UInt16, _ client: SimulatedPeer) {
            self.number = number
            self.client = client
        }
    }

    let proxy: SimulatedProxy
    private let seed: UInt64
    private var draws: RandomSource
    private(set) var connections: [UInt16: Connection] = [:]
    /// Where connections are taken before they have told their number.
    private var waiting: [ObjectIdentifier: [UInt8]] = [:]
    private var authorizer: SimulatedHTTP2Endpoint?
    private static let ports: [UInt16] = [3306, 9080]

    init(seed: UInt64) throws {
        self.seed = seed
        draws = RandomSource(seed: seed &* 91 &+ 7)
        var node = NodeIdentity(name: "reviews-v1", namespace: "default")
        node.labels = ["app": "reviews"]
        proxy = try SimulatedProxy(Self.mesh(&draws), seed: seed, limits: Self.limits(&draws), node: node)
        proxy.network.conditions.latencyNanoseconds = pick([1_000...1_000, 1_000...200_000, 1_000_000...80_000_000])
        proxy.network.conditions.bufferBytes = pick([500, 4_000, 64 * 1024])
        proxy.network.conditions.pieceBytesMax = pick([0, 0, 0, 60, 2_000])
        for address in Self.addresses { proxy.network.listen(at: address) { [unowned self] in accept($0) } }
        authorizer = SimulatedHTTP2Endpoint(proxy.network, at: SimulatedProxy.address(7)) { [unowned self] _, _ in judge() }
    }

    private static var addresses: [SocketEndpoint] {
        [
            SocketEndpoint(ipv4: 0x0A00_0001, port: 3306), SocketEndpoint(ipv4: 0x0A00_0002, port: 3306),
            SocketEndpoint(ipv4: 0x0A00_0003, port: 3306), SocketEndpoint(ipv4: 0x7F00_0001, port: 9080),
        ]
    }

    // MARK: Draws

    private func draw(_ bound: Int) -> Int { Int(draws.below(UInt32(bound))) }
    private func chance(_ percent: Int) -> Bool { draw(100) < percent }
    private func pick<Value>(_ values: [Value]) -> Value { values[draw(values.count)] }
    private func milliseconds(_ most: Int) -> UInt64 { UInt64(draw(most * 1000)) * 1000 }
    private func after(_ nanoseconds: UInt64, _ body: @escaping () -> Void) { proxy.clock.after(nanoseconds, body) }

    private static func limits(_ draws: inout RandomSource) -> ProxyLimits {
        var limits = ProxyLimits()
        limits.readBytes = draws.below(2) == 0 ? 4096 : 64 * 1024
        limits.outputHighWatermark = draws.below(2) == 0 ? 3_000 : 256 * 1024
        limits.outputLowWatermark = limits.outputHighWatermark / 4
        limits.readsPerTurnMax = draws.below(2) == 0 ? 1 : 8
        limits.idleTimeoutNanoseconds = .seconds(6)
        limits.lingerNanoseconds = .seconds(1)
        limits.drainNanoseconds = .seconds(8)
        limits.tcpReportNanoseconds = .seconds(1)
        if draws.below(4) == 0 { limits.downstreamConnectionsMax = 4 }
        if draws.below(4) == 0 { limits.upstreamConnectionsMax = 2 }
        return limits
    }

    /// Services `one` (two endpoints) and `two`, between which a route draws, and the workload's own application.
    private static func mesh(_ draws: inout RandomSource) -> String {
        func one(_ texts: [String]) -> String { texts[Int(draws.below(UInt32(texts.count)))] }
        let pool = one([
            "", "maxConnections: 1, ", "maxConnections: 2, connectTimeout: 300ms, ", "maxConnectionDuration: 1500ms, ",
            "maxConnections: 1, maxConnectionDuration: 900ms, ",
        ]) + one(["idleTimeout: 4s", "idleTimeout: 1s"])
        let pending = one(["", ", http: {http1MaxPendingRequests: 1}"])
        let connect = one(["", "", "\n  tunnel: {protocol: CONNECT, targetHost: far.test, targetPort: 77}"])
        var text = tcpService("one.test", [1, 2]) + tcpService("two.test", [3])
        for host in ["one.test", "two.test"] {
            text += Mesh.policy("  connectionPool: {tcp: {\(pool)}\(pending)}" + (host == "two.test" ? connect : ""), host: host)
        }
        text += Mesh.resource(
            "VirtualService", "one", "hosts: [one.test]\ntcp:\n- route: [{destination: {host: one.test}, weight: 70}, "
                + "{destination: {host: two.test}, weight: 30}]")
        let spoken = one(["{number: 9080, protocol: TCP, name: tcp}", "{number: 9080, name: any}"])
        text += Mesh.resource(
            "Sidecar", "s", "workloadSelector: {labels: {app: reviews}}\ningress: [{port: \(spoken), "
                + "defaultEndpoint: \"127.0.0.1:9080\", connectionPool: {tcp: {\(pool)}}}]\n"
                + "egress: [{port: {number: 3306, protocol: TCP, name: tcp}, bind: 127.0.0.1, hosts: [\"*/one.test\", \"*/two.test\"]}, "
                + "{hosts: [\"*/*\"]}]")
        return text + one(["", checks(&draws)])
    }

    private static func tcpService(_ host: String, _ endpoints: [UInt32]) -> String {
        let list = endpoints.map { "{address: 10.0.0.\($0)}" }.joined(separator: ", ")
        return Mesh.resource(
            "ServiceEntry", host.split(separator: ".").joined(separator: "-"),
            "hosts: [\(host)]\nlocation: MESH_INTERNAL\nresolution: STATIC\nports: [{number: 3306, name: tcp, protocol: TCP}]\n"
                + "endpoints: [\(list)]")
    }

    /// An external authorizer is asked about the application's connections.
    private static func checks(_ draws: inout RandomSource) -> String {
        let settings = [", timeout: 3s", ", timeout: 2s, failOpen: true", ", timeout: 300ms"][Int(draws.below(3))]
        return Mesh.service("grpc.test", [7], protocol: "GRPC")
            + Mesh.policy("  connectionPool: {http: {idleTimeout: 1500ms}}", host: "grpc.test")
            + Mesh.resource(
                "AuthorizationPolicy", "custom", "action: CUSTOM\nprovider: {name: ask}\nrules: [{}]", version: "security.istio.io/v1")
            + Mesh.resource(
                "IstioOperator", "mesh",
                "meshConfig: {extensionProviders: [{name: ask, envoyExtAuthzGrpc: {service: grpc.test, port: 80\(settings)}}]}",
                version: "install.istio.io/v1alpha1")
    }

    /// What the authorizer says: mostly something, mostly yes.
    private func judge() -> SimulatedAnswer {
        if chance(10) { return .silence }
        if chance(10) { return .only(pick([.closes, .resets])) }
        var answer = SimulatedAnswer(fields: [("content-type", "application/grpc"), ("grpc-status", pick(["0", "0", "0", "14"]))])
        answer.body = pick([[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 4, 10, 2, 8, 7]])
        if chance(40) { answer.pauseNanoseconds = milliseconds(700) }
        return answer
    }

    // MARK: Streams

    /// Bytes of a stream, from `start` on. A client's begins with no letter, lest it is taken for HTTP, and with its number.
    private static func bytes(_ number: UInt16, fromClient: Bool, _ start: Int, _ count: Int) -> [UInt8] {
        (start..<start + count).map { place in
            if fromClient, place < 4 { return [0xA1, UInt8(number >> 8), UInt8(number & 0xFF), 0xA2][place] }
            return UInt8(truncatingIfNeeded: place &* 31 &+ place >> 8 &+ Int(number) &* 7 &+ (fromClient ? 0 : 101))
        }
    }

    private static func isPrefix(_ received: [UInt8], _ number: UInt16, fromClient: Bool) -> Bool {
        received == bytes(number, fromClient: fromClient, 0, received.count)
    }

    // MARK: Endpoints

    private func accept(_ peer: SimulatedPeer) {
        waiting[ObjectIdentifier(peer)] = []
        peer.onEvent = { [unowned self] peer, event in
            if event == .bytes { take(peer.take(), from: peer) }
            // Who never says a word is let go.
            if event != .bytes, waiting[ObjectIdentifier(peer)] != nil { peer.close() }
        }
        kept.append(peer)
    }

    private var kept: [SimulatedPeer] = []

    private func take(_ bytes: [UInt8], from peer: SimulatedPeer) {
        guard var head = waiting[ObjectIdentifier(peer)] else {
            if let connection = connections.values.first(where: { $0.endpoint === peer }) { connection.receivedByEndpoint += bytes }
            return
        }
        head += bytes
        if head.first == UInt8(ascii: "C") {
            guard let end = head.indices.dropLast(3).first(where: { Array(head[$0..<$0 + 4]) == [13, 10, 13, 10] }) else {
                return waiting[ObjectIdentifier(peer)] = head
            }
            head.removeFirst(end + 4)
            let answer = pick(["200 OK", "200 OK", "200 OK", "502 Bad Gateway"])
            peer.send("HTTP/1.1 \(answer)\r\n\r\n")
        }
        waiting[ObjectIdentifier(peer)] = head
        guard head.count >= 4 else { return }
        waiting[ObjectIdentifier(peer)] = nil
        let number = UInt16(head[1]) << 8 | UInt16(head[2])
        guard let connection = connections[number], connection.endpoint == nil else {
            Issue.record("seed \(seed): the stream of nobody, or of one that has an endpoint: \(head.prefix(4))")
            return
        }
        connection.endpoint = peer
        connection.receivedByEndpoint = head
        speak(connection, peer, fromClient: false, at: milliseconds(300))
    }

    // MARK: Both sides

    /// Has a side send its stream in pieces and end it in a way of its own.
    private func speak(_ connection: Connection, _ peer: SimulatedPeer, fromClient: Bool, at start: UInt64) {
        var at = start
        for _ in 0..<1 + draw(5) {
            let count = pick([4, 40, 1_500, 9_000, 60_000])
            after(at) {
                guard !peer.isGone else { return }
                let begun = fromClient ? connection.sentByClient : connection.sentByEndpoint
                peer.send(Self.bytes(connection.number, fromClient: fromClient, begun, count))
                if fromClient { connection.sentByClient += count } else { connection.sentByEndpoint += count }
            }
            at += milliseconds(pick([1, 200, 1_200]))
        }
        if chance(20) {
            // What waits for it may be given up by a timer, once the other side has ended.
            connection.isOrderly = false
            after(at) { peer.isReading = false }
        }
        switch draw(10) {
        case 0...5: after(at) { peer.end() }
        case 6:
            connection.isOrderly = false
            after(at) { peer.close() }
        case 7:
            connection.isOrderly = false
            after(at) { peer.reset() }
        // It is the other's turn, or a timer's.
        default: break
        }
    }

    private func addClient() {
        let usual = proxy.network.conditions
        if chance(50) { proxy.network.conditions.bufferBytes = pick([300, 5_000, 1 << 20]) }
        defer { proxy.network.conditions = usual }
        let (number, peer) = proxy.tcpClient(port: pick(Self.ports))
        let connection = Connection(number, peer)
        connections[number] = connection
        peer.onEvent = { peer, event in if event == .bytes { connection.receivedByClient += peer.take() } }
        speak(connection, peer, fromClient: true, at: milliseconds(200))
    }

    private func unsettleNetwork() {
        proxy.network.set(pick([.accepts, .accepts, .refuses, .silent, .fails(101)]), of: pick(Self.addresses))
    }

    // MARK: A life

    /// Has everything happen, and checks that nothing is lost, twice, another's, or left.
    func live() throws {
        for _ in 0..<1 + draw(7) { after(milliseconds(1500)) { [self] in addClient() } }
        for _ in 0..<draw(4) { after(milliseconds(3000)) { [self] in unsettleNetwork() } }
        let drains = chance(15)
        for _ in 0..<4 {
            proxy.run(milliseconds(1500))
            if !proxy.hasStopped { proxy.expectBalanced("seed \(seed)") }
            if chance(40) { try proxy.reload(Self.mesh(&draws)) }
            if drains, chance(30) { proxy.send(pick([.drain, .handOver])) }
        }
        proxy.run(.seconds(3))
        for connection in connections.values.sorted(by: { $0.number < $1.number }) {
            connection.client.isReading = true
            connection.endpoint?.isReading = true
        }
        proxy.run(.seconds(20))
        checkStreams()
        for connection in connections.values.sorted(by: { $0.number < $1.number }) {
            if chance(50) { connection.client.close() } else { connection.client.reset() }
        }
        for peer in kept { peer.close() }
        proxy.run(.seconds(10))
        if !proxy.hasStopped { proxy.expectEmpty("seed \(seed)") }
    }

    private func checkStreams() {
        for (number, connection) in connections {
            #expect(Self.isPrefix(connection.receivedByEndpoint, number, fromClient: true), "seed \(seed), client \(number)")
            #expect(Self.isPrefix(connection.receivedByClient, number, fromClient: false), "seed \(seed), client \(number)")
            let records = proxy.finished.map(\.record).filter { $0.downstreamRemote.port == number }
            #expect(records.count <= 1, "seed \(seed), client \(number)")
            guard let record = records.first else { continue }
            #expect(record.requestBodyBytes >= UInt64(connection.receivedByEndpoint.count), "seed \(seed), client \(number)")
            #expect(record.responseBodyBytes >= UInt64(connection.receivedByClient.count), "seed \(seed), client \(number)")
            // Both sides ended in order, and nothing else did.
            guard connection.isOrderly, record.flags.isEmpty, connection.endpoint != nil, connection.client.sawEnd, !proxy.hasStopped
            else { continue }
            #expect(connection.receivedByEndpoint.count == connection.sentByClient, "seed \(seed), client \(number)")
            #expect(connection.receivedByClient.count == connection.sentByEndpoint, "seed \(seed), client \(number)")
            #expect(record.requestBodyBytes == UInt64(connection.sentByClient), "seed \(seed), client \(number)")
            #expect(record.responseBodyBytes == UInt64(connection.sentByEndpoint), "seed \(seed), client \(number)")
            whole += 1
        }
    }

    /// Connections that both sides ended in order and of which every byte arrived.
    private(set) var whole = 0
}
