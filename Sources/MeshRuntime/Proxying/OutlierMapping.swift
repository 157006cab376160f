internal import MeshConfig
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
        if policy.isOfMeshAlone {
            consecutive5xx = 0
            consecutiveGateway = 0
            consecutiveLocalOrigin = 0
        }
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

extension MeshDetectors {
    /// What reports say of a cluster for which the resource decides.
    init(_ resource: MeshOutlierDetection) {
        self.init()
        errorRate = resource.errorRate.map { rate in
            var own = ErrorRate()
            own.percent = UInt64(rate.threshold)
            own.volume = UInt64(rate.minimumVolume)
            own.windows = UInt64(rate.windows)
            return own
        }
        latency = resource.latency.map { slow in
            var own = Latency()
            own.factorThousandths = UInt64(min(max(1, slow.factor), MeshOutlierDetection.Latency.factorMax) * 1000)
            own.millisecondsMin = UInt64(max(0, slow.minimumNanoseconds) / 1_000_000)
            own.volume = UInt64(slow.minimumVolume)
            own.peersMin = UInt64(slow.minimumPeers)
            own.windows = UInt64(slow.windows)
            return own
        }
        enforcesErrorRate = true
        enforcesLatency = true
        ejects = resource.mode == .enforce
        voicesMin = UInt64(resource.minimumReporters)
    }
}
