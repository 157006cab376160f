internal import TelemetryModel

/// One classic histogram of a target: what it is called, and what the page being read says of it.
struct ScrapedHistogram {
    var labels: LabelSet
    /// When it began to count from zero, milliseconds since 1970; 0 = unknown.
    var created: Int64 = 0
    /// In the order of the page; +Inf is among them.
    var bounds: [Double] = []
    /// Counts with those below; index as `bounds`.
    var buckets: [Double] = []
    var sum = Double.nan
    var count = 0.0
    var page: UInt64 = 0
    var time: Int64 = 0
    var isLive = false
    var exemplars: [SeriesExemplar] = []
    /// Made when all bounds are known; empty before.
    var identity: [UInt8] = []

    /// Adds it as one vector. A page shows the same exemplar until there is another: the store knows it by its time.
    mutating func append(to batch: inout SeriesBatch) {
        let order = bounds.indices.sorted { bounds[$0] < bounds[$1] }
        let ascending = order.map { bounds[$0] }.filter { $0.isFinite }
        if identity.isEmpty { identity = SeriesIdentity.encode(labels, .classicHistogram, bounds: ascending) }
        var below = 0.0
        var counts = order.filter { bounds[$0].isFinite }.map { place in
            defer { below = buckets[place] }
            return buckets[place] - below
        }
        let all = order.last.flatMap { bounds[$0] == .infinity ? buckets[$0] : nil } ?? count
        counts.append(all - below)
        let number = batch.append(identity: identity, .classicHistogram, bounds: ascending.count)
        batch.append(number, time: time, buckets: counts, count: count, sum: sum, created: created)
        for exemplar in exemplars.sorted(by: { $0.time < $1.time }) { batch.append(number, exemplar) }
        exemplars = []
    }
}
