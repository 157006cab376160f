internal import TelemetryModel

/// Operators between two vectors: which series meet, and what comes of it (promql/engine.go, `VectorBinop` and its neighbours). Groups of
/// series with the same matching labels are found once; within a group steps are looked at one by one, as series may come and go.
struct VectorMatcher {
    private let matching: VectorMatching
    private let operation: ElementOperation
    private let session: Session

    /// The series of both sides with the same matching labels; indices of rows.
    private struct Group {
        var left: [Int] = []
        var right: [Int] = []
    }

    init(_ matching: VectorMatching, _ operation: ElementOperation, _ session: Session) {
        self.matching = matching
        self.operation = operation
        self.session = session
    }

    func combine(_ left: [Row], _ right: [Row], stepCount: Int) throws(PromQLError) -> [Row] {
        let groups = groups(left, right)
        switch operation.operation {
        case .and: return try set(left, groups, against: { $0.right }, right, keepsMatched: true)
        case .unless: return try set(left, groups, against: { $0.right }, right, keepsMatched: false)
        case .or:
            let turned = groups.map { Group(left: $0.right, right: $0.left) }
            let rest = try set(right, turned, against: { $0.right }, left, keepsMatched: false)
            return try session.merged(left + rest)
        default: return try arithmetic(left, right, groups, stepCount)
        }
    }

    private func key(of labels: LabelSet) -> LabelSet {
        let names = matching.labels
        if matching.isOn { return labels.filtered { names.contains($0) } }
        return labels.filtered { $0 != LabelSet.metricName && !names.contains($0) }
    }

    private func groups(_ left: [Row], _ right: [Row]) -> [Group] {
        var positions: [LabelSet: Int] = [:]
        var groups: [Group] = []
        func group(of row: Row) -> Int {
            let key = key(of: row.labels)
            if let position = positions[key] { return position }
            positions[key] = groups.count
            groups.append(Group())
            return groups.count - 1
        }
        for (index, row) in left.enumerated() { groups[group(of: row)].left.append(index) }
        for (index, row) in right.enumerated() { groups[group(of: row)].right.append(index) }
        return groups
    }

    // Sets.

    /// The rows' samples at steps where the other side of their group has one, or has none.
    private func set(
        _ rows: [Row], _ groups: [Group], against others: (Group) -> [Int], _ otherRows: [Row], keepsMatched: Bool
    ) throws(PromQLError) -> [Row] {
        var result = rows.map { Optional($0) }
        for group in groups where !group.left.isEmpty {
            let presence = presence(others(group).map { otherRows[$0] })
            for index in group.left {
                try session.worked(rows[index].values.count)
                result[index] = rows[index].filtered { presence.contains($0) == keepsMatched }
            }
        }
        return result.compactMap { $0 }
    }

    private func presence(_ rows: [Row]) -> StepSet {
        var steps = StepSet()
        for row in rows { steps.insert(row) }
        return steps
    }

    // Arithmetic and comparisons.

    private func arithmetic(_ left: [Row], _ right: [Row], _ groups: [Group], _ stepCount: Int) throws(PromQLError) -> [Row] {
        // The side with many is the left one from here on.
        let isSwapped = matching.cardinality == .oneToMany
        let (many, one) = isSwapped ? (right, left) : (left, right)
        // Prometheus looks at no series at steps where a side as a whole is empty.
        var occupied = StepSet()
        if groups.contains(where: { $0.left.count > 1 || $0.right.count > 1 }) { occupied = presence(many).intersection(presence(one)) }
        var result: [Row] = []
        for group in groups {
            let (manyRows, oneRows) = isSwapped ? (group.right, group.left) : (group.left, group.right)
            if manyRows.count == 1, oneRows.count == 1 {
                if let row = try pair(many[manyRows[0]], one[oneRows[0]], isSwapped) { result.append(row) }
            } else {
                try crowd(manyRows.map { many[$0] }, oneRows.map { one[$0] }, isSwapped, occupied, &result)
            }
        }
        return try session.merged(result)
    }

    /// One series with one.
    private func pair(_ many: Row, _ one: Row, _ isSwapped: Bool) throws(PromQLError) -> Row? {
        let (start, end) = (max(many.base, one.base), min(many.end, one.end))
        guard start < end else { return nil }
        try session.worked(end - start)
        var row = resultRow(many, one)
        if !many.hasHistograms, !one.hasHistograms {
            row.values.reserveCapacity(end - start)
            for step in start..<end {
                let (mine, theirs) = (many.values[step - many.base], one.values[step - one.base])
                if Row.isAbsent(mine) || Row.isAbsent(theirs) { continue }
                number(isSwapped ? theirs : mine, isSwapped ? mine : theirs, at: step, to: &row)
            }
        } else {
            for step in start..<end { element(many, one, isSwapped, at: step, to: &row) }
        }
        return row.values.isEmpty ? nil : row
    }

