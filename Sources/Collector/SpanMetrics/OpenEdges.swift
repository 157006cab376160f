internal import Primitives
internal import TelemetryModel

/// A call as both of its sides know it: the trace, and the span of the client's. Only the low half of the trace's id counts, as in
/// dependency links: systems that mix ids of 64 and 128 bits tell the same call.
struct CallID: Hashable {
    var traceLow: UInt64
    var spanID: UInt64

    /// The trace's whole id.
    func traceID(high: UInt64) -> TraceID { TraceID(high: high, low: traceLow) }

    @inline(__always)
    func callHash(seed: UInt64) -> UInt64 { ByteHash.mix(traceLow ^ seed, spanID ^ 0x9E37_79B9_7F4A_7C15) }
}

/// What a span says of its side of a call.
struct EdgeFlags: OptionSet {
    let rawValue: UInt8

    /// The client's side; else the server's.
    static let client = EdgeFlags(rawValue: 1)
    /// A proxy reported it.
    static let proxy = EdgeFlags(rawValue: 2)
    static let messaging = EdgeFlags(rawValue: 4)
    static let failed = EdgeFlags(rawValue: 8)
    /// The call has the span's own id: a client, or a server that shares its client's id or is a root.
    static let own = EdgeFlags(rawValue: 16)
}

/// One side's span of a call. Durations are microseconds, 0 = unknown; texts are numbers of `InternedTexts`.
struct EdgeHalf {
    var duration: UInt64 = 0
    /// 0 = none.
    var parentID: UInt64 = 0
    var service: UInt32 = InternedTexts.none
    /// The other side, as the span names it.
    var peer: UInt32 = InternedTexts.none
    var weight: Float = 1
    var flags: EdgeFlags = []
}

/// A call of which one side was seen.
struct OpenEdge {
    var id: CallID
    var half: EdgeHalf

    var isClient: Bool { half.flags.contains(.client) }
}

/// Halves of edges that wait for the other one, bounded, oldest first. A value, confined to its owner.
struct OpenEdges {
    /// 64 bytes: most of what pairing costs is that entries come from memory.
    private struct Entry {
        var edge: OpenEdge
        /// Monotonic nanoseconds.
        var since: UInt64
        /// Neighbours in the order of arrival; -1 = none.
        var older: Int32 = -1
        var newer: Int32 = -1
    }

    let countMax: Int
    private var entries: [Entry] = []
    /// The upper half of each entry's trace id, which only halves that stay alone are asked for. Beside the entries, which are as long as a
    /// line of the cache.
    private var traceHighs: [UInt64] = []
    private var free: [Int32] = []
    private var oldest: Int32 = -1
    private var newest: Int32 = -1
    private var slots = HashSlots()
    private let seed = ByteHash.seed

    init(countMax: Int) { self.countMax = countMax }

    var count: Int { slots.count }
    var isFull: Bool { count >= countMax }

    /// Where the half of a call is that waits; good until something else is removed or inserted.
    @inline(__always)
    func place(of id: CallID) -> Int? { slots.find(id.callHash(seed: seed)) { entries[$0].edge.id == id } }

    /// The half at a place.
    subscript(place: Int) -> OpenEdge { entries[place].edge }

    /// Adds a half that does not wait yet; there must be room. `traceHigh`: the upper half of its trace's id.
    mutating func insert(_ edge: OpenEdge, traceHigh: UInt64 = 0, now: MonotonicInstant) {
        precondition(!isFull, "the oldest has to go first")
        var entry = Entry(edge: edge, since: now.nanoseconds)
        entry.older = newest
        let place: Int
        if let used = free.popLast() {
            place = Int(used)
            entries[place] = entry
            traceHighs[place] = traceHigh
        } else {
            place = entries.count
            entries.append(entry)
            traceHighs.append(traceHigh)
        }
        if newest >= 0 { entries[Int(newest)].newer = Int32(place) } else { oldest = Int32(place) }
        newest = Int32(place)
        slots.insert(edge.id.callHash(seed: seed), place)
    }

    /// Puts another half of the same call in the place of one that waits; it does not wait longer for that.
    mutating func replace(_ half: EdgeHalf, at place: Int) { entries[place].edge.half = half }

    mutating func remove(at place: Int) {
        slots.remove(entries[place].edge.id.callHash(seed: seed), place)
        let (older, newer) = (entries[place].older, entries[place].newer)
        if older >= 0 { entries[Int(older)].newer = newer } else { oldest = newer }
        if newer >= 0 { entries[Int(newer)].older = older } else { newest = older }
        free.append(Int32(place))
    }

    /// Takes the oldest half when it has waited since `latest` or longer, with the upper half of its trace's id; nil when there is none.
    mutating func takeOldest(since latest: MonotonicInstant = .distantFuture) -> (edge: OpenEdge, traceHigh: UInt64)? {
        guard oldest >= 0, entries[Int(oldest)].since <= latest.nanoseconds else { return nil }
        let taken = (entries[Int(oldest)].edge, traceHighs[Int(oldest)])
        remove(at: Int(oldest))
        return taken
    }

    /// Calls `body` with every half.
    func forEach(_ body: (OpenEdge) -> Void) {
        var at = oldest
        while at >= 0 {
            body(entries[Int(at)].edge)
            at = entries[Int(at)].newer
        }
    }
}
