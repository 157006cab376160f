internal import MeshConfig
internal import Primitives

/// What policies say of a cluster, as its entry has it.
extension ClusterEntry {
    mutating func apply(_ policy: TrafficPolicy?) {
        switch policy?.loadBalancer?.simple {
        case .roundRobin: balancer = .roundRobin
        case .random: balancer = .random
        case .leastRequest, .passthrough, nil: balancer = .leastRequest
        }
        prefersDialled = policy?.loadBalancer?.simple == .passthrough
        if let settings = policy?.outlierDetection { outlier = OutlierPolicy(settings) }
        if let settings = policy?.loadBalancer?.warmup, balancer == .leastRequest || balancer == .roundRobin {
            warmup = WarmupPolicy(
                nanoseconds: UInt64(max(0, settings.durationNanoseconds)), minimum: settings.minimumPercent / 100,
                aggression: settings.aggression)
        }
        if let pool = policy?.connectionPool { apply(pool) }
        if let version = policy?.proxyProtocol {
            proxyProtocol = version == .v1 ? 1 : 2
            // What a connection has said of its client holds for no other.
            maxRequestsPerConnection = 1
            maxConcurrentStreams = 1
        }
    }

    mutating func apply(_ budget: RetryBudgetSettings) {
        hasRetryBudget = true
        retryBudgetShare = FaultPolicy.share(percent: budget.percent)
        retryBudgetMin = budget.minRetryConcurrency
        retryBudgetNanoseconds = UInt64(budget.intervalNanoseconds)
    }

    mutating func apply(_ pool: ConnectionPoolSettings) {
        if pool.upgradesToHTTP2 { isHTTP2 = true }
        // 0 cannot be told from absent in Istio's resource (semantics 2.4).
        if let limit = pool.maxConnections, limit > 0 { maxConnections = limit }
        if let limit = pool.http1MaxPendingRequests, limit > 0 { maxPendingRequests = limit }
        if let limit = pool.http2MaxRequests, limit > 0 { maxRequests = limit }
        if let limit = pool.maxRetries, limit > 0 { maxRetries = limit }
        if let timeout = pool.connectTimeoutNanoseconds, timeout > 0 { connectTimeoutNanoseconds = UInt64(timeout) }
        if let timeout = pool.idleTimeoutNanoseconds, timeout >= 0 { idleTimeoutNanoseconds = UInt64(timeout) }
        maxRequestsPerConnection = pool.maxRequestsPerConnection ?? 0
        maxConnectionNanoseconds = UInt64(max(0, pool.maxConnectionDurationNanoseconds ?? 0))
        if let timeout = pool.tcpIdleTimeoutNanoseconds, timeout >= 0 { tcpIdleTimeoutNanoseconds = UInt64(timeout) }
        if let limit = pool.maxConcurrentStreams, limit > 0 { maxConcurrentStreams = limit }
        usesClientProtocol = pool.usesClientProtocol
        if let settings = pool.keepalive { keepalive = KeepalivePolicy(settings) }
    }

    mutating func apply(_ policy: UpstreamPolicy) {
        if policy.isPeakEWMA { balancer = .peakEWMA }
        if let rate = policy.successRate {
            outlier.isEnabled = true
            outlier.rates.successRateEnforcing = rate.enforcing
            outlier.rates.successRateMinimumHosts = rate.minimumHosts
            outlier.rates.successRateRequestVolume = rate.requestVolume
            outlier.rates.successRateStdevFactorThousandths = UInt32(max(0, min(1_000_000, rate.stdevFactor * 1000)))
        }
        if let percentage = policy.failurePercentage {
            outlier.isEnabled = true
            outlier.rates.failurePercentageEnforcing = percentage.enforcing
            outlier.rates.failurePercentageThreshold = percentage.threshold
            outlier.rates.failurePercentageMinimumHosts = percentage.minimumHosts
            outlier.rates.failurePercentageRequestVolume = percentage.requestVolume
        }
        if let most = policy.maxEjectionTimeNanoseconds { outlier.rates.maxEjectionNanoseconds = most }
        let jitter = policy.maxEjectionTimeJitterNanoseconds
        if jitter > 0 { outlier.rates.maxEjectionJitterNanoseconds = jitter }
    }
}

extension OutlierPolicy {
    init(_ settings: OutlierDetectionSettings) {
        isEnabled = true
        consecutive5xx = settings.consecutive5xxErrors.map(Int64.init) ?? -1
        consecutiveGateway = settings.consecutiveGatewayErrors.map(Int64.init) ?? -1
        consecutiveLocalOrigin = settings.consecutiveLocalOriginFailures.map(Int64.init) ?? -1
        splitsLocalOrigin = settings.splitExternalLocalOriginErrors
        intervalNanoseconds = settings.intervalNanoseconds ?? -1
        baseEjectionNanoseconds = settings.baseEjectionTimeNanoseconds ?? -1
        maxEjectionPercent = settings.maxEjectionPercent.map(Int64.init) ?? -1
        minHealthPercent = settings.minHealthPercent.map(Int64.init) ?? -1
    }
}

extension KeepalivePolicy {
    init(_ settings: KeepaliveSettings) {
        func seconds(_ nanoseconds: Int64?) -> Int32 { nanoseconds.map { Int32(clamping: max(1, $0 / 1_000_000_000)) } ?? 0 }
        isOn = true
        probes = Int32(clamping: settings.probes ?? 0)
        idleSeconds = seconds(settings.timeNanoseconds)
        intervalSeconds = seconds(settings.intervalNanoseconds)
    }
}
