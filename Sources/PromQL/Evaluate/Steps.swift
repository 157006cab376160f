/// The times at which an expression is evaluated: `count` of them from `first`, `step` milliseconds apart.
struct Steps: Hashable {
    /// Times are held within this, so that sums with durations stay in 64 bits.
    static let timeMax: Int64 = 1 << 60

    let first: Int64
    let step: Int64
    let count: Int

    /// From the first time to the last one that is not behind `last`; none when that is earlier.
    init(from first: Int64, through last: Int64, step: Int64) {
        self.first = first
        self.step = max(step, 1)
        count = last < first ? 0 : Int(clamping: (last - first) / self.step + 1)
    }

    init(at time: Int64) { self.init(from: time, through: time, step: 1) }

    func time(_ index: Int) -> Int64 { first + Int64(index) * step }
    var last: Int64 { time(max(count, 1) - 1) }

    /// A whole number of milliseconds as a time.
    static func clamped(_ milliseconds: Double) -> Int64 {
        guard milliseconds.magnitude < Double(timeMax) else { return milliseconds < 0 ? -timeMax : timeMax }
        return Int64(milliseconds)
    }

    static func clamped(_ milliseconds: Int64) -> Int64 { min(max(milliseconds, -timeMax), timeMax) }
}
