public import EventLoops
internal import HTTP
public import Primitives
public import Synchronization

/// Counters of a server, readable from any thread.
public final class ServiceStatistics: Sendable {
    public let connectionsActive = Atomic<Int>(0)
    public let requestsTotal = Atomic<UInt64>(0)
    /// Refused for their form, size or the server's load.
    public let requestsRefused = Atomic<UInt64>(0)
    public let acceptFailures = Atomic<UInt64>(0)
    /// Handed over and never answered by our own code.
    public let requestsAbandoned = Atomic<UInt64>(0)
    /// Connections of HTTP/2 ended for asking more than they did.
    public let floods = Atomic<UInt64>(0)
    /// Answers broken off because their reader did not take them.
    public let streamsCut = Atomic<UInt64>(0)

    public init() {}

    func add(_ counter: borrowing Atomic<UInt64>) { counter.wrappingAdd(1, ordering: .relaxed) }
}

/// The handle that other threads hold of a running server.
public final class ServiceServer: Sendable {
    let mailbox: Mailbox<ServerCommand>
    public let statistics = ServiceStatistics()
    /// Where it listens, with the ports that the system chose.
    public let endpoints: [SocketEndpoint]
    private let thread: WorkerThread
    private let finished: Signal

    /// Listens on all endpoints (or throws) and starts the thread. Port 0 lets the system choose.
    public init(name: String, endpoints: [SocketEndpoint], limits: ServiceLimits, handler: any ServiceHandler) throws(SystemError) {
        let mailbox = try Mailbox<ServerCommand>()
        let finished = try Signal()
        var sockets: [Int32] = []
        for endpoint in endpoints {
            do throws(SystemError) {
                sockets.append(try Socket.listen(on: endpoint, reusePort: false))
            } catch {
                for fd in sockets { Socket.close(fd) }
                throw SystemError(call: "listen on \(endpoint): \(error.call)", code: error.code)
            }
        }
        self.mailbox = mailbox
        self.finished = finished
        self.endpoints = sockets.map { Socket.localEndpoint($0) }
        let statistics = statistics
        let listeners = sockets
        thread = try WorkerThread(name: name) {
            defer { finished.raise() }
            guard let poller = try? Poller() else { return }
            var loop = ServiceLoop(
                poller: poller, mailbox: mailbox, listeners: listeners, limits: limits, handler: handler, statistics: statistics)
            loop.run()
        }
    }

    /// Takes no new connections; those that there are bring one more request at most.
    public func stopAccepting() { mailbox.send(.stopAccepting) }

    /// Stops accepting, finishes what is being answered, ends the thread.
    public func drain() { mailbox.send(.drain) }

    /// Stops accepting, waits until everything that was begun is answered, for `nanoseconds` at most, and ends the thread. Instead of
    /// `stop`. Connections without a request get a moment for one: closing them at once would meet requests that are on their way.
    public func finish(withinNanoseconds nanoseconds: UInt64) {
        let deadline = SystemClock.monotonicNow() + nanoseconds
        mailbox.send(.stopAccepting)
        if !finished.wait(deadline: min(deadline, SystemClock.monotonicNow() + Self.idleNanoseconds)) { drain() }
        _ = finished.wait(deadline: deadline)
        stop()
    }

    /// How long `finish` leaves connections open that have no request.
    private static let idleNanoseconds: UInt64 = 500_000_000

    /// Ends the thread now and waits for it. Call once.
    public func stop() {
        mailbox.send(.stop)
        thread.join()
    }
}
