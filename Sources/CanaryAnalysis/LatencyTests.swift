/// Is the canary slower? Three shares of requests are compared: those slower than each of three bounds of the histogram, around the stable
/// version's 95th percentile.
///
/// - `low`: the bound below it, where a slow-down of all requests shows;
/// - `high`: the bound above it;
/// - `tail`: the next one, where a few very slow requests show.
///
/// Which bounds these are, the steps before a step decide (`stable`). So does how many more slow requests are tolerated: as many as the
/// stable version would have if it were slower by the margin, at least `slowMargin`.
struct LatencyTests: Sendable {
    enum Role: Int, CaseIterable, Sendable {
        case low, high, tail
    }

    private static let percentile = 0.95

    private let settings: CanarySettings
    private(set) var tests: [ShareTest]
    /// What each test saw, step by step.
    private(set) var seen: [[TallyPair]]
    /// Of the last step.
    private(set) var bounds: [Double?]
    private(set) var margins: [Double]
    /// The stable version's latencies before the next step; recent ones count more.
    private var stable: LatencyHistogram

    init(bounds: [Double], _ settings: CanarySettings, worseError: Double, withinError: Double) {
        self.settings = settings
        tests = Role.allCases.map { _ in ShareTest(worseError: worseError, withinError: withinError) }
        seen = Role.allCases.map { _ in [] }
        self.bounds = Role.allCases.map { _ in nil }
        margins = Role.allCases.map { _ in settings.slowMargin }
        stable = LatencyHistogram(bounds: bounds)
    }

    mutating func observe(_ step: CanaryStep) {
        if stable.total >= 1 { compare(step) }
        stable.scale(by: ShareEstimate.keep)
        stable.add(step.stable.buckets)
    }

    private mutating func compare(_ step: CanaryStep) {
        var both = (stable: LatencyHistogram(bounds: stable.bounds), canary: LatencyHistogram(bounds: stable.bounds))
        both.stable.add(step.stable.buckets)
        both.canary.add(step.canary.buckets)
        let middle = min(stable.bucket(ofShare: Self.percentile), stable.bounds.count - 1)
        for role in Role.allCases {
            let index = min(max(0, middle + role.rawValue - 1), stable.bounds.count - 1)
            let bound = stable.bounds[index]
            let slower = stable.shareSlower(than: bound / (1 + settings.latencyMargin)) - stable.shareSlower(than: bound)
            let margin = min(max(settings.slowMargin, slower), 0.99)
            let tallies = TallyPair(
                stable: Tally(count: both.stable.total, hits: both.stable.slower(thanBound: index)),
                canary: Tally(count: both.canary.total, hits: both.canary.slower(thanBound: index)))
            tests[role.rawValue].observe(tallies, margin: margin)
            seen[role.rawValue].append(tallies)
            (bounds[role.rawValue], margins[role.rawValue]) = (bound, margin)
        }
    }
}
