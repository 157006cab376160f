public import EventLoops
public import OutlierDetection
public import Policy
public import Primitives
internal import Synchronization
public import TelemetryModel

/// What other threads may ask of a worker.
public enum WorkerCommand: Sendable {
    case adopt(ProxyConfiguration)
    /// Stop accepting, finish what is in flight, then end.
    case drain
    /// The same, where another process listens already: idle connections get time for one more request.
    case handOver
    /// End now.
    case stop
    /// Free rows of counters that nobody has used for long.
    case expire(IdleRows)
    /// Another worker's requests wait for a connection of this cluster: close one that idles.
    case shedIdle(ClusterSlot)
    /// Keys of token issuers have been fetched, or could not be.
    case keysChanged
}

/// What all workers of a process know and decide together about upstreams.
public final class SharedUpstreams: Sendable {
    public let state: UpstreamState
    public let judge: OutlierJudge
    public let limiter = RateLimiter()
    /// Keys of token issuers.
    public let issuerKeys: IssuerKeys
    /// Workers, to be asked for idle connections that another one needs. Set once, before the first request.
    let peers = Mutex<[WorkerHandle]>([])

    public init(seed: UInt64, state: UpstreamState = UpstreamState(), issuerKeys: IssuerKeys = IssuerKeys()) {
        self.issuerKeys = issuerKeys
        self.state = state
        judge = OutlierJudge(state: state, seed: seed)
    }

    public func setWorkers(_ workers: [WorkerHandle]) { peers.withLock { $0 = workers } }
}

/// The parts of a worker that other threads hold.
public final class WorkerHandle: Sendable {
    public let mailbox: Mailbox<WorkerCommand>
    public let ring: RecordRing
    public let shard: REDShard
    public let tcpShard = TCPShard()
    public let plaintext = PlaintextClients()
    public let routeOutcomes: OutcomeShard
    public let endpointOutcomes: OutcomeShard
    public let statistics = WorkerStatistics()
    public let authorizations = AuthorizationCounters()
    public let authorizers = AuthorizerCounters()
    public let limits: ProxyLimits
    public let shared: SharedUpstreams
    /// Those of all workers, for peers that show who they are.
    public let sources: SourceCatalog
    /// Configurations that the worker is done with. Freeing one, with its tables and regular expressions, takes longer than a worker may
    /// pause.
    private let retired = Mutex<[ProxyConfiguration]>([])

    /// The worker, between two turns: gives configurations away. The last reference of the worker's goes while it holds the lock, so that
    /// whoever takes them from here, however soon, is the one who frees them.
    func retire(_ configurations: inout [ProxyConfiguration]) {
        retired.withLock { list in
            list += configurations
            configurations.removeAll(keepingCapacity: true)
        }
    }

    /// Configurations that wait to be freed.
    var retiredCount: Int { retired.withLock { $0.count } }

    /// The control thread, now and then: frees what the worker is done with.
    public func freeRetired() {
        let done = retired.withLock { list in
            let taken = list
            list = []
            return taken
        }
        // Freed here, outside the lock.
        _ = done.count
    }

    /// Why listeners are not there, in words; few, as they are made between requests.
    private let problems = Mutex<[String]>([])

    func note(problem: String) { problems.withLock { if $0.count < Self.problemsMax { $0.append(problem) } } }

    /// Problems that wait to be said; they are counted besides.
    private static let problemsMax = 256

    /// The control thread, now and then: what a log should tell.
    public func takeProblems() -> [String] {
        problems.withLock { list in
            defer { list = [] }
            return list
        }
    }

    /// `ringBytes` bounds the records waiting for the collector.
    public init(limits: ProxyLimits, ringBytes: Int, shared: SharedUpstreams, sources: SourceCatalog) throws(SystemError) {
        self.sources = sources
        self.limits = limits
        self.shared = shared
        mailbox = try Mailbox()
        ring = RecordRing(capacity: ringBytes)
        shard = REDShard(seriesMax: limits.seriesMax)
        routeOutcomes = OutcomeShard(rowsMax: limits.routeSeriesMax)
        endpointOutcomes = OutcomeShard(rowsMax: limits.endpointSeriesMax)
    }
}
