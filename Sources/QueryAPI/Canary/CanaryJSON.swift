internal import CanaryAnalysis

/// What `/v1/canary` answers (docs/canary.md).
enum CanaryJSON {
    static func problemAnswer(_ text: String) -> [UInt8] {
        var json: [UInt8] = []
        json.append(text: "{\"error\":")
        json.append(jsonString: text)
        json.append(text: "}")
        return json
    }

    /// `comparison`: nil = one of the destinations is not there.
    static func answer(
        _ question: CanaryQuestion, _ window: StepWindow, _ comparison: CanaryReader.Comparison?, isFixed: Bool
    ) -> [UInt8] {
        var judge = CanaryJudge(bounds: comparison?.bounds ?? [], question.settings)
        for step in comparison?.steps ?? [] { judge.observe(step) }
        var report = judge.report()
        if comparison == nil { report.reason = "no requests of \(question.title) to two destinations were counted" }
        // A canary that was there before the time looked at: each look begins elsewhere.
        let isFloating = !isFixed && (comparison?.steps.first?.canary.requests ?? 0) > 0
        var json: [UInt8] = []
        json.append(text: "{\"verdict\":\"\(report.verdict.rawValue)\",\"reason\":")
        json.append(jsonString: report.reason)
        json.append(text: ",\"subject\":")
        json.append(jsonString: question.title)
        json.append(text: ",\"decidedAtUnixMilliseconds\":\(report.decidedAt.map { "\($0)" } ?? "null")")
        json.append(text: ",\"startUnixMilliseconds\":\(window.start),\"endUnixMilliseconds\":\(report.end ?? window.end)")
        let begin = report.begin.map { "\($0 - window.length)" } ?? "null"
        json.append(text: ",\"comparedFromUnixMilliseconds\":\(begin)")
        json.append(text: ",\"stepMilliseconds\":\(window.length),\"steps\":\(report.steps)")
        json.append(text: ",\"isOver\":\(report.isOver),\"startIsFloating\":\(isFloating)")
        json.append(text: ",\"confidence\":\(number(report.settings.confidence))")
        json.append(text: ",\"errorMargin\":\(number(report.settings.errorMargin))")
        json.append(text: ",\"latencyMargin\":\(number(report.settings.latencyMargin))")
        json.append(text: ",\"slowMargin\":\(number(report.settings.slowMargin)),\"minRequests\":\(report.settings.requestsMin)")
        json.append(text: ",\"maxMilliseconds\":\(report.settings.durationMax)")
        append("stable", report.stable, comparison?.pair.stable, to: &json)
        append("canary", report.canary, comparison?.pair.canary, to: &json)
        json.append(text: ",\"meanRatio\":\(number(report.meanRatio)),\"meanSlower\":\(evidenceText(report.meanSlower))")
        json.append(text: ",\"tests\":[\(report.tests.map(testText).joined(separator: ","))]}")
        return json
    }

    private static func append(_ name: String, _ one: CanaryReport.Destination, _ place: CanaryPlace?, to json: inout [UInt8]) {
        json.append(text: ",\"\(name)\":{\"name\":")
        json.append(jsonString: place?.name ?? "")
        json.append(text: ",\"requests\":\(one.requests),\"errors\":\(one.errors),\"errorRate\":\(number(one.errorRate))")
        json.append(text: ",\"meanMilliseconds\":\(number(one.meanLatency))")
        for (name, quantile) in [("p50", one.p50), ("p95", one.p95), ("p99", one.p99)] {
            json.append(text: ",\"\(name)Milliseconds\":")
            guard let quantile else {
                json.append(text: "null")
                continue
            }
            json.append(text: "{\"value\":\(number(quantile.value)),\"low\":\(number(quantile.low)),\"high\":\(number(quantile.high))")
            json.append(text: ",\"isBeyondBounds\":\(quantile.isBeyondBounds)}")
        }
        json.append(text: "}")
    }

    private static func testText(_ test: CanaryReport.Test) -> String {
        "{\"measure\":\"\(test.measure.rawValue)\",\"boundMilliseconds\":\(number(test.bound)),\"stable\":\(number(test.stable)),"
            + "\"canary\":\(number(test.canary)),\"difference\":\(number(test.canary - test.stable)),"
            + "\"differenceLow\":\(number(test.interval.lowerBound)),\"differenceHigh\":\(number(test.interval.upperBound)),"
            + "\"margin\":\(number(test.margin)),\"outcome\":\"\(test.outcome.rawValue)\",\"worse\":\(evidenceText(test.worse)),"
            + "\"within\":\(evidenceText(test.within)),\"dispersion\":\(number(test.dispersion))}"
    }

    private static func evidenceText(_ one: (evidence: Double, needed: Double)) -> String {
        "{\"evidence\":\(number(one.evidence)),\"needed\":\(number(one.needed))}"
    }

    /// JSON has no infinities.
    private static func number(_ value: Double?) -> String {
        guard let value, value.isFinite else { return "null" }
        return "\(value)"
    }
}
