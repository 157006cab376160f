internal import Primitives

/// What makes an endpoint an outlier, and what happens to it then. The names are Envoy's; the defaults are Envoy's as Istio drives it
/// (semantics 2.5). A threshold of 0 switches its detector off; an enforcement of 0 detects and counts without ejecting.
public struct OutlierSettings: Hashable, Sendable {
    // MARK: Detectors of consecutive errors

    /// Errors in a row: any 5xx, and local failures unless they are split off.
    public var consecutive5xx: UInt32 = 5
    /// Errors in a row: 502, 503, 504, and local failures unless they are split off.
    public var consecutiveGateway: UInt32 = 5
    /// Local failures in a row (connect failure, timeout, reset); counted only with `splitExternalLocalOriginErrors`.
    public var consecutiveLocalOrigin: UInt32 = 5
    /// Whether local failures are judged apart from what the endpoint answered.
    public var splitExternalLocalOriginErrors = false

    // MARK: Times, nanoseconds

    /// Between two ticks; a tick un-ejects, evaluates rates and lets ejection times shrink.
    public var intervalNanoseconds: UInt64 = 10_000_000_000
    /// The first ejection's time; the n-th in a row takes n times as long.
    public var baseEjectionTimeNanoseconds: UInt64 = 30_000_000_000
    /// Upper bound of an ejection before jitter; nil = 300 s or the base time, whichever is longer.
    public var maxEjectionTimeNanoseconds: UInt64?
    /// A uniform draw from 0 up to and including this is added to each ejection.
    public var maxEjectionTimeJitterNanoseconds: UInt64 = 0

    // MARK: How many may be out

    /// Percent of the cluster's endpoints that may be ejected at once, 0...100.
    public var maxEjectionPercent: UInt32 = 10
    /// Lets the first ejection happen whatever `maxEjectionPercent` says, as older Envoys always did.
    public var alwaysEjectOneHost = false
    /// Below this percentage of available endpoints a balancer uses all of them, ejected or not; 0 = never.
    public var minHealthPercent: UInt32 = 0
    /// A passed active health check ends an ejection at once.
    public var successfulActiveHealthCheckUnejectsHost = true

    // MARK: Chance that a detection ejects, percent 0...100

    public var enforcingConsecutive5xx: UInt32 = 100
    public var enforcingConsecutiveGateway: UInt32 = 0
    public var enforcingConsecutiveLocalOrigin: UInt32 = 100
    /// Off unless asked for, as Istio has it.
    public var enforcingSuccessRate: UInt32 = 0
    public var enforcingLocalOriginSuccessRate: UInt32 = 0
    public var enforcingFailurePercentage: UInt32 = 0
    public var enforcingFailurePercentageLocalOrigin: UInt32 = 0

    // MARK: Detectors of rates, evaluated at each tick over the interval that ended

    /// Endpoints with enough requests before success rates are compared.
    public var successRateMinimumHosts: UInt32 = 5
    /// Requests in one interval before an endpoint's success rate counts.
    public var successRateRequestVolume: UInt32 = 100
    /// Thousandths: an endpoint is an outlier below mean − factor × standard deviation; 1,900 means 1.9.
    public var successRateStdevFactorThousandths: UInt32 = 1_900
    /// Percent of failures, inclusive.
    public var failurePercentageThreshold: UInt32 = 85
    public var failurePercentageMinimumHosts: UInt32 = 5
    public var failurePercentageRequestVolume: UInt32 = 50

    public init() {}

    /// The settings that Istio makes of a DestinationRule's `outlierDetection`; nil = the field is absent.
    ///
    /// An error count of 0 switches that detector's enforcement off, above 0 enforces it always; without a number 5xx and (when split)
    /// local-origin errors are enforced at Envoy's 5, gateway errors are not. A `maxEjectionPercent` of 0 cannot be told from an absent one
    /// in Istio's resource and means the default.
    public static func istio(
        consecutive5xxErrors: UInt32? = nil, consecutiveGatewayErrors: UInt32? = nil, consecutiveLocalOriginFailures: UInt32? = nil,
        splitExternalLocalOriginErrors: Bool? = nil, intervalNanoseconds: UInt64? = nil, baseEjectionTimeNanoseconds: UInt64? = nil,
        maxEjectionPercent: UInt32? = nil, minHealthPercent: UInt32? = nil
    ) -> OutlierSettings {
        var settings = OutlierSettings()
        if let count = consecutive5xxErrors {
            settings.enforcingConsecutive5xx = count > 0 ? 100 : 0
            if count > 0 { settings.consecutive5xx = count }
        }
        if let count = consecutiveGatewayErrors {
            settings.enforcingConsecutiveGateway = count > 0 ? 100 : 0
            if count > 0 { settings.consecutiveGateway = count }
        }
        settings.splitExternalLocalOriginErrors = splitExternalLocalOriginErrors ?? false
        if let count = consecutiveLocalOriginFailures {
            settings.enforcingConsecutiveLocalOrigin = count > 0 ? 100 : 0
            if count > 0 { settings.consecutiveLocalOrigin = count }
        }
        if let interval = intervalNanoseconds, interval > 0 { settings.intervalNanoseconds = interval }
        if let base = baseEjectionTimeNanoseconds, base > 0 { settings.baseEjectionTimeNanoseconds = base }
        if let percent = maxEjectionPercent, percent > 0 { settings.maxEjectionPercent = min(100, percent) }
        settings.minHealthPercent = min(100, minHealthPercent ?? 0)
        return settings
    }
}

