import Matching
import TelemetryModel

/// A series that matches, and which parts of it, when it is a classic histogram.
struct MatchedSeries {
    var id: UInt32
    /// Number of the piece before the labels. Two series that have the same one differ in labels.
    var form: UInt32
    var kind: SeriesKind
    var bounds: [Double]
    /// Without `_bucket` and the like.
    var labels: LabelSet
    /// Empty = it is no classic histogram.
    var parts: [HistogramPart]
}

/// Finds the series that a list of matchers accepts. Under the index's lock a slice at a time, so that ingest never waits for a query.
///
/// One matcher that a series without the label would not pass says where to look: the values of its label that it accepts, and their
/// series. The others are asked of those series' labels, each once for each label there is: expressions are tried on distinct values
/// alone.
struct SeriesMatching {
    private let index: SharedIndex
    private let matchers: [LabelMatcher]
    /// By matcher, then by piece: whether the label passes.
    private var verdicts: [[Verdict]]
    /// Labels as texts, by piece, and whether their names are ASCII: most are on many series.
    private var labels: [UInt32: (label: LabelSet.Label, isASCII: Bool)] = [:]

    private enum Verdict: UInt8 {
        case unknown
        /// A label of another name.
        case other
        case passes
        case fails
    }

    /// Series looked at under one hold of the lock.
    private static let slice = 4096

    init(_ index: SharedIndex, _ matchers: [LabelMatcher]) {
        self.index = index
        self.matchers = matchers
        verdicts = matchers.map { _ in [] }
    }

    /// All series that match and may have samples in the range, in order of number.
    static func find(_ matchers: [LabelMatcher], _ index: SharedIndex, from: Int64, through: Int64) -> [MatchedSeries] {
        var matching = SeriesMatching(index, matchers)
        return matching.find(from, through)
    }

    private mutating func find(_ from: Int64, _ through: Int64) -> [MatchedSeries] {
        let candidates = candidates()
        var found: [MatchedSeries] = []
        var start = 0
        while start < candidates.count {
            let end = min(start + Self.slice, candidates.count)
            index.read { index in
                for id in candidates[start..<end] {
                    guard let row = index[id], row.last >= from, row.first - Self.firstSlack <= through else { continue }
                    if let match = match(id, row, index) { found.append(match) }
                }
            }
            start = end
        }
        return found
    }

    /// `first` is when a series was met; its samples may be this much older.
    private static let firstSlack: Int64 = 2 * SeriesDay.milliseconds

    // MARK: Where to look

    private func candidates() -> [UInt32] {
        let selective = matchers.indices.filter { !matchers[$0].acceptsAbsent && matchers[$0].name != HistogramPart.boundLabel }
        let exact = selective.filter { matchers[$0].operation == .equal }
        let sizes = exact.map { ($0, acceptedPieces(matchers[$0])) }.map { ($0, $1, count($1)) }
        if let best = sizes.min(by: { $0.2 < $1.2 }) { return series(best.1) }
        let name = selective.first { matchers[$0].name == LabelSet.metricName } ?? selective.first
        if let name { return series(acceptedPieces(matchers[name])) }
        return index.read { index in Array(index.firstID..<index.endID) }
    }

    private func count(_ pieces: [UInt32]) -> Int { index.read { index in pieces.reduce(0) { $0 + index.postingCount($1) } } }

    /// Labels of the matcher's name whose value it accepts; of a metric's name also those that it accepts as a part of a histogram.
    private func acceptedPieces(_ matcher: LabelMatcher) -> [UInt32] {
        if matcher.operation == .equal {
            return acceptedNames(matcher).compactMap { value in index.read { $0.piece(matcher.name, value) } }
        }
        let all = index.read { $0.values[Array(matcher.name.utf8)] ?? [] }
        var accepted: [UInt32] = []
        var start = 0
        while start < all.count {
            let part = all[start..<min(start + Self.slice, all.count)]
            let values = index.read { index in part.map { ($0, String(decoding: index.pieces.labelParts($0).value, as: UTF8.self)) } }
            accepted += values.filter { accepts(matcher, $1) }.map(\.0)
            start += part.count
        }
        return accepted
    }

    /// Values that a label may have for an equality: of a metric's name also the histogram whose part it would be.
    private func acceptedNames(_ matcher: LabelMatcher) -> [String] {
        guard matcher.name == LabelSet.metricName else { return [matcher.value] }
        let bases = HistogramPart.suffixes.map(\.suffix).filter { matcher.value.hasSuffix($0) && matcher.value.utf8.count > $0.utf8.count }
        return [matcher.value] + bases.map { String(matcher.value.dropLast($0.count)) }
    }

