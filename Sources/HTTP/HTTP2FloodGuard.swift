public import Primitives

/// Counts the frames that cost us more than their sender: SETTINGS, PING, resets, empty frames and the like. A bucket that refills with
/// time and with real work; when it is empty the connection ends (RFC 9113 10.5).
public struct HTTP2FloodGuard: Sendable, BitwiseCopyable {
    /// Frames a peer may send at once without doing anything useful.
    public static let burst: Int32 = 1000
    /// Frames it may send so each second for ever.
    public static let perSecond: UInt64 = 100
    /// What one request or one DATA frame with content earns.
    static let earned: Int32 = 4
    /// What a stream costs that we had to reset for its client's fault, a request begun and undone included (CVE-2025-8671).
    static let brokenStreamCost: Int32 = 20
    /// What a header section beyond the limits costs, which a few bytes can ask for by naming a long field of the table again and again.
    static let largeHeadCost: Int32 = 100

    /// Bytes of a header section that nobody looks at, because its stream is refused or broken, and that cost as much as one frame: each
    /// may name a whole field of the table, which is decoded all the same for the table's sake (RFC 9113 4.3).
    static let unseenBytesPerFrame = 16
    /// Bytes of one section that no field has come of, which end the connection: more than the longest field that a head may have, and a
    /// frame besides.
    static let unseenBytesMax = 80 * 1024

    private var left = Self.burst
    private var refilled: MonotonicInstant

    public init(now: MonotonicInstant) { refilled = now }

    /// Counts one frame, or something that costs as much as `count` of them; false when that was too many.
    public mutating func spend(_ count: Int32 = 1, now: MonotonicInstant) -> Bool {
        if left >= count {
            left -= count
            return true
        }
        let elapsed = now.nanoseconds(since: refilled)
        let grant = elapsed / (1_000_000_000 / Self.perSecond)
        guard grant > 0 else { return false }
        refilled = now
        left = min(Self.burst, left + Int32(clamping: min(UInt64(Self.burst), grant))) - count
        return left >= 0
    }

    public mutating func earn() { left = min(Self.burst, left + Self.earned) }
}
