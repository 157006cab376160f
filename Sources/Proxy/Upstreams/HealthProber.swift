public import EventLoops
public import OutlierDetection
public import Primitives
public import Synchronization

/// One endpoint to be probed, and how.
public struct ProbeTarget: Sendable, Equatable {
    /// Where all workers see the verdict.
    public var endpoint: EndpointSlot
    public var address: SocketEndpoint
    public var settings: HealthCheckSettings
    /// What an HTTP probe sends; empty = a connection that is accepted is all that is wanted.
    public var request: [UInt8]
    /// Accepted ranges of an HTTP answer's status.
    public var statuses: [ClosedRange<UInt16>]
    /// `UpstreamTLS.key` of what its connections are secured with, as those of requests are; empty = plaintext.
    public var security: String

    public init(
        endpoint: EndpointSlot, address: SocketEndpoint, settings: HealthCheckSettings, request: [UInt8], statuses: [ClosedRange<UInt16>],
        security: String = ""
    ) {
        self.security = security
        self.endpoint = endpoint
        self.address = address
        self.settings = settings
        self.request = request
        self.statuses = statuses
    }
}

/// Active health checks: a thread with an epoll loop of its own (`HealthLoop`), so that no probe delays a request. Verdicts go to
/// `UpstreamState`, where balancers see them.
public final class HealthProber: Sendable {
    enum Command: Sendable {
        case apply([ProbeTarget], SecurityPlan)
        case stop
    }

    /// Endpoints probed; further ones are taken to be healthy, and counted.
    public static let targetsMax = 10_000
    /// Probes under way at once; others wait their turn.
    static let probesMax = 512
    /// Bytes of an answer's head.
    static let answerBytesMax = 16 * 1024

    public let checks = Atomic<UInt64>(0)
    public let failures = Atomic<UInt64>(0)
    public let transitions = Atomic<UInt64>(0)
    public let targetsOmitted = Atomic<UInt64>(0)
    let mailbox: Mailbox<Command>
    let shared: SharedUpstreams

    public init(shared: SharedUpstreams) throws(SystemError) {
        mailbox = try Mailbox()
        self.shared = shared
    }

    /// Starts the thread; it ends after `stop`.
    public func start(seed: UInt64) throws(SystemError) -> WorkerThread {
        try WorkerThread(name: "health") { [self] in
            guard let poller = try? Poller() else { return }
            var loop = HealthLoop(prober: self, poller: poller, seed: seed)
            loop.run()
        }
    }

    /// Any thread: what is to be probed from now on. A target that stays the same keeps its history; an endpoint that is no longer probed
    /// is healthy again. `security`: what targets name by its key.
    public func apply(_ targets: [ProbeTarget], security: SecurityPlan = SecurityPlan()) {
        targetsOmitted.store(UInt64(max(0, targets.count - Self.targetsMax)), ordering: .relaxed)
        mailbox.send(.apply(Array(targets.prefix(Self.targetsMax)), security))
    }

    public func stop() { mailbox.send(.stop) }
}
