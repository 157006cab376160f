internal import Primitives

/// An exact domain of one listener (open addressing, linear probing); count 0 = free.
struct DomainEntry: Sendable, BitwiseCopyable {
    var hash: UInt64 = 0
    var name = TableRange()
    var ports = TableRange()
}

struct WildcardEntry: Sendable, BitwiseCopyable {
    /// Without the star, with the dot: `.example.com`.
    var suffix = TableRange()
    var ports = TableRange()
}

/// Which virtual host a domain means at a port; port 0 = any.
struct PortEntry: Sendable, BitwiseCopyable {
    var port: UInt16 = 0
    var virtualHost: Int32 = -1
}

struct VirtualHostEntry: Sendable, BitwiseCopyable {
    var routes = TableRange()
    /// The service port the virtual host stands for; 0 = unknown.
    var port: UInt16 = 0
    var index = PathIndex()
}

/// Finds the rules of a virtual host whose literal path condition can hold, without trying them all: a sorted table of hashes of exact
/// paths and of prefixes, and the few lengths that the prefixes have. Rules with any other first condition are tried in their order as
/// ever, so that the first match stays the first match.
struct PathIndex: Sendable, BitwiseCopyable {
    /// Of `PathIndexEntry`, by hash and then by rule.
    var entries = TableRange()
    /// Lengths of prefixes, ascending.
    var lengths = TableRange()
    /// Rules without a literal path, ascending.
    var others = TableRange()
    /// Whether there is one: few rules are tried faster than looked up.
    var isBuilt = false

    /// Rules below which no index is built.
    static let rulesMin = 12
    /// Distinct prefix lengths; a virtual host with more goes without an index.
    static let lengthsMax = 64
    /// Rules that one path may find; with more, all are tried.
    static let candidatesMax = 32

    /// The hash of an exact path or of a prefix.
    static func hash(_ path: LentBytes, isExact: Bool) -> UInt64 {
        path.hash(seed: isExact ? 0x5851_F42D_4C95_7F2D : 0x1405_7B7E_F767_814F)
    }
}

struct PathIndexEntry: Sendable, BitwiseCopyable {
    var hash: UInt64
    var rule: UInt32
}
