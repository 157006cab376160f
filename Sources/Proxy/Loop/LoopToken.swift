internal import Primitives

/// What an event, a timer or a stream of a worker is about: kind in the top bits, then the slot. Never 0.
struct LoopToken: BitwiseCopyable, Equatable {
    enum Kind: UInt64, CaseIterable {
        case mailbox, listener, listenerResume, downstream, upstream
        /// A request: what its streams belong to, and its timers.
        case request, requestTime, requestWait, requestIdle
        case mirror, mirrorTime
        case tunnel, tunnelTime, tunnelReport
        /// A check by an external authorizer: what its stream belongs to, and its time.
        case check
    }

    let rawValue: UInt64

    init(rawValue: UInt64) { self.rawValue = rawValue }

    /// 4 bits of kind, 28 of index, 32 of generation.
    init(_ kind: Kind, _ id: SlotID) {
        rawValue = kind.rawValue << 60 | UInt64(id.index & 0x0FFF_FFFF) << 32 | UInt64(id.generation)
    }

    /// Of a listener, by its place in the worker's list.
    init(_ kind: Kind, place: Int) { self.init(kind, SlotID(index: UInt32(truncatingIfNeeded: place), generation: 1)) }

    func isOf(_ kind: Kind) -> Bool { rawValue >> 60 == kind.rawValue }

    var kind: Kind? { Kind(rawValue: rawValue >> 60) }

    var id: SlotID {
        SlotID(index: UInt32(truncatingIfNeeded: rawValue >> 32) & 0x0FFF_FFFF, generation: UInt32(truncatingIfNeeded: rawValue))
    }
}
