/// Why a report has its verdict, in a sentence for people.
struct CanaryReason {
    let text: String

    /// `measure`: which one a rollback is for.
    init(_ report: CanaryReport, decidedBy measure: CanaryReport.Measure?) {
        switch report.verdict {
        case .noData:
            text = report.canary.requests == 0 ? "the canary had no requests" : "the stable version had no requests"
        case .promote:
            text = "errors and latency are within the margins"
        case .rollback:
            text = report.tests.first { $0.measure == measure }.map(Self.rollback) ?? "the canary is worse"
        case .wait:
            text = Self.wait(report) + (report.isOver ? "; the time is over" : "")
        }
    }

    private static func rollback(_ test: CanaryReport.Test) -> String {
        let shares = "\(percent(test.canary)) of the canary's requests against \(percent(test.stable))"
        guard let bound = test.bound else { return "errors: \(shares) failed" }
        return "latency: \(shares) took more than \(number(bound)) ms"
    }

    private static func wait(_ report: CanaryReport) -> String {
        let settings = report.settings
        for (name, destination) in [("canary", report.canary), ("stable version", report.stable)]
        where destination.requests < settings.requestsMin {
            return "too few requests: \(destination.requests) of the \(name), \(settings.requestsMin) are needed"
        }
        if report.tests.allSatisfy({ $0.outcome == .within }), let ratio = report.meanRatio {
            return "the shares are within the margins, but the mean is \(number(ratio)) times the stable one"
        }
        let open = report.tests.filter { $0.outcome != .within }
        if open.contains(where: { $0.measure == .errors }) {
            return open.count == 1 ? "errors are not decided yet" : "errors and latency are not decided yet"
        }
        return report.meanRatio == nil ? "no latencies are known" : "latency is not decided yet"
    }

    private static func percent(_ share: Double) -> String { "\(number(share * 100)) %" }

    /// At most three digits behind the point, fewer for large numbers.
    private static func number(_ value: Double) -> String {
        let scale = value >= 10 ? 10.0 : 1000.0
        let rounded = (value * scale).rounded() / scale
        return rounded == rounded.rounded() && abs(rounded) < 1e9 ? "\(Int64(rounded))" : "\(rounded)"
    }
}
