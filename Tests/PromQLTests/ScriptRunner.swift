import Matching
import PromQL
import TelemetryModel

/// Runs a script; collects what differs from it instead of stopping at the first.
struct ScriptRunner {
    var engine = PromQLEngine()
    private var source = MemorySource()
    private(set) var problems: [String] = []
    private(set) var evaluations = 0
    /// Queries that use experimental functions.
    private(set) var skipped = 0

    init() {}

    mutating func run(_ text: String) {
        do {
            for command in try Script(text).commands {
                switch command {
                case .clear: source = MemorySource()
                case .load(let step, let lines, let withNatives): try load(lines, step, withNatives)
                case .evaluate(let evaluation): evaluate(evaluation)
                }
            }
        } catch { problems.append("\(error)") }
    }

    private mutating func load(_ lines: [String], _ step: Int64, _ withNatives: Bool) throws {
        var loaded: [SeriesSamples] = []
        for line in lines where !line.contains("@st ") {
            let notation = try SeriesNotation(line)
            var series = SeriesSamples(labels: notation.labels)
            for (index, value) in notation.values.enumerated() {
                switch value {
                case .nothing: continue
                case .number(let number): series.values.append(number)
                case .histogram(let histogram, _):
                    series.histograms.append((series.times.count, histogram))
                    series.values.append(histogram.sum)
                }
                series.times.append(Int64(index) * step)
            }
            loaded.append(series)
        }
        for series in loaded + (withNatives ? ClassicConversion.natives(of: loaded) : []) { source.add(Self.hinted(series)) }
    }

    private static func hinted(_ series: SeriesSamples) -> SeriesSamples {
        var series = series
        var previous: (index: Int, histogram: NativeHistogram)?
        for position in series.histograms.indices {
            let (index, histogram) = series.histograms[position]
            let neighbour = previous.flatMap { $0.index == index - 1 ? $0.histogram : nil }
            series.histograms[position].histogram.resetHint = HistogramTools.storedHint(of: histogram, after: neighbour)
            previous = (index, histogram)
        }
        return series
    }

    private mutating func evaluate(_ evaluation: Script.Evaluation) {
        evaluations += 1
        func note(_ text: String) { problems.append("line \(evaluation.line): \(evaluation.expression): \(text)") }
        let result: QueryResult
        do {
            result = try answer(evaluation)
        } catch {
            if error.message.contains("is not enabled") || error.message.contains("experimental") || error.message.contains("not enabled") {
                skipped += 1
                return
            }
            guard evaluation.expects("fail") else { return note("failed: \(error.message)") }
            for expected in evaluation.expectations where expected.kind == "fail" && !Self.fits(error.message, expected) {
                note("failed with: \(error.message); expected \(expected.message ?? "another pattern")")
            }
            return
        }
        if evaluation.expects("fail") { return note("did not fail") }
        do {
            if let difference = try Comparison(evaluation).difference(result.value) { note(difference) }
        } catch { note("\(error)") }
        checkAnnotations(evaluation, result.annotations, note)
        if case .instant(let time) = evaluation.time { compareWithRange(evaluation, result, time, note) }
    }

    private func answer(_ evaluation: Script.Evaluation) throws(PromQLError) -> QueryResult {
        let expression = try engine.parse(evaluation.expression)
        switch evaluation.time {
        case .instant(let time): return try engine.evaluate(expression, at: time, over: source)
        case .range(let from, let through, let step):
            return try engine.evaluate(expression, from: from, through: through, step: step, over: source)
        }
    }

    /// The middle step of a range query gives what an instant query does.
    private func compareWithRange(_ evaluation: Script.Evaluation, _ result: QueryResult, _ time: Int64, _ note: (String) -> Void) {
        guard case .vector(let vector) = result.value, !evaluation.expression.contains("start()"), !evaluation.expression.contains("end()"),
            let expression = try? engine.parse(evaluation.expression)
        else { return }
        let ranged: QueryResult
        do {
            ranged = try engine.evaluate(expression, from: time - 60_000, through: time + 60_000, step: 60_000, over: source)
        } catch { return note("as a range failed: \(error.message)") }
        guard case .matrix(let matrix) = ranged.value else { return note("a range query gave no matrix") }
        var found: [LabelSet: Double] = [:]
        for series in matrix {
            if let index = series.times.firstIndex(of: time) { found[series.labels] = series.values[index] }
        }
        let wanted = Dictionary(vector.map { ($0.labels, $0.value) }) { first, _ in first }
        let isSame = found.count == wanted.count && wanted.allSatisfy { labels, value in
            found[labels].map {
                $0.bitPattern == value.bitPattern || $0.isNaN && value.isNaN || Tolerance.areAlmostEqual($0, value)
            } ?? false
        }
        if !isSame { note("as a range query: \(found) instead of \(wanted)") }
    }

