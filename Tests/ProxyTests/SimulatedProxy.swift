import EventLoops
import HTTP
import MeshConfig
import OutlierDetection
import Policy
import Primitives
@testable import Proxy
import Routing
import Simulation
import Streams
import Synchronization
import TelemetryModel
import Testing

extension UInt64 {
    static func milliseconds(_ count: UInt64) -> UInt64 { count * 1_000_000 }
    static func seconds(_ count: UInt64) -> UInt64 { count * 1_000_000_000 }
}

/// A finished request as the access log gets it.
struct FinishedRequest {
    var record: RequestRecord
    var path: String?
    /// The first captured request field.
    var captured: String?
}

/// A worker in a simulated world: virtual time, no sockets. Clients and endpoints act when `run` moves time on.
final class SimulatedProxy {
    static let address = SocketEndpoint(ipv4: 0x7F00_0001, port: 15001)
    static let inboundAddress = SocketEndpoint(ipv4: 0x7F00_0001, port: 15006)

    let clock: SimulatedClock
    let network: SimulatedNetwork
    let handle: WorkerHandle
    var worker: ProxyWorker
    /// Requests that have ended, in the order of their ends.
    private(set) var finished: [FinishedRequest] = []
    private(set) var generation: UInt64 = 1
    let catalogs: Catalogs
    private let node: NodeIdentity
    private var clusters: Set<ClusterSlot> = []
    private var arrivals: [(socket: SimulatedSocket, remote: SocketEndpoint, listener: Int)] = []
    private var hasCommands = false
    private var clientsMade: UInt16 = 0

    /// `capture`: a request field for the log. `node`: with a name, its application is guarded by a second listener.
    init(
        _ yaml: String, seed: UInt64 = 1, limits: ProxyLimits = ProxyLimits(), capture: String? = nil, node: NodeIdentity = NodeIdentity()
    ) throws {
        clock = SimulatedClock(seed: seed)
        network = SimulatedNetwork(clock: clock)
        catalogs = Catalogs()
        self.node = node
        let shared = SharedUpstreams(seed: seed, state: UpstreamState(clustersMax: 64, endpointsMax: 256))
        handle = try WorkerHandle(limits: limits, ringBytes: 1 << 20, shared: shared, sources: catalogs.sources)
        let first = try Self.compile(yaml, capture, node, generation: 1, catalogs, shared)
        clusters.formUnion(first.upstreams.clusters)
        worker = ProxyWorker(handle: handle, poller: try Poller(), configuration: first, seed: seed, network: network)
    }

    private static func compile(
        _ yaml: String, _ capture: String?, _ node: NodeIdentity, generation: UInt64, _ catalogs: Catalogs, _ shared: SharedUpstreams
    ) throws -> ProxyConfiguration {
        let (mesh, list) = MeshConfiguration.load(texts: [(name: "t.yaml", text: yaml)])
        try #require(!list.hasErrors, "\(list.items.map(\.text))")
        var inputs = CompileInputs(node: node, catalogs: catalogs)
        inputs.generation = generation
        inputs.outboundListener = address
        if !node.name.isEmpty { inputs.inboundListener = inboundAddress }
        let (routing, problems) = RouteCompiler.compile(mesh, inputs)
        try #require(!problems.contains { $0.severity == .error }, "\(problems.map(\.text))")
        var telemetry = TelemetryPlan()
        telemetry.outbound.isRecorded = true
        telemetry.inbound.isRecorded = true
        if let capture { telemetry.capture = HeaderCapture(requestHeaders: [capture]) }
        let (authorization, badRules) = AuthorizationCompiler.compile(
            mesh, namespace: node.namespace, labels: node.labels, names: catalogs, catalog: RuleCatalog())
        try #require(badRules.isEmpty, "\(badRules.map(\.text))")
        return ProxyConfiguration(
            routing: routing, telemetry: telemetry, pathNormalization: .base, upstreams: plan(routing, shared),
            authorization: authorization)
    }

    /// Places in the counts that all workers share, as `UpstreamPlanner` gives them.
    private static func plan(_ routing: RoutingSnapshot, _ shared: SharedUpstreams) -> UpstreamPlan {
        let members = routing.clusterMembers
        let memberships = members.map { ClusterMembership(key: ClusterKey($0.name.rawValue), endpoints: $0.addresses) }
        let assigned = shared.state.slots(for: memberships)
        var endpoints = [EndpointSlot](repeating: .none, count: routing.endpointCount)
        for (member, cluster) in zip(members, assigned.clusters) {
            for (offset, slot) in cluster.endpoints.enumerated() { endpoints[member.endpoints.lowerBound + offset] = slot }
        }
        return UpstreamPlan(
            clusters: assigned.clusters.map(\.slot), endpoints: endpoints,
            thresholds: [OutlierThresholds](repeating: .off, count: routing.clusterCount))
    }

    // MARK: Who takes part

    /// A client of HTTP/1.1 that has connected.
    func client() -> SimulatedClient { SimulatedClient(connect()) }

