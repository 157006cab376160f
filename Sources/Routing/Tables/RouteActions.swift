internal import Matching
public import Primitives

/// What a route does with a request besides choosing its destination. One entry per distinct route in the snapshot's table; index 0 is what
/// a route without any of it does: forward, with Istio's default retries.
public struct RouteActions: Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case forward, redirect, directResponse
    }

    public var kind = Kind.forward
    public var retry = RetryPolicy.istioDefault
    public var fault = FaultPolicy()
    /// `MirrorEntry`s.
    public var mirrors = TableRange()
    public var rewrite = RewriteEntry()
    public var redirect = RedirectEntry()
    public var directResponse = DirectResponseEntry()
    /// Index of the CORS policy; -1 = none.
    public var cors: Int32 = -1

    public init() {}
}

/// Fault injection (semantics 2.6). Delay and abort are drawn independently.
public struct FaultPolicy: Sendable, BitwiseCopyable {
    public enum Abort: UInt8, Sendable, BitwiseCopyable {
        case none, http, grpc
    }

    public var delayNanoseconds: UInt64 = 0
    /// Parts per million, 0...1,000,000.
    public var delayShare: UInt32 = 0
    public var abort = Abort.none
    /// HTTP status or gRPC code.
    public var abortStatus: UInt16 = 0
    public var abortShare: UInt32 = 0

    public init() {}

    public var isActive: Bool { delayShare > 0 || abortShare > 0 }

    /// Percent 0...100 as parts per million, truncated: 0.00005 is 0 (semantics 2.6).
    public static func share(percent: Double) -> UInt32 {
        guard percent > 0 else { return 0 }
        // A product like 0.29 × 10,000 may fall a hair short of the number meant.
        return UInt32(min(1_000_000, (percent * 10_000 + 1e-6).rounded(.down)))
    }
}

/// Where a copy of the requests goes, and of what share of them.
public struct MirrorEntry: Sendable, BitwiseCopyable {
    /// -1 = no such cluster: the mirror is skipped.
    public var cluster: Int32
    /// Parts per million.
    public var share: UInt32
}

/// How path and host change on the way to the upstream.
public struct RewriteEntry: Sendable, BitwiseCopyable {
    public enum Path: UInt8, Sendable, BitwiseCopyable {
        case unchanged
        /// The matched prefix, or with any other match the whole path, becomes `replacement`.
        case uri
        /// Every match of the pattern becomes its substitution.
        case regex
    }

    public var path = Path.unchanged
    /// What `uri` puts in.
    var replacement = TableRange()
    var regex = RegexRewrite()
    /// Empty = unchanged.
    var authority = TableRange()

    public init() {}

    public var isActive: Bool { path != .unchanged || hasAuthority }
    public var hasAuthority: Bool { authority.count > 0 }
}

public struct RedirectEntry: Sendable, BitwiseCopyable {
    public enum Port: UInt8, Sendable, BitwiseCopyable {
        /// As in the authority.
        case unchanged
        case number, fromProtocolDefault, fromRequestPort
    }

    /// 301, 302, 303, 307 or 308.
    public var status: UInt16 = 301
    var uri = TableRange()
    var authority = TableRange()
    var scheme = TableRange()
    var port = Port.unchanged
    var portNumber: UInt16 = 0
}

public struct DirectResponseEntry: Sendable, BitwiseCopyable {
    public var status: UInt16 = 200
    var body = TableRange()
}

/// Changes of a header section, as Envoy makes them: `removals` go, then the values of `additions` are made, and these take the place of
/// what is in `replacements` and stand beside all else. `set` of the configuration is a replacement and an addition.
public struct HeaderEdits: Sendable, BitwiseCopyable {
    /// Of `FieldText`s whose value is empty.
    var removals = TableRange()
    var replacements = TableRange()
    var additions = TableRange()

    public init() {}

    public var isActive: Bool { removals.count > 0 || additions.count > 0 || replacements.count > 0 }
}

/// A field of the configuration; the name in lower case.
struct FieldText: Sendable, BitwiseCopyable {
    var name = TableRange()
    var value = TableRange()
    /// `HeaderValuePiece`s that make the value; none = `value` is it.
    var program = TableRange()
}

/// CORS (fetch.spec.whatwg.org, as Envoy's filter does it).
struct CORSEntry: Sendable, BitwiseCopyable {
    /// `StringMatcher`s.
    var origins = TableRange()
    /// Joined by commas; empty = not sent.
    var methods = TableRange()
    var headers = TableRange()
    var exposed = TableRange()
    /// Seconds; -1 = not sent.
    var maxAge: Int64 = -1
    var allowsCredentials = false
    var answersUnmatched = false
}
