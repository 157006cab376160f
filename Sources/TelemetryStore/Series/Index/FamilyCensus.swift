import TelemetryModel

/// Looks through all series, a slice at a time.
enum FamilyCensus {
    private static let slice: UInt32 = 16_384

    /// Live series of each metric that had a sample since: those that have a place. Series that sum others up need none.
    static func live(_ shared: SharedIndex, since: Int64) -> [[UInt8]: Int] {
        let sums = Set(overflowSeries(shared))
        return count(shared) { id, row in row.last >= since && !sums.contains(id) }
    }

    /// All series of each metric.
    static func all(_ shared: SharedIndex) -> [[UInt8]: Int] { count(shared) { _, _ in true } }

    private static func count(_ shared: SharedIndex, where isCounted: (UInt32, SeriesIndex.Row) -> Bool) -> [[UInt8]: Int] {
        var counts: [UInt32: Int] = [:]
        forEachSlice(shared) { index, ids in
            for id in ids { if let row = index[id], isCounted(id, row) { counts[row.family, default: 0] += 1 } }
        }
        return shared.read { index in
            var byName: [[UInt8]: Int] = [:]
            for (family, count) in counts { byName[index.pieces.labelParts(family).value, default: 0] += count }
            return byName
        }
    }

    /// Series that sum up what is above the bound of a family.
    static func overflowSeries(_ shared: SharedIndex) -> [UInt32] {
        shared.read { index in
            var ids: [UInt32] = []
            if let piece = index.piece(OverflowSums.label, "true") { index.posting(piece)?.forEach { ids.append($0) } }
            return ids
        }
    }

    /// Who the senders of one metric's series are, and how many distinct values each label has, most first: which label of whom is
    /// guilty. Series without a sample since `since` do not count, and those that sum others up.
    static func describe(_ family: inout SeriesFamily, _ shared: SharedIndex, since: Int64) {
        var values: [UInt32: Int] = [:]
        var senders: [Sender: Int] = [:]
        let metric = family.metric
        let sums = Set(overflowSeries(shared))
        let ids: [UInt32] = shared.read { index in
            var ids: [UInt32] = []
            if let piece = index.piece(LabelSet.metricName, metric) { index.posting(piece)?.forEach { ids.append($0) } }
            return ids
        }
        var start = 0
        while start < ids.count {
            let end = min(start + Int(slice), ids.count)
            shared.read { index in
                for id in ids[start..<end] where index[id].map({ $0.last >= since }) ?? false && !sums.contains(id) {
                    let pieces = index.pieceNumbers(id).dropFirst()
                    for piece in pieces { values[piece, default: 0] += 1 }
                    senders[Sender(pieces, index), default: 0] += 1
                }
            }
            start = end
        }
        family.labels = labels(values, shared)
        let most = senders.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.prefix(SeriesLimits.sendersMax)
        family.senders = shared.read { index in
            most.map { sender, series in
                SeriesFamily.Sender(
                    job: Self.labelText(sender.job, index), instance: Self.labelText(sender.instance, index), series: series)
            }
        }
    }

    /// Pieces that are on some of the series, counted by the names of their labels.
    private static func labels(_ pieces: [UInt32: Int], _ shared: SharedIndex) -> [SeriesFamily.Label] {
        var counts: [[UInt8]: Int] = [:]
        shared.read { index in for piece in pieces.keys { counts[index.pieces.labelName(piece), default: 0] += 1 } }
        let labels = counts.filter { !$0.key.elementsEqual(LabelSet.metricName.utf8) }.map {
            SeriesFamily.Label(name: String(decoding: $0.key, as: UTF8.self), values: $0.value)
        }
        return Array(labels.sorted { ($1.values, $0.name) < ($0.values, $1.name) }.prefix(SeriesLimits.guiltyMax))
    }

    private static func labelText(_ piece: UInt32, _ index: borrowing SeriesIndex) -> String {
        piece == Sender.none ? "" : String(decoding: index.pieces.labelParts(piece).value, as: UTF8.self)
    }

    /// Numbers of the pieces `job` and `instance`.
    private struct Sender: Hashable, Comparable {
        static let none = UInt32.max
        var job = none
        var instance = none

        init(_ pieces: ArraySlice<UInt32>, _ index: borrowing SeriesIndex) {
            for piece in pieces {
                if index.pieces.isLabel(piece, named: "job") { job = piece }
                if index.pieces.isLabel(piece, named: "instance") { instance = piece }
            }
        }

        static func < (left: Sender, right: Sender) -> Bool { (left.job, left.instance) < (right.job, right.instance) }
    }

    private static func forEachSlice(_ shared: SharedIndex, _ body: (borrowing SeriesIndex, Range<UInt32>) -> Void) {
        var start = shared.read { $0.firstID }
        let end = shared.read { $0.endID }
        while start < end {
            let stop = min(start + slice, end)
            shared.read { index in body(index, start..<stop) }
            start = stop
        }
    }
}
