import TelemetryModel

/// Samples of one series in one tier, oldest first: a column of times and columns of values. What is put together, rolled up and encoded.
///
/// Counters and raw gauges have one column; gauges of rollup tiers have five (`GaugeColumn`); classic histograms have a count for each
/// bucket, then count and sum. Native histograms have no columns but `natives`.
struct Track: Sendable {
    /// Columns of values; 0 = native histograms.
    var width: Int
    /// Milliseconds since 1970, strictly ascending.
    var times: [Int64] = []
    /// `width` columns of one length.
    var columns: [[Double]]
    var natives: [NativeHistogram] = []

    init(width: Int) {
        self.width = width
        columns = [[Double]](repeating: [], count: width)
    }

    var count: Int { times.count }
    var isEmpty: Bool { times.isEmpty }

    /// Appends a sample of `other`, whose width is the same.
    mutating func append(_ index: Int, of other: Track) {
        times.append(other.times[index])
        for column in 0..<width { columns[column].append(other.columns[column][index]) }
        if width == 0 { natives.append(other.natives[index]) }
    }

    mutating func append(contentsOf other: Track) {
        if isEmpty, other.width == width {
            self = other
            return
        }
        times.append(contentsOf: other.times)
        append(valuesOf: other)
    }

    /// Appends all of another track of this width but its times.
    mutating func append(valuesOf other: Track) {
        for column in 0..<width { columns[column].append(contentsOf: other.columns[column]) }
        natives.append(contentsOf: other.natives)
    }

    /// Room for the values of so many samples, so that a track that is put together of many blocks is not moved for each.
    mutating func reserveValues(_ count: Int) {
        for column in 0..<width { columns[column].reserveCapacity(count) }
    }

    /// The samples of `range`, by index.
    func subtrack(_ range: Range<Int>) -> Track {
        if range == 0..<count { return self }
        var part = Track(width: width)
        part.times = Array(times[range])
        for column in 0..<width { part.columns[column] = Array(columns[column][range]) }
        if width == 0 { part.natives = Array(natives[range]) }
        return part
    }

    /// Index of the first sample at `time` or later.
    func sampleIndex(from time: Int64) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if times[middle] < time { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Samples from `start` on and before `end`.
    func clipped(_ start: Int64, _ end: Int64) -> Track {
        let first = sampleIndex(from: start)
        return subtrack(first..<max(first, sampleIndex(from: end)))
    }

    /// Whether a sample only says that the series ended.
    func isMarker(_ index: Int) -> Bool {
        if width == 0 { return SeriesSamples.isStale(natives[index].sum) }
        return SeriesSamples.isStale(columns[width == GaugeColumn.count ? GaugeColumn.last : width - 1][index])
    }
}

/// Columns of a window of a gauge. There is no average: averages do not merge.
enum GaugeColumn {
    static let last = 0
    static let count = 5
    static let samples = 1
    static let sum = 2
    static let least = 3
    static let most = 4
}
