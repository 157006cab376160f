internal import TelemetryModel

/// One evaluation's account: what it holds, how much it has worked, what it has to remark. One thread's.
final class Session {
    let limits: PromQLLimits
    /// Names go in the end of all only.
    let delaysNameRemoval: Bool
    private let isInterrupted: () -> PromQLInterruption?
    private var samples = 0
    private(set) var cost = QueryCost()
    private var work = 0
    private(set) var annotations: [Annotation] = []
    private var known: Set<Annotation> = []

    init(limits: PromQLLimits, delaysNameRemoval: Bool, isInterrupted: @escaping () -> PromQLInterruption?) {
        self.limits = limits
        self.delaysNameRemoval = delaysNameRemoval
        self.isInterrupted = isInterrupted
    }

    /// Before samples are held.
    func charge(_ count: Int) throws(PromQLError) {
        samples += count
        cost.samplesPeak = max(cost.samplesPeak, samples)
        if samples > limits.samplesMax { throw .tooManySamples }
    }

    func release(_ rows: [Row]) { for row in rows { samples -= row.charge } }
    func release(_ count: Int) { samples -= count }

    func charge(_ rows: [Row]) throws(PromQLError) {
        var count = 0
        for row in rows { count += row.charge }
        try charge(count)
    }

    /// Samples that selectors found at a step, or in a step's window.
    @inline(__always)
    func read(_ count: Int) { cost.samplesRead &+= count }

    /// After some samples were worked on; asks for the deadline when it was many.
    @inline(__always)
    func worked(_ count: Int) throws(PromQLError) {
        work += count + 1
        if work >= limits.workBetweenChecks { try check() }
    }

    func check() throws(PromQLError) {
        work = 0
        switch isInterrupted() {
        case .timedOut: throw .timedOut
        case .canceled: throw .canceled
        case nil: break
        }
    }

    func annotate(_ annotation: Annotation) {
        guard annotations.count < limits.annotationsMax, known.insert(annotation).inserted else { return }
        annotations.append(annotation)
    }

    /// A row that is no longer the metric of its name.
    func dropName(of row: inout Row) {
        if delaysNameRemoval { row.dropsName = true } else { row.labels = Row.withoutMetadata(row.labels) }
    }

    /// Rows of the same labels become one where no step has two samples of them; else it is an error.
    func merged(_ rows: [Row]) throws(PromQLError) -> [Row] {
        guard rows.count > 1 else { return rows }
        var positions: [LabelSet: Int] = [:]
        positions.reserveCapacity(rows.count)
        var result: [Row] = []
        result.reserveCapacity(rows.count)
        for row in rows {
            if let position = positions[row.labels] {
                result[position] = try Self.merged(result[position], row)
            } else {
                positions[row.labels] = result.count
                result.append(row)
            }
        }
        return result
    }

    private static func merged(_ left: Row, _ right: Row) throws(PromQLError) -> Row {
        var result = Row(labels: left.labels, dropsName: left.dropsName)
        for step in min(left.base, right.base)..<max(left.end, right.end) {
            let (mine, theirs) = (left.isPresent(at: step), right.isPresent(at: step))
            if mine, theirs { throw .sameLabels }
            guard mine || theirs else { continue }
            let row = mine ? left : right
            if let histogram = row.histogram(at: step) {
                result.append(histogram, at: step)
            } else {
                result.append(row.value(at: step), at: step)
            }
        }
        return result
    }

    /// For rows that must differ, wherever their samples are.
    func requireDifferentLabels(_ rows: [Row]) throws(PromQLError) {
        guard rows.count > 1, !delaysNameRemoval else { return }
        if Set(rows.lazy.map(\.labels)).count < rows.count { throw .sameLabels }
    }
}

/// Why an evaluation shall end before its result.
public enum PromQLInterruption: Sendable { case timedOut, canceled }
