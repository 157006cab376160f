/// What is known of both shares before a step: recent steps count more, so that an estimate follows a day's rise and fall.
struct ShareEstimate {
    /// A step's weight after one more: half of it is left after 34 steps.
    static let keep = 0.98
    /// Each destination's estimate is drawn to the common one as if so many requests had said so: few requests of a canary say little.
    static let drawn = 20.0

    private(set) var recent = TallyPair.none

    /// Nil until both destinations had requests: there is nothing to bet on.
    var shares: SharePair? {
        guard recent.isComplete else { return nil }
        let common = common
        func drawn(_ tally: Tally) -> Double {
            let share = (tally.hits + Self.drawn * common) / (tally.count + Self.drawn)
            return min(max(share, NullProjection.edge), 1 - NullProjection.edge)
        }
        return SharePair(stable: drawn(recent.stable), canary: drawn(recent.canary))
    }

    /// The share over both destinations, never 0 or 1.
    var common: Double {
        let pooled = recent.pooled
        return (pooled.hits + 0.5) / (pooled.count + 1)
    }

    mutating func add(_ step: TallyPair) { recent = recent.scaled(by: Self.keep) + step }
}

/// How much more the difference of both shares varies from step to step than independent requests would make it: failures come in bursts.
///
/// It is Pearson's statistic over its degrees of freedom (McCullagh and Nelder, Generalized Linear Models, section 4.5).
struct Dispersion {
    /// Steps that say 1, before any is seen.
    private static let priorSteps = 10.0
    /// One step counts at most as much: a version that begins to fail must not be taken for a burst.
    private static let stepMax = 25.0

    private var sum = priorSteps
    private var steps = priorSteps

    /// At least 1.
    var factor: Double { max(1, sum / steps) }

    /// `estimate`: of the steps before.
    mutating func add(_ step: TallyPair, before estimate: ShareEstimate) {
        guard step.isComplete, estimate.recent.isComplete else { return }
        let pooled = step.pooled
        let share = (pooled.hits + ShareEstimate.drawn * estimate.common) / (pooled.count + ShareEstimate.drawn)
        let variance = share * (1 - share) * (1 / step.stable.count + 1 / step.canary.count)
        guard variance > 0 else { return }
        let distance = step.difference - estimate.recent.difference
        sum = sum * ShareEstimate.keep + min(distance * distance / variance, Self.stepMax)
        steps = steps * ShareEstimate.keep + 1
    }
}