    /// Whether a value is accepted as it is, or as the name of a histogram.
    private func accepts(_ matcher: LabelMatcher, _ value: String) -> Bool {
        if matcher.accepts(value) { return true }
        return matcher.name == LabelSet.metricName && HistogramPart.suffixes.contains { matcher.accepts(value + $0.suffix) }
    }

    private func series(_ pieces: [UInt32]) -> [UInt32] {
        let lists = index.read { index in pieces.compactMap { index.posting($0) } }
        var ids: [UInt32] = []
        for list in lists { list.forEach { ids.append($0) } }
        return lists.count > 1 ? Array(Set(ids)).sorted() : ids
    }

    // MARK: One series

    private mutating func match(_ id: UInt32, _ row: SeriesIndex.Row, _ index: borrowing SeriesIndex) -> MatchedSeries? {
        let pieces = index.pieceNumbers(id)
        let isHistogram = row.kind == .classicHistogram
        for (number, matcher) in matchers.enumerated() {
            // What a histogram's parts are called, and where their bounds are, is asked of the parts.
            if isHistogram, matcher.name == LabelSet.metricName || matcher.name == HistogramPart.boundLabel { continue }
            guard passes(number, matcher, pieces, index) else { return nil }
        }
        guard let identity = try? SeriesIdentityReader(index.pieces.bytes(pieces.first ?? 0)) else { return nil }
        let labels = labelSet(pieces, index)
        let parts = isHistogram ? acceptedParts(labels, identity.bounds) : []
        if isHistogram, parts.isEmpty { return nil }
        return MatchedSeries(
            id: id, form: pieces.first ?? 0, kind: row.kind, bounds: identity.bounds, labels: labels, parts: parts)
    }

    private mutating func passes(
        _ number: Int, _ matcher: LabelMatcher, _ pieces: [UInt32], _ index: borrowing SeriesIndex
    ) -> Bool {
        for piece in pieces.dropFirst() {
            switch verdict(number, matcher, piece, index) {
            case .passes: return true
            case .fails: return false
            case .other, .unknown: continue
            }
        }
        return matcher.acceptsAbsent
    }

    private mutating func verdict(
        _ number: Int, _ matcher: LabelMatcher, _ piece: UInt32, _ index: borrowing SeriesIndex
    ) -> Verdict {
        if verdicts[number].count <= Int(piece) {
            verdicts[number] += [Verdict](repeating: .unknown, count: max(index.pieces.count, Int(piece) + 1) - verdicts[number].count)
        }
        let known = verdicts[number][Int(piece)]
        guard known == .unknown else { return known }
        let label = index.pieces.labelParts(piece)
        let isAccepted = { matcher.accepts(String(decoding: label.value, as: UTF8.self)) }
        let verdict: Verdict = !label.name.elementsEqual(matcher.name.utf8) ? .other : isAccepted() ? .passes : .fails
        verdicts[number][Int(piece)] = verdict
        return verdict
    }

    private mutating func labelSet(_ pieces: [UInt32], _ index: borrowing SeriesIndex) -> LabelSet {
        var set: [LabelSet.Label] = []
        set.reserveCapacity(pieces.count)
        var isASCII = true
        for piece in pieces.dropFirst() {
            let known = labels[piece] ?? decodedLabel(piece, index)
            isASCII = isASCII && known.isASCII
            set.append(known.label)
        }
        // Other names have another order as texts than as bytes.
        return isASCII ? LabelSet(sorted: set) : LabelSet(set)
    }

    private mutating func decodedLabel(_ piece: UInt32, _ index: borrowing SeriesIndex) -> (label: LabelSet.Label, isASCII: Bool) {
        let parts = index.pieces.labelParts(piece)
        let label = LabelSet.Label(String(decoding: parts.name, as: UTF8.self), String(decoding: parts.value, as: UTF8.self))
        labels[piece] = (label, parts.name.allSatisfy { $0 < 0x80 })
        return (label, parts.name.allSatisfy { $0 < 0x80 })
    }

    private func acceptedParts(_ labels: LabelSet, _ bounds: [Double]) -> [HistogramPart] {
        let base = labels[LabelSet.metricName] ?? ""
        let names = matchers.filter { $0.name == LabelSet.metricName }
        let limits = matchers.filter { $0.name == HistogramPart.boundLabel }
        func isNamed(_ suffix: String) -> Bool { names.allSatisfy { $0.accepts(base + suffix) } }
        var parts: [HistogramPart] = []
        if isNamed("_bucket") {
            for bucket in 0...bounds.count {
                let text = HistogramPart.text(bound: bucket, bounds)
                if limits.allSatisfy({ $0.accepts(text) }) { parts.append(.bucket(bucket)) }
            }
        }
        guard limits.allSatisfy(\.acceptsAbsent) else { return parts }
        if isNamed("_count") { parts.append(.count) }
        if isNamed("_sum") { parts.append(.sum) }
        return parts
    }
}
