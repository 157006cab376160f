import EventLoops
import Glibc
import HTTP
import MeshConfig
import OutlierDetection
import Primitives
@testable import Proxy
import Routing
import Synchronization
import TelemetryModel
import Testing

/// The parts of a worker that need no loop: what it keeps for the next connection, and which configurations it keeps for whom.
@Suite struct WorkerTests {
    private static func configuration(generation: UInt64) -> ProxyConfiguration {
        let (mesh, _) = MeshConfiguration.load(texts: [(name: "t.yaml", text: "")])
        var inputs = CompileInputs(node: NodeIdentity(), catalogs: Catalogs())
        inputs.generation = generation
        let (routing, _) = RouteCompiler.compile(mesh, inputs)
        return ProxyConfiguration(
            routing: routing, telemetry: TelemetryPlan(), pathNormalization: .base,
            upstreams: UpstreamPlan(
                clusters: [ClusterSlot](repeating: .none, count: routing.clusterCount), endpoints: [EndpointSlot](repeating: .none, count: routing.endpointCount),
                thresholds: [OutlierThresholds](repeating: .off, count: routing.clusterCount)))
    }

    private func withWorker(_ body: (inout ProxyWorker) throws -> Void) throws {
        let handle = try WorkerHandle(limits: ProxyLimits(), ringBytes: 1 << 16, shared: SharedUpstreams(seed: 1))
        var worker = ProxyWorker(handle: handle, poller: try Poller(), configuration: Self.configuration(generation: 1), seed: 1)
        try body(&worker)
    }

    /// A pipe with bytes of a tunnel that ended belongs to nobody: given to the next tunnel, one client would receive another's data.
    @Test func aPipeThatHoldsBytesIsNotUsedAgain() throws {
        try withWorker { worker in
            guard let pipe = SplicePipe(bytes: 65536), let first = worker.pipes.insert(pipe) else {
                Issue.record("no pipe")
                return
            }
            var id = first
            worker.returnPipe(&id)
            #expect(id == .none)
            let again = worker.pipes.reuse()
            #expect(again?.index == first.index, "an empty one is")
            var full = try #require(again)

            var ends: [Int32] = [-1, -1]
            #expect(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
            var byte: UInt8 = 7
            #expect(unsafe write(ends[0], &byte, 1) == 1)
            let filled = unsafe worker.pipes.pointer(full)?.pointee.fill(from: ends[1])
            guard case .bytes(1) = filled else {
                Issue.record("\(String(describing: filled))")
                return
            }
            close(ends[0])
            close(ends[1])
            worker.returnPipe(&full)
            let none = worker.pipes.reuse()
            #expect(none == nil)
        }
    }

    /// Reloads every second for a year must not make a list of a year's length, nor free what a request still uses.
    @Test func configurationsEndWithTheirLastRequest() throws {
        try withWorker { worker in
            let first = worker.epoch
            worker.epochs[first].exchanges = 2
            for generation in 2...20 as ClosedRange<UInt64> { worker.adopt(Self.configuration(generation: generation)) }
            #expect(worker.epochsAlive == 2, "the first for its requests, and the current one")
            #expect(worker.epochs.count <= 3, "places of those that ended are taken again")
            #expect(worker.endedConfigurations.map(\.routing.generation) == Array(2...19))
            #expect(worker.epochs[first].configuration.routing.generation == 1)
            worker.leaveEpoch(first)
            #expect(worker.epochsAlive == 2)
            worker.leaveEpoch(first)
            #expect(worker.epochsAlive == 1)
            #expect(worker.endedConfigurations.last?.routing.generation == 1)
            #expect(worker.configuration.routing.generation == 20)
            #expect(worker.handle.statistics.configurationGeneration.load(ordering: .relaxed) == 20)
        }
    }

