public import Primitives

/// Time that moves only when it is told to, what is to happen at which moment, and the one source of chance. The same seed gives the same
/// world. One thread.
public final class SimulatedClock {
    private struct Entry {
        var at: MonotonicInstant
        var order: UInt64
        var action: () -> Void

        func isBefore(_ other: Entry) -> Bool { (at, order) < (other.at, other.order) }
    }

    public private(set) var now: MonotonicInstant
    public var random: RandomSource
    /// A heap; the earliest first, and of the same moment the one that was added first.
    private var entries: [Entry] = []
    private var added: UInt64 = 0

    public init(seed: UInt64, now: MonotonicInstant = MonotonicInstant(nanoseconds: 1_000_000_000_000)) {
        self.now = now
        random = RandomSource(seed: seed)
    }

    /// Nanoseconds since 1970 at this moment.
    public var unixNanoseconds: UInt64 { now.nanoseconds + 1_700_000_000_000_000_000 }

    /// When something happens next; nil = nothing is planned.
    public var next: MonotonicInstant? { entries.first?.at }

    /// Plans something for so many nanoseconds from now.
    public func after(_ nanoseconds: UInt64, _ action: @escaping () -> Void) { at(now + nanoseconds, action) }

    /// Plans something for a moment, or for now if that is past.
    public func at(_ instant: MonotonicInstant, _ action: @escaping () -> Void) {
        entries.append(Entry(at: max(instant, now), order: added, action: action))
        added += 1
        var place = entries.count - 1
        while place > 0, entries[place].isBefore(entries[(place - 1) / 2]) {
            entries.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    /// Moves time on to `instant`, and has everything happen that was planned until then.
    public func advance(to instant: MonotonicInstant) {
        while let first = entries.first, first.at <= instant {
            removeFirst()
            now = max(now, first.at)
            first.action()
        }
        now = max(now, instant)
    }

    private func removeFirst() {
        let last = entries.removeLast()
        guard !entries.isEmpty else { return }
        entries[0] = last
        var place = 0
        while true {
            var smallest = place
            for child in [2 * place + 1, 2 * place + 2] where child < entries.count && entries[child].isBefore(entries[smallest]) {
                smallest = child
            }
            if smallest == place { return }
            entries.swapAt(place, smallest)
            place = smallest
        }
    }

    /// A number in `0 ..< bound`; 0 when `bound` is 0.
    public func draw(below bound: Int) -> Int { Int(random.below(UInt32(clamping: max(0, bound)))) }
}
