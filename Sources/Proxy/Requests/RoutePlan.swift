internal import HTTP
internal import OutlierDetection
internal import Policy
internal import Primitives
internal import Routing

/// What a request is to be done with, as its steps have found so far. Indices are those of its configuration's tables.
struct RoutePlan {
    /// The rule that took it; -1 = none.
    var route: Int32 = -1
    var destination: UInt32 = 0
    var match: Int32 = -1
    var kind = Kind.none
    /// -1 = none.
    var cluster: Int32 = -1
    var effects: Effects = []
    /// What consistent hashing goes by, and the cookie made for it.
    var hash: UInt64 = 0
    var cookieValue: UInt64 = 0
    /// The scarcest limit it was counted by.
    var rateLimit = RateLimitDecision(isAllowed: true, limit: 0, remaining: 0, resetSeconds: 0, retryAfterSeconds: 0)
    /// The limit that refused it; -1 = none.
    var rateLimitIndex: Int32 = -1
    /// Time of the whole and of one try; 0 = no limit.
    var timeoutNanoseconds: UInt64 = 0
    var perTryNanoseconds: UInt64 = 0
    /// Where the `Origin` that a CORS policy allowed stands in the head's text.
    var origin = 0..<0

    enum Kind: BitwiseCopyable {
        case none, cluster, noCluster, redirect, directResponse
    }

    struct Effects: OptionSet, BitwiseCopyable {
        let rawValue: UInt16
        /// To the address that the client dialled, as nobody declared it.
        static let passesThrough = Effects(rawValue: 1 << 0)
        /// The configuration has taken X-Envoy-Attempt-Count out of the request, or has put its own in its place.
        static let omitsAttemptCount = Effects(rawValue: 1 << 1)
        static let allowsOrigin = Effects(rawValue: 1 << 2)
        static let isPreflight = Effects(rawValue: 1 << 3)
        /// The route adds or removes response fields.
        static let editsResponse = Effects(rawValue: 1 << 4)
        static let hasHash = Effects(rawValue: 1 << 5)
        /// The client is given the cookie that its next request will be hashed by.
        static let setsCookie = Effects(rawValue: 1 << 6)
        static let showsRateLimit = Effects(rawValue: 1 << 7)
        /// The request asks for limits of its own.
        static let hasOverrides = Effects(rawValue: 1 << 8)
        /// The time limit is the client's own (grpc-timeout).
        static let hasGRPCTimeout = Effects(rawValue: 1 << 9)
        /// An injected abort follows the delay.
        static let aborts = Effects(rawValue: 1 << 10)
        /// An external authorizer has fields for the response (`Request.check`).
        static let hasAuthorizerFields = Effects(rawValue: 1 << 11)
    }
}