    func http2Client() -> SimulatedHTTP2Client { SimulatedHTTP2Client(connect(), clock) }

    /// A client of the node's application, and who it has shown itself to be.
    func inboundClient(_ identity: PeerIdentity?) -> SimulatedClient { SimulatedClient(connect(listener: 1, identity)) }

    func inboundHTTP2Client() -> SimulatedHTTP2Client { SimulatedHTTP2Client(connect(listener: 1), clock) }

    /// A client of the listener of a Sidecar that is at a port of loopback: its end, and the port that it comes from.
    func tcpClient(port: UInt16) -> (number: UInt16, peer: SimulatedPeer) {
        let address = SocketEndpoint(ipv4: 0x7F00_0001, port: port)
        clientsMade &+= 1
        let (client, socket) = network.connectClient(to: address)
        let listener = worker.traffic.sides.downstreams.listeners.firstIndex { $0.plan.endpoint == address } ?? 0
        arrivals.append((socket, SocketEndpoint(ipv4: 0x0A01_0001, port: clientsMade), listener))
        return (clientsMade, client)
    }

    private func connect(listener: Int = 0, _ identity: PeerIdentity? = nil) -> SimulatedPeer {
        clientsMade &+= 1
        let (client, socket) = network.connectClient(to: listener == 0 ? Self.address : Self.inboundAddress)
        socket.peerIdentity = identity
        arrivals.append((socket, SocketEndpoint(ipv4: 0x0A01_0001, port: clientsMade), listener))
        return client
    }

    /// 10.0.0.`number`, port 80: where the services of these tests have their endpoints.
    static func address(_ number: UInt32) -> SocketEndpoint { SocketEndpoint(ipv4: 0x0A00_0000 + number, port: 80) }

    // MARK: Commands

    func reload(_ yaml: String, capture: String? = nil) throws {
        generation += 1
        let next = try Self.compile(yaml, capture, node, generation: generation, catalogs, handle.shared)
        clusters.formUnion(next.upstreams.clusters)
        send(.adopt(next))
    }

    func send(_ command: WorkerCommand) {
        handle.mailbox.send(command)
        hasCommands = true
    }

    // MARK: Time

    /// The worker has drained, or was told to stop.
    var hasStopped: Bool { worker.mustStop }

    /// Moves time on, and has everybody act.
    func run(_ nanoseconds: UInt64) {
        let end = clock.now + nanoseconds
        var turnsAtOnce = 0
        while !worker.mustStop {
            clock.advance(to: clock.now)
            let patience = worker.nextTimeout(at: clock.now)
            if network.hasReady || hasCommands || !arrivals.isEmpty || patience == 0 {
                turnsAtOnce += 1
                guard turnsAtOnce < 100_000 else {
                    Issue.record("the loop turns without end at \(clock.now)")
                    return
                }
                turn()
                continue
            }
            turnsAtOnce = 0
            let wakes = patience < 0 ? MonotonicInstant.distantFuture : clock.now + .milliseconds(UInt64(patience))
            let next = min(wakes, clock.next ?? .distantFuture)
            guard next <= end else { break }
            clock.advance(to: next)
            if next == wakes { turn() }
        }
        clock.advance(to: end)
        handle.freeRetired()
    }

    private func turn() {
        worker.beginTurn()
        for (socket, remote, listener) in arrivals { worker.accept(socket, from: remote, listener) }
        arrivals = []
        if hasCommands {
            hasCommands = false
            worker.takeCommands()
        }
        for (token, events) in network.takeReady() {
            worker.traffic.sides.loop.tick()
            worker.traffic.dispatch(LoopToken(rawValue: token), events)
        }
        worker.endTurn()
        collect()
    }

