internal import Matching
internal import TelemetryModel

/// `absent` and `absent_over_time`: 1 where there is nothing.
enum Absence {
    static func row(where rows: [Row], labels: LabelSet, stepCount: Int) -> Row {
        var present = StepSet()
        for row in rows { present.insert(row) }
        var result = Row(labels: labels)
        for step in 0..<stepCount where !present.contains(step) { result.append(1, at: step) }
        return result
    }

    /// The labels that the selector asks for exactly; none of other expressions. One that is asked for twice is none.
    static func labels(for expression: Expression) -> LabelSet {
        let matchers: [LabelMatcher]
        switch expression {
        case .selector(let node): matchers = node.matchers
        case .range(let node): matchers = node.selector.matchers
        default: matchers = []
        }
        var labels = LabelSet()
        var seen: Set<String> = []
        for matcher in matchers where matcher.name != LabelSet.metricName {
            let isFirst = matcher.operation == .equal && seen.insert(matcher.name).inserted
            labels[matcher.name] = isFirst ? matcher.value : nil
        }
        return labels
    }
}
