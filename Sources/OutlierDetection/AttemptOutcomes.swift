public import Primitives
internal import Glibc
internal import Synchronization

/// How one attempt at an endpoint ended, for the error counters.
public enum AttemptOutcome: Hashable, Sendable, BitwiseCopyable {
    /// A response arrived. For gRPC the HTTP equivalent of its grpc-status.
    case response(status: UInt16)
    /// TCP: the connection was made, which is all there is to judge.
    case connected
    /// Local failures: what the endpoint did to us rather than answered.
    case connectFailed, timedOut, reset

    /// The status that a local failure counts as when it is not split off; 0 = a success.
    var equivalentStatus: UInt16 {
        switch self {
        case .response(let status): status
        case .connected: 200
        case .connectFailed, .reset: 503
        case .timedOut: 504
        }
    }

    var isLocalFailure: Bool {
        switch self {
        case .response, .connected: false
        case .connectFailed, .timedOut, .reset: true
        }
    }
}

/// Which thresholds an outcome crossed. One 503 may cross two.
public struct OutlierCrossing: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let gateway = OutlierCrossing(rawValue: 1)
    public static let fiveXX = OutlierCrossing(rawValue: 2)
    public static let localOrigin = OutlierCrossing(rawValue: 4)
}

extension UpstreamState {
    /// Any thread: counts an attempt's outcome. What it returns is not empty exactly once per threshold reached, on the thread whose outcome
    /// reached it; that thread then calls `OutlierJudge.crossed`. Consecutive counts grow by a qualifying error and fall to zero by anything
    /// else: 5xx by any other status, gateway errors (502, 503, 504) also by another 5xx (semantics 2.5).
    public func record(_ outcome: AttemptOutcome, endpoint: EndpointSlot, thresholds: OutlierThresholds) -> OutlierCrossing {
        guard thresholds != .off, let row = unsafe row(endpoint) else { return [] }
        if thresholds.splitsLocalOrigin {
            if thresholds.countsRequests { unsafe count(row + EndpointWord.intervalLocalOrigin, success: !outcome.isLocalFailure) }
            if outcome.isLocalFailure {
                return unsafe increment(row + EndpointWord.consecutiveLocalOrigin, thresholds.consecutiveLocalOrigin) ? .localOrigin : []
            }
            unsafe reset(row + EndpointWord.consecutiveLocalOrigin)
            // A connection says nothing about what the endpoint answers.
            if outcome == .connected { return [] }
        }
        let status = outcome.equivalentStatus
        let isError = (500...599).contains(status)
        if thresholds.countsRequests { unsafe count(row + EndpointWord.intervalExternal, success: !isError) }
        guard isError else {
            unsafe reset(row + EndpointWord.consecutive5xx)
            unsafe reset(row + EndpointWord.consecutiveGateway)
            return []
        }
        var crossing: OutlierCrossing = []
        if (502...504).contains(status) {
            if unsafe increment(row + EndpointWord.consecutiveGateway, thresholds.consecutiveGateway) { crossing.insert(.gateway) }
        } else {
            unsafe reset(row + EndpointWord.consecutiveGateway)
        }
        if unsafe increment(row + EndpointWord.consecutive5xx, thresholds.consecutive5xx) { crossing.insert(.fiveXX) }
        return crossing
    }

    /// Only who makes the count equal to the threshold is told; later errors find it above, until the judge resets it.
    @unsafe
    private func increment(_ cell: UnsafeMutablePointer<Atomic<UInt64>>, _ threshold: UInt32) -> Bool {
        guard threshold > 0 else { return false }
        return unsafe cell.pointee.wrappingAdd(1, ordering: .relaxed).newValue == UInt64(threshold)
    }

    /// Reads first: an endpoint without errors keeps its line shared among the workers' caches.
    @unsafe
    private func reset(_ cell: UnsafeMutablePointer<Atomic<UInt64>>) {
        if unsafe cell.pointee.load(ordering: .relaxed) != 0 { unsafe cell.pointee.store(0, ordering: .relaxed) }
    }

    /// Total in the upper half, successes in the lower: one exchange takes both, so no request is half in one interval and half in the next.
    /// 2^32 requests of one endpoint in one interval would mix them up.
    @unsafe
    private func count(_ cell: UnsafeMutablePointer<Atomic<UInt64>>, success: Bool) {
        unsafe cell.pointee.wrappingAdd(1 << 32 | (success ? 1 : 0), ordering: .relaxed)
    }
}

// MARK: Balancers

extension UpstreamState {
    /// Any thread: whether a balancer should leave this endpoint out (unless its cluster panics).
    public func isAvailable(_ endpoint: EndpointSlot) -> Bool {
        guard let row = unsafe row(endpoint) else { return true }
        return unsafe row[EndpointWord.ejectedUntil].load(ordering: .relaxed) | row[EndpointWord.failedHealthCheck].load(ordering: .relaxed) == 0
    }

    public func isEjected(_ endpoint: EndpointSlot) -> Bool { ejectedUntil(endpoint) != nil }

    /// The earliest end of the running ejection; nil when admitted.
    public func ejectedUntil(_ endpoint: EndpointSlot) -> MonotonicInstant? {
        guard let row = unsafe row(endpoint) else { return nil }
        let until = unsafe row[EndpointWord.ejectedUntil].load(ordering: .relaxed)
        return until == 0 ? nil : MonotonicInstant(nanoseconds: until)
    }

