internal import Synchronization

/// Attempts at an endpoint by how they ended; unit = attempts. Every outcome is in exactly one of the counts.
public struct AttemptCounts: Hashable, Sendable, BitwiseCopyable {
    /// Any response that is no 5xx; of TCP, a connection.
    public var successes: UInt64
    /// 5xx other than 502, 503 and 504.
    public var errors: UInt64
    /// 502, 503, 504.
    public var gatewayErrors: UInt64
    /// No connection, no answer in time, reset.
    public var localFailures: UInt64

    public init(successes: UInt64 = 0, errors: UInt64 = 0, gatewayErrors: UInt64 = 0, localFailures: UInt64 = 0) {
        self.successes = successes
        self.errors = errors
        self.gatewayErrors = gatewayErrors
        self.localFailures = localFailures
    }

    /// Sums stay at the largest number, whatever is added.
    public var failures: UInt64 { Self.sum(Self.sum(errors, gatewayErrors), localFailures) }
    public var total: UInt64 { Self.sum(successes, failures) }
    public var isEmpty: Bool { total == 0 }

    public static func += (left: inout AttemptCounts, right: AttemptCounts) {
        left.successes = sum(left.successes, right.successes)
        left.errors = sum(left.errors, right.errors)
        left.gatewayErrors = sum(left.gatewayErrors, right.gatewayErrors)
        left.localFailures = sum(left.localFailures, right.localFailures)
    }

    /// What was counted since `earlier`; a count that fell has begun anew.
    public func since(_ earlier: AttemptCounts) -> AttemptCounts {
        func difference(_ now: UInt64, _ before: UInt64) -> UInt64 { now >= before ? now - before : now }
        return AttemptCounts(
            successes: difference(successes, earlier.successes), errors: difference(errors, earlier.errors),
            gatewayErrors: difference(gatewayErrors, earlier.gatewayErrors),
            localFailures: difference(localFailures, earlier.localFailures))
    }

    static func sum(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let (value, isBeyond) = left.addingReportingOverflow(right)
        return isBeyond ? .max : value
    }
}

extension UpstreamState {
    /// Any thread: attempts at the endpoint since it appeared, counted while its cluster has outlier detection.
    public func attemptCounts(_ endpoint: EndpointSlot) -> AttemptCounts {
        guard let row = unsafe row(endpoint) else { return AttemptCounts() }
        return unsafe AttemptCounts(
            successes: row[EndpointWord.successes].load(ordering: .relaxed), errors: row[EndpointWord.errors].load(ordering: .relaxed),
            gatewayErrors: row[EndpointWord.gatewayErrors].load(ordering: .relaxed),
            localFailures: row[EndpointWord.localFailures].load(ordering: .relaxed))
    }

    /// Any thread: how often local detection has ejected the endpoint since it appeared, and why the last time; nil = never.
    public func localEjections(_ endpoint: EndpointSlot) -> (count: UInt64, reason: EjectionReason)? {
        guard let row = unsafe row(endpoint) else { return nil }
        let word = unsafe row[EndpointWord.localEjections].load(ordering: .relaxed)
        guard word > 0, let reason = EjectionReason(rawValue: UInt8(truncatingIfNeeded: word)) else { return nil }
        return (word >> 8, reason)
    }
}
