internal import CanaryAnalysis
internal import PromQL
internal import TelemetryModel

/// Latencies of one destination by step, read from the parts of a classic histogram.
struct CanaryLatencies {
    private let window: StepWindow
    /// Counts up to each bound, by step; +Inf is a bound.
    private var upTo: [Double: [Double]] = [:]
    private var sums: [Double]

    init(_ window: StepWindow) {
        self.window = window
        sums = Array(repeating: 0, count: window.count)
    }

    mutating func take(bucket labels: LabelSet, _ increases: [(step: Int, increase: Double)]) throws(PromQLError) {
        guard let bound = Self.parsedBound(labels["le"]) else { return }
        guard upTo[bound] != nil || upTo.count <= CanaryLimits.boundsMax else {
            throw .execution("histograms of more than \(CanaryLimits.boundsMax) different bounds cannot be compared")
        }
        var counts = upTo.removeValue(forKey: bound) ?? Array(repeating: 0, count: window.count)
        for (step, increase) in increases { counts[step] += increase }
        upTo[bound] = counts
    }

    mutating func take(sum increases: [(step: Int, increase: Double)]) {
        for (step, increase) in increases { sums[step] += increase }
    }

    /// Finite bounds above 0, whether or not anything was counted up to them.
    var bounds: Set<Double> { Set(upTo.keys.filter { $0.isFinite }) }

    /// Adds what is known of a step. `bounds`: ascending; a bound that these histograms do not have has nothing of its own.
    func fillLatencies(_ counts: inout DestinationCounts, step: Int, bounds: [Double]) {
        var below = 0.0
        counts.buckets = (bounds + [.infinity]).map { bound in
            let all = max(upTo[bound]?[step] ?? below, below)
            defer { below = all }
            return CanaryDestinations.wholeCount(all - below)
        }
        counts.latencySum = sums[step]
    }

    private static func parsedBound(_ text: String?) -> Double? {
        guard let bound = text == "+Inf" ? .infinity : text.flatMap({ Double($0) }), bound > 0, !bound.isNaN else { return nil }
        return bound
    }
}
