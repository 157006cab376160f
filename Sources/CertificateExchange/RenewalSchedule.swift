/// When a workload's certificate is to be renewed: at half of its time, give or take a tenth, so that hosts that started together do not
/// meet at their authority; after a failure sooner and sooner, then later: 1 s, doubling to 150 s, give or take a fifth (semantics 4.1).
/// Pure; seconds since 1970. `draw`: a random number, 0..<1.
public struct RenewalSchedule: Sendable, Hashable {
    public static let backOffSecondsMin: Double = 1
    public static let backOffSecondsMax: Double = 150
    /// Authorities date certificates so much back, for clocks that are late; it does not count as used.
    static let datedBackSeconds: Double = 120

    public private(set) var dueAt: Double
    private var backOff = backOffSecondsMin
    private let notAfter: Double

    public init(notBefore: Int64, notAfter: Int64, draw: Double) {
        let (begin, end) = (Double(notBefore), Double(notAfter))
        let start = end - begin > Self.datedBackSeconds ? begin + Self.datedBackSeconds : begin
        self.notAfter = end
        dueAt = start + max(0, end - start) * (0.45 + 0.1 * draw)
    }

    /// It did not work. The next try is not put off beyond the certificate's end when there is still time before it.
    public mutating func failed(now: Double, draw: Double) {
        let next = now + backOff * (0.8 + 0.4 * draw)
        backOff = min(Self.backOffSecondsMax, backOff * 2)
        dueAt = now < notAfter - 1 ? min(next, max(now + Self.backOffSecondsMin, notAfter - 1)) : next
    }

    /// The roots have changed: a certificate under the new one is wanted within `seconds`, if not due earlier.
    public mutating func hasten(now: Double, within seconds: Double, draw: Double) { dueAt = min(dueAt, now + seconds * draw) }
}
