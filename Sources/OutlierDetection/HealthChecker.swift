public import Primitives

/// How an endpoint is probed. The names are Envoy's.
public struct HealthCheckSettings: Hashable, Sendable {
    /// Nanoseconds from the end of one check to the start of the next.
    public var intervalNanoseconds: UInt64 = 10_000_000_000
    /// Nanoseconds after which a check without an answer has failed.
    public var timeoutNanoseconds: UInt64 = 1_000_000_000
    /// Failed checks in a row before a healthy endpoint is unhealthy; below 1 means 1.
    public var unhealthyThreshold: UInt32 = 3
    /// Passed checks in a row before an unhealthy endpoint is healthy; below 1 means 1. An endpoint's very first check decides alone.
    public var healthyThreshold: UInt32 = 2
    /// A uniform draw from 0 up to and including this is added to each interval, so that endpoints are not all probed at once.
    public var intervalJitterNanoseconds: UInt64 = 0

    public init() {}
}

/// Active health checks of one endpoint, without a socket: says when to probe and when to give up, hears how it went, tells changes of
/// health.
///
/// Owner: whoever sends the probes, on its own thread. Call `poll` at `nextDeadline`; answer `.probe` by sending one, `.abandon` by
/// closing it.
public struct HealthChecker: Sendable {
    /// What to do now.
    public enum Action: Hashable, Sendable {
        case none
        case probe
        /// The running probe has timed out (and counts as failed).
        case abandon
    }

    public enum Transition: Hashable, Sendable {
        case unchanged, becameHealthy, becameUnhealthy
    }

    private enum Phase {
        case waiting(until: MonotonicInstant)
        case probing(deadline: MonotonicInstant)
    }

    public let settings: HealthCheckSettings
    /// Endpoints are healthy until a check says otherwise, so that a start does not wait for checks.
    public private(set) var isHealthy = true
    /// Change of health that the last `poll` (by a timeout) or `completed` brought.
    public private(set) var lastTransition = Transition.unchanged
    public private(set) var checks: UInt64 = 0
    public private(set) var failures: UInt64 = 0
    /// Results in a row that contradict `isHealthy`.
    private var contradictions: UInt32 = 0
    private var phase: Phase
    private var random: RandomSource

    /// The first probe is due at once, but for jitter.
    public init(settings: HealthCheckSettings, now: MonotonicInstant, seed: UInt64) {
        self.settings = settings
        random = RandomSource(seed: seed)
        phase = .waiting(until: now)
        phase = .waiting(until: now + jitter())
    }

    public var nextDeadline: MonotonicInstant {
        switch phase {
        case .waiting(let until): until
        case .probing(let deadline): deadline
        }
    }

    public mutating func poll(now: MonotonicInstant) -> Action {
        lastTransition = .unchanged
        switch phase {
        case .waiting(let until) where until <= now:
            phase = .probing(deadline: now + settings.timeoutNanoseconds)
            return .probe
        case .probing(let deadline) where deadline <= now:
            finished(passed: false, now: now)
            return .abandon
        default:
            return .none
        }
    }

    /// The running probe, if any, is given up for reasons that are not the endpoint's; the next is due at once.
    public mutating func cancel(now: MonotonicInstant) {
        if case .probing = phase { phase = .waiting(until: now) }
    }

    /// The running probe's result; one that comes after its timeout is ignored.
    @discardableResult
    public mutating func completed(passed: Bool, now: MonotonicInstant) -> Transition {
        lastTransition = .unchanged
        guard case .probing = phase else { return .unchanged }
        finished(passed: passed, now: now)
        return lastTransition
    }

    private mutating func finished(passed: Bool, now: MonotonicInstant) {
        let isFirst = checks == 0
        checks &+= 1
        if !passed { failures &+= 1 }
        let (interval, overflow) = settings.intervalNanoseconds.addingReportingOverflow(jitter())
        phase = .waiting(until: now + (overflow ? .max : interval))
        guard passed != isHealthy else {
            contradictions = 0
            return
        }
        contradictions &+= 1
        guard isFirst || contradictions >= (passed ? settings.healthyThreshold : settings.unhealthyThreshold) else { return }
        isHealthy = passed
        contradictions = 0
        lastTransition = passed ? .becameHealthy : .becameUnhealthy
    }

    private mutating func jitter() -> UInt64 {
        let most = settings.intervalJitterNanoseconds
        guard most > 0 else { return 0 }
        return most == .max ? random.next() : random.next().multipliedFullWidth(by: most + 1).high
    }
}