    /// Whoever runs active health checks: their verdict.
    public func setHealthCheckFailed(_ endpoint: EndpointSlot, _ failed: Bool) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe row[EndpointWord.failedHealthCheck].store(failed ? 1 : 0, ordering: .relaxed)
    }

    /// Any thread: an attempt begins; pair with `requestEnded`. An endpoint's slot is kept while one is active.
    public func requestBegan(_ endpoint: EndpointSlot) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe row[EndpointWord.activeRequests].wrappingAdd(1, ordering: .relaxed)
    }

    public func requestEnded(_ endpoint: EndpointSlot) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe decrement(row + EndpointWord.activeRequests)
    }

    /// Any thread: attempts in flight over all workers.
    public func activeRequests(_ endpoint: EndpointSlot) -> UInt64 {
        guard let row = unsafe row(endpoint) else { return 0 }
        return unsafe row[EndpointWord.activeRequests].load(ordering: .relaxed)
    }

    /// Default memory of the latency average.
    public static let latencyDecayNanosecondsDefault: UInt64 = 10_000_000_000

    /// Any thread: folds one latency into the endpoint's peak-sensitive moving average: a slower answer is believed at once, faster ones
    /// win it back with weight 1 − e^(−elapsed / decay). Microseconds in the lower half, milliseconds of the last change in the upper half,
    /// so that both change together.
    public func recordLatency(
        nanoseconds: UInt64, endpoint: EndpointSlot, now: MonotonicInstant, decayNanoseconds: UInt64 = latencyDecayNanosecondsDefault
    ) {
        guard let row = unsafe row(endpoint) else { return }
        let sample = max(1, UInt32(clamping: nanoseconds / 1000))
        let stamp = UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000)
        var old = unsafe row[EndpointWord.latency].load(ordering: .relaxed)
        while true {
            guard let average = Self.average(old, sample: sample, stamp: stamp, decayNanoseconds: decayNanoseconds) else { return }
            let fresh = UInt64(stamp) << 32 | UInt64(average)
            let (exchanged, original) = unsafe row[EndpointWord.latency].weakCompareExchange(expected: old, desired: fresh, ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }

    /// Any thread: the moving average, microseconds; 0 = no attempt has ended yet.
    public func latencyMicroseconds(_ endpoint: EndpointSlot) -> UInt32 {
        guard let row = unsafe row(endpoint) else { return 0 }
        return UInt32(truncatingIfNeeded: unsafe row[EndpointWord.latency].load(ordering: .relaxed))
    }

    /// Nil when the average would move by less than a microsecond: then the time since its last change goes on growing instead of the
    /// rounding deciding.
    private static func average(_ old: UInt64, sample: UInt32, stamp: UInt32, decayNanoseconds: UInt64) -> UInt32? {
        let average = UInt32(truncatingIfNeeded: old)
        guard average > sample, decayNanoseconds > 0 else { return sample }
        let elapsed = Int32(truncatingIfNeeded: stamp &- UInt32(truncatingIfNeeded: old >> 32))
        // A little back: another worker's clock is a turn ahead. Far back: the stamp has wrapped around in weeks without a request.
        guard elapsed > 0 else { return elapsed > -10_000 ? nil : sample }
        let drop = Double(average - sample) * (1 - exp(-Double(elapsed) * 1_000_000 / Double(decayNanoseconds)))
        return drop < 1 ? nil : average - UInt32(drop)
    }
}

// MARK: The judge's side

extension UpstreamState {
    func setEjected(_ endpoint: EndpointSlot, until: MonotonicInstant) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe row[EndpointWord.ejectedUntil].store(max(1, until.nanoseconds), ordering: .relaxed)
    }

    /// The endpoint is admitted with clean consecutive counts, so that an old error does not bring it half way back out.
    func admit(_ endpoint: EndpointSlot) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe row[EndpointWord.ejectedUntil].store(0, ordering: .relaxed)
        resetConsecutive(endpoint, [.fiveXX, .gateway, .localOrigin])
    }

    func resetConsecutive(_ endpoint: EndpointSlot, _ kinds: OutlierCrossing) {
        guard let row = unsafe row(endpoint) else { return }
        if kinds.contains(.fiveXX) { unsafe row[EndpointWord.consecutive5xx].store(0, ordering: .relaxed) }
        if kinds.contains(.gateway) { unsafe row[EndpointWord.consecutiveGateway].store(0, ordering: .relaxed) }
        if kinds.contains(.localOrigin) { unsafe row[EndpointWord.consecutiveLocalOrigin].store(0, ordering: .relaxed) }
    }

    /// The counts since the last call, which begin anew.
    func takeInterval(_ endpoint: EndpointSlot) -> IntervalSample {
        guard let row = unsafe row(endpoint) else { return IntervalSample(host: endpoint) }
        func take(_ word: Int) -> IntervalSample.Counts {
            let both = unsafe row[word].exchange(0, ordering: .relaxed)
            return IntervalSample.Counts(successes: UInt32(truncatingIfNeeded: both), total: UInt32(truncatingIfNeeded: both >> 32))
        }
        return IntervalSample(host: endpoint, external: take(EndpointWord.intervalExternal), localOrigin: take(EndpointWord.intervalLocalOrigin))
    }
}
