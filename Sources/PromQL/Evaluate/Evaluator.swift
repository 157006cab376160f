internal import Matching
internal import TelemetryModel

/// Walks a tree over the steps: asks the source, and hands the rows of operands to the families of functions. One evaluation's, one
/// thread's.
struct Evaluator {
    private let source: any SeriesSource
    private let session: Session
    private let engine: PromQLEngine
    /// What `start()` and `end()` mean, milliseconds.
    private let start: Int64
    private let end: Int64
    private var resetHints = ResetHints.stored

    /// What hints of counter resets histograms come with. Functions that look at counts and sums alone have them found anew from each
    /// sample to the next (promql/engine.go, `detectHistogramStatsDecoding`), so that conflicts are remarked.
    private enum ResetHints {
        case stored
        case derived
        /// Inside a subquery, or of a function that needs the buckets, whatever comes further inside.
        case storedForGood
    }

    init(_ source: any SeriesSource, _ session: Session, _ engine: PromQLEngine, start: Int64, end: Int64) {
        self.source = source
        self.session = session
        self.engine = engine
        self.start = start
        self.end = end
    }

    /// The rows of a whole query; names that were to go later go now.
    func result(of expression: Expression, _ steps: Steps) throws(PromQLError) -> [Row] {
        var rows = try evaluate(expression, steps)
        guard session.delaysNameRemoval else { return rows }
        for index in rows.indices where rows[index].dropsName { rows[index].labels = Row.withoutMetadata(rows[index].labels) }
        return try session.merged(rows)
    }

    /// Scalars and vectors.
    private func evaluate(_ expression: Expression, _ steps: Steps, around function: String = "") throws(PromQLError) -> [Row] {
        try session.check()
        guard steps.count <= session.limits.samplesMax else { throw .tooManySamples }
        if steps.count > 1, Invariance.holds(expression) {
            let read = session.cost.samplesRead
            let rows = try evaluate(expression, Steps(at: steps.first), around: function)
            session.read((session.cost.samplesRead &- read) &* (steps.count - 1))
            return try repeated(rows, steps)
        }
        switch expression {
        case .number(let node): return try scalar(steps) { _ in node.value }
        case .parenthesized(let node): return try evaluate(node.inner, steps, around: function)
        case .selector(let node): return try select(node, steps, function)
        case .unary(let node): return try negated(node, steps)
        case .binary(let node): return try binary(node, expression.range, steps)
        case .aggregation(let node): return try aggregation(node, steps)
        case .call(let node): return try call(node, steps)
        case .string, .range, .subquery: throw .execution("unexpected \(expression.type.documented) in evaluation")
        }
    }

    /// The one step's samples at every step.
    private func repeated(_ rows: [Row], _ steps: Steps) throws(PromQLError) -> [Row] {
        var result: [Row] = []
        for row in rows where row.isPresent(at: 0) {
            var wide = Row(labels: row.labels, dropsName: row.dropsName)
            try session.charge(row.charge * (steps.count - 1))
            wide.values = Array(repeating: row.value(at: 0), count: steps.count)
            if let histogram = row.histogram(at: 0) { wide.histograms = Array(repeating: histogram, count: steps.count) }
            result.append(wide)
        }
        return result
    }

    private func scalar(_ steps: Steps, _ value: (Int) -> Double) throws(PromQLError) -> [Row] {
        try session.charge(steps.count)
        return [Row.scalar((0..<steps.count).map(value))]
    }

    /// The numbers of a scalar, one a step.
    private func scalarValues(_ expression: Expression, _ steps: Steps) throws(PromQLError) -> [Double] {
        let rows = try evaluate(expression, steps)
        session.release(rows)
        return rows.first?.values ?? []
    }

    // Selectors.

    /// What a selector looks back from, at a step.
    private func reference(_ modifiers: TimeModifiers, _ time: Int64) -> Int64 {
        switch modifiers.at {
        case .milliseconds(let at): at - modifiers.offset
        case .start: start - modifiers.offset
        case .end: end - modifiers.offset
        case nil: time - modifiers.offset
        }
    }

    private func references(_ modifiers: TimeModifiers, _ steps: Steps) -> Steps {
        if modifiers.at == nil {
            return Steps(from: steps.first - modifiers.offset, through: steps.last - modifiers.offset, step: steps.step)
        }
        return Steps(at: reference(modifiers, steps.first))
    }

    private func select(_ node: VectorSelector, _ steps: Steps, _ function: String, wantsTimes: Bool = false) throws(PromQLError) -> [Row] {
        let references = references(node.modifiers, steps)
        let picker = InstantPicker(references: references, stepCount: steps.count, lookback: engine.lookback, givesTimes: wantsTimes)
        let selection = SeriesSelection(
            matchers: node.matchers, after: references.first - engine.lookback, through: references.last, range: 0,
            step: steps.count > 1 ? steps.step : 0, function: function)
        var rows: [Row] = []
        let approximation = try source.select(selection) { series, filling throws(PromQLError) in
            let series = filling?.fill(series) ?? series
            try session.worked(series.times.count)
            if let row = try picker.row(of: hinted(series), session) { rows.append(row) }
        }
        if let approximation, !rows.isEmpty { session.annotate(.approximated(approximation, by: nil, node.range)) }
        return rows
    }

