/// What one judgement may cost.
public enum CanaryLimits {
    /// Steps of a judgement; later ones are not looked at.
    public static let stepsMax = 3600
    /// Finite bounds of a latency histogram; others are left out.
    public static let boundsMax = 256
}

/// What is asked of a canary. Shares are 0…1.
public struct CanarySettings: Sendable, Equatable {
    /// A verdict is wrong with at most the rest to 1, 0.5…0.9999: a bad canary promoted, or a good one rolled back.
    public var confidence = 0.95
    /// By how much the share of failed requests may be above the stable version's, 0.0001…0.5.
    public var errorMargin = 0.005
    /// How much slower the canary may be: 0.25 = by a quarter. 0.05…10.
    public var latencyMargin = 0.25
    /// Fewer additional slow requests than this share are always tolerated, 0.001…0.5.
    public var slowMargin = 0.01
    /// Requests of each destination before a canary is promoted, 1…1,000,000,000. A rollback needs evidence alone.
    public var requestsMin: UInt64 = 200
    /// Milliseconds from the start after which nothing is looked at any more, 1 minute…24 hours.
    public var durationMax: Int64 = 3_600_000

    public init() {}

    /// What is wrong with the settings, naming the value; nil = nothing is.
    public var problem: String? {
        func check(_ name: String, _ value: Double, _ range: ClosedRange<Double>) -> String? {
            range.contains(value) ? nil : "\(name) \(value): from \(range.lowerBound) to \(range.upperBound)"
        }
        return check("confidence", confidence, 0.5...0.9999) ?? check("error margin", errorMargin, 0.0001...0.5)
            ?? check("latency margin", latencyMargin, 0.05...10) ?? check("slow margin", slowMargin, 0.001...0.5)
            ?? check("minimum of requests", Double(requestsMin), 1...1e9)
            ?? check("duration in minutes", Double(durationMax) / 60_000, 1...1440)
    }
}
