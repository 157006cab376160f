public import Primitives
internal import TelemetryModel

/// What one proxy saw of its clusters with outlier detection since its last report (docs/formats/report.md).
public struct MeshReport: Sendable {
    /// Who reports, by name; a process that starts anew is another reporter.
    public var reporter: String
    /// By its certificate; nil = nobody has verified one. Reporters of one principal have one voice together (docs/outliers.md).
    public var principal: String?
    /// Counted up by the reporter. One that is not above the last is a repetition.
    public var sequence: UInt64
    /// What the report covers, nanoseconds.
    public var periodNanoseconds: UInt64
    public var clusters: [Cluster] = []

    public struct Cluster: Sendable {
        public var name: String
        public var settings: OutlierSettings
        /// What a MeshOutlierDetection says; nil = the collector's.
        public var detectors: MeshDetectors?
        /// Endpoints of the cluster as the reporter knows it.
        public var hosts: UInt64
        /// Those that there is something to say of.
        public var endpoints: [Endpoint] = []

        public init(name: String, settings: OutlierSettings, hosts: UInt64) {
            self.name = name
            self.settings = settings
            self.hosts = hosts
        }
    }

    public struct Endpoint: Sendable {
        public var address: SocketEndpoint
        public var counts = AttemptCounts()
        public var latency = LatencyCounts()
        /// Local detection of the reporter ejected the endpoint in this time, or has it out still, for this reason.
        public var ejected: EjectionReason?
        /// The endpoint is ejected mesh-wide, and the reporter's cluster does not have it (any more).
        public var isAbsent = false

        public init(_ address: SocketEndpoint) { self.address = address }
    }

    public init(reporter: String, principal: String? = nil, sequence: UInt64, periodNanoseconds: UInt64) {
        self.reporter = reporter
        self.principal = principal
        self.sequence = sequence
        self.periodNanoseconds = periodNanoseconds
    }
}

/// Requests by duration; index = `HistogramBuckets.index(ofMicroseconds:)`, unit = requests.
public struct LatencyCounts: Sendable, BitwiseCopyable {
    public static let count = 20
    public var buckets = InlineArray<20, UInt64>(repeating: 0)

    public init() {}

    // The buckets are read through their span: a subscript of the array copies all of it each time, which was most of what a report cost.

    public var total: UInt64 {
        let buckets = buckets.span
        var total: UInt64 = 0
        for index in buckets.indices { total = AttemptCounts.sum(total, buckets[index]) }
        return total
    }

    static func += (left: inout LatencyCounts, right: borrowing LatencyCounts) {
        let added = right.buckets.span
        var buckets = left.buckets.mutableSpan
        for index in added.indices where added[index] > 0 { buckets[index] = AttemptCounts.sum(buckets[index], added[index]) }
    }

    /// The 95th percentile, milliseconds, interpolated within its bucket as `histogram_quantile` does; nil without requests. What is above
    /// the last finite bound counts as that bound.
    var p95Milliseconds: Double? {
        let total = total
        guard total > 0 else { return nil }
        let buckets = buckets.span
        let rank = 0.95 * Double(total)
        var below = 0.0
        for index in buckets.indices where buckets[index] > 0 {
            let count = Double(buckets[index])
            if below + count >= rank {
                guard index < HistogramBuckets.bounds.count else { break }
                let from = index == 0 ? 0 : HistogramBuckets.bounds[index - 1]
                return from + (HistogramBuckets.bounds[index] - from) * (rank - below) / count
            }
            below += count
        }
        return HistogramBuckets.bounds.last
    }
}
