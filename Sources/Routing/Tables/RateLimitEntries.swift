internal import Primitives

/// A limit as requests see it; the buckets are elsewhere.
public struct RateLimitEntry: Sendable, BitwiseCopyable {
    /// The same for the same limit of the same resource in every configuration.
    public var id: UInt64 = 0
    public var maxTokens: UInt32 = 0
    public var tokensPerFill: UInt32 = 0
    public var fillNanoseconds: UInt64 = 0
    /// Index of the `MatchEntry` that a request must fulfil to be counted; -1 = every request.
    var match: Int32 = -1
    /// `HostPattern`s, any of which must hold; none = every host.
    var hosts = TableRange()
    /// `RateLimitKey`s.
    var keys = TableRange()
    /// Parts per million of the requests that are counted, and that are refused when no token is left.
    public var enabledShare: UInt32 = 1_000_000
    public var enforcedShare: UInt32 = 1_000_000
    /// `FieldText`s that a refusal carries.
    var responseFields = TableRange()
}

/// What of a request tells one counted party from another.
enum RateLimitKey: Sendable, BitwiseCopyable {
    /// Bytes of the field's name, in lower case.
    case header(TableRange)
    /// Bytes of the parameter's name.
    case queryParameter(TableRange)
    case clientAddress
    /// The path of a token's claim.
    case claim(TableRange)
}
