internal import Glibc

/// The canary's mean latency over the stable version's in the same time, so that a quiet night beside a busy day makes no difference.
///
/// Over all requests it is one number, which a few very slow requests move. So it is also taken block by block, steps joined until the
/// canary had some requests, and a sequential test looks whether most blocks say that the canary is slower: a bet on each block, as large
/// as the blocks before suggest (Shafer 2021, "Testing by betting", J. R. Stat. Soc. A 184). Under "half of the blocks at most are above",
/// its wealth ever reaches 1/α with a probability of at most α.
struct MeanRatio: Sendable {
    /// Requests of the canary in a block.
    private static let blockRequests = 10.0

    /// Blocks count whose ratio is above this.
    private let threshold: Double
    let needed: Double

    private struct Sums {
        var canary = 0.0
        var canaryCount = 0.0
        /// What the canary's requests would have taken at the stable version.
        var expected = 0.0

        var ratio: Double? { expected > 0 ? canary / expected : nil }

        static func + (left: Sums, right: Sums) -> Sums {
            Sums(
                canary: left.canary + right.canary, canaryCount: left.canaryCount + right.canaryCount,
                expected: left.expected + right.expected)
        }
    }

    private var all = Sums()
    private var block = Sums()
    /// Ratios of the blocks, ascending.
    private var blocks: [Double] = []
    private var above = 0.0
    /// Against "the canary is not slower than the threshold in most blocks".
    private(set) var slower = Evidence()

    /// `margin`: a block is above that is slower by more than this. `error`: of the test, above 0 and below 1.
    init(margin: Double, error: Double) {
        threshold = 1 + margin
        needed = -log(error)
    }

    /// Over all requests; nil where nothing is known.
    var value: Double? { all.ratio }

    var isSlower: Bool { slower.most >= needed }

    /// Neither over all requests nor in most blocks.
    func isNotSlower(by margin: Double) -> Bool {
        max(value ?? 1, blocks.isEmpty ? 1 : blocks[blocks.count / 2]) <= 1 + margin
    }

    mutating func add(_ step: CanaryStep) {
        let stableCount = step.stable.buckets.reduce(0) { $0 + Double($1) }
        let canaryCount = step.canary.buckets.reduce(0) { $0 + Double($1) }
        guard stableCount > 0, canaryCount > 0 else { return }
        let expected = canaryCount * step.stable.latencySum / stableCount
        let sums = Sums(canary: step.canary.latencySum, canaryCount: canaryCount, expected: expected)
        all = all + sums
        block = block + sums
        guard block.canaryCount >= Self.blockRequests else { return }
        if let ratio = block.ratio, ratio.isFinite { finish(ratio) }
        block = Sums()
    }

    private mutating func finish(_ ratio: Double) {
        // The share of blocks above, as if one and a half of two had been before the first.
        let likely = (above + 1.5) / (Double(blocks.count) + 2)
        let stake = max(0, 2 * likely - 1)
        slower.add(log1p(ratio > threshold ? stake : -stake))
        if ratio > threshold { above += 1 }
        blocks.insert(ratio, at: place(of: ratio))
    }

    private func place(of ratio: Double) -> Int {
        var (low, high) = (0, blocks.count)
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle] < ratio { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
