public import Primitives

/// What a bucket says to one request, in the numbers of the response headers.
public struct RateLimitDecision: Hashable, Sendable, BitwiseCopyable {
    /// False: answer 429, flag RL.
    public var isAllowed: Bool
    /// Tokens of a full bucket.
    public var limit: UInt32
    /// Whole tokens left after this request; 0 when refused.
    public var remaining: UInt32
    /// Until the bucket is full again if nobody takes more, rounded up.
    public var resetSeconds: UInt32
    /// Until there is a token again, rounded up, at least 1; 0 when allowed.
    public var retryAfterSeconds: UInt32

    public init(isAllowed: Bool, limit: UInt32, remaining: UInt32, resetSeconds: UInt32, retryAfterSeconds: UInt32) {
        self.isAllowed = isAllowed
        self.limit = limit
        self.remaining = remaining
        self.resetSeconds = resetSeconds
        self.retryAfterSeconds = retryAfterSeconds
    }
}

/// A response header that tells a decision.
public enum RateLimitHeader: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// The draft RFC's fields under the names that Envoy sends (draft-polli-ratelimit-headers-03).
    case limit, remaining, reset
    /// RFC 9110 10.2.3, delay in seconds. Only in refusals.
    case retryAfter

    /// Lower-case.
    public var name: StaticString {
        switch self {
        case .limit: "x-ratelimit-limit"
        case .remaining: "x-ratelimit-remaining"
        case .reset: "x-ratelimit-reset"
        case .retryAfter: "retry-after"
        }
    }
}

extension RateLimitDecision {
    public func value(of header: RateLimitHeader) -> UInt32 {
        switch header {
        case .limit: limit
        case .remaining: remaining
        case .reset: resetSeconds
        case .retryAfter: retryAfterSeconds
        }
    }

    /// Whether the header belongs into the response: `retry-after` only into a refusal.
    public func has(_ header: RateLimitHeader) -> Bool { header != .retryAfter || !isAllowed }

    /// Appends the value, decimal digits only.
    public func write(_ header: RateLimitHeader, to buffer: inout ByteBuffer) {
        buffer.append(decimal: UInt64(value(of: header)))
    }
}
