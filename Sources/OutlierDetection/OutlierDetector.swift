public import Primitives

/// The endpoints of one cluster as outlier detection sees them: detections, samples and virtual time in; ejections out.
///
/// Pure and deterministic: it has no clock, and its draws (jitter, enforcement percentages) come from the seed. It keeps no error counters
/// (those are `UpstreamState`'s, shared by the workers): who calls it resets the counter that led to a verdict, and all counters of an
/// endpoint that comes back (semantics 2.5).
public struct OutlierDetector: Sendable {
    struct Host {
        var slot: EndpointSlot
        var isEjected = false
        var until = MonotonicInstant(nanoseconds: 0)
        /// Multiplier of the base time; grows with each ejection, shrinks with each quiet interval.
        var backoff: UInt32 = 0
        var ejections: UInt32 = 0
        var lastUnejection: MonotonicInstant?
    }

    public private(set) var settings: OutlierSettings
    public private(set) var counters = EjectionCounters()
    /// Endpoints ejected now.
    public private(set) var ejectionsActive = 0
    /// In no meaningful but a reproducible order: adding appends, removing moves the last one into the gap.
    var hosts: [Host] = []
    private var positions: [EndpointSlot: Int] = [:]
    private var random: RandomSource
    /// Of the call that runs.
    private var ejectedElsewhere = 0

    public init(settings: OutlierSettings, seed: UInt64) {
        self.settings = settings
        random = RandomSource(seed: seed)
    }

    public var hostCount: Int { hosts.count }
    public var members: [EndpointSlot] { hosts.map(\.slot) }

    public func contains(_ host: EndpointSlot) -> Bool { positions[host] != nil }

    public func isEjected(_ host: EndpointSlot) -> Bool {
        positions[host].map { hosts[$0].isEjected } ?? false
    }

    /// The multiplier of the base time that the next ejection adds one to.
    public func backoff(of host: EndpointSlot) -> UInt32 {
        positions[host].map { hosts[$0].backoff } ?? 0
    }

    /// New settings for the same endpoints; running ejections keep the time they were given.
    public mutating func update(_ settings: OutlierSettings) { self.settings = settings }

    /// A new endpoint starts without a past. Adding one that is there changes nothing.
    public mutating func hostAdded(_ host: EndpointSlot) {
        guard positions[host] == nil else { return }
        positions[host] = hosts.count
        hosts.append(Host(slot: host))
    }

    /// Returns whether it was ejected.
    @discardableResult
    public mutating func hostRemoved(_ host: EndpointSlot) -> Bool {
        guard let position = positions.removeValue(forKey: host) else { return false }
        let wasEjected = hosts[position].isEjected
        if wasEjected { ejectionsActive -= 1 }
        let last = hosts.removeLast()
        if position < hosts.count {
            hosts[position] = last
            positions[last.slot] = position
        }
        return wasEjected
    }

    /// An endpoint's consecutive errors reached a threshold. Whatever the verdict but `ignored`, the caller resets that counter.
    /// `ejectedElsewhere`: further endpoints of the cluster that others have ejected; they count towards `maxEjectionPercent`.
    public mutating func consecutiveCrossed(
        _ host: EndpointSlot, _ kind: EjectionReason, ejectedElsewhere: Int = 0, now: MonotonicInstant
    ) -> EjectionVerdict {
        guard let position = positions[host] else { return .ignored }
        self.ejectedElsewhere = ejectedElsewhere
        return detected(at: position, kind, now: now)
    }

    /// The end of an interval: un-ejects those whose time is over, evaluates rates over `samples`, then lets the ejection times of quiet
    /// endpoints shrink, in this order. Endpoints without a sample had no requests. `ejectedElsewhere`: as above.
    public mutating func intervalTick(
        now: MonotonicInstant, samples: [IntervalSample] = [], ejectedElsewhere: Int = 0
    ) -> [EjectionChange] {
        self.ejectedElsewhere = ejectedElsewhere
        var changes: [EjectionChange] = []
        for position in hosts.indices where hosts[position].isEjected && hosts[position].until <= now {
            uneject(position, now: now)
            changes.append(.unejected(hosts[position].slot))
        }
        if settings.evaluatesRates {
            evaluateRates(samples.map { ($0.host, $0.external) }, .successRate, .failurePercentage, now: now, &changes)
            if settings.splitExternalLocalOriginErrors {
                evaluateRates(
                    samples.map { ($0.host, $0.localOrigin) }, .localOriginSuccessRate, .localOriginFailurePercentage, now: now, &changes)
            }
        }
        for position in hosts.indices where !hosts[position].isEjected && hosts[position].backoff > 0 {
            if let since = hosts[position].lastUnejection, now.nanoseconds(since: since) >= settings.intervalNanoseconds {
                hosts[position].backoff -= 1
            }
        }
        return changes
    }

    /// Returns whether that ended an ejection.
    public mutating func activeHealthCheckSucceeded(_ host: EndpointSlot, now: MonotonicInstant) -> Bool {
        guard settings.successfulActiveHealthCheckUnejectsHost, let position = positions[host], hosts[position].isEjected else {
            return false
        }
        uneject(position, now: now)
        return true
    }

    func position(of host: EndpointSlot) -> Int? { positions[host] }

    /// One detection: counted, then ejected if it may be.
    mutating func detected(at position: Int, _ reason: EjectionReason, now: MonotonicInstant) -> EjectionVerdict {
        guard !hosts[position].isEjected else { return .ignored }
        counters.detected[Int(reason.rawValue)] &+= 1
        guard settings.allowsEjection(ejected: ejectionsActive + ejectedElsewhere, hosts: hosts.count) else {
            counters.overflow &+= 1
            return .overflow
        }
        let enforcement = settings.enforcement(of: reason)
        guard enforcement >= 100 || enforcement > 0 && random.below(100) < enforcement else { return .notEnforced }
        counters.enforced[Int(reason.rawValue)] &+= 1
        return .ejected(eject(position, reason, now: now))
    }

    private mutating func eject(_ position: Int, _ reason: EjectionReason, now: MonotonicInstant) -> Ejection {
        hosts[position].backoff = settings.grown(hosts[position].backoff)
        let (sum, isBeyond) = settings.ejectionTime(backoff: hosts[position].backoff).addingReportingOverflow(settings.jitter(&random))
        let duration = isBeyond ? .max : sum
        hosts[position].isEjected = true
        hosts[position].until = now + duration
        hosts[position].ejections &+= 1
        ejectionsActive += 1
        return Ejection(
            host: hosts[position].slot, reason: reason, durationNanoseconds: duration, until: hosts[position].until,
            count: hosts[position].ejections)
    }

    private mutating func uneject(_ position: Int, now: MonotonicInstant) {
        hosts[position].isEjected = false
        hosts[position].lastUnejection = now
        ejectionsActive -= 1
        counters.unejections &+= 1
    }
}
