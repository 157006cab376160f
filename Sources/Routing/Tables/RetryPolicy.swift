public import Primitives

/// What `retryOn` names (Envoy's x-envoy-retry-on and x-envoy-retry-grpc-on; semantics 2.3).
public struct RetryConditions: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let fiveXX = RetryConditions(rawValue: 1 << 0)
    public static let gatewayError = RetryConditions(rawValue: 1 << 1)
    public static let reset = RetryConditions(rawValue: 1 << 2)
    public static let connectFailure = RetryConditions(rawValue: 1 << 3)
    public static let refusedStream = RetryConditions(rawValue: 1 << 4)
    public static let retriable4xx = RetryConditions(rawValue: 1 << 5)
    public static let retriableStatusCodes = RetryConditions(rawValue: 1 << 6)
    public static let retriableHeaders = RetryConditions(rawValue: 1 << 7)
    public static let envoyRateLimited = RetryConditions(rawValue: 1 << 8)
    public static let resetBeforeRequest = RetryConditions(rawValue: 1 << 9)
    public static let http3PostConnectFailure = RetryConditions(rawValue: 1 << 10)
    public static let cancelled = RetryConditions(rawValue: 1 << 16)
    public static let deadlineExceeded = RetryConditions(rawValue: 1 << 17)
    public static let resourceExhausted = RetryConditions(rawValue: 1 << 18)
    public static let `internal` = RetryConditions(rawValue: 1 << 19)
    public static let unavailable = RetryConditions(rawValue: 1 << 20)

    /// The names of those that are set, sorted and joined by commas.
    public var nameList: String { Self.names.filter { contains($0.value) }.map(\.key).sorted().joined(separator: ",") }

    /// The conditions of a request's own list, `x-envoy-retry-on` or `x-envoy-retry-grpc-on`; names that are none mean nothing, as in
    /// Envoy.
    public static func parse(_ list: UnsafeRawBufferPointer) -> RetryConditions {
        var result: RetryConditions = []
        var start = 0
        for index in 0...list.count where unsafe index == list.count || list[index] == UInt8(ascii: ",") {
            let name = unsafe ASCII.trim(UnsafeRawBufferPointer(rebasing: list[start..<index]))
            start = index + 1
            for place in 0..<wireNames.count where unsafe ASCII.equal(name, wireNames[place].name) {
                result.insert(wireNames[place].condition)
            }
        }
        return result
    }

    /// `names` for the request path, which knows no String.
    private static let wireNames: InlineArray<16, (name: StaticString, condition: RetryConditions)> = [
        ("5xx", .fiveXX), ("gateway-error", .gatewayError), ("reset", .reset), ("connect-failure", .connectFailure),
        ("refused-stream", .refusedStream),
        ("retriable-4xx", .retriable4xx), ("retriable-status-codes", .retriableStatusCodes), ("retriable-headers", .retriableHeaders),
        ("envoy-ratelimited", .envoyRateLimited), ("reset-before-request", .resetBeforeRequest),
        ("http3-post-connect-failure", .http3PostConnectFailure), ("cancelled", .cancelled), ("deadline-exceeded", .deadlineExceeded),
        ("resource-exhausted", .resourceExhausted), ("internal", .internal), ("unavailable", .unavailable),
    ]

    static let names: [String: RetryConditions] = [
        "5xx": .fiveXX, "gateway-error": .gatewayError, "reset": .reset, "connect-failure": .connectFailure,
        "refused-stream": .refusedStream,
        "retriable-4xx": .retriable4xx, "retriable-status-codes": .retriableStatusCodes, "retriable-headers": .retriableHeaders,
        "envoy-ratelimited": .envoyRateLimited, "reset-before-request": .resetBeforeRequest,
        "http3-post-connect-failure": .http3PostConnectFailure, "cancelled": .cancelled, "deadline-exceeded": .deadlineExceeded,
        "resource-exhausted": .resourceExhausted, "internal": .internal, "unavailable": .unavailable,
    ]
}

/// How one attempt ended, as far as retrying is concerned.
public struct RetryOutcome: Sendable, BitwiseCopyable {
    public enum Failure: UInt8, Sendable, BitwiseCopyable {
        /// A response arrived.
        case none
        case connectFailure, refusedStream
        /// Reset or closed before anything of the request had been sent.
        case resetBeforeRequest
        case reset
        case perTryTimeout
        /// A limit of our own (semantics 2.3: never retried).
        case overflow
    }