extension OutlierSettings {
    static let maxEjectionTimeNanosecondsDefault: UInt64 = 300_000_000_000

    /// Never below the base time.
    public var effectiveMaxEjectionTimeNanoseconds: UInt64 {
        max(maxEjectionTimeNanoseconds ?? Self.maxEjectionTimeNanosecondsDefault, baseEjectionTimeNanoseconds)
    }

    /// Whether a rate detector may eject, so that workers need to count requests per interval.
    public var evaluatesRates: Bool {
        enforcingSuccessRate | enforcingLocalOriginSuccessRate | enforcingFailurePercentage | enforcingFailurePercentageLocalOrigin != 0
    }

    /// Whether one more of `hosts` endpoints may be ejected while `ejected` are: 100 × (ejected + 1) / hosts ≤ maxEjectionPercent.
    public func allowsEjection(ejected: Int, hosts: Int) -> Bool {
        if alwaysEjectOneHost, ejected == 0, hosts > 0 { return true }
        return hosts > 0 && 100 * (ejected + 1) <= Int(min(100, maxEjectionPercent)) * hosts
    }

    /// Whether a balancer should use all `hosts` endpoints, ejected or not, because too few are `available` (panic).
    public func panics(available: Int, hosts: Int) -> Bool {
        hosts > 0 && 100 * available < Int(min(100, minHealthPercent)) * hosts
    }

    /// The multiplier of an ejection after one with `backoff`. It stops growing once it has passed the longest time, so that shrinking
    /// shows soon after.
    func grown(_ backoff: UInt32) -> UInt32 {
        let (limit, isBeyond) = effectiveMaxEjectionTimeNanoseconds.addingReportingOverflow(baseEjectionTimeNanoseconds)
        return Self.product(baseEjectionTimeNanoseconds, backoff) < (isBeyond ? .max : limit) ? backoff &+ 1 : backoff
    }

    /// An ejection's time before jitter.
    func ejectionTime(backoff: UInt32) -> UInt64 {
        min(Self.product(baseEjectionTimeNanoseconds, backoff), effectiveMaxEjectionTimeNanoseconds)
    }

    private static func product(_ base: UInt64, _ times: UInt32) -> UInt64 {
        let (value, overflow) = base.multipliedReportingOverflow(by: UInt64(times))
        return overflow ? .max : value
    }

    /// Uniform in 0...max of the jitter, both included.
    func jitter(_ random: inout RandomSource) -> UInt64 {
        let most = maxEjectionTimeJitterNanoseconds
        guard most > 0 else { return 0 }
        guard most < .max else { return random.next() }
        return random.next().multipliedFullWidth(by: most + 1).high
    }

    /// The part that `UpstreamState.record` needs.
    public var thresholds: OutlierThresholds {
        OutlierThresholds(
            consecutive5xx: consecutive5xx, consecutiveGateway: consecutiveGateway, consecutiveLocalOrigin: consecutiveLocalOrigin,
            splitsLocalOrigin: splitExternalLocalOriginErrors, countsRequests: evaluatesRates)
    }

    func enforcement(of reason: EjectionReason) -> UInt32 {
        switch reason {
        case .consecutive5xx: enforcingConsecutive5xx
        case .consecutiveGatewayFailure: enforcingConsecutiveGateway
        case .consecutiveLocalOriginFailure: enforcingConsecutiveLocalOrigin
        case .successRate: enforcingSuccessRate
        case .localOriginSuccessRate: enforcingLocalOriginSuccessRate
        case .failurePercentage: enforcingFailurePercentage
        case .localOriginFailurePercentage: enforcingFailurePercentageLocalOrigin
        case .errorRate, .latency: 0
        }
    }
}

/// When a worker must tell the judge; a copy lives in each compiled cluster. All zero (`off`) counts nothing.
public struct OutlierThresholds: Hashable, Sendable, BitwiseCopyable {
    /// Errors in a row; 0 = never.
    public var consecutive5xx: UInt32
    public var consecutiveGateway: UInt32
    public var consecutiveLocalOrigin: UInt32
    public var splitsLocalOrigin: Bool
    /// Whether successes and totals per interval are counted.
    public var countsRequests: Bool
    /// Whether outcomes are counted for the mesh, also where no threshold is set.
    public var countsOutcomes: Bool

    @inlinable
    public init(
        consecutive5xx: UInt32, consecutiveGateway: UInt32, consecutiveLocalOrigin: UInt32, splitsLocalOrigin: Bool, countsRequests: Bool,
        countsOutcomes: Bool = true
    ) {
        self.consecutive5xx = consecutive5xx
        self.consecutiveGateway = consecutiveGateway
        self.consecutiveLocalOrigin = consecutiveLocalOrigin
        self.splitsLocalOrigin = splitsLocalOrigin
        self.countsRequests = countsRequests
        self.countsOutcomes = countsOutcomes
    }

    /// For a cluster without outlier detection.
    public static let off = OutlierThresholds(
        consecutive5xx: 0, consecutiveGateway: 0, consecutiveLocalOrigin: 0, splitsLocalOrigin: false, countsRequests: false,
        countsOutcomes: false)
}