    private func hinted(_ series: SeriesSamples) -> SeriesSamples {
        guard resetHints == .derived, !series.histograms.isEmpty else { return series }
        var series = series
        var previous: NativeHistogram?
        for index in series.histograms.indices where !SeriesSamples.isStale(series.histograms[index].histogram.sum) {
            let histogram = series.histograms[index].histogram
            if let previous, histogram.resetHint == .unknown {
                series.histograms[index].histogram.resetHint = HistogramArithmetic.wasReset(histogram, since: previous) ? .reset : .noReset
            }
            previous = histogram
        }
        return series
    }

    /// This evaluator for the arguments of a function.
    private func inside(_ function: String) -> Evaluator {
        var inner = self
        switch function {
        case "histogram_quantile", "histogram_fraction": inner.resetHints = .storedForGood
        case "histogram_count", "histogram_sum", "histogram_avg": if resetHints == .stored { inner.resetHints = .derived }
        default: break
        }
        return inner
    }

    /// Each series of a range selector or subquery, without stale samples.
    private func eachSeries(
        of expression: Expression, _ steps: Steps, _ function: String, _ body: (RangeSamples) throws(PromQLError) -> Void
    ) throws(PromQLError) {
        switch expression {
        case .range(let node):
            let references = references(node.selector.modifiers, steps)
            let selection = SeriesSelection(
                matchers: node.selector.matchers, after: references.first - node.length, through: references.last, range: node.length,
                step: steps.count > 1 ? steps.step : 0, function: function)
            let known = RangeFunction(rawValue: function)
            let approximation = try source.select(selection) { series, filling throws(PromQLError) in
                try session.worked(series.times.count)
                try body(samples(of: series, filling, known, selection))
            }
            if let approximation { session.annotate(.approximated(approximation, by: known, node.selector.range)) }
        case .subquery(let node):
            let (rows, inner) = try subquery(node, references(node.modifiers, steps))
            for row in rows { try body(RangeSamples(row, inner)) }
            session.release(rows)
        default: throw .execution("unexpected \(expression.type.documented) in evaluation")
        }
    }

    /// Those of counters may be left as the source has them, as an even increase needs no samples between.
    private func samples(
        of series: SeriesSamples, _ filling: WindowFilling?, _ function: RangeFunction?, _ selection: SeriesSelection
    ) -> RangeSamples {
        if function?.isCounterRate == true,
            let samples = RangeSamples(unfilled: series, filling, after: selection.after, through: selection.through) { return samples }
        return RangeSamples(hinted(filling?.fill(series) ?? series), after: selection.after, through: selection.through)
    }

    /// The rows of a subquery at multiples of its step, from behind the first window's beginning to the last reference.
    private func subquery(_ node: Subquery, _ references: Steps) throws(PromQLError) -> ([Row], Steps) {
        let step = node.step ?? engine.subqueryStep
        let beginning = references.first - node.length
        var first = step * (beginning / step)
        if first <= beginning { first += step }
        let inner = Steps(from: first, through: references.last, step: step)
        var evaluator = self
        evaluator.resetHints = .storedForGood
        return (inner.count == 0 ? [] : try evaluator.evaluate(node.inner, inner), inner)
    }

    /// The samples of a range selector or subquery at one time.
    func matrix(_ expression: Expression, at time: Int64) throws(PromQLError) -> [SeriesSamples] {
        var result: [SeriesSamples] = []
        let (modifiers, length) = Self.window(of: expression)
        let through = reference(modifiers, time)
        let names = session.delaysNameRemoval
        try eachSeries(of: expression, Steps(at: time), "") { samples throws(PromQLError) in
            var series = samples.series(after: through - length, through: through)
            guard !series.times.isEmpty else { return }
            if names, samples.dropsName { series.labels = Row.withoutMetadata(series.labels) }
            try session.charge(series.times.count)
            session.read(series.times.count)
            result.append(series)
        }
        return result
    }

    private static func window(of expression: Expression) -> (TimeModifiers, length: Int64) {
        switch expression {
        case .range(let node): (node.selector.modifiers, node.length)
        case .subquery(let node): (node.modifiers, node.length)
        default: (TimeModifiers(), 0)
        }
    }

    // Operators.

    private func negated(_ node: Unary, _ steps: Steps) throws(PromQLError) -> [Row] {
        var rows = try evaluate(node.operand, steps)
        guard node.isNegative else { return rows }
        for index in rows.indices {
            session.dropName(of: &rows[index])
            for step in rows[index].values.indices where !Row.isAbsent(rows[index].values[step]) { rows[index].values[step].negate() }
            for step in rows[index].histograms.indices {
                rows[index].histograms[step] = rows[index].histograms[step].map { HistogramArithmetic.multiply($0, by: -1) }
            }
        }
        return session.delaysNameRemoval ? rows : try session.merged(rows)
    }

