internal import Primitives

/// What of a request decides its endpoint under consistent hashing, and the table that tells.
public struct HashPolicy: Sendable, BitwiseCopyable {
    public enum Key: UInt8, Sendable, BitwiseCopyable {
        case none, header, cookie, sourceIP, queryParameter
    }

    public var key = Key.none
    /// Of header (lower-case), cookie or parameter.
    var name = TableRange()
    /// Of a cookie that is made when the client brings none; empty = the whole site.
    var path = TableRange()
    /// What else such a cookie says, each with `; ` before it.
    var attributes = TableRange()
    /// Seconds such a cookie lives; -1 = none is made, 0 = as long as the client's session.
    public var cookieSeconds: Int64 = -1
    var isMaglev = false
    /// `RingEntry`s of a ring, or slots of a Maglev table.
    var table = TableRange()

    /// Every proxy must hash alike, so the seed is no secret.
    static let seed: UInt64 = 0x2545_F491_4F6C_DD1D
}

/// A point of the ring: everything from the point before up to it goes to the endpoint.
struct RingEntry: Sendable, BitwiseCopyable {
    var hash: UInt64
    var endpoint: UInt32
}
