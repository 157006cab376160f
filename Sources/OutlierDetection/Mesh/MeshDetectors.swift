/// What judges a cluster beyond `OutlierSettings`: the detectors that only the mesh has, and whether the mesh ejects at all.
///
/// A MeshOutlierDetection says so for its host, and reports carry it. Of clusters without one the collector has its own
/// (`--enforce-outliers`).
public struct MeshDetectors: Hashable, Sendable {
    /// Failures of all attempts in the last windows.
    public struct ErrorRate: Hashable, Sendable {
        /// Percent of failures, inclusive; 1...100.
        public var percent: UInt64 = 50
        /// Attempts in these windows, of all reporters; at least 1.
        public var volume: UInt64 = 50
        /// That are looked at, 1...`MeshLimits.errorRateWindowsMax`.
        public var windows: UInt64 = 3

        public init() {}
    }

    /// An endpoint's 95th percentile against the median of its peers'.
    public struct Latency: Hashable, Sendable {
        /// Thousandths: 3,000 means three times the median; at least 1,001, so that no endpoint is as slow as itself.
        public var factorThousandths: UInt64 = 3_000
        /// And at least so much, milliseconds: below it, buckets are too coarse to compare.
        public var millisecondsMin: UInt64 = 25
        /// Requests in one window, of the endpoint and of each peer that is compared; at least 1.
        public var volume: UInt64 = 50
        /// At least 1.
        public var peersMin: UInt64 = 3
        /// In a row in which it is slow, 1...`MeshLimits.latencyWindowsMax`. The percentile of few requests is a matter of chance: with one
        /// window alone, endpoints whose latencies have heavy tails were ejected wrongly (docs/measurements.md).
        public var windows: UInt64 = 2

        public init() {}
    }

    /// Nil = off.
    public var errorRate: ErrorRate? = ErrorRate()
    public var latency: Latency? = Latency()
    /// False: such a detection is shown and counted and ejects nobody.
    public var enforcesErrorRate = false
    public var enforcesLatency = false
    /// False: nobody of the cluster is ejected mesh-wide, whichever detector found it. What is found is shown.
    public var ejects = true
    /// Voices with a say below which nobody is ejected; at least 1.
    public var voicesMin: UInt64 = 1

    public init() {}

    /// Each number within its range, whoever wrote it.
    public var bounded: MeshDetectors {
        func within(_ value: UInt64, _ range: ClosedRange<UInt64>) -> UInt64 { min(max(value, range.lowerBound), range.upperBound) }
        var bounded = self
        if var rate = errorRate {
            rate.percent = within(rate.percent, 1...100)
            rate.volume = max(1, rate.volume)
            rate.windows = within(rate.windows, 1...UInt64(MeshLimits.errorRateWindowsMax))
            bounded.errorRate = rate
        }
        if var slow = latency {
            slow.factorThousandths = within(slow.factorThousandths, 1_001...1_000_000)
            slow.volume = max(1, slow.volume)
            slow.peersMin = max(1, slow.peersMin)
            slow.windows = within(slow.windows, 1...UInt64(MeshLimits.latencyWindowsMax))
            bounded.latency = slow
        }
        bounded.voicesMin = max(1, voicesMin)
        return bounded
    }

    /// Percent of the detections that eject.
    func enforcement(of reason: EjectionReason, _ settings: OutlierSettings) -> UInt32 {
        guard ejects else { return 0 }
        return switch reason {
        case .errorRate: enforcesErrorRate ? 100 : 0
        case .latency: enforcesLatency ? 100 : 0
        default: settings.enforcement(of: reason)
        }
    }
}
