import EventLoops
import Glibc
import OutlierDetection
import Primitives
@testable import Proxy
import Routing
import Synchronization
import TelemetryModel
import Testing

/// The parts of a worker that need no loop: what it keeps for the next connection, and which configurations it keeps for whom.
@Suite struct WorkerTests {
    private func withWorker(_ body: (inout ProxyWorker) throws -> Void) throws {
        let handle = try WorkerHandle(
            limits: ProxyLimits(), ringBytes: 1 << 16, shared: SharedUpstreams(seed: 1), sources: SourceCatalog())
        var worker = ProxyWorker(handle: handle, poller: try Poller(), configuration: try configuration(), seed: 1)
        try body(&worker)
    }

    /// Reloads every second for a year must not make a list of a year's length, nor free what a request still uses.
    @Test func configurationsEndWithTheirLastRequest() throws {
        try withWorker { worker in
            let first = worker.traffic.sides.epochs.enter()
            #expect(worker.traffic.sides.epochs.enter() == first)
            for generation in 2...20 as ClosedRange<UInt64> {
                worker.traffic.sides.adoptConfiguration(try configuration(generation: generation))
            }
            #expect(worker.traffic.sides.epochs.count == 2, "the first for its requests, and the current one")
            #expect(worker.traffic.sides.epochs.ended.map(\.routing.generation) == Array(2...19))
            #expect(worker.traffic.sides.epochs.all[first].configuration.routing.generation == 1)
            worker.traffic.sides.leaveEpoch(first)
            #expect(worker.traffic.sides.epochs.count == 2)
            worker.traffic.sides.leaveEpoch(first)
            #expect(worker.traffic.sides.epochs.count == 1)
            #expect(worker.traffic.sides.epochs.ended.last?.routing.generation == 1)
            let current = worker.traffic.sides.epochs.current
            #expect(worker.traffic.sides.epochs.all[current].configuration.routing.generation == 20)
            #expect(worker.handle.statistics.configurationGeneration.load(ordering: .relaxed) == 20)
        }
    }

    /// Given away, a configuration must have no reference left on the worker's side: else the worker would free it after all, in the middle
    /// of its requests.
    @Test func aWorkerGivesConfigurationsAwayWhole() throws {
        try withWorker { worker in
            weak let first = worker.traffic.sides.epochs.all[worker.traffic.sides.epochs.current].configuration
            worker.traffic.sides.adoptConfiguration(try configuration(generation: 2))
            #expect(first != nil)
            worker.traffic.finishTurn()
            #expect(worker.traffic.sides.epochs.ended.isEmpty)
            #expect(worker.handle.retiredCount == 1)
            #expect(first != nil)
            worker.handle.freeRetired()
            #expect(first == nil)
            #expect(worker.handle.retiredCount == 0)
        }
    }

    /// A configuration without a listener closes it; with the same port it keeps its socket, and so the connections that wait at it.
    @Test func listenersFollowTheConfiguration() throws {
        try withWorker { worker in
            func plan(_ name: String, _ port: UInt16) -> ListenerPlan {
                ListenerPlan(name: name, endpoint: SocketEndpoint(ipv4: 0x7F00_0001, port: port), side: .outbound)
            }
            let probe = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: true)
            defer { Socket.close(probe) }
            let port = Socket.localEndpoint(probe).port
            worker.listen([plan("a", port)])
            let fd = worker.traffic.sides.downstreams.listeners[0].fd
            #expect(fd >= 0)
            worker.listen([plan("renamed", port)])
            #expect(worker.traffic.sides.downstreams.listeners.count == 1)
            #expect(worker.traffic.sides.downstreams.listeners[0].fd == fd, "the same address is the same socket")
            #expect(worker.traffic.sides.downstreams.listeners[0].plan.name == "renamed")
            worker.listen([])
            #expect(worker.traffic.sides.downstreams.listeners[0].fd == -1)
            #expect(worker.traffic.sides.downstreams.listeners[0].index == -1)
            worker.listen([plan("a", port)])
            #expect(worker.traffic.sides.downstreams.listeners.count == 1)
            #expect(worker.traffic.sides.downstreams.listeners[0].fd >= 0)
            worker.listen([])
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
                first.listen([plan])
                second.listen([plan])
                #expect(first.traffic.sides.downstreams.listeners[0].fd >= 0 && second.traffic.sides.downstreams.listeners[0].fd >= 0)
                first.listen([])
                unsafe #expect(access(path, F_OK) == 0)
                Socket.close(try Socket.connect(to: plan.endpoint))
                second.listen([])
                unsafe #expect(access(path, F_OK) != 0)
                // Nobody can make a directory of what is there meanwhile.
                unsafe #expect(mkdir(path, 0o700) == 0)
                first.listen([plan])
                #expect(first.traffic.sides.downstreams.listeners[0].fd == -1)
                #expect(first.handle.takeProblems() == [
                    "listener outbound_\(path) on \(path): bind: Address already in use; what is there is no socket and is left alone: "
                        + "remove it, or write another path",
                ])
                unsafe #expect(rmdir(path) == 0)
            }
        }
    }

    /// A port that somebody else has is said and counted; the worker serves its other listeners.
    @Test func aListenerThatCannotOpenIsCounted() throws {
        try withWorker { worker in
            let taken = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: false)
            worker.listen([ListenerPlan(name: "taken", endpoint: Socket.localEndpoint(taken), side: .outbound)])
            #expect(worker.traffic.sides.downstreams.listeners[0].fd == -1)
            let port = Socket.localEndpoint(taken)
            #expect(worker.handle.takeProblems() == ["listener taken on \(port): \(SystemError(call: "bind", code: EADDRINUSE))"])
            #expect(worker.handle.statistics.acceptFailures.load(ordering: .relaxed) == 1)
            Socket.close(taken)
            // The next configuration tries again.
            worker.listen([worker.traffic.sides.downstreams.listeners[0].plan])
            #expect(worker.traffic.sides.downstreams.listeners[0].fd >= 0)
            #expect(worker.handle.takeProblems() == [])
            worker.listen([])
        }
    }
}

extension ProxyWorker {
    /// Has a worker listen on these and no others.
    mutating func listen(_ plans: [ListenerPlan]) { traffic.sides.downstreams.adoptListeners(plans, opens: true, &traffic.sides.loop) }
}