    private func checkAnnotations(_ evaluation: Script.Evaluation, _ annotations: [Annotation], _ note: (String) -> Void) {
        for (kind, level) in [("warn", Annotation.Level.warning), ("info", .info)] {
            let messages = annotations.filter { $0.level == level }.map(\.message)
            let wanted = evaluation.expectations.filter { $0.kind == kind }
            if evaluation.expects("no_" + kind), !messages.isEmpty { note("unexpected \(kind): \(messages)") }
            for expected in wanted where !messages.contains(where: { Self.fits($0, expected) }) {
                note("expected \(kind) \(expected.message ?? ""), got \(messages)")
            }
            if !wanted.isEmpty {
                for message in messages where !wanted.contains(where: { Self.fits(message, $0) }) {
                    note("\(kind) that nobody expects: \(message)")
                }
            }
        }
    }

    private static func fits(_ text: String, _ expected: Script.Evaluation.Expectation) -> Bool {
        if let message = expected.message { return message == text }
        return expected.pattern?.matches(text) ?? true
    }
}

/// A result against the lines of a script.
struct Comparison {
    private let evaluation: Script.Evaluation

    init(_ evaluation: Script.Evaluation) { self.evaluation = evaluation }

    /// Nil when they are the same.
    func difference(_ value: QueryValue) throws -> String? {
        switch value {
        case .string(_, let text): return text == evaluation.string ? nil : "got the text \(text)"
        case .scalar(_, let number):
            var scanner = TextScanner(evaluation.results.first ?? "")
            return Tolerance.areAlmostEqual(try scanner.number(), number) ? nil : "got \(number), expected \(evaluation.results)"
        case .vector(let vector):
            return try difference(vector.map { sample in
                SeriesSamples(
                    labels: sample.labels, times: [0], values: [sample.value], histograms: sample.histogram.map { [(0, $0)] } ?? [])
            }, from: 0, step: 1)
        case .matrix(let matrix):
            if let times = evaluation.matrixTimes { return try difference(matrix, from: times.from, step: times.step) }
            guard case .range(let from, _, let step) = evaluation.time else { return "got a matrix" }
            return try difference(matrix, from: from, step: step)
        }
    }

    private func difference(_ found: [SeriesSamples], from start: Int64, step: Int64) throws -> String? {
        var wanted: [(labels: LabelSet, values: [SeriesNotation.Value])] = []
        for line in evaluation.results {
            let notation = try SeriesNotation(line)
            wanted.removeAll { $0.labels == notation.labels }
            wanted.append((notation.labels, notation.values))
        }
        if evaluation.expects("ordered"), found.map(\.labels) != wanted.map(\.labels) { return "order is \(found.map(\.labels))" }
        for series in found {
            guard let expected = wanted.first(where: { $0.labels == series.labels }) else {
                let histograms = series.histograms.map { HistogramTools.text(of: $0.histogram) }
                return "unexpected \(series.labels.labels) \(series.values) \(histograms)"
            }
            if let text = difference(series, expected.values, start, step) { return "\(series.labels.labels): \(text)" }
        }
        for expected in wanted where !found.contains(where: { $0.labels == expected.labels }) {
            let isEmpty = expected.values.allSatisfy { if case .nothing = $0 { true } else { false } }
            if !isEmpty { return "missing \(expected.labels.labels) \(expected.values)" }
        }
        return nil
    }

    private func difference(_ series: SeriesSamples, _ values: [SeriesNotation.Value], _ start: Int64, _ step: Int64) -> String? {
        var index = 0
        for (number, value) in values.enumerated() {
            let time = start + Int64(number) * step
            if case .nothing = value { continue }
            guard index < series.times.count, series.times[index] == time else {
                return "no sample at \(time): \(series.times) \(series.values)"
            }
            let histogram = series.histograms.first { $0.index == index }?.histogram
            switch (value, histogram) {
            case (.number(let wanted), nil):
                if !Tolerance.areAlmostEqual(wanted, series.values[index]) {
                    return "at \(time) \(series.values[index]), expected \(wanted)"
                }
            case (.histogram(let wanted, let isHintSet), .some(let found)):
                let isHintWrong = isHintSet && wanted.resetHint != found.resetHint
                if isHintWrong || !HistogramTools.areAlmostEqual(wanted, found) {
                    return "at \(time) \(HistogramTools.text(of: found)), expected \(HistogramTools.text(of: wanted))"
                }
            default: return "at \(time) another type of sample"
            }
            index += 1
        }
        return index == series.times.count ? nil : "more samples than expected: \(series.times) \(series.values)"
    }
}
