import TelemetryModel

/// Looks through all series, a slice at a time.
enum FamilyCensus {
    private static let slice: UInt32 = 16_384

    /// Live series of each metric that had a sample since.
    static func live(_ shared: SharedIndex, since: Int64) -> [[UInt8]: Int] {
        var counts: [UInt32: Int] = [:]
        forEachSlice(shared) { index, ids in
            for id in ids { if let row = index[id], row.last >= since { counts[row.family, default: 0] += 1 } }
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

    /// Distinct values of each label of one metric's series, most first: which label is guilty.
    static func labels(of family: String, _ shared: SharedIndex) -> [(label: String, values: Int)] {
        var values: [[UInt8]: Set<UInt32>] = [:]
        let ids: [UInt32] = shared.read { index in
            var ids: [UInt32] = []
            if let piece = index.piece(LabelSet.metricName, family) { index.posting(piece)?.forEach { ids.append($0) } }
            return ids
        }
        var start = 0
        while start < ids.count {
            let end = min(start + Int(slice), ids.count)
            shared.read { index in
                for id in ids[start..<end] where index[id] != nil {
                    for piece in index.pieceNumbers(id).dropFirst() { values[index.pieces.labelName(piece), default: []].insert(piece) }
                }
            }
            start = end
        }
        let counted = values.map { (label: String(decoding: $0.key, as: UTF8.self), values: $0.value.count) }
        return Array(counted.sorted { ($1.values, $0.label) < ($0.values, $1.label) }.prefix(SeriesLimits.guiltyMax))
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