    /// Given away, a configuration must have no reference left on the worker's side: else the worker would free it after all, in the middle of its requests.
    @Test func aWorkerGivesConfigurationsAwayWhole() throws {
        try withWorker { worker in
            weak let first = worker.configuration
            worker.adopt(Self.configuration(generation: 2))
            #expect(first != nil)
            worker.handle.retire(&worker.endedConfigurations)
            #expect(worker.endedConfigurations.isEmpty)
            #expect(worker.handle.retiredCount == 1)
            #expect(first != nil)
            worker.handle.freeRetired()
            #expect(first == nil)
            #expect(worker.handle.retiredCount == 0)
        }
    }

    /// Descriptors ran out: the listener rests instead of turning the loop for a connection that cannot be taken. A configuration without it closes it, with the
    /// same port it keeps its connections.
    @Test func listenersFollowTheConfiguration() throws {
        try withWorker { worker in
            func plan(_ name: String, _ port: UInt16) -> ListenerPlan {
                ListenerPlan(name: name, endpoint: SocketEndpoint(ipv4: 0x7F00_0001, port: port), side: .outbound)
            }
            let probe = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: true)
            defer { Socket.close(probe) }
            let port = Socket.localEndpoint(probe).port
            worker.adoptListeners([plan("a", port)])
            let fd = worker.listeners[0].fd
            #expect(fd >= 0)
            worker.adoptListeners([plan("renamed", port)])
            #expect(worker.listeners.count == 1)
            #expect(worker.listeners[0].fd == fd, "the same address is the same socket")
            #expect(worker.listeners[0].plan.name == "renamed")
            worker.adoptListeners([])
            #expect(worker.listeners[0].fd == -1)
            #expect(worker.listeners[0].index == -1)
            worker.adoptListeners([plan("a", port)])
            #expect(worker.listeners.count == 1)
            #expect(worker.listeners[0].fd >= 0)
            worker.listeners[0].close()
        }
    }

    /// Workers share one socket: the file stays as long as any of them has the listener, and goes with the last.
    @Test func workersShareAListenerOnAPath() throws {
        var template = Array("/tmp/skein-worker-XXXXXX".utf8CString)
        unsafe try #require(mkdtemp(&template) != nil)
        let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let path = directory + "/s"
        defer {
            unsafe _ = unlink(path)
            unsafe _ = rmdir(directory)
        }
        let plan = ListenerPlan(name: "outbound_\(path)", endpoint: try SocketEndpoint(unixPath: path), side: .outbound)
        try withWorker { first in
            try withWorker { second in
                first.adoptListeners([plan])
                second.adoptListeners([plan])
                #expect(first.listeners[0].fd >= 0 && second.listeners[0].fd >= 0)
                first.adoptListeners([])
                unsafe #expect(access(path, F_OK) == 0)
                Socket.close(try Socket.connect(to: plan.endpoint))
                second.adoptListeners([])
                unsafe #expect(access(path, F_OK) != 0)
                // Nobody can make a directory of what is there meanwhile.
                unsafe #expect(mkdir(path, 0o700) == 0)
                first.adoptListeners([plan])
                #expect(first.listeners[0].fd == -1)
                #expect(first.handle.takeProblems() == ["listener outbound_\(path) on \(path): bind: Address already in use; what is there is no socket and is left alone: remove it, or write another path"])
                unsafe #expect(rmdir(path) == 0)
            }
        }
    }

    /// A port that somebody else has is said and counted; the worker serves its other listeners.
    @Test func aListenerThatCannotOpenIsCounted() throws {
        try withWorker { worker in
            let taken = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: false)
            worker.adoptListeners([ListenerPlan(name: "taken", endpoint: Socket.localEndpoint(taken), side: .outbound)])
            #expect(worker.listeners[0].fd == -1)
            let port = Socket.localEndpoint(taken)
            #expect(worker.handle.takeProblems() == ["listener taken on \(port): \(SystemError(call: "bind", code: EADDRINUSE))"])
            #expect(worker.handle.statistics.acceptFailures.load(ordering: .relaxed) == 1)
            Socket.close(taken)
            // The next configuration tries again.
            worker.adoptListeners([worker.listeners[0].plan])
            #expect(worker.listeners[0].fd >= 0)
            #expect(worker.handle.takeProblems() == [])
            worker.listeners[0].close()
        }
    }
}
