internal import Glibc
internal import Matching
internal import TelemetryModel

/// Functions of instant vectors and scalars (promql/functions.go).
struct InstantFunctions {
    private let node: Call
    private let session: Session
    private let steps: Steps

    init(_ node: Call, _ session: Session, _ steps: Steps) {
        self.node = node
        self.session = session
        self.steps = steps
    }

    /// `arguments`: the rows of each; none of texts.
    func rows(_ arguments: [[Row]]) throws(PromQLError) -> [Row] {
        let vector = arguments.first ?? []
        switch node.function.name {
        case "absent":
            let labels = node.arguments.first.map { Absence.labels(for: $0.unwrapped) } ?? LabelSet()
            let row = Absence.row(where: vector, labels: labels, stepCount: steps.count)
            return row.values.isEmpty ? [] : [row]
        case "scalar": return [scalar(vector)]
        case "vector": return vector.map { Row(labels: LabelSet(), values: $0.values) }
        case "sort", "sort_desc": return sorted(vector, isDescending: node.function.name == "sort_desc")
        case "label_replace": return try labelReplace(vector)
        case "label_join": return try labelJoin(vector)
        case "histogram_quantile", "histogram_fraction": return try HistogramFunctions(node, session, steps).rows(arguments)
        case "histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar": return try ofHistograms(vector)
        case "clamp", "clamp_min", "clamp_max", "round": return try withScalars(arguments)
        default: break
        }
        if let calendar = Calendar.function(named: node.function.name) { return try dates(arguments, calendar) }
        guard let change = Self.elementary(node.function.name) else {
            throw .execution("unknown function with name \(GoText.quoted(node.function.name))")
        }
        return try mapped(vector) { value, _ in change(value) }
    }

    // Number by number.

    /// The numbers changed, histograms and names dropped.
    private func mapped(_ rows: [Row], _ change: (Double, Int) -> Double) throws(PromQLError) -> [Row] {
        var result: [Row] = []
        result.reserveCapacity(rows.count)
        for var row in rows {
            try session.worked(row.values.count)
            row.removeHistograms()
            var isEmpty = true
            for index in row.values.indices where !Row.isAbsent(row.values[index]) {
                row.values[index] = change(row.values[index], row.base + index)
                isEmpty = isEmpty && Row.isAbsent(row.values[index])
            }
            if isEmpty { continue }
            session.dropName(of: &row)
            result.append(row)
        }
        return try session.delaysNameRemoval ? result : session.merged(result)
    }

    private static func elementary(_ name: String) -> ((Double) -> Double)? {
        switch name {
        case "abs": { $0.magnitude }
        case "ceil": { $0.rounded(.up) }
        case "floor": { $0.rounded(.down) }
        case "exp": { exp($0) }
        case "sqrt": { $0.squareRoot() }
        case "ln": { log($0) }
        case "log2": { log2($0) }
        case "log10": { log10($0) }
        case "sgn": { $0 < 0 ? -1 : $0 > 0 ? 1 : $0 }
        case "rad": { $0 * .pi / 180 }
        case "deg": { $0 * 180 / .pi }
        default: trigonometric(name)
        }
    }

    private static func trigonometric(_ name: String) -> ((Double) -> Double)? {
        switch name {
        case "sin": { sin($0) }
        case "cos": { cos($0) }
        case "tan": { tan($0) }
        case "asin": { asin($0) }
        case "acos": { acos($0) }
        case "atan": { atan($0) }
        case "sinh": { sinh($0) }
        case "cosh": { cosh($0) }
        case "tanh": { tanh($0) }
        case "asinh": { asinh($0) }
        case "acosh": { acosh($0) }
        case "atanh": { atanh($0) }
        default: nil
        }
    }

    private func withScalars(_ arguments: [[Row]]) throws(PromQLError) -> [Row] {
        let second = arguments.count > 1 ? arguments[1].first?.values : nil
        let third = arguments.count > 2 ? arguments[2].first?.values : nil
        switch node.function.name {
        case "round":
            return try mapped(arguments[0]) { value, step in
                let inverse = 1 / (second?[step] ?? 1)
                return (value * inverse + 0.5).rounded(.down) / inverse
            }
        case "clamp_min": return try mapped(arguments[0]) { Self.maximum(second?[$1] ?? -.infinity, $0) }
        case "clamp_max": return try mapped(arguments[0]) { Self.minimum(second?[$1] ?? .infinity, $0) }
        default:
            return try mapped(arguments[0]) { value, step in
                let (low, high) = (second?[step] ?? -.infinity, third?[step] ?? .infinity)
                return high < low ? Row.absent : Self.maximum(low, Self.minimum(high, value))
            }
        }
    }

    /// As Go's `math.Max`: NaN with anything is NaN.
    private static func maximum(_ left: Double, _ right: Double) -> Double { left.isNaN || right.isNaN ? .nan : max(left, right) }
    private static func minimum(_ left: Double, _ right: Double) -> Double { left.isNaN || right.isNaN ? .nan : min(left, right) }

