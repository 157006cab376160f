internal import Primitives
public import Synchronization

/// What all worker threads know together about upstreams: held resources of each cluster, outcomes and ejection of each endpoint.
///
/// One per process; it survives reloads. Every worker-side call is lock-free, allocates nothing and uses relaxed atomics: the numbers
/// stand for themselves and order nothing else. A row is made of whole 64-byte lines, and what one request writes together lies in one
/// line. Rows are initialised when their slot is first assigned, so a large capacity costs address space, not memory.
///
/// A slot of `none` is admitted everywhere and counted nowhere; `slots(for:)` says how many it had to give.
///
/// `@unchecked Sendable`: the rows are atomics, allocated for the object's life; the slot table is behind a Mutex.
@safe
public final class UpstreamState: @unchecked Sendable {
    /// Default bounds: clusters (128 bytes each) and endpoints of clusters (192 bytes each), retired ones included.
    public static let clustersMaxDefault = 8_192
    public static let endpointsMaxDefault = 65_536

    /// Words of a cluster's row: line 0 what is held, line 1 what was refused or failed.
    enum ClusterWord {
        static let held = 0  // + UpstreamResource.rawValue
        static let retriesInBackOff = 4
        static let overflow = 8  // + UpstreamResource.rawValue
        /// Requests begun in the window of a retry budget: when it began, those in it, those in the one before.
        static let windowStart = 12
        static let windowCount = 13
        static let windowBefore = 14
        static let connectFailures = 15
        static let count = 16
    }

    /// Words of an endpoint's row: line 0 changes with every request, line 1 with errors (and every request when rates are evaluated),
    /// line 2 is read by every balancer and hardly ever written.
    enum EndpointWord {
        static let activeRequests = 0
        static let latency = 1
        /// Attempts since the endpoint appeared, for mesh-wide detection (`AttemptCounts`).
        static let successes = 2
        static let errors = 3
        static let gatewayErrors = 4
        static let localFailures = 5
        static let consecutive5xx = 8
        static let consecutiveGateway = 9
        static let consecutiveLocalOrigin = 10
        static let intervalExternal = 11
        static let intervalLocalOrigin = 12
        static let ejectedUntil = 16
        static let failedHealthCheck = 17
        /// When the endpoint appeared, or was last found healthy after having failed its checks.
        static let since = 18
        static let connectFailures = 19
        static let otherFailures = 20
        /// The last failure (`EndpointFailure`) and when it was.
        static let lastFailure = 21
        /// End of an ejection that the collector asked for; 0 = none.
        static let meshEjectedUntil = 22
        /// Local ejections so far, times 256, and the reason of the last.
        static let localEjections = 23
        static let count = 24
    }

    public let clustersMax: Int
    public let endpointsMax: Int
    private let clusterRows: UnsafeMutablePointer<Atomic<UInt64>>
    private let endpointRows: UnsafeMutablePointer<Atomic<UInt64>>
    let table: Mutex<SlotTable>
    /// Releases of something that was not held: our bug, made harmless and counted.
    public let unbalancedReleases = Atomic<UInt64>(0)
    /// Grows with every change of any endpoint's availability, so that balancers see that what they derived from it is out of date.
    public let availabilityVersion = Atomic<UInt64>(1)

    public init(clustersMax: Int = clustersMaxDefault, endpointsMax: Int = endpointsMaxDefault) {
        precondition((1...1 << 24).contains(clustersMax) && (1...1 << 24).contains(endpointsMax), "slots are small integers")
        self.clustersMax = clustersMax
        self.endpointsMax = endpointsMax
        unsafe clusterRows = Self.lines(words: clustersMax * ClusterWord.count)
        unsafe endpointRows = Self.lines(words: endpointsMax * EndpointWord.count)
        table = Mutex(SlotTable(clustersMax: clustersMax, endpointsMax: endpointsMax))
    }

    deinit {
        unsafe UnsafeMutableRawPointer(clusterRows).deallocate()
        unsafe UnsafeMutableRawPointer(endpointRows).deallocate()
    }

    @unsafe
    private static func lines(words: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe UnsafeMutableRawPointer.allocate(byteCount: words * 8, alignment: 64).bindMemory(to: Atomic<UInt64>.self, capacity: words)
    }

    /// The row of a cluster, or nil for `none`.
    @unsafe
    func row(_ cluster: ClusterSlot) -> UnsafeMutablePointer<Atomic<UInt64>>? {
        guard cluster.rawValue < clustersMax else { return nil }
        return unsafe clusterRows + Int(cluster.rawValue) * ClusterWord.count
    }

    /// The row of an endpoint, or nil for `none`.
    @unsafe
    func row(_ endpoint: EndpointSlot) -> UnsafeMutablePointer<Atomic<UInt64>>? {
        guard endpoint.rawValue < endpointsMax else { return nil }
        return unsafe endpointRows + Int(endpoint.rawValue) * EndpointWord.count
    }

    /// Before a slot is given to a new owner, which nobody can have used yet.
    func clear(_ cluster: ClusterSlot) {
        guard let row = unsafe row(cluster) else { return }
        for word in 0..<ClusterWord.count { unsafe (row + word).initialize(to: Atomic(0)) }
    }

    func clear(_ endpoint: EndpointSlot) {
        guard let row = unsafe row(endpoint) else { return }
        for word in 0..<EndpointWord.count { unsafe (row + word).initialize(to: Atomic(0)) }
    }

    /// Takes one off a count; one that is zero stays zero.
    @unsafe
    func decrement(_ cell: UnsafeMutablePointer<Atomic<UInt64>>) {
        if unsafe cell.pointee.wrappingSubtract(1, ordering: .relaxed).oldValue == 0 {
            unsafe cell.pointee.wrappingAdd(1, ordering: .relaxed)
            unbalancedReleases.wrappingAdd(1, ordering: .relaxed)
            assertionFailure("released what was not held")
        }
    }
}
