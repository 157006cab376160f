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
    /// TLS handshakes that were done.
    public let handshakes = Atomic<UInt64>(0)
    /// TLS handshakes that failed for other reasons than the client's certificate, their time among them.
    public let handshakesFailed = Atomic<UInt64>(0)
    /// TLS handshakes of clients whose certificate is not believed, or that showed none where one is demanded.
    public let clientsRefused = Atomic<UInt64>(0)
    /// Connections ended because the client's certificate was revoked meanwhile.
    public let revokedEnded = Atomic<UInt64>(0)
    /// Connections closed because too many handshakes were under way.
    public let handshakesOverflowed = Atomic<UInt64>(0)
    /// Connections that brought plaintext to a listener with TLS, and TLS to one without.
    public let plaintextToTLS = Atomic<UInt64>(0)
    public let tlsToPlaintext = Atomic<UInt64>(0)

    public init() {}

    func add(_ counter: borrowing Atomic<UInt64>) { counter.wrappingAdd(1, ordering: .relaxed) }
}

/// An address that a server listens on.
public struct ServiceListener: Sendable {
    public var endpoint: SocketEndpoint
    /// Of its TLS; nil = it speaks plaintext. Whether clients show certificates is said there (`TLSSettings.clientCertificate`); their ALPN
    /// decides nothing, both versions of HTTP are taken either way.
    public var tls: TLSSettingsSource?

    public init(_ endpoint: SocketEndpoint, tls: TLSSettingsSource? = nil) {
        self.endpoint = endpoint
        self.tls = tls
    }
}

/// The handle that other threads hold of a running server.
public final class ServiceServer: Sendable {
    let mailbox: Mailbox<ServerCommand>
    public let statistics = ServiceStatistics()
    /// Where it listens, with the ports that the system chose.
    public let endpoints: [SocketEndpoint]
    private let thread: WorkerThread
    private let finished: Signal

    /// Listens in plaintext.
    public convenience init(
        name: String, endpoints: [SocketEndpoint], limits: ServiceLimits, handler: any ServiceHandler
    ) throws(SystemError) {
        try self.init(name: name, listeners: endpoints.map { ServiceListener($0) }, limits: limits, handler: handler) { _ in }
    }

    /// Listens on all addresses (or throws) and starts the thread. Port 0 lets the system choose. `say` gets lines for the process' log on
    /// the server's thread, `ServiceNotices.linesMax` a minute at most.
    public init(
        name: String, listeners places: [ServiceListener], limits: ServiceLimits, handler: any ServiceHandler,
        say: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        let mailbox = try Mailbox<ServerCommand>()
        let finished = try Signal()
        var sockets: [Int32] = []
        for endpoint in places.map(\.endpoint) {
            do throws(SystemError) {
                sockets.append(try Socket.listen(on: endpoint, reusePort: false))
            } catch {
                for fd in sockets { Socket.close(fd) }
                throw SystemError(call: "listen on \(endpoint): \(error.call)", code: error.code)
            }
        }
        self.mailbox = mailbox
        self.finished = finished
        let bound = zip(sockets, places).map { ServiceListener(Socket.localEndpoint($0), tls: $1.tls) }
        self.endpoints = bound.map(\.endpoint)
        let statistics = statistics
        let listeners = sockets
        thread = try WorkerThread(name: name) {
            defer { finished.raise() }
            guard let poller = try? Poller() else { return }
            var loop = ServiceLoop(
                poller: poller, mailbox: mailbox, listeners: listeners, limits: limits, handler: handler, statistics: statistics,
                handshakes: ServiceHandshakes(bound, limits, statistics, say: say))
            loop.run()
        }
        for source in bound.compactMap(\.tls) { source.whenReplaced { mailbox.send(.judgeClients) } }
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
