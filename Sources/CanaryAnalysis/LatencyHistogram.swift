internal import Glibc

/// Latencies in buckets, with what lies between two bounds taken to be even: between 0 and the first bound linearly, else by logarithm.
struct LatencyHistogram: Sendable, Equatable {
    /// Upper bounds, milliseconds, ascending and above 0.
    let bounds: [Double]
    /// Requests in each bucket alone; one more than bounds.
    private(set) var counts: [Double]

    init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    var total: Double { counts.reduce(0, +) }

    /// Other buckets than `bounds` has are left out.
    mutating func add(_ buckets: [UInt64]) {
        for index in counts.indices.prefix(buckets.count) { counts[index] += Double(buckets[index]) }
    }

    mutating func scale(by factor: Double) {
        for index in counts.indices { counts[index] *= factor }
    }

    /// The bucket in which a share of the requests, the fastest, ends. Needs requests.
    func bucket(ofShare share: Double) -> Int {
        let rank = share * total
        var sum = 0.0
        for (index, count) in counts.enumerated() {
            sum += count
            if count > 0, sum >= rank { return index }
        }
        return counts.count - 1
    }

    /// How many requests took longer than a bound.
    func slower(thanBound index: Int) -> Double { counts[(index + 1)...].reduce(0, +) }

    /// The share of requests that took longer than `latency`, milliseconds; 0 without requests.
    func shareSlower(than latency: Double) -> Double {
        let total = total
        guard total > 0, let index = bounds.firstIndex(where: { $0 >= latency }) else { return 0 }
        return (slower(thanBound: index) + counts[index] * (1 - place(of: latency, in: index))) / total
    }

    /// The latency that a share of the requests, the fastest, does not exceed, milliseconds; above the last bound that one. nil = there are
    /// no requests.
    func quantile(_ share: Double) -> Double? {
        let total = total
        guard total > 0, let last = bounds.last else { return nil }
        let index = bucket(ofShare: share)
        guard index < bounds.count else { return last }
        let below = counts[..<index].reduce(0, +)
        return latency(at: min(max((share * total - below) / counts[index], 0), 1), in: index)
    }

    /// A quantile with an interval: the quantiles at the ends of the share's own (Woodruff 1952, J. Am. Stat. Assoc. 47), which is
    /// Wilson's. For one look. `deviations`: of the normal distribution, for the confidence wanted.
    func quantile(_ share: Double, deviations z: Double) -> QuantileEstimate? {
        let total = total
        guard let value = quantile(share) else { return nil }
        let square = z * z / total
        let middle = (share + square / 2) / (1 + square)
        let half = z / (1 + square) * (share * (1 - share) / total + square / (4 * total)).squareRoot()
        return QuantileEstimate(
            value: value, low: quantile(max(0, middle - half)) ?? value, high: quantile(min(1, middle + half)) ?? value,
            isBeyondBounds: bucket(ofShare: share) == bounds.count)
    }

    /// How far into a bucket a latency lies, 0…1.
    private func place(of latency: Double, in index: Int) -> Double {
        guard index > 0 else { return max(0, latency / bounds[0]) }
        return log(latency / bounds[index - 1]) / log(bounds[index] / bounds[index - 1])
    }

    private func latency(at place: Double, in index: Int) -> Double {
        guard index > 0 else { return bounds[0] * place }
        return bounds[index - 1] * pow(bounds[index] / bounds[index - 1], place)
    }
}

/// A latency that so many of the requests do not exceed, milliseconds.
public struct QuantileEstimate: Sendable, Equatable {
    public var value: Double
    /// Where it lies with the confidence asked for, for one look.
    public var low: Double
    public var high: Double
    /// The histogram only says that it is above `value`.
    public var isBeyondBounds: Bool
}
