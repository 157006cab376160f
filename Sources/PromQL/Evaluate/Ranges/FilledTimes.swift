/// A length in parts of whole milliseconds.
struct Division {
    var length: Int64 = -1
    var parts: Int64 = 1
    var spacing: Int64 = 0
    var rest: Int64 = 0
    /// Number of the window that a sample is in, and its time.
    var window: Int64 = 0
    var time = Int64.min
}

/// Where a series' samples are, with those that were put between them.
struct FilledTimes {
    /// Milliseconds, of all samples.
    private(set) var times: [Int64] = []
    /// Where each sample that was there before is in `times`; behind them how many there are.
    private(set) var starts: [Int] = [0]
    /// In how many parts the way behind each of them is divided; 1 = nothing was put there.
    private(set) var parts: [Int64] = []

    /// `each`: samples that one becomes, about.
    init(room: Int, each: Int64) {
        times.reserveCapacity(room * Int(min(each, 8)))
        starts.reserveCapacity(room + 1)
        parts.reserveCapacity(room)
    }

    mutating func append(_ time: Int64) {
        times.append(time)
        starts.append(times.count)
        parts.append(1)
    }

    /// A sample and the parts behind it, those up to `through`.
    mutating func append(_ time: Int64, _ division: Division, through: Int64) {
        times.append(time)
        var (at, rest) = (time, Int64(0))
        for _ in 1..<division.parts {
            // The way times the part, by the parts, rounded down.
            at += division.spacing
            rest += division.rest
            if rest >= division.parts { (at, rest) = (at + 1, rest - division.parts) }
            if at > through { break }
            times.append(at)
        }
        starts.append(times.count)
        parts.append(division.parts)
    }
}
