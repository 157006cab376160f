import TelemetryModel

/// Counts what the index has, for Prometheus' `status/tsdb`. The lock is held for a slice at a time, so that the writer does not wait.
struct IndexCensus {
    private static let slice = 16_384

    private let limit: Int
    private var census = SeriesCensus()

    /// The `limit` greatest of each kind.
    static func take(_ shared: SharedIndex, families: [[UInt8]: Int], limit: Int) -> SeriesCensus {
        var census = IndexCensus(limit: limit)
        census.count(shared, families)
        return census.census
    }

    private init(limit: Int) { self.limit = limit }

    private mutating func count(_ shared: SharedIndex, _ families: [[UInt8]: Int]) {
        census.series = shared.read { $0.liveCount }
        for (family, count) in families { noteCount(&census.seriesByMetric, Self.utf8Text(family), count) }
        let labels = shared.read { index in index.values.map { (name: $0.key, pieces: $0.value) } }
        for label in labels {
            var bytes = 0
            var start = 0
            while start < label.pieces.count {
                let end = min(start + Self.slice, label.pieces.count)
                shared.read { index in
                    for piece in label.pieces[start..<end] where Int(piece) < index.pieces.count {
                        bytes += index.pieces.pieceByteCount(piece)
                        let series = index.postingCount(piece)
                        guard isAmongGreatest(census.seriesByLabelPair, series) else { continue }
                        let (name, value) = index.pieces.labelParts(piece)
                        noteCount(&census.seriesByLabelPair, "\(Self.utf8Text(name))=\(Self.utf8Text(value))", series)
                    }
                }
                start = end
            }
            census.labelPairs += label.pieces.count
            noteCount(&census.valuesByLabel, Self.utf8Text(label.name), label.pieces.count)
            noteCount(&census.bytesByLabel, Self.utf8Text(label.name), bytes)
        }
    }

    private static func utf8Text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    private func isAmongGreatest(_ counts: [SeriesCensus.Count], _ value: Int) -> Bool {
        counts.count < limit || value > (counts.last?.value ?? 0)
    }

    /// Keeps the list at its limit, most first; equals in the order of their names where both are kept.
    private func noteCount(_ counts: inout [SeriesCensus.Count], _ name: String, _ value: Int) {
        guard limit > 0, isAmongGreatest(counts, value) else { return }
        let place = counts.firstIndex { ($0.value, name) < (value, $0.name) } ?? counts.count
        counts.insert(SeriesCensus.Count(name: name, value: value), at: place)
        if counts.count > limit { counts.removeLast() }
    }
}
