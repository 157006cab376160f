internal import Glibc
public import Primitives
internal import Synchronization

// What balancers weigh: attempts in flight and latency of an endpoint, over all workers.

extension UpstreamState {
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

    /// Parts of a microsecond in the latency cell.
    private static let latencyUnit: UInt32 = 16

    /// Any thread: folds one latency into the endpoint's peak-sensitive moving average: a slower answer is believed at once, faster ones
    /// win it back with weight 1 − e^(−elapsed / decay). The cell holds sixteenths of a microsecond (at most 268 s) in its lower half and
    /// the millisecond of the last change in its upper half, so that both change together.
    public func recordLatency(
        nanoseconds: UInt64, endpoint: EndpointSlot, now: MonotonicInstant, decayNanoseconds: UInt64 = latencyDecayNanosecondsDefault
    ) {
        guard let row = unsafe row(endpoint) else { return }
        let sample = max(Self.latencyUnit, UInt32(clamping: nanoseconds / 1000 &* UInt64(Self.latencyUnit)))
        let stamp = UInt32(truncatingIfNeeded: now.nanoseconds / 1_000_000)
        var old = unsafe row[EndpointWord.latency].load(ordering: .relaxed)
        while true {
            guard let average = Self.average(old, sample: sample, stamp: stamp, decayNanoseconds: decayNanoseconds) else { return }
            let fresh = UInt64(stamp) << 32 | UInt64(average)
            let (exchanged, original) = unsafe row[EndpointWord.latency].weakCompareExchange(
                expected: old, desired: fresh, ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }

    /// Any thread: the moving average, microseconds; 0 = no attempt has ended yet.
    public func latencyMicroseconds(_ endpoint: EndpointSlot) -> UInt32 {
        guard let row = unsafe row(endpoint) else { return 0 }
        return UInt32(truncatingIfNeeded: unsafe row[EndpointWord.latency].load(ordering: .relaxed)) / Self.latencyUnit
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
        return drop < Double(latencyUnit) ? nil : average - UInt32(drop.rounded())
    }
}
