internal import OutlierDetection
internal import Routing

extension OutlierSettings {
    /// The detector's settings from the resource's, which Routing carries as written; nil = detection is off.
    ///
    /// `consecutiveErrors` was read as gateway errors, which is what it meant (semantics, seed notes): then the other counter of
    /// consecutive errors, which nobody asked for, must not eject earlier than the user wrote.
    init?(_ policy: OutlierPolicy) {
        guard policy.isEnabled else { return nil }
        func count(_ value: Int64) -> UInt32? { value < 0 ? nil : UInt32(clamping: value) }
        func time(_ value: Int64) -> UInt64? { value <= 0 ? nil : UInt64(value) }
        self = .istio(
            consecutive5xxErrors: count(policy.consecutive5xx), consecutiveGatewayErrors: count(policy.consecutiveGateway),
            consecutiveLocalOriginFailures: count(policy.consecutiveLocalOrigin), splitExternalLocalOriginErrors: policy.splitsLocalOrigin,
            intervalNanoseconds: time(policy.intervalNanoseconds), baseEjectionTimeNanoseconds: time(policy.baseEjectionNanoseconds),
            maxEjectionPercent: count(policy.maxEjectionPercent), minHealthPercent: count(policy.minHealthPercent))
        let rates = policy.rates
        enforcingSuccessRate = rates.successRateEnforcing
        successRateMinimumHosts = rates.successRateMinimumHosts
        successRateRequestVolume = rates.successRateRequestVolume
        successRateStdevFactorThousandths = rates.successRateStdevFactorThousandths
        enforcingFailurePercentage = rates.failurePercentageEnforcing
        failurePercentageThreshold = rates.failurePercentageThreshold
        failurePercentageMinimumHosts = rates.failurePercentageMinimumHosts
        failurePercentageRequestVolume = rates.failurePercentageRequestVolume
        if rates.maxEjectionNanoseconds > 0 { maxEjectionTimeNanoseconds = rates.maxEjectionNanoseconds }
        maxEjectionTimeJitterNanoseconds = rates.maxEjectionJitterNanoseconds
    }
}
