internal import Glibc

/// Two shares.
struct SharePair: Equatable {
    var stable: Double
    var canary: Double

    var difference: Double { canary - stable }

    /// Logarithm of how likely `pair` is under these shares, without the part that does not depend on them.
    func logLikelihood(of pair: TallyPair) -> Double {
        func part(_ tally: Tally, _ share: Double) -> Double {
            (tally.hits > 0 ? tally.hits * log(share) : 0) + (tally.count > tally.hits ? (tally.count - tally.hits) * log1p(-share) : 0)
        }
        return part(pair.stable, stable) + part(pair.canary, canary)
    }
}

/// Finds the shares with a given difference that are nearest to an estimate: by Kullback-Leibler divergence, weighted by the requests of a
/// step (reverse information projection; Turner, Ly and Grünwald 2024, J. Stat. Plan. Inference 230, 106116). That choice is what makes
/// the quotient of likelihoods an e-value: its mean is at most 1 under every pair of shares on the other side of the difference.
enum NullProjection {
    /// Shares are kept this far from 0 and 1.
    static let edge = 1e-6
    private static let iterationsMax = 60

    /// `estimate`: inside of `edge`…1 − `edge`; `difference`: −1…1, canary less stable; counts above 0.
    static func nearest(to estimate: SharePair, difference: Double, stableCount: Double, canaryCount: Double) -> SharePair {
        // The stable share runs over everything that leaves the canary's a share.
        var low = max(0, -difference)
        var high = min(1, 1 - difference)
        let limit = SharePair(stable: (low + high) / 2, canary: (low + high) / 2 + difference)
        guard high - low > 4 * edge * edge else { return limit }
        // The derivative of the divergence ascends from −∞ to +∞ in between: Newton's steps, and halves where one leaves the bracket.
        var share = min(max(estimate.stable, low + (high - low) * 1e-3), high - (high - low) * 1e-3)
        for _ in 0..<iterationsMax {
            let canary = share + difference
            let stableSpread = share * (1 - share)
            let canarySpread = canary * (1 - canary)
            guard stableSpread > 0, canarySpread > 0 else { break }
            let stableSlope = (share - estimate.stable) / stableSpread
            let canarySlope = (canary - estimate.canary) / canarySpread
            let slope = stableCount * stableSlope + canaryCount * canarySlope
            if slope > 0 { high = share } else { low = share }
            let curve = stableCount * (1 - stableSlope * (1 - 2 * share)) / stableSpread
                + canaryCount * (1 - canarySlope * (1 - 2 * canary)) / canarySpread
            let next = share - slope / curve
            let moved = next > low && next < high ? next : (low + high) / 2
            if abs(moved - share) <= 1e-13 * share { break }
            share = moved
        }
        return SharePair(stable: share, canary: share + difference)
    }
}
