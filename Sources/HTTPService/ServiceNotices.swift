internal import Primitives

/// What a server has to say in its process' log: so many lines in a window, the rest is counted. Confined to the server's thread.
struct ServiceNotices {
    /// Lines of one window.
    static let linesMax = 20
    static let windowNanoseconds: UInt64 = 60_000_000_000

    private let say: @Sendable (String) -> Void
    private var windowEnd = MonotonicInstant(nanoseconds: 0)
    private var lines = 0
    private var unsaid: UInt64 = 0

    init(say: @escaping @Sendable (String) -> Void) { self.say = say }

    mutating func note(_ text: String, now: MonotonicInstant) {
        if now >= windowEnd {
            if unsaid > 0 { say("\(unsaid) more like this were not logged") }
            windowEnd = now + Self.windowNanoseconds
            lines = 0
            unsaid = 0
        }
        if lines < Self.linesMax {
            lines += 1
            say(text)
        } else {
            unsaid &+= 1
        }
    }
}
