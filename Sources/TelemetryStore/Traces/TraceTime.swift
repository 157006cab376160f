/// The time of a trace out of its spans': the earliest of a span without a parent, else the earliest of all. Microseconds; 0 = none has
/// one.
struct TraceTime {
    private var root: UInt64 = 0
    private var earliest: UInt64 = 0

    @inline(__always)
    mutating func note(_ timestamp: UInt64, isRoot: Bool) {
        guard timestamp != 0 else { return }
        if isRoot, root == 0 || timestamp < root { root = timestamp }
        if earliest == 0 || timestamp < earliest { earliest = timestamp }
    }

    /// Joins what another part of the trace says.
    mutating func note(_ other: TraceTime) {
        note(other.root, isRoot: true)
        note(other.earliest, isRoot: false)
    }

    var timestamp: UInt64 { root != 0 ? root : earliest }
}