    private func binary(_ node: Binary, _ range: SourceRange, _ steps: Steps) throws(PromQLError) -> [Row] {
        let left = try evaluate(node.left, steps)
        let right = try evaluate(node.right, steps)
        let operation = ElementOperation(node.operation, returnsBool: node.returnsBool, range)
        let rows: [Row]
        switch (node.left.type, node.right.type) {
        case (.scalar, .scalar): rows = operation.scalars(left.first?.values ?? [], right.first?.values ?? [])
        case (.vector, .vector):
            rows = try VectorMatcher(node.matching, operation, session).combine(left, right, stepCount: steps.count)
        case (.vector, _): rows = try operation.vector(left, right.first?.values ?? [], isSwapped: false, session)
        default: rows = try operation.vector(right, left.first?.values ?? [], isSwapped: true, session)
        }
        try session.charge(rows)
        session.release(left)
        session.release(right)
        return rows
    }

    private func aggregation(_ node: Aggregation, _ steps: Steps) throws(PromQLError) -> [Row] {
        var parameter: [Double] = []
        if let expression = node.parameter?.unwrapped, node.operation != .countValues { parameter = try scalarValues(expression, steps) }
        let rows = try evaluate(node.inner, steps, around: node.operation.rawValue)
        let result = try Aggregator(node, parameter, session).aggregate(rows, steps)
        session.release(rows)
        try session.charge(result)
        return result
    }

    // Functions.

    private func call(_ node: Call, _ steps: Steps) throws(PromQLError) -> [Row] {
        let name = node.function.name
        if let position = node.function.arguments.firstIndex(of: .matrix), position < node.arguments.count {
            return try overRange(node, position, steps)
        }
        switch name {
        case "time": return try scalar(steps) { Double(steps.time($0)) / 1000 }
        case "pi": return try scalar(steps) { _ in .pi }
        case "timestamp": return try timestamps(node, steps)
        default: break
        }
        var arguments: [[Row]] = []
        let inner = inside(name)
        for argument in node.arguments {
            arguments.append(argument.type == .string ? [] : try inner.evaluate(argument, steps, around: name))
        }
        let rows = try InstantFunctions(node, session, steps).rows(arguments)
        for argument in arguments { session.release(argument) }
        try session.charge(rows)
        return rows
    }

    /// The times of samples where a selector stands directly inside, else those of the steps.
    private func timestamps(_ node: Call, _ steps: Steps) throws(PromQLError) -> [Row] {
        guard let argument = node.arguments.first?.unwrapped else { return [] }
        var rows: [Row]
        if case .selector(let selector) = argument {
            rows = try select(selector, steps, "timestamp", wantsTimes: true)
        } else {
            rows = try evaluate(argument, steps)
            for index in rows.indices { InstantFunctions.setTimes(of: &rows[index], steps) }
        }
        for index in rows.indices { session.dropName(of: &rows[index]) }
        return session.delaysNameRemoval ? rows : try session.merged(rows)
    }

    /// A function of a range: each series' windows in turn.
    private func overRange(_ node: Call, _ position: Int, _ steps: Steps) throws(PromQLError) -> [Row] {
        guard let function = RangeFunction(rawValue: node.function.name) else {
            throw .execution("unknown function with name \(GoText.quoted(node.function.name))")
        }
        var parameter: [Double] = []
        for (index, argument) in node.arguments.enumerated() where index != position { parameter = try scalarValues(argument, steps) }
        let argument = node.arguments[position].unwrapped
        let (modifiers, length) = Self.window(of: argument)
        var windows = WindowWalk(
            function: function, parameter: parameter, length: length, references: references(modifiers, steps), steps: steps,
            range: node.arguments.first?.range ?? node.range, session: session)
        var rows: [Row] = []
        var areDistinct = Self.isOneMetric(argument)
        try eachSeries(of: argument, steps, node.function.name) { samples throws(PromQLError) in
            guard var row = try windows.row(of: samples) else { return }
            if function.dropsName { session.dropName(of: &row) }
            // All that they may have lost is the name that all of them had.
            areDistinct = areDistinct && row.labels.count + 1 >= samples.labels.count
            rows.append(row)
        }
        if function == .absentOverTime { return try absence(over: rows, argument, steps) }
        if !areDistinct { try session.requireDifferentLabels(rows) }
        return rows
    }

    private static func isOneMetric(_ expression: Expression) -> Bool {
        guard case .range(let node) = expression else { return false }
        return node.selector.matchers.contains { $0.name == LabelSet.metricName && $0.operation == .equal && !$0.value.isEmpty }
    }

    private func absence(over rows: [Row], _ argument: Expression, _ steps: Steps) throws(PromQLError) -> [Row] {
        let row = Absence.row(where: rows, labels: Absence.labels(for: argument), stepCount: steps.count)
        session.release(rows)
        try session.charge([row])
        return row.isEmpty ? [] : [row]
    }
}
