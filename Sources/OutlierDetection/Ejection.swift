public import Primitives

/// Which detector found an outlier.
public enum EjectionReason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case consecutive5xx, consecutiveGatewayFailure, consecutiveLocalOriginFailure
    case successRate, localOriginSuccessRate, failurePercentage, localOriginFailurePercentage
    /// Mesh-wide only (docs/outliers.md).
    case errorRate, latency

    /// As in Envoy's counters `outlier_detection.ejections_enforced_<name>` and `ejections_detected_<name>`.
    public var name: String {
        switch self {
        case .consecutive5xx: "consecutive_5xx"
        case .consecutiveGatewayFailure: "consecutive_gateway_failure"
        case .consecutiveLocalOriginFailure: "consecutive_local_origin_failure"
        case .successRate: "success_rate"
        case .localOriginSuccessRate: "local_origin_success_rate"
        case .failurePercentage: "failure_percentage"
        case .localOriginFailurePercentage: "local_origin_failure_percentage"
        case .errorRate: "error_rate"
        case .latency: "latency"
        }
    }
}

/// Why an ejected endpoint is back.
public enum UnejectionCause: UInt8, Sendable, BitwiseCopyable {
    /// Its time was over at an interval tick.
    case timeOver
    /// An active health check passed.
    case healthCheckPassed
    /// It left the cluster, or the cluster's detection was switched off.
    case removed
}

/// One endpoint's way out of the balancers' sight.
public struct Ejection: Hashable, Sendable {
    public var host: EndpointSlot
    public var reason: EjectionReason
    /// With jitter.
    public var durationNanoseconds: UInt64
    /// The earliest end; the real one is the first interval tick at or after it.
    public var until: MonotonicInstant
    /// Ejections of this endpoint so far, this one included.
    public var count: UInt32

    public init(host: EndpointSlot, reason: EjectionReason, durationNanoseconds: UInt64, until: MonotonicInstant, count: UInt32) {
        self.host = host
        self.reason = reason
        self.durationNanoseconds = durationNanoseconds
        self.until = until
        self.count = count
    }
}

/// What an interval tick changed.
public enum EjectionChange: Hashable, Sendable {
    case ejected(Ejection)
    case unejected(EndpointSlot)
}

/// What became of one detection.
public enum EjectionVerdict: Hashable, Sendable {
    case ejected(Ejection)
    /// `maxEjectionPercent` forbids one more; counted as overflow.
    case overflow
    /// The detector's enforcement percentage said no.
    case notEnforced
    /// Already ejected, or not of this cluster (any more).
    case ignored
}

/// Counters of one cluster since its detection began; index of the arrays = `EjectionReason.rawValue`, unit = detections.
public struct EjectionCounters: Hashable, Sendable {
    public var detected = [UInt64](repeating: 0, count: EjectionReason.allCases.count)
    public var enforced = [UInt64](repeating: 0, count: EjectionReason.allCases.count)
    /// Detections that `maxEjectionPercent` kept from ejecting.
    public var overflow: UInt64 = 0
    public var unejections: UInt64 = 0

    public init() {}

    public var enforcedTotal: UInt64 { enforced.reduce(0, &+) }
}

/// One endpoint's requests in the interval that ended.
public struct IntervalSample: Hashable, Sendable {
    public struct Counts: Hashable, Sendable {
        public var successes: UInt32
        public var total: UInt32

        public init(successes: UInt32 = 0, total: UInt32 = 0) {
            self.successes = successes
            self.total = total
        }
    }

    public var host: EndpointSlot
    /// What the endpoint answered (and local failures, unless they are split off).
    public var external: Counts
    /// Whether it could be reached; all zero unless split.
    public var localOrigin: Counts

    public init(host: EndpointSlot, external: Counts = Counts(), localOrigin: Counts = Counts()) {
        self.host = host
        self.external = external
        self.localOrigin = localOrigin
    }
}
