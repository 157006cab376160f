/// What a segment's age is counted from: the newest of its spans that can be true.
///
/// A clock that runs ahead must not keep a segment for years: a timestamp more than `aheadMicrosecondsMax` later than its batch was
/// received does not count. Where none counts, the segment is as old as its last batch. A clock that is behind makes its span old; it goes
/// with the segment it came to.
struct RetentionClock {
    static let aheadMicrosecondsMax: UInt64 = 3_600_000_000

    private let latest: UInt64
    /// Microseconds since 1970; 0 = no timestamp counted.
    private(set) var newest: UInt64 = 0

    /// `arrival` is when the last of the spans was received.
    init(arrival: UInt64) { latest = arrival &+ Self.aheadMicrosecondsMax }

    @inline(__always)
    mutating func note(_ timestamp: UInt64) {
        if timestamp <= latest, timestamp > newest { newest = timestamp }
    }
}

extension Segment {
    /// Whether everything in it is older than `age`. Microseconds.
    func isDue(age: UInt64, now: UInt64) -> Bool {
        let reference = newest > 0 ? newest : arrival
        return reference > 0 && reference < now && now - reference > age
    }
}
