/// Which of a client's streams were begun, exactly for the last `remembered` numbers. New ones go up; a lower one that never was is an
/// error (RFC 9113 5.1.1).
struct HTTP2StreamLog: BitwiseCopyable, Sendable {
    static let remembered: Int32 = 2048

    private var last: Int32 = 0
    /// Bit n: the stream whose half number is n modulo `remembered` was begun.
    private var bits = InlineArray<32, UInt64>(repeating: 0)

    /// Notes a HEADERS frame for a stream that is not open. False = a number below one that was used, which was never begun or has been
    /// forgotten.
    mutating func note(_ stream: Int32) -> Bool {
        // An even number, or none, is nghttp2's to refuse.
        guard stream > 0, stream & 1 == 1 else { return true }
        guard stream > last else { return (last &- stream) >> 1 < Self.remembered && isSet(stream) }
        if (stream &- last) >> 1 >= Self.remembered {
            bits = InlineArray(repeating: 0)
        } else {
            var skipped = last &+ 2
            while skipped < stream {
                set(skipped, false)
                skipped &+= 2
            }
        }
        set(stream, true)
        last = stream
        return true
    }

    private func isSet(_ stream: Int32) -> Bool {
        let place = Int(stream >> 1 & (Self.remembered - 1))
        return bits[place / 64] >> UInt64(place % 64) & 1 == 1
    }

    private mutating func set(_ stream: Int32, _ isBegun: Bool) {
        let place = Int(stream >> 1 & (Self.remembered - 1))
        let bit: UInt64 = 1 << UInt64(place % 64)
        if isBegun { bits[place / 64] |= bit } else { bits[place / 64] &= ~bit }
    }
}
