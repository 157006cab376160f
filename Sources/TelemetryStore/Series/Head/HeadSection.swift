import TelemetryModel

/// Samples of many series at one time, of one width, as they were committed: the youngest part of the head.
struct HeadSection: Sendable {
    var time: Int64
    /// See `Track.width`.
    var width: Int
    /// Ascending, each once.
    var ids: [UInt32] = []
    /// `width` values for each of `ids`, one series after another.
    var values: [Double] = []
    var natives: [NativeHistogram] = []

    var count: Int { ids.count }

    init(time: Int64, width: Int) {
        self.time = time
        self.width = width
    }

    /// Puts its samples in order of id.
    mutating func sort() {
        guard zip(ids, ids.dropFirst()).contains(where: { $0 > $1 }) else { return }
        var sorted = HeadSection(time: time, width: width)
        for index in ids.indices.sorted(by: { ids[$0] < ids[$1] }) {
            sorted.ids.append(ids[index])
            sorted.values.append(contentsOf: values[index * width..<(index + 1) * width])
            if width == 0 { sorted.natives.append(natives[index]) }
        }
        self = sorted
    }

    /// Index of the first sample of `id` or a higher one.
    func sampleIndex(of id: UInt32) -> Int {
        var low = 0
        var high = ids.count
        while low < high {
            let middle = (low + high) / 2
            if ids[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension Track {
    /// Appends a section's sample; the widths are the same.
    mutating func append(_ index: Int, of section: HeadSection) {
        times.append(section.time)
        for column in 0..<width { columns[column].append(section.values[index * width + column]) }
        if width == 0 { natives.append(section.natives[index]) }
    }
}