    @inline(__always)
    private func number(_ left: Double, _ right: Double, at step: Int, to row: inout Row) {
        guard operation.operation.isComparison else { return row.append(operation.compute(left, right), at: step) }
        let isTrue = operation.holds(left, right)
        if operation.returnsBool { row.append(isTrue ? 1 : 0, at: step) } else if isTrue { row.append(left, at: step) }
    }

    private func element(_ many: Row, _ one: Row, _ isSwapped: Bool, at step: Int, to row: inout Row) {
        guard let mine = ElementOperation.sample(of: many, at: step), let theirs = ElementOperation.sample(of: one, at: step) else {
            return
        }
        let outcome = isSwapped ? operation.apply(theirs, mine, session) : operation.apply(mine, theirs, session)
        operation.append(outcome, keeping: nil, at: step, to: &row)
    }

    /// Several series of a group: at each step one of the one side at most, and as many of the other as the cardinality allows.
    private func crowd(_ many: [Row], _ one: [Row], _ isSwapped: Bool, _ occupied: StepSet, _ result: inout [Row]) throws(PromQLError) {
        var rows: [PairKey: Row] = [:]
        var order: [PairKey] = []
        for step in occupied.range where occupied.contains(step) {
            try session.worked(many.count + one.count)
            guard let partner = try partner(in: one, at: step) else { continue }
            let present = many.indices.filter { many[$0].isPresent(at: step) }
            let possible = present.map { isPossible(many[$0], one[partner], step) }
            try checkUniqueness(present.map { resultRow(many[$0], one[partner]).labels }, possible: possible)
            for index in present {
                let key = PairKey(many: index, one: partner)
                if rows[key] == nil {
                    rows[key] = resultRow(many[index], one[partner])
                    order.append(key)
                }
                // In place: a copy of the row each step would cost its length.
                element(many[index], one[partner], isSwapped, at: step, to: &rows[key, default: Row(labels: LabelSet())])
            }
        }
        result += order.compactMap { rows[$0] }.filter { !$0.values.isEmpty }
    }

    private struct PairKey: Hashable {
        var many: Int
        var one: Int
    }

    /// Types that do not go together give no result that could be there twice.
    private func isPossible(_ many: Row, _ one: Row, _ step: Int) -> Bool {
        guard many.hasHistograms || one.hasHistograms else { return true }
        return (many.histogram(at: step) == nil) == (one.histogram(at: step) == nil) || operation.operation == .multiply
    }

    private func partner(in rows: [Row], at step: Int) throws(PromQLError) -> Int? {
        let present = rows.indices.filter { rows[$0].isPresent(at: step) }
        guard present.count > 1 else { return present.first }
        let (first, second) = (rows[present[0]].labels, rows[present[1]].labels)
        let side = matching.cardinality == .oneToMany ? "left" : "right"
        let names = matching.labels
        let isOn = matching.isOn
        let group = second.filtered { isOn ? names.contains($0) : $0 != LabelSet.metricName && !names.contains($0) }
        throw .execution(
            "found duplicate series for the match group \(LabelText.of(group)) on the \(side) hand-side of the operation: "
                + "[\(LabelText.of(second)), \(LabelText.of(first))]"
                + ";many-to-many matching not allowed: matching labels must be unique on one side")
    }

    private func checkUniqueness(_ labels: [LabelSet], possible: [Bool]) throws(PromQLError) {
        guard labels.count > 1 else { return }
        if matching.cardinality == .oneToOne {
            guard possible.count(where: { $0 }) > 1 else { return }
            throw .execution("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)")
        }
        var seen: Set<LabelSet> = []
        for (labels, isPossible) in zip(labels, possible) where isPossible && !seen.insert(labels).inserted {
            throw .execution("multiple matches for labels: grouping labels must ensure unique matches")
        }
    }

    /// The labels of a result: of the side with many, and what is included of the other one.
    private func resultRow(_ many: Row, _ one: Row) -> Row {
        var labels = many.labels
        if operation.operation.changesMeaning { labels = Row.withoutMetadata(labels) }
        if matching.cardinality == .oneToOne {
            let (names, isOn) = (matching.labels, matching.isOn)
            labels = labels.filtered { names.contains($0) == isOn }
        }
        for name in matching.include { labels[name] = one.labels[name] }
        var row = Row(labels: labels)
        if operation.returnsBool { session.dropName(of: &row) }
        return row
    }
}

/// Label sets as Prometheus prints them: `{a="b", c="d"}`, the name among them.
enum LabelText {
    static func of(_ labels: LabelSet) -> String {
        let texts = labels.labels.map {
            (GoText.isPlainLabelName($0.name) ? $0.name : GoText.quoted($0.name)) + "=" + GoText.quoted($0.value)
        }
        return "{\(texts.joined(separator: ", "))}"
    }
}
