/// What came for a request before its final response. A bound over all its attempts: an upstream could go on for ever.
struct InterimTally: BitwiseCopyable {
    private(set) var count: UInt8 = 0
    private var bytes = 0
    private var saidContinue = false

    /// Counts one more. False when it is one too many, or they are too large together.
    mutating func take(bytes size: Int, countMax: UInt8, bytesMax: Int) -> Bool {
        guard count < countMax, size <= bytesMax - bytes else { return false }
        count += 1
        bytes += size
        return true
    }

    /// Whether a 100 goes to the client. Once is enough: a second answers the expectation that we repeated with another attempt.
    mutating func passesContinue() -> Bool {
        defer { saidContinue = true }
        return !saidContinue
    }
}
