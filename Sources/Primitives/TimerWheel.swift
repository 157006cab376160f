/// A hierarchical timer wheel: arm, cancel and fire in constant time, at a resolution of one tick (about 4 ms).
///
/// A timer carries a token and fires at or up to one tick after its deadline, never before. Time is a parameter. Owned by one thread.
/// Deadlines beyond the wheel's range (about 19 hours) wait in the last slot and are placed again when it turns.
public struct TimerWheel: ~Copyable {
    /// A handle to an armed timer; stale once it fired or was cancelled.
    public struct TimerID: Hashable, Sendable, BitwiseCopyable {
        @usableFromInline var index: UInt32
        @usableFromInline var generation: UInt32

        public static let none = TimerID(index: .max, generation: 0)

        @inlinable public var isNone: Bool { index == .max }

        @usableFromInline init(index: UInt32, generation: UInt32) {
            self.index = index
            self.generation = generation
        }
    }

    private struct Timer: BitwiseCopyable {
        var token: UInt64 = 0
        var deadlineTick: UInt64 = 0
        var next: UInt32 = .max
        var previous: UInt32 = .max
        var generation: UInt32 = 0
        /// Index into `heads`; `.max` = free.
        var slot: UInt32 = .max
    }

    /// 2^22 ns = 4.19 ms.
    public static let tickShift: UInt64 = 22
    private static let slotBits: UInt64 = 6
    private static let levels = 4

    private var timers: [Timer] = []
    /// First timer of each slot; index = level * 64 + slot.
    private var heads = [UInt32](repeating: .max, count: 64 * 4)
    /// Which slots of a level hold a timer, one bit each.
    private var occupied: InlineArray<4, UInt64> = [0, 0, 0, 0]
    private var firstFree: UInt32 = .max
    private var currentTick: UInt64
    /// Armed timers.
    public private(set) var count = 0

    public init(now: MonotonicInstant) {
        currentTick = now.nanoseconds >> Self.tickShift
    }

    /// Arms a timer that fires once `deadline` has passed.
    public mutating func arm(_ token: UInt64, at deadline: MonotonicInstant) -> TimerID {
        let index: UInt32
        if firstFree != .max {
            index = firstFree
            firstFree = timers[Int(index)].next
        } else {
            index = UInt32(clamping: timers.count)
            timers.append(Timer())
        }
        // Rounded up, so that it never fires early.
        let tick = deadline.nanoseconds == .max ? .max : (deadline.nanoseconds >> Self.tickShift) &+ 1
        timers[Int(index)].token = token
        timers[Int(index)].deadlineTick = max(tick, currentTick &+ 1)
        timers[Int(index)].generation &+= 1
        place(index)
        count += 1
        return TimerID(index: index, generation: timers[Int(index)].generation)
    }

    /// Cancels a timer; false when it had already fired or been cancelled.
    @discardableResult
    public mutating func cancel(_ id: TimerID) -> Bool {
        guard Int(id.index) < timers.count, timers[Int(id.index)].generation == id.generation,
            timers[Int(id.index)].slot != .max
        else { return false }
        unlink(id.index)
        free(id.index)
        return true
    }

    /// Moves time forward and appends the tokens of the timers that fired, in tick order.
    public mutating func advance(to now: MonotonicInstant, fired: inout [UInt64]) {
        let target = now.nanoseconds >> Self.tickShift
        guard target > currentTick else { return }
        while currentTick < target {
            if count == 0 {
                currentTick = target
                return
            }
            if occupied[0] == 0 {
                // Nothing can fire before the next cascade: jump to the tick in front of it.
                let boundary = currentTick | 63
                if boundary >= target {
                    currentTick = target
                    return
                }
                currentTick = boundary
            }
            currentTick &+= 1
            if currentTick & 63 == 0 { cascade() }
            fire(slot: UInt32(currentTick & 63), into: &fired)
        }
    }

    /// Nanoseconds until something may fire; nil when no timer is armed. Never later than the earliest deadline's tick.
    public func nanosecondsUntilNext(now: MonotonicInstant) -> UInt64? {
        guard count > 0 else { return nil }
        let tick: UInt64
        if occupied[0] != 0 {
            let position = currentTick & 63
            let rotated = occupied[0] >> position | occupied[0] << ((64 - position) & 63)
            let distance = UInt64((rotated & ~1).trailingZeroBitCount)
            // A slot at distance 64 is the current one, a whole turn away.
            tick = currentTick &+ min(distance, 64 - position)
        } else {
            tick = (currentTick | 63) &+ 1
        }
        return MonotonicInstant(nanoseconds: tick << Self.tickShift).nanoseconds(since: now)
    }

    private mutating func cascade() {
        var level = 1
        while level < Self.levels {
            let position = (currentTick >> (UInt64(level) * Self.slotBits)) & 63
            let slot = level * 64 + Int(position)
            var index = heads[slot]
            heads[slot] = .max
            occupied[level] &= ~(1 << position)
            while index != .max {
                let next = timers[Int(index)].next
                place(index)
                index = next
            }
            if position != 0 { return }
            level += 1
        }
    }

    private mutating func fire(slot: UInt32, into fired: inout [UInt64]) {
        var index = heads[Int(slot)]
        guard index != .max else { return }
        heads[Int(slot)] = .max
        occupied[0] &= ~(1 << UInt64(slot))
        while index != .max {
            let next = timers[Int(index)].next
            fired.append(timers[Int(index)].token)
            free(index)
            index = next
        }
    }

    private mutating func place(_ index: UInt32) {
        let deadline = max(timers[Int(index)].deadlineTick, currentTick)
        let distance = deadline &- currentTick
        var level = 0
        while level < Self.levels - 1, distance >> (UInt64(level + 1) * Self.slotBits) != 0 { level += 1 }
        let range = UInt64(1) << (UInt64(Self.levels) * Self.slotBits)
        let placed = distance < range ? deadline : currentTick &+ (range - 1)
        let position = (placed >> (UInt64(level) * Self.slotBits)) & 63
        let slot = UInt32(level * 64) + UInt32(position)
        timers[Int(index)].slot = slot
        timers[Int(index)].previous = .max
        timers[Int(index)].next = heads[Int(slot)]
        if heads[Int(slot)] != .max { timers[Int(heads[Int(slot)])].previous = index }
        heads[Int(slot)] = index
        occupied[level] |= 1 << position
    }

    private mutating func unlink(_ index: UInt32) {
        let timer = timers[Int(index)]
        if timer.previous == .max {
            heads[Int(timer.slot)] = timer.next
            if timer.next == .max { occupied[Int(timer.slot) / 64] &= ~(1 << UInt64(timer.slot % 64)) }
        } else {
            timers[Int(timer.previous)].next = timer.next
        }
        if timer.next != .max { timers[Int(timer.next)].previous = timer.previous }
    }

    private mutating func free(_ index: UInt32) {
        timers[Int(index)].slot = .max
        timers[Int(index)].next = firstFree
        firstFree = index
        count -= 1
    }
}
