internal import Glibc
internal import TelemetryModel

/// A binary operator between two samples, and between scalars or a vector and a scalar (promql/engine.go, `vectorElemBinop`).
struct ElementOperation {
    enum Sample {
        case number(Double)
        case histogram(NativeHistogram)
    }

    enum Outcome {
        case kept(Sample)
        /// A comparison that does not hold.
        case filtered
        /// Types that do not go together; already remarked.
        case impossible
    }

    let operation: BinaryOperation
    let returnsBool: Bool
    let range: SourceRange

    init(_ operation: BinaryOperation, returnsBool: Bool, _ range: SourceRange) {
        self.operation = operation
        self.returnsBool = returnsBool
        self.range = range
    }

    var dropsName: Bool { operation.changesMeaning || returnsBool }

    // Numbers.

    @inline(__always)
    func compute(_ left: Double, _ right: Double) -> Double {
        switch operation {
        case .add: left + right
        case .subtract: left - right
        case .multiply: left * right
        case .divide: left / right
        case .power: power(left, right)
        case .modulo: fmod(left, right)
        case .atan2: Glibc.atan2(left, right)
        default: left
        }
    }

    /// As Go: 1 to any power is 1, and so is −1 to an infinite one.
    private func power(_ left: Double, _ right: Double) -> Double { pow(left, right) }

    @inline(__always)
    func holds(_ left: Double, _ right: Double) -> Bool {
        switch operation {
        case .equal: left == right
        case .notEqual: left != right
        case .greater: left > right
        case .less: left < right
        case .greaterOrEqual: left >= right
        case .lessOrEqual: left <= right
        default: true
        }
    }

    func scalars(_ left: [Double], _ right: [Double]) -> [Row] {
        let isComparison = operation.isComparison
        return [Row.scalar(zip(left, right).map { isComparison ? (holds($0, $1) ? 1 : 0) : compute($0, $1) })]
    }

    /// A vector and a scalar; `isSwapped` = the scalar is on the left. A comparison keeps the vector's sample.
    func vector(_ rows: [Row], _ scalar: [Double], isSwapped: Bool, _ session: Session) throws(PromQLError) -> [Row] {
        var result: [Row] = []
        result.reserveCapacity(rows.count)
        for row in rows {
            try session.worked(row.values.count)
            var changed = Row(labels: row.labels, dropsName: row.dropsName)
            if row.hasHistograms { anything(row, scalar, isSwapped, &changed, session) } else { changed = numbers(row, scalar, isSwapped) }
            if changed.values.isEmpty { continue }
            if dropsName { session.dropName(of: &changed) }
            result.append(changed)
        }
        return try dropsName && !session.delaysNameRemoval ? session.merged(result) : result
    }

    private func numbers(_ row: Row, _ scalar: [Double], _ isSwapped: Bool) -> Row {
        var result = row
        for index in result.values.indices {
            let value = result.values[index]
            if Row.isAbsent(value) { continue }
            let other = scalar[row.base + index]
            let (left, right) = isSwapped ? (other, value) : (value, other)
            if operation.isComparison {
                let isTrue = holds(left, right)
                if returnsBool { result.values[index] = isTrue ? 1 : 0 } else if !isTrue { result.values[index] = Row.absent }
            } else {
                result.values[index] = compute(left, right)
            }
        }
        if operation.isComparison, !returnsBool, result.isEmpty { result.values = [] }
        return result
    }

    private func anything(_ row: Row, _ scalar: [Double], _ isSwapped: Bool, _ result: inout Row, _ session: Session) {
        for step in row.base..<row.end {
            guard let sample = Self.sample(of: row, at: step) else { continue }
            let other = Sample.number(scalar[step])
            let outcome = isSwapped ? apply(other, sample, session) : apply(sample, other, session)
            append(outcome, keeping: operation.isComparison ? sample : nil, at: step, to: &result)
        }
    }

    /// `keeping`: what a comparison that holds leaves.
    func append(_ outcome: Outcome, keeping sample: Sample?, at step: Int, to row: inout Row) {
        switch outcome {
        case .impossible: break
        case .filtered: if returnsBool { row.append(0, at: step) }
        case .kept(let value):
            if returnsBool { return row.append(1, at: step) }
            switch sample ?? value {
            case .number(let number): row.append(number, at: step)
            case .histogram(let histogram): row.append(histogram, at: step)
            }
        }
    }

    static func sample(of row: Row, at step: Int) -> Sample? {
        if row.hasHistograms, let histogram = row.histogram(at: step) { return .histogram(histogram) }
        let value = row.value(at: step)
        return Row.isAbsent(value) ? nil : .number(value)
    }

    // Histograms.

    func apply(_ left: Sample, _ right: Sample, _ session: Session) -> Outcome {
        switch (left, right) {
        case (.number(let left), .number(let right)):
            if operation.isComparison { return holds(left, right) ? .kept(.number(left)) : .filtered }
            return .kept(.number(compute(left, right)))
        case (.histogram(let left), .number(let right)):
            if operation == .multiply { return scaled(left, by: right, HistogramArithmetic.multiply) }
            if operation == .divide { return scaled(left, by: right, HistogramArithmetic.divide) }
            return impossible("histogram", "float", session)
        case (.number(let left), .histogram(let right)):
            guard operation == .multiply else { return impossible("float", "histogram", session) }
            return scaled(right, by: left, HistogramArithmetic.multiply)
        case (.histogram(let left), .histogram(let right)): return histograms(left, right, session)
        }
    }

    private func scaled(
        _ histogram: NativeHistogram, by factor: Double, _ change: (NativeHistogram, Double) -> NativeHistogram
    ) -> Outcome {
        .kept(.histogram(HistogramArithmetic.compact(change(histogram, factor))))
    }

    private func impossible(_ left: String, _ right: String, _ session: Session) -> Outcome {
        session.annotate(.incompatibleTypes(left, operation.rawValue, right, range))
        return .impossible
    }

    private func histograms(_ left: NativeHistogram, _ right: NativeHistogram, _ session: Session) -> Outcome {
        switch operation {
        case .add, .subtract: return sum(left, right, session)
        case .equal: return HistogramShape.areEqual(left, right) ? .kept(.histogram(left)) : .filtered
        case .notEqual: return HistogramShape.areEqual(left, right) ? .filtered : .kept(.histogram(left))
        default: return impossible("histogram", "histogram", session)
        }
    }

    private func sum(_ left: NativeHistogram, _ right: NativeHistogram, _ session: Session) -> Outcome {
        let name = operation == .add ? "addition" : "subtraction"
        do {
            var outcome = try operation == .add ? HistogramArithmetic.add(left, right) : HistogramArithmetic.subtract(left, right)
            if outcome.hintsCollide { session.annotate(.counterResetCollision(name, range)) }
            if outcome.boundsReconciled { session.annotate(.boundsReconciled(name, range)) }
            if operation == .subtract { outcome.histogram.resetHint = .gauge }
            return .kept(.histogram(outcome.histogram))
        } catch {
            session.annotate(.incompatibleLayout(operation.rawValue, range))
            return .impossible
        }
    }
}
