internal import Foundation

/// The answer of `/v1/canary`, and how it is shown.
struct CanaryPicture: Decodable {
    struct Quantile: Decodable {
        var value, low, high: Double
        var isBeyondBounds: Bool
    }

    struct Destination: Decodable {
        var name: String
        var requests, errors: UInt64
        var errorRate, meanMilliseconds: Double?
        var p50Milliseconds, p95Milliseconds, p99Milliseconds: Quantile?
    }

    struct Evidence: Decodable {
        var evidence, needed: Double
    }

    struct Test: Decodable {
        var measure, outcome: String
        var boundMilliseconds: Double?
        var stable, canary, difference, differenceLow, differenceHigh, margin, dispersion: Double
        var worse, within: Evidence
    }

    var verdict, reason, subject: String
    var decidedAtUnixMilliseconds, comparedFromUnixMilliseconds: Int64?
    var startUnixMilliseconds, endUnixMilliseconds, stepMilliseconds: Int64
    var steps: Int
    var isOver, startIsFloating: Bool
    var confidence: Double
    var minRequests: UInt64
    var stable, canary: Destination
    var meanRatio: Double?
    var tests: [Test]

    /// Another look would bring nothing else.
    var isFinal: Bool { verdict == "promote" || verdict == "rollback" || isOver }

    private var word: String { verdict == "no_data" ? "no data" : verdict }

    /// What a watch shows meanwhile.
    var line: String {
        "\(Self.clock(endUnixMilliseconds))  \(word): \(SafeText.clean(reason)) (\(canary.requests) and \(stable.requests) requests)"
    }

    func lines(style: TerminalStyle) -> [String] {
        let color = verdict == "rollback" ? TerminalStyle.red : verdict == "promote" ? TerminalStyle.green : TerminalStyle.yellow
        var lines = ["\(style.paint(word.uppercased(), color))  \(SafeText.clean(reason))"]
        let decided = decidedAtUnixMilliseconds.map { ", decided at \(Self.clock($0))" } ?? ""
        let from = Self.clock(comparedFromUnixMilliseconds ?? startUnixMilliseconds)
        lines.append(
            "\(SafeText.clean(subject)), \(from) to \(Self.clock(endUnixMilliseconds)), "
                + "\(steps) steps of \(stepMilliseconds / 1000) s, confidence \(Self.percent(confidence))\(decided)")
        if startIsFloating {
            lines.append("The canary had requests before that: look again with --start, so that every look is at the same ones.")
        }
        if isOver { lines.append("The time is over: later requests change nothing.") }
        guard stable.requests > 0 || canary.requests > 0 else { return lines }
        lines.append("")
        var table = TextTable(["", "REQUESTS", "ERRORS", "MEAN", "P50", "P95", "P99", "DESTINATION"])
        for (name, one) in [("stable", stable), ("canary", canary)] {
            table.add([
                name, "\(one.requests)", one.errorRate.map(Self.percent) ?? "-", one.meanMilliseconds.map(Self.milliseconds) ?? "-",
                Self.text(one.p50Milliseconds), Self.text(one.p95Milliseconds), Self.text(one.p99Milliseconds), SafeText.clean(one.name),
            ])
        }
        lines += table.lines(style: style)
        if let meanRatio { lines.append("The canary's mean latency is \(Self.number(meanRatio)) times the stable one in the same steps.") }
        return lines + [""] + testLines(style)
    }

    private func testLines(_ style: TerminalStyle) -> [String] {
        var table = TextTable(["SHARE OF REQUESTS", "STABLE", "CANARY", "DIFFERENCE", "MARGIN", "EVIDENCE", ""])
        for test in tests {
            let interval = "\(Self.percent(test.differenceLow)) to \(Self.percent(test.differenceHigh))"
            // Whichever is nearer to being certain.
            let (within, worse) = (Self.ratio(test.within), Self.ratio(test.worse))
            let evidence = worse > within ? "\(Int(worse * 100)) % worse" : "\(Int(within * 100)) % within"
            table.add([
                test.boundMilliseconds.map { "slower than \(Self.milliseconds($0))" } ?? "failed", Self.percent(test.stable),
                Self.percent(test.canary), interval, Self.percent(test.margin), evidence, test.outcome,
            ])
        }
        return table.lines(style: style) { row, column in
            guard column == 6 else { return nil }
            return tests[row].outcome == "worse" ? TerminalStyle.red : tests[row].outcome == "within" ? TerminalStyle.green : nil
        }
    }

    /// How much of the evidence needed there is, 0…1.
    private static func ratio(_ one: Evidence) -> Double { one.needed > 0 ? min(max(one.evidence / one.needed, 0), 1) : 0 }

    private static func text(_ quantile: Quantile?) -> String {
        guard let quantile else { return "-" }
        if quantile.isBeyondBounds { return "> \(milliseconds(quantile.value))" }
        return "\(milliseconds(quantile.value)) (\(number(quantile.low))-\(number(quantile.high)))"
    }

    private static func milliseconds(_ value: Double) -> String { "\(number(value)) ms" }
    private static func percent(_ share: Double) -> String { "\(number(share * 100)) %" }

    /// Three digits that count.
    private static func number(_ value: Double) -> String {
        if abs(value) >= 100 { return String(format: "%.0f", value) }
        let text = String(format: abs(value) >= 10 ? "%.1f" : "%.2f", value)
        return text == "-0.00" ? "0.00" : text
    }

    private static func clock(_ unixMilliseconds: Int64) -> String {
        let format = DateFormatter()
        format.dateFormat = "HH:mm:ss"
        return format.string(from: Date(timeIntervalSince1970: Double(unixMilliseconds) / 1000))
    }
}
