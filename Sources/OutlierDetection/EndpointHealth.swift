public import Primitives
internal import Synchronization

extension UpstreamState {
    /// Any thread: whether a balancer should leave this endpoint out (unless its cluster panics).
    public func isAvailable(_ endpoint: EndpointSlot) -> Bool {
        guard let row = unsafe row(endpoint) else { return true }
        let ejected = unsafe row[EndpointWord.ejectedUntil].load(ordering: .relaxed)
            | row[EndpointWord.meshEjectedUntil].load(ordering: .relaxed)
        return unsafe ejected | row[EndpointWord.failedHealthCheck].load(ordering: .relaxed) == 0
    }

    /// By local detection or mesh-wide.
    public func isEjected(_ endpoint: EndpointSlot) -> Bool { ejectedUntil(endpoint) != nil || meshEjectedUntil(endpoint) != nil }

    /// The end of the ejection that the collector asked for, whatever local detection says; nil = none runs.
    public func meshEjectedUntil(_ endpoint: EndpointSlot) -> MonotonicInstant? {
        guard let row = unsafe row(endpoint) else { return nil }
        let until = unsafe row[EndpointWord.meshEjectedUntil].load(ordering: .relaxed)
        return until == 0 ? nil : MonotonicInstant(nanoseconds: until)
    }

    /// The earliest end of the running ejection by local detection; nil when that admits the endpoint.
    public func ejectedUntil(_ endpoint: EndpointSlot) -> MonotonicInstant? {
        guard let row = unsafe row(endpoint) else { return nil }
        let until = unsafe row[EndpointWord.ejectedUntil].load(ordering: .relaxed)
        return until == 0 ? nil : MonotonicInstant(nanoseconds: until)
    }

    /// Whoever runs active health checks: their verdict.
    public func setHealthCheckFailed(_ endpoint: EndpointSlot, _ failed: Bool) {
        guard let row = unsafe row(endpoint) else { return }
        let was = unsafe row[EndpointWord.failedHealthCheck].exchange(failed ? 1 : 0, ordering: .relaxed)
        if was != (failed ? 1 : 0) { availabilityVersion.wrappingAdd(1, ordering: .relaxed) }
    }

    public func hasFailedHealthCheck(_ endpoint: EndpointSlot) -> Bool {
        guard let row = unsafe row(endpoint) else { return false }
        return unsafe row[EndpointWord.failedHealthCheck].load(ordering: .relaxed) != 0
    }

    /// Control thread: an endpoint that has no age yet begins to have one.
    public func noteAppearance(_ endpoint: EndpointSlot, now: MonotonicInstant) {
        guard let row = unsafe row(endpoint), unsafe row[EndpointWord.since].load(ordering: .relaxed) == 0 else { return }
        noteReturn(endpoint, now: now)
    }

    /// Whoever runs active health checks: the endpoint is back, and begins anew.
    public func noteReturn(_ endpoint: EndpointSlot, now: MonotonicInstant) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe row[EndpointWord.since].store(max(1, now.nanoseconds), ordering: .relaxed)
    }

    /// Any thread: nanoseconds since the endpoint appeared or came back; `UInt64.max` when nobody noted that.
    public func age(_ endpoint: EndpointSlot, now: MonotonicInstant) -> UInt64 {
        guard let row = unsafe row(endpoint) else { return .max }
        let since = unsafe row[EndpointWord.since].load(ordering: .relaxed)
        return since == 0 ? .max : now.nanoseconds > since ? now.nanoseconds - since : 0
    }
}

// MARK: The judge's side

extension UpstreamState {
    func setEjected(_ endpoint: EndpointSlot, _ reason: EjectionReason, until: MonotonicInstant) {
        guard let row = unsafe row(endpoint) else { return }
        let before = unsafe row[EndpointWord.localEjections].load(ordering: .relaxed) >> 8
        unsafe row[EndpointWord.localEjections].store((before &+ 1) << 8 | UInt64(reason.rawValue), ordering: .relaxed)
        unsafe row[EndpointWord.ejectedUntil].store(max(1, until.nanoseconds), ordering: .relaxed)
        availabilityVersion.wrappingAdd(1, ordering: .relaxed)
    }

    /// `until`: nil = the mesh-wide ejection is over.
    func setMeshEjected(_ endpoint: EndpointSlot, until: MonotonicInstant?) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe row[EndpointWord.meshEjectedUntil].store(until.map { max(1, $0.nanoseconds) } ?? 0, ordering: .relaxed)
        availabilityVersion.wrappingAdd(1, ordering: .relaxed)
    }

    /// The endpoint is admitted with clean consecutive counts, so that an old error does not bring it half way back out.
    func admit(_ endpoint: EndpointSlot) {
        guard let row = unsafe row(endpoint) else { return }
        unsafe row[EndpointWord.ejectedUntil].store(0, ordering: .relaxed)
        availabilityVersion.wrappingAdd(1, ordering: .relaxed)
        resetConsecutive(endpoint, [.fiveXX, .gateway, .localOrigin])
    }

    func resetConsecutive(_ endpoint: EndpointSlot, _ kinds: OutlierCrossing) {
        guard let row = unsafe row(endpoint) else { return }
        if kinds.contains(.fiveXX) { unsafe row[EndpointWord.consecutive5xx].store(0, ordering: .relaxed) }
        if kinds.contains(.gateway) { unsafe row[EndpointWord.consecutiveGateway].store(0, ordering: .relaxed) }
        if kinds.contains(.localOrigin) { unsafe row[EndpointWord.consecutiveLocalOrigin].store(0, ordering: .relaxed) }
    }

    /// Which consecutive counts are above their thresholds, where `record` no longer reports them.
    func consecutiveBeyond(_ thresholds: OutlierThresholds, of endpoint: EndpointSlot) -> OutlierCrossing {
        guard let row = unsafe row(endpoint) else { return [] }
        func isBeyond(_ word: Int, _ threshold: UInt32) -> Bool {
            let count = unsafe row[word].load(ordering: .relaxed)
            return threshold > 0 && count > UInt64(threshold)
        }
        var beyond: OutlierCrossing = []
        if isBeyond(EndpointWord.consecutiveGateway, thresholds.consecutiveGateway) { beyond.insert(.gateway) }
        if isBeyond(EndpointWord.consecutive5xx, thresholds.consecutive5xx) { beyond.insert(.fiveXX) }
        if thresholds.splitsLocalOrigin, isBeyond(EndpointWord.consecutiveLocalOrigin, thresholds.consecutiveLocalOrigin) {
            beyond.insert(.localOrigin)
        }
        return beyond
    }

    /// The counts since the last call, which begin anew.
    func takeInterval(_ endpoint: EndpointSlot) -> IntervalSample {
        guard let row = unsafe row(endpoint) else { return IntervalSample(host: endpoint) }
        func take(_ word: Int) -> IntervalSample.Counts {
            let both = unsafe row[word].exchange(0, ordering: .relaxed)
            return IntervalSample.Counts(successes: UInt32(truncatingIfNeeded: both), total: UInt32(truncatingIfNeeded: both >> 32))
        }
        return IntervalSample(
            host: endpoint, external: take(EndpointWord.intervalExternal), localOrigin: take(EndpointWord.intervalLocalOrigin))
    }
}
