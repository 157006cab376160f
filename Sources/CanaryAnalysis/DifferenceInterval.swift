internal import Glibc

/// Where the difference of two shares lies, whenever somebody looks: all differences that neither of a `ShareTest`'s hypotheses has been
/// rejected for (Turner and Grünwald, "Exact anytime-valid confidence intervals for contingency tables and beyond", 2022).
enum DifferenceInterval {
    /// Halvings of each end: as fine as a hundredth of a percentage point.
    private static let halvings = 14

    /// `steps`: what the test saw. The lower end is one that `worseNeeded` would have found, the upper one that `withinNeeded` would.
    static func find(_ steps: [TallyPair], worseNeeded: Double, withinNeeded: Double) -> ClosedRange<Double> {
        func test(_ margin: Double) -> ShareTest {
            var test = ShareTest(worseError: exp(-worseNeeded), withinError: exp(-withinNeeded))
            for step in steps { test.observe(step, margin: margin) }
            return test
        }
        let middle = steps.reduce(.none, +).difference
        let edge = 0.9999
        let low = bisect(from: min(max(middle, -edge), edge), to: -edge) { test($0).isWorse }
        let high = bisect(from: min(max(middle, -edge), edge), to: edge) { test($0).isWithin }
        return low...max(low, high)
    }

    /// The nearest place to `inner` that is rejected; ±1 where none is.
    private static func bisect(from inner: Double, to outer: Double, _ isRejected: (Double) -> Bool) -> Double {
        guard isRejected(outer) else { return outer < 0 ? -1 : 1 }
        var (kept, rejected) = (inner, outer)
        for _ in 0..<halvings {
            let middle = (kept + rejected) / 2
            if isRejected(middle) { rejected = middle } else { kept = middle }
        }
        return rejected
    }
}

enum NormalDistribution {
    /// How many standard deviations on each side of the mean have a share of everything; 0.95 = 1.96. By bisection of erf.
    static func deviations(confidence: Double) -> Double {
        var (low, high) = (0.0, 10.0)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if erf(middle / 2.0.squareRoot()) < confidence { low = middle } else { high = middle }
        }
        return high
    }
}
