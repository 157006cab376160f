/// Steps at which there is something.
struct StepSet {
    private var isMember: [Bool] = []

    /// From 0 to behind the last member.
    var range: Range<Int> { 0..<isMember.count }

    func contains(_ step: Int) -> Bool { step < isMember.count && isMember[step] }

    mutating func insert(_ row: Row) {
        if isMember.count < row.end { isMember += Array(repeating: false, count: row.end - isMember.count) }
        for step in row.base..<row.end where row.isPresent(at: step) { isMember[step] = true }
    }

    func intersection(_ other: StepSet) -> StepSet {
        var result = StepSet()
        result.isMember = zip(isMember, other.isMember).map { $0 && $1 }
        return result
    }
}

extension Row {
    /// Only the steps that are accepted; nil when none is left.
    func filtered(_ isKept: (Int) -> Bool) -> Row? {
        var result = self
        var isEmpty = true
        for index in values.indices {
            if isKept(base + index) {
                isEmpty = isEmpty && Row.isAbsent(values[index]) && (histograms.isEmpty || histograms[index] == nil)
            } else {
                result.values[index] = Row.absent
                if hasHistograms { result.histograms[index] = nil }
            }
        }
        return isEmpty ? nil : result
    }
}