    private func dates(_ arguments: [[Row]], _ part: (Calendar) -> Int) throws(PromQLError) -> [Row] {
        guard let vector = arguments.first else {
            return [Row.scalar((0..<steps.count).map { Double(part(Calendar(seconds: steps.time($0) / 1000))) })]
        }
        return try mapped(vector) { value, _ in Double(part(Calendar(seconds: Int64(exactly: value.rounded(.towardZero)) ?? .min))) }
    }

    /// The evaluation times of a row's samples in seconds.
    static func setTimes(of row: inout Row, _ steps: Steps) {
        for step in row.base..<row.end where row.isPresent(at: step) { row.values[step - row.base] = Double(steps.time(step)) / 1000 }
        row.removeHistograms()
    }

    // Series by series.

    private func scalar(_ rows: [Row]) -> Row {
        var values = Array(repeating: Row.absent, count: steps.count)
        var isTwice = Array(repeating: false, count: steps.count)
        for row in rows {
            for index in row.values.indices where !Row.isAbsent(row.values[index]) {
                let step = row.base + index
                if Row.isAbsent(values[step]) { values[step] = row.values[index] } else { isTwice[step] = true }
            }
        }
        return Row.scalar(values.indices.map { isTwice[$0] || Row.isAbsent(values[$0]) ? .nan : values[$0] })
    }

    private func ofHistograms(_ rows: [Row]) throws(PromQLError) -> [Row] {
        var result: [Row] = []
        for row in rows where row.hasHistograms {
            try session.worked(16 * row.values.count)
            var numbers = Row(labels: row.labels, dropsName: row.dropsName)
            for step in row.base..<row.end {
                if let histogram = row.histogram(at: step) { numbers.append(figure(of: histogram), at: step) }
            }
            if numbers.values.isEmpty { continue }
            session.dropName(of: &numbers)
            result.append(numbers)
        }
        return try session.delaysNameRemoval ? result : session.merged(result)
    }

    private func figure(of histogram: NativeHistogram) -> Double {
        switch node.function.name {
        case "histogram_count": histogram.count
        case "histogram_sum": histogram.sum
        case "histogram_avg": histogram.sum / histogram.count
        case "histogram_stdvar": HistogramQuantile.variance(of: histogram)
        default: HistogramQuantile.variance(of: histogram).squareRoot()
        }
    }

    /// NaN comes last either way. The order shows in a single step's result only.
    private func sorted(_ rows: [Row], isDescending: Bool) -> [Row] {
        var plain = rows
        for index in plain.indices { plain[index].removeHistograms() }
        plain.removeAll(where: \.isEmpty)
        guard steps.count == 1 else { return plain }
        let order = plain.indices.sorted { left, right in
            let (mine, theirs) = (plain[left].value(at: 0), plain[right].value(at: 0))
            if mine.isNaN || theirs.isNaN { return mine.isNaN == theirs.isNaN ? left < right : theirs.isNaN }
            return mine == theirs ? left < right : isDescending ? mine > theirs : mine < theirs
        }
        return order.map { plain[$0] }
    }

    // Labels.

    private func text(_ index: Int) -> String {
        if index < node.arguments.count, case .string(let literal) = node.arguments[index].unwrapped { return literal.value }
        return ""
    }

    private func labelReplace(_ rows: [Row]) throws(PromQLError) -> [Row] {
        let (target, replacement, from, expression) = (text(1), text(2), text(3), text(4))
        let pattern: TextPattern
        do { pattern = try TextPattern(expression) } catch {
            throw .execution("invalid regular expression in label_replace(): \(expression)")
        }
        guard !target.isEmpty else { throw .execution("invalid destination label name in label_replace(): \(target)") }
        return try relabeled(rows, target) { labels in pattern.expand(replacement, with: labels[from] ?? "") }
    }

    private func labelJoin(_ rows: [Row]) throws(PromQLError) -> [Row] {
        let (target, separator) = (text(1), text(2))
        let sources = (3..<max(3, node.arguments.count)).map { text($0) }
        if let bad = sources.first(where: \.isEmpty) { throw .execution("invalid source label name in label_join(): \(bad)") }
        guard !target.isEmpty else { throw .execution("invalid destination label name in label_join(): \(target)") }
        return try relabeled(rows, target) { labels in sources.map { labels[$0] ?? "" }.joined(separator: separator) }
    }

    private func relabeled(_ rows: [Row], _ target: String, _ value: (LabelSet) -> String?) throws(PromQLError) -> [Row] {
        var result = rows
        for index in result.indices {
            guard let value = value(result[index].labels) else { continue }
            result[index].labels[target] = value
            if target == LabelSet.metricName { result[index].dropsName = false }
        }
        return try session.merged(result)
    }
}
