internal import Matching
internal import Primitives
public import TelemetryModel

/// One `http` rule.
public struct RouteEntry: Sendable, BitwiseCopyable {
    public var name = NameID.none
    /// Any of these must hold; none = always.
    var matches = TableRange()
    var destinations = TableRange()
    var totalWeight: UInt32 = 0
    /// Whole request; 0 = no limit.
    public var timeoutNanoseconds: UInt64 = 0
    /// Index into the actions; 0 = plain.
    public var actionIndex: UInt32 = 0
}

struct DestinationEntry: Sendable, BitwiseCopyable {
    /// -1 = no such cluster.
    var cluster: Int32 = -1
    var weight: UInt32 = 0
    /// The route's edits and the destination's own, merged.
    var requestHeaders = HeaderEdits()
    var responseHeaders = HeaderEdits()
}

/// One `match` block: all of its conditions must hold.
struct MatchEntry: Sendable, BitwiseCopyable {
    var path = StringMatcher()
    var scheme = StringMatcher()
    var method = StringMatcher()
    var authority = StringMatcher()
    /// `NamedMatcher`s: `headers` and `withoutHeaders`.
    var headers = TableRange()
    var queryParameters = TableRange()
    /// 0 = any.
    var port: UInt16 = 0
}
