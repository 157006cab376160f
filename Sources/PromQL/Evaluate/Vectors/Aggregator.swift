internal import Primitives
internal import TelemetryModel

/// Aggregations over the series of a vector (promql/engine.go, `rangeEvalAgg`). A series' group is found once; then each group's numbers
/// are gathered series by series over all steps, which is Prometheus' order at each step.
struct Aggregator {
    private let node: Aggregation
    /// k or q, one a step.
    private let parameter: [Double]
    private let session: Session
    /// The names that groups have in common, or do without; each once, in the order of labels.
    private let names: [String]

    init(_ node: Aggregation, _ parameter: [Double], _ session: Session) {
        self.node = node
        names = Set(node.labels).sorted()
        self.parameter = parameter
        self.session = session
    }

    func aggregate(_ rows: [Row], _ steps: Steps) throws(PromQLError) -> [Row] {
        switch node.operation {
        case .countValues: return try countValues(rows)
        case .topk, .bottomk: return try ranked(rows, steps)
        case .quantile: return try quantiles(withoutHistograms(rows), steps)
        case .count, .group: return try counted(rows)
        case .sum, .avg: return try summed(rows)
        case .min, .max, .stddev, .stdvar: return try gathered(withoutHistograms(rows))
        case .limitk, .limitRatio: throw .execution("\(node.operation.rawValue) is not enabled")
        }
    }

    // Groups.

    private struct Group {
        var labels: LabelSet
        var dropsName = false
        var members: [Int] = []
        /// The steps that its members reach.
        var base = Int.max
        var end = 0
    }

    private func groups(_ rows: [Row]) throws(PromQLError) -> [Group] {
        var positions: [LabelSet: Int] = [:]
        var groups: [Group] = []
        for (index, row) in rows.enumerated() where !row.values.isEmpty {
            let labels = labels(of: row.labels)
            let position = positions[labels] ?? groups.count
            if position == groups.count {
                positions[labels] = position
                groups.append(Group(labels: labels))
            }
            groups[position].members.append(index)
            groups[position].dropsName = groups[position].dropsName || row.dropsName
            groups[position].base = min(groups[position].base, row.base)
            groups[position].end = max(groups[position].end, row.end)
        }
        return groups
    }

    private func labels(of labels: LabelSet) -> LabelSet {
        if node.isWithout { return labels.filtered { $0 != LabelSet.metricName && !names.contains($0) } }
        return LabelSet(sorted: names.compactMap { name in labels[name].map { LabelSet.Label(name, $0) } })
    }

    private func row(of group: Group) -> Row { Row(labels: group.labels, dropsName: group.dropsName, base: group.base) }

    private func withoutHistograms(_ rows: [Row]) -> [Row] {
        guard rows.contains(where: \.hasHistograms) else { return rows }
        let range = [.topk, .bottomk].contains(node.operation) ? node.range : node.inner.range
        session.annotate(.histogramIgnored(by: node.operation.rawValue, range))
        return rows.map {
            var row = $0
            row.removeHistograms()
            return row
        }
    }

    // Columns.

    private func gathered(_ rows: [Row]) throws(PromQLError) -> [Row] {
        var result: [Row] = []
        for group in try groups(rows) {
            try session.charge(group.end - group.base)
            session.release(group.end - group.base)
            var column = AggregateColumn(node.operation, base: group.base, end: group.end)
            for member in group.members {
                try session.worked(rows[member].values.count)
                column.add(rows[member])
            }
            var row = row(of: group)
            row.values = column.values
            if !row.isEmpty { result.append(row) }
        }
        return result
    }

    private func counted(_ rows: [Row]) throws(PromQLError) -> [Row] {
        guard rows.contains(where: \.hasHistograms) else { return try gathered(rows) }
        return try gathered(rows.map { row in
            var plain = Row(labels: row.labels, dropsName: row.dropsName, base: row.base)
            plain.values = (row.base..<row.end).map { row.isPresent(at: $0) ? 1 : Row.absent }
            return plain
        })
    }

    private func summed(_ rows: [Row]) throws(PromQLError) -> [Row] {
        guard rows.contains(where: \.hasHistograms) else { return try gathered(rows) }
        var result: [Row] = []
        for group in try groups(rows) {
            var row = Row(labels: group.labels, dropsName: group.dropsName)
            for step in group.base..<group.end {
                try session.worked(16 * group.members.count)
                mixedSum(group.members.lazy.map { rows[$0] }.filter { $0.isPresent(at: step) }, at: step, &row)
            }
            if !row.values.isEmpty { result.append(row) }
        }
        return result
    }

