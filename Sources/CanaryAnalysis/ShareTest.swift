internal import Glibc

/// What speaks against a hypothesis: a bet's wealth, as its natural logarithm. It begins at 0, and under the hypothesis it ever reaches
/// log(1/α) with a probability of at most α, whenever somebody looks (Ville's inequality).
struct Evidence: Sendable, Equatable {
    private(set) var value = 0.0
    /// The most it ever was.
    private(set) var most = 0.0

    mutating func add(_ step: Double) {
        value += step
        most = max(most, value)
    }
}

/// Two sequential tests of one share at two destinations: is the canary's above the stable version's by more than a margin, or by less?
///
/// After each step both tests multiply their wealth by an e-value of the step: how likely its counts were under the shares that the steps
/// before suggest, over how likely under the nearest shares that the hypothesis allows (`NullProjection`; stratified by time as in Turner
/// and Grünwald, "Safe sequential testing and effect estimation in stratified count data", AISTATS 2023). The mean of that is at most 1
/// whatever both shares are at that time, so long as their difference is on the hypothesis' side. So neither a rise of both at noon nor a
/// change of the route's weights is taken for a difference.
///
/// An e-value stays one when it is
/// - taken to a power of at most 1 that the steps before decide (Jensen): `Dispersion`, against bursts of failures;
/// - mixed with 1: a single step costs at most a factor of 1,000;
/// - cut: no single step has more than a third of what a decision needs.
struct ShareTest: Sendable {
    /// Of each step's e-value this share is the constant 1.
    private static let kept = 0.001
    /// A decision needs the evidence of so many steps.
    static let stepsNeeded = 3.0

    /// Against "the canary's share is at most the margin above the stable one".
    private(set) var worse = Evidence()
    /// Against "the canary's share is at least the margin above the stable one".
    private(set) var within = Evidence()
    /// What the evidence must reach, each a natural logarithm.
    let worseNeeded: Double
    let withinNeeded: Double

    private var estimate = ShareEstimate()
    private var spread = Dispersion()

    /// `worseError`, `withinError`: probabilities of a wrong decision, above 0 and below 1.
    init(worseError: Double, withinError: Double) {
        worseNeeded = -log(worseError)
        withinNeeded = -log(withinError)
    }

    var isWorse: Bool { worse.most >= worseNeeded }
    var isWithin: Bool { within.most >= withinNeeded }
    var dispersion: Double { spread.factor }

    /// `margin`: decided by earlier steps alone, above −1 and below 1. A step in which a destination had no requests tells nothing.
    mutating func observe(_ step: TallyPair, margin: Double) {
        if step.isComplete, let expected = estimate.shares, expected.difference != margin {
            let null = NullProjection.nearest(
                to: expected, difference: margin, stableCount: step.stable.count, canaryCount: step.canary.count)
            let quotient = expected.logLikelihood(of: step) - null.logLikelihood(of: step)
            // Where the estimate agrees with a hypothesis there is no bet against it.
            if expected.difference > margin {
                worse.add(bounded(quotient, needed: worseNeeded))
            } else {
                within.add(bounded(quotient, needed: withinNeeded))
            }
        }
        spread.add(step, before: estimate)
        estimate.add(step)
    }

    private func bounded(_ quotient: Double, needed: Double) -> Double {
        guard quotient.isFinite else { return 0 }
        let tempered = min(quotient / spread.factor, needed / Self.stepsNeeded)
        return log(exp(tempered) * (1 - Self.kept) + Self.kept)
    }
}