    private func collect() {
        unsafe _ = handle.ring.drain(limit: .max) { bytes in
            guard let view = unsafe RequestRecordView(RawSpan(_unsafeBytes: bytes)) else {
                Issue.record("a record cannot be read")
                return
            }
            func text(_ slot: RequestText) -> String? {
                guard let span = view.text(slot) else { return nil }
                let bytes = (0..<span.byteCount).map { unsafe span.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
                return String(decoding: bytes, as: UTF8.self)
            }
            let captured = text(RequestText(rawValue: RequestText.firstCaptured))
            finished.append(FinishedRequest(record: view.record, path: text(.path), captured: captured))
        }
    }

    // MARK: What is held

    /// Requests counted in the RED series, and TCP connections counted as closed.
    var counted: UInt64 {
        var sum: UInt64 = 0
        handle.shard.read { sum += $0.requests }
        return sum + handle.tcpShard.snapshot().reduce(0) { $0 + $1.connectionsClosed }
    }

    /// TCP connections counted as opened.
    private var opened: UInt64 { handle.tcpShard.snapshot().reduce(0) { $0 + $1.connectionsOpened } }

    func held(_ resource: UpstreamResource) -> UInt64 { clusters.reduce(0) { $0 + handle.shared.state.held(resource, cluster: $1) } }

    /// Checks what holds between any two turns: what is counted is what is there.
    func expectBalanced(_ what: Comment = "") {
        let upstreams = worker.traffic.sides.upstreams.connections.count
        #expect(held(.connections) == UInt64(upstreams), what)
        #expect(network.openSockets == upstreams + worker.traffic.sides.downstreams.connections.count, what)
        let active = worker.traffic.sides.upstreams.pools.all.reduce(0) { $0 + UInt64($1.active) }
        #expect(held(.requests) == active, what)
        let underWay = worker.traffic.requests.count + worker.traffic.mirrorTraffic.count + worker.traffic.tunnelTraffic.tunnels.count
            + worker.traffic.sides.checks.all.count
        #expect(active <= underWay, what)
        #expect(held(.pending) <= active, what)
        // A connection counts as opened once it is known where it goes.
        let asked = worker.traffic.tunnelTraffic.tunnels.identifiers().count { !worker.traffic.tunnelTraffic.tunnels[$0].check.isNone }
        let live = worker.traffic.requests.count + worker.traffic.tunnelTraffic.tunnels.count - asked
        #expect(UInt64(finished.count + live) == begun, what)
        #expect(counted == UInt64(finished.count), what)
    }

    /// Requests and TCP connections that have begun.
    private var begun: UInt64 { handle.statistics.requestsTotal.load(ordering: .relaxed) + opened }

    /// Checks what must hold once nothing is under way: what has ended was counted and logged once, and gave everything back.
    func expectSettled(_ what: Comment = "") {
        let state = handle.shared.state
        #expect(worker.traffic.requests.count == 0, what)
        #expect(worker.traffic.mirrorTraffic.count == 0, what)
        #expect(worker.traffic.sides.checks.all.count == 0, what)
        #expect(worker.traffic.tunnelTraffic.tunnels.count == 0, what)
        #expect(worker.traffic.sides.epochs.count == 1, what)
        for resource in [UpstreamResource.requests, .pending, .retries] { #expect(held(resource) == 0, what) }
        #expect(clusters.allSatisfy { state.retriesInBackOff(cluster: $0) == 0 }, what)
        #expect(state.unbalancedReleases.load(ordering: .relaxed) == 0, what)
        expectBalanced(what)
        #expect(counted == begun, what)
        #expect(handle.ring.dropped.load(ordering: .relaxed) == 0, what)
        #expect(UInt64(finished.count) == begun, what)
        #expect(handle.retiredCount == 0, what)
    }

    /// The same, once everybody has gone: nothing is left at all.
    func expectEmpty(_ what: Comment = "") {
        expectSettled(what)
        #expect(worker.traffic.sides.downstreams.connections.count == 0, what)
        #expect(worker.traffic.sides.upstreams.connections.count == 0, what)
        #expect(worker.traffic.sides.loop.timers.count == 0, what)
        #expect(worker.traffic.sides.upstreams.lines.isEmpty, what)
    }
}

extension ProxyWorker {
    /// Takes a client's connection, as from one of its listeners.
    fileprivate mutating func accept(_ socket: SimulatedSocket, from remote: SocketEndpoint, _ listener: Int) {
        guard !traffic.sides.context.isDraining else { return socket.close(resets: true) }
        traffic.sides.loop.tick()
        let stream = ByteStream(descriptor: -1, layer: socket)
        guard let id = traffic.sides.downstreams.addConnection(stream, remote, listener, &traffic.sides.loop) else { return }
        traffic.classifyClient(id)
        traffic.flushStreams()
    }
}

/// Istio resources as texts.
enum Mesh {
    static func resource(_ kind: String, _ name: String, _ spec: String, version: String = "networking.istio.io/v1") -> String {
        let body = spec.split(separator: "\n", omittingEmptySubsequences: false).map { "  \($0)" }.joined(separator: "\n")
        return "apiVersion: \(version)\nkind: \(kind)\nmetadata: {name: \(name), namespace: default}\nspec:\n\(body)\n---\n"
    }

    /// A service at 10.0.0.x, one endpoint for each number.
    static func service(_ host: String = "a.test", _ endpoints: [UInt32] = [1], protocol name: String = "HTTP") -> String {
        let list = endpoints.map { "- {address: 10.0.0.\($0)}" }.joined(separator: "\n")
        return resource(
            "ServiceEntry", host.split(separator: ".").joined(separator: "-"),
            "hosts: [\(host)]\nlocation: MESH_INTERNAL\nresolution: STATIC\nports:\n"
                + "- {number: 80, name: \(name.lowercased()), protocol: \(name)}\nendpoints:\n\(list)")
    }

    /// The rules of a host; `http` is the list's text.
    static func rules(_ http: String, host: String = "a.test") -> String {
        resource("VirtualService", "rules-" + host.split(separator: ".").joined(separator: "-"), "hosts: [\(host)]\nhttp:\n\(http)")
    }

    /// Traffic policy of a host.
    static func policy(_ policy: String, host: String = "a.test") -> String {
        let name = "policy-" + host.split(separator: ".").joined(separator: "-")
        return resource("DestinationRule", name, "host: \(host)\ntrafficPolicy:\n\(policy)")
    }
}
