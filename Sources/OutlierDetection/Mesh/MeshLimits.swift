/// Bounds of mesh-wide outlier detection. What is beyond them is left out and counted (`MeshCounters`).
public struct MeshLimits: Sendable {
    public var reportersMax = 4_096
    public var clustersMax = 8_192
    /// Endpoints of all clusters.
    public var endpointsMax = 65_536
    /// Opinions of all reporters on all endpoints, 64 bytes each; as many again of one cluster while its window ends.
    public var opinionsMax = 1_000_000
    /// Of one report.
    public var clustersPerReportMax = 8_192
    public var endpointsPerReportMax = 16_384
    /// Ejections and their ends that are kept, and as many suspicions that came to nothing. The oldest go first; what is older than
    /// `historyNanoseconds` is not shown.
    public var decisionsMax = 4_096
    public var historyNanoseconds: UInt64 = 3_600_000_000_000
    /// Reporters that a decision names.
    public var voicesMax = 16
    /// Reporters that are silent for so long are forgotten.
    public var silenceNanoseconds: UInt64 = 600_000_000_000
    /// A window is at least and at most so long, whatever reporters say.
    public var windowNanosecondsMin: UInt64 = 100_000_000
    public var windowNanosecondsMax: UInt64 = 300_000_000_000
    /// A report that covers more of its cluster's windows than this is of the past: its counts judge nobody.
    public var windowsPerReportMax: UInt64 = 3
    /// Windows for which a reporter's last opinion of an endpoint holds.
    public static let opinionWindows: UInt64 = 6
    /// Windows that the windowed error rate may look at.
    public static let errorRateWindowsMax = 10
    /// Windows in a row that the latency detector may ask for.
    public static let latencyWindowsMax = 10

    public init() {}
}
