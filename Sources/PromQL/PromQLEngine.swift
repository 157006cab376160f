internal import Matching
public import TelemetryModel

/// Answers queries over a source of series. A value; each evaluation runs on its caller's thread.
public struct PromQLEngine: Sendable {
    public var limits = PromQLLimits()
    /// Milliseconds for which a sample stands when no newer one is there; a sample that is exactly so old no longer does.
    public var lookback: Int64 = 300_000
    /// Milliseconds between the steps of subqueries that name none (Prometheus: its evaluation interval).
    public var subqueryStep: Int64 = 60_000
    /// Prometheus' feature `promql-delayed-name-removal`; off, as there.
    public var delaysNameRemoval = false

    public init() {}

    public func parse(_ text: String) throws(PromQLError) -> Expression { try Parser.parse(text, limits: limits) }

    /// At one time, milliseconds since 1970. `isInterrupted` is asked regularly.
    public func evaluate(
        _ expression: Expression, at time: Int64, over source: any SeriesSource,
        isInterrupted: @escaping () -> PromQLInterruption? = { nil }
    ) throws(PromQLError) -> QueryResult {
        let session = session(isInterrupted)
        let steps = Steps(at: Steps.clamped(time))
        if case .string(let literal) = expression.unwrapped {
            return QueryResult(value: .string(time: steps.first, literal.value), annotations: [])
        }
        let evaluator = Evaluator(source, session, self, start: steps.first, end: steps.first)
        if expression.type == .matrix {
            let matrix = try evaluator.matrix(expression.unwrapped, at: steps.first)
            return QueryResult(value: .matrix(Self.sorted(matrix)), annotations: session.annotations, cost: session.cost)
        }
        let rows = try evaluator.result(of: expression, steps)
        if expression.type == .scalar {
            return QueryResult(
                value: .scalar(time: steps.first, rows.first?.value(at: 0) ?? .nan), annotations: session.annotations, cost: session.cost)
        }
        return QueryResult(
            value: .vector(rows.compactMap { Self.sample($0, steps.first) }), annotations: session.annotations, cost: session.cost)
    }

    /// At each step from `start` to `end`, milliseconds since 1970; always a matrix, sorted by labels.
    public func evaluate(
        _ expression: Expression, from start: Int64, through end: Int64, step: Int64, over source: any SeriesSource,
        isInterrupted: @escaping () -> PromQLInterruption? = { nil }
    ) throws(PromQLError) -> QueryResult {
        guard step > 0 else {
            throw .badRequest("zero or negative query resolution step widths are not accepted. Try a positive integer")
        }
        guard end >= start else { throw .badRequest("end timestamp must not be before start time") }
        guard expression.type == .scalar || expression.type == .vector else {
            let type = GoText.quoted(expression.type.documented)
            throw .badRequest("invalid expression type \(type) for range query, must be Scalar or instant Vector")
        }
        let steps = Steps(from: Steps.clamped(start), through: Steps.clamped(end), step: step)
        guard steps.count <= limits.pointsMax else {
            let most = "exceeded maximum resolution of \(Self.grouped(limits.pointsMax)) points per timeseries"
            throw .badRequest("\(most). Try decreasing the query resolution (?step=XX)")
        }
        let session = session(isInterrupted)
        let evaluator = Evaluator(source, session, self, start: steps.first, end: Steps.clamped(end))
        let rows = try evaluator.result(of: expression, steps)
        let matrix = rows.map { Self.series($0, steps) }.filter { !$0.times.isEmpty }
        return QueryResult(value: .matrix(Self.sorted(matrix)), annotations: session.annotations, cost: session.cost)
    }

    private func session(_ isInterrupted: @escaping () -> PromQLInterruption?) -> Session {
        Session(limits: limits, delaysNameRemoval: delaysNameRemoval, isInterrupted: isInterrupted)
    }

    /// `11,000`.
    private static func grouped(_ number: Int) -> String {
        number < 1000 ? "\(number)" : grouped(number / 1000) + "," + String(String(1000 + number % 1000).dropFirst())
    }

    private static func sample(_ row: Row, _ time: Int64) -> VectorSample? {
        if let histogram = row.histogram(at: 0) { return VectorSample(labels: row.labels, value: histogram.sum, histogram: histogram) }
        let value = row.value(at: 0)
        return Row.isAbsent(value) ? nil : VectorSample(labels: row.labels, value: value, histogram: nil)
    }

    static func series(_ row: Row, _ steps: Steps) -> SeriesSamples {
        var series = SeriesSamples(labels: row.labels)
        series.times.reserveCapacity(row.values.count)
        series.values.reserveCapacity(row.values.count)
        for index in row.values.indices {
            if row.hasHistograms, let histogram = row.histograms[index] {
                series.histograms.append((series.times.count, histogram))
                series.values.append(histogram.sum)
            } else if !Row.isAbsent(row.values[index]) {
                series.values.append(row.values[index])
            } else {
                continue
            }
            series.times.append(steps.time(row.base + index))
        }
        return series
    }

    private static func sorted(_ matrix: [SeriesSamples]) -> [SeriesSamples] { matrix.sorted { precedes($0.labels, $1.labels) } }

    /// By the labels' names and values in turn (labels.Compare).
    private static func precedes(_ left: LabelSet, _ right: LabelSet) -> Bool {
        for (mine, theirs) in zip(left.labels, right.labels) where mine != theirs {
            return mine.name == theirs.name ? mine.value < theirs.value : mine.name < theirs.name
        }
        return left.count < right.count
    }
}

/// What an evaluation looked at (Prometheus: util/stats, `QuerySamples`).
public struct QueryCost: Sendable, Equatable {
    /// Samples that selectors found, at each step again, those of histograms by their size.
    public var samplesRead = 0
    /// Most samples held at a time.
    public var samplesPeak = 0

    public init() {}
}

public struct QueryResult: Sendable {
    public var value: QueryValue
    /// In the order in which they were found, each once.
    public var annotations: [Annotation]
    public var cost = QueryCost()
}

public enum QueryValue: Sendable {
    case scalar(time: Int64, Double)
    case string(time: Int64, String)
    /// All at the time of evaluation; in the order that sorting functions made.
    case vector([VectorSample])
    /// None of the samples is a staleness marker.
    case matrix([SeriesSamples])
}

public struct VectorSample: Sendable {
    public var labels: LabelSet
    /// Of a histogram: its sum.
    public var value: Double
    public var histogram: NativeHistogram?
}
