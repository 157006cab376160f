import Foundation
import PromQL
import TelemetryModel
import Testing

/// What hostile queries cost.
@Suite struct LimitsTests {
    /// A hundred series with a sample each ten seconds for an hour.
    static let source: MemorySource = {
        var source = MemorySource()
        for number in 0..<100 {
            var series = SeriesSamples(labels: LabelSet("m", ["n": "\(number)"]))
            for step in 0..<360 {
                series.times.append(Int64(step) * 10_000)
                series.values.append(Double(step * number))
            }
            source.add(series)
        }
        return source
    }()

    static func failure(
        _ text: String, samples: Int = 50_000_000, from start: Int64 = 0, through end: Int64 = 3_600_000, step: Int64 = 10_000,
        isInterrupted: @escaping () -> PromQLInterruption? = { nil }
    ) -> String {
        var engine = PromQLEngine()
        engine.limits.samplesMax = samples
        do {
            let expression = try engine.parse(text)
            _ = try engine.evaluate(expression, from: start, through: end, step: step, over: source, isInterrupted: isInterrupted)
            return ""
        } catch { return error.message }
    }

    static let tooMany = "query processing would load too many samples into memory in query execution"

    @Test func pointsAreBounded() {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"
        #expect(Self.failure("m", through: 11_000_000, step: 1000) == text)
        #expect(Self.failure("vector(1)", through: 10_999_000, step: 1000) == "")
        #expect(Self.failure("1", from: .min, through: .max, step: 1) == text)
        #expect(Self.failure("1", through: 1, step: 0).contains("zero or negative query resolution step"))
        #expect(Self.failure("1", through: -1) == "end timestamp must not be before start time")
        #expect(Self.failure("m[5m]") == "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector")
    }

    @Test(arguments: [
        "m", "sum(m)", "m + m", "m + on() group_left() m{n=\"1\"}", "max_over_time(m[1h:1s])", "topk(100, m)", "m or m",
        "count_values(\"v\", m)", "sum by (n) (m)", "label_replace(m, \"a\", \"$1\", \"n\", \"(.*)\")", "absent(m)", "sort(m)", "-m",
        "max_over_time({__name__=~\".+\"}[1y:1s])", "histogram_quantile(0.9, m)",
    ])
    func samplesAreBounded(query: String) throws {
        #expect(Self.failure(query, samples: 1000) == Self.tooMany)
    }

    @Test func steepSubqueriesEnd() {
        #expect(Self.failure("max_over_time({__name__=~\".+\"}[1y:1s])", samples: 100_000) == Self.tooMany)
        #expect(Self.failure("max_over_time(max_over_time(max_over_time(m[1y:1s])[1y:1s])[1y:1s])") == Self.tooMany)
        #expect(Self.failure("max_over_time(vector(1)[100y:1ms])") == Self.tooMany)
        #expect(Self.failure("sum_over_time(time()[1y:1s])").contains("parse error"))
    }

    /// Sizes at the ends of 64 bits are answered, not trapped on.
    @Test(arguments: [
        "m offset 292y", "m offset -292y", "m @ 9e15", "m @ -9e15", "m @ 9223372036854775", "m[292y]", "max_over_time(m[292y:292y])",
        "m @ 1e300",
        "max_over_time(m[292y:1m] @ -9e15 offset 292y)", "year(vector(1e300))", "day_of_month(vector(-1e300))", "hour(vector(NaN))",
        "topk(1e300, m)",
        "predict_linear(m[1h], 1e308)", "topk(-1e18, m)", "bottomk(9.2e18, m)", "quantile(NaN, m)", "round(m, 0)",
        "days_in_month(vector(1e18))",
        "count_values(\"a\", m * 1e308)", "m % 0", "m ^ 1e308", "clamp(m, NaN, 1)", "histogram_fraction(NaN, Inf, m)", "rate(m[1ms])",
        "m[1y:1y]",
    ])
    func extremeNumbersAreAnswered(query: String) throws {
        guard let expression = try? Parser.parse(query) else { return }
        for time in [Int64.min, -1, 0, 3_600_000, .max] {
            _ = try? PromQLEngine().evaluate(expression, at: time, over: Self.source)
            _ = try? PromQLEngine().evaluate(expression, from: time, through: time, step: .max, over: Self.source)
            _ = try? PromQLEngine().evaluate(expression, from: time, through: .max, step: .max / 3, over: Self.source)
        }
    }

    @Test func deadlinesAreAskedFor() {
        var asked = 0
        let text = Self.failure("sum(rate(m[30m])) + sum(m)") {
            asked += 1
            return asked > 3 ? .timedOut : nil
        }
        #expect(text == "query timed out in expression evaluation")
        #expect(asked == 4)
        #expect(Self.failure("sum(rate(m[30m]))") { .canceled } == "query was canceled in expression evaluation")
    }

    /// Threads of ours have a stack of a megabyte.
    @Test func deepestQueriesFitTheStack() throws {
        let one = "m{n=\"1\"}"
        let texts = [
            String(repeating: "abs((", count: 31) + one + String(repeating: "))", count: 31),
            one + String(repeating: " + \(one)", count: 126),
            String(repeating: "sum(", count: 63) + one + String(repeating: ")", count: 63),
            String(repeating: "\(one) ^ ", count: 63) + one,
            String(repeating: "max_over_time(", count: 60) + one + String(repeating: "[10s:10s])", count: 60),
        ]
        for text in texts {
            let end = DispatchSemaphore(value: 0)
            let thread = Thread {
                _ = try? PrettyPrinter.text(of: Parser.parse(text))
                _ = Self.failure(text, step: 3_600_000)
                end.signal()
            }
            thread.stackSize = 1 << 20
            thread.start()
            end.wait()
            #expect(Self.failure(text, step: 3_600_000) == "", "\(text)")
        }
    }

    /// What `stats` tells: samples that selectors found, at each step again, and most held at a time.
    @Test func whatAQueryCosts() throws {
        let engine = PromQLEngine()
        func instant(_ text: String) throws -> QueryCost { try engine.evaluate(engine.parse(text), at: 600_000, over: Self.source).cost }
        func range(_ text: String) throws -> Int {
            try engine.evaluate(engine.parse(text), from: 600_000, through: 690_000, step: 10_000, over: Self.source).cost.samplesRead
        }
        #expect(try instant("1").samplesRead == 0 && instant("m").samplesRead == 100 && instant("sum(m) + m{n=\"1\"}").samplesRead == 101)
        #expect(try instant("rate(m[1m])").samplesRead == 600 && instant("m[1m]").samplesRead == 600)
        #expect(try range("m") == 1000 && range("rate(m{n=\"1\"}[1m])") == 60)
        // Evaluated once and the same at every step: counted as often.
        #expect(try range("m @ 600") == 1000 && range("rate(m{n=\"1\"}[1m] @ 600)") == 60)
        // The inner steps, and the windows over what they gave.
        #expect(try instant("max_over_time(m{n=\"1\"}[1m:20s])").samplesRead == 3 + 3)
        #expect(try (100...102).contains(instant("sum(m) * 2").samplesPeak))
    }

    @Test func remarksSayWhere() throws {
        let query = "1 +\n  rate(m[5m])"
        let result = try PromQLEngine().evaluate(try Parser.parse(query), at: 600_000, over: Self.source)
        #expect(result.annotations.map { $0.message(in: query) } == [
            "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"m\" (2:8)"
        ])
    }
}