    public var failure = Failure.none
    /// Of the response; 0 without one.
    public var status: UInt16 = 0
    /// grpc-status in the response's head; 255 = none there.
    public var grpcStatus: UInt8 = 255
    /// The response carries x-envoy-ratelimited.
    public var isRateLimited = false
    /// RFC 9110 9.2.2.
    public var isIdempotent = true

    public init() {}

    /// Whether the upstream cannot have acted on the request.
    public var wasProvablyNotReceived: Bool {
        failure == .connectFailure || failure == .refusedStream || failure == .resetBeforeRequest
    }
}

/// When a request is tried again, and how (semantics 2.3).
public struct RetryPolicy: Sendable, BitwiseCopyable {
    /// Tries after the first; 0 = no retries.
    public var attempts: UInt32 = 0
    public var conditions: RetryConditions = []
    /// Of the snapshot's status codes; used with `retriableStatusCodes`.
    public var statusCodes = TableRange()
    /// 0 = as long as the route allows.
    public var perTryTimeoutNanoseconds: UInt64 = 0
    /// Another attempt goes to a priority that was not tried, if one is available.
    public var retriesRemoteLocalities = false
    /// B of semantics 2.3; the cap is ten times that.
    public var backoffBaseNanoseconds: UInt64 = 25_000_000
    public var avoidsPreviousHosts = true
    /// The configuration names the conditions itself, so that they hold for every method.
    public var isAskedFor = false

    public init() {}

    /// Of a route that says nothing: two more tries where the upstream has not got the request, or says that it is not available.
    public static let istioDefault: RetryPolicy = {
        var policy = RetryPolicy()
        policy.attempts = 2
        policy.conditions = [.connectFailure, .refusedStream, .unavailable, .cancelled]
        return policy
    }()

    /// Whether the outcome is one to be tried again. `isListed`: the status is among `statusCodes`.
    ///
    /// A method that is not idempotent is tried again only if the upstream provably did not get the request, unless the configuration names
    /// the conditions.
    public func retries(_ outcome: RetryOutcome, isListed: Bool) -> Bool {
        guard attempts > 0, outcome.failure != .overflow, holds(outcome, isListed: isListed) else { return false }
        return outcome.isIdempotent || isAskedFor || outcome.wasProvablyNotReceived
    }

    private func holds(_ outcome: RetryOutcome, isListed: Bool) -> Bool {
        if outcome.failure == .none, outcome.isRateLimited, !conditions.contains(.envoyRateLimited) { return false }
        switch outcome.failure {
        case .none:
            let status = outcome.status
            if outcome.isRateLimited { return true }
            if conditions.contains(.fiveXX), (500...599).contains(status) { return true }
            if conditions.contains(.gatewayError), (502...504).contains(status) { return true }
            if conditions.contains(.retriable4xx), status == 409 { return true }
            if conditions.contains(.retriableStatusCodes), isListed { return true }
            switch outcome.grpcStatus {
            case 1: return conditions.contains(.cancelled)
            case 4: return conditions.contains(.deadlineExceeded)
            case 8: return conditions.contains(.resourceExhausted)
            case 13: return conditions.contains(.internal)
            case 14: return conditions.contains(.unavailable)
            default: return false
            }
        case .connectFailure: return !conditions.isDisjoint(with: [.connectFailure, .fiveXX, .gatewayError, .reset, .resetBeforeRequest])
        case .refusedStream: return !conditions.isDisjoint(with: [.refusedStream, .fiveXX, .gatewayError, .reset, .resetBeforeRequest])
        case .resetBeforeRequest: return !conditions.isDisjoint(with: [.reset, .fiveXX, .gatewayError, .resetBeforeRequest])
        case .reset: return !conditions.isDisjoint(with: [.reset, .fiveXX, .gatewayError])
        case .perTryTimeout: return !conditions.isDisjoint(with: [.fiveXX, .gatewayError, .reset])
        case .overflow: return false
        }
    }

    /// Bound of the first wait.
    public var backoffNanoseconds: UInt64 { backoffBaseNanoseconds }

    /// The wait before retry `number` (1 = the first): full jitter, uniform in [0, (2^number − 1) × B), at most ten times B.
    public func backoffNanoseconds(beforeRetry number: UInt32, draw: inout RandomSource) -> UInt64 {
        let base = min(backoffBaseNanoseconds, 3_600_000_000_000)
        let cap = base * 10
        let factor = (UInt64(1) << UInt64(min(number, 16))) - 1
        let bound = min(cap, base.multipliedReportingOverflow(by: factor).overflow ? cap : base * factor)
        guard bound > 0 else { return 0 }
        return draw.next() % bound
    }
}