    /// One step of sum or avg where histograms are.
    private func mixedSum(_ rows: [Row], at step: Int, _ result: inout Row) {
        let histograms = rows.compactMap { $0.histogram(at: step) }
        guard let first = histograms.first else {
            guard !rows.isEmpty else { return }
            var column = AggregateColumn(node.operation, base: step, end: step + 1)
            for row in rows { column.add(row.value(at: step), at: 0) }
            return result.append(column.values[0], at: step)
        }
        if histograms.count < rows.count { return session.annotate(.mixedInAggregation(node.inner.range)) }
        var mean = HistogramMean(first, isAverage: node.operation == .avg)
        do { for histogram in histograms.dropFirst() { try mean.add(histogram) } } catch {
            let name = rows.first { $0.histogram(at: step).map { HistogramShape.isCustom($0) != HistogramShape.isCustom(first) } ?? false }
            return session.annotate(.mixedSchemas(name?.labels[LabelSet.metricName] ?? "", node.inner.range))
        }
        if mean.boundsReconciled { session.annotate(.boundsReconciled("aggregation", node.inner.range)) }
        if histograms.contains(where: { $0.resetHint == .reset }), histograms.contains(where: { $0.resetHint == .noReset }) {
            session.annotate(.counterResetCollision("aggregation", node.inner.range))
        }
        result.append(mean.value, at: step)
    }

    private func quantiles(_ rows: [Row], _ steps: Steps) throws(PromQLError) -> [Row] {
        for q in [parameter.first { $0.isNaN }, parameter.max(), parameter.min()] {
            if let q, !(q >= 0 && q <= 1), let range = node.parameter?.range { session.annotate(.invalidQuantile(q, range)) }
        }
        var result: [Row] = []
        for group in try groups(rows) {
            var row = Row(labels: group.labels, dropsName: group.dropsName)
            for step in group.base..<group.end {
                try session.worked(group.members.count)
                let values = group.members.map { rows[$0].value(at: step) }.filter { !Row.isAbsent($0) }
                if !values.isEmpty { row.append(Quantile.of(parameter[step], values), at: step) }
            }
            if !row.values.isEmpty { result.append(row) }
        }
        return result
    }

    // Ranks.

    private func ranked(_ rows: [Row], _ steps: Steps) throws(PromQLError) -> [Row] {
        if parameter.contains(where: \.isNaN) { throw .execution("Parameter value is NaN") }
        guard let greatest = parameter.max(), greatest >= 1 else { return [] }
        if let low = parameter.min(), low <= -0x1p63 { throw .execution("Scalar value \(GoFloat.general(low)) underflows int64") }
        if greatest >= 0x1p63 { throw .execution("Scalar value \(GoFloat.general(greatest)) overflows int64") }
        let plain = withoutHistograms(rows)
        var result = plain.map { Row(labels: $0.labels, dropsName: $0.dropsName) }
        var order: [Int] = []
        for group in try groups(plain) {
            for step in group.base..<group.end {
                let k = Int(min(parameter[step], Double(rows.count)))
                if k < 1 { continue }
                try session.worked(group.members.count)
                var ranking = Ranking(k, keepsGreatest: node.operation == .topk)
                for member in group.members {
                    let value = plain[member].value(at: step)
                    if !Row.isAbsent(value) { ranking.offer(value, member) }
                }
                let ranks = ranking.sorted
                for (value, member) in ranks { result[member].append(value, at: step) }
                if steps.count == 1 { order += ranks.map(\.member) }
            }
        }
        // One step's result is in the order of ranks.
        return steps.count == 1 ? order.map { result[$0] } : result.filter { !$0.values.isEmpty }
    }

    private func countValues(_ rows: [Row]) throws(PromQLError) -> [Row] {
        guard case .string(let literal)? = node.parameter?.unwrapped else { return [] }
        guard !literal.value.isEmpty else { throw .execution("invalid label name \(GoText.quoted(literal.value))") }
        var positions: [LabelSet: Int] = [:]
        var result: [Row] = []
        let range = (rows.map(\.base).min() ?? 0)..<(rows.map(\.end).max() ?? 0)
        for step in range {
            for row in rows {
                guard let sample = ElementOperation.sample(of: row, at: step) else { continue }
                try session.worked(16)
                let labels = valueLabels(of: row, sample, literal.value)
                if let position = positions[labels] {
                    if result[position].end == step + 1 { result[position].values[step - result[position].base] += 1; continue }
                    try session.charge(step + 1 - result[position].end)
                    result[position].append(1, at: step)
                } else {
                    try session.charge(1 + labels.count)
                    positions[labels] = result.count
                    result.append(Row(labels: labels, base: step, values: [1]))
                }
            }
        }
        return result
    }

    /// The group's labels, the value's among them.
    private func valueLabels(of row: Row, _ sample: ElementOperation.Sample, _ name: String) -> LabelSet {
        var labels = row.labels
        switch sample {
        case .number(let value): labels[name] = GoFloat.plain(value)
        case .histogram(let histogram): labels[name] = HistogramShape.text(of: histogram)
        }
        let names = node.labels
        if node.isWithout { return labels.filtered { $0 != LabelSet.metricName && !names.contains($0) } }
        return labels.filtered { $0 == name || names.contains($0) }
    }
}
