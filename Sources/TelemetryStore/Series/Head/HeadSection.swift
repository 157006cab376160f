import TelemetryModel

/// Samples of many series at one time, of one width, as they were committed: the youngest part of the head.
struct HeadSection: Sendable {
    var time: Int64
    /// See `Track.width`.
    var width: Int
    var ids: [UInt32] = []
    /// `width` values for each of `ids`, one series after another.
    var values: [Double] = []
    var natives: [NativeHistogram] = []

    var count: Int { ids.count }

    init(time: Int64, width: Int) {
        self.time = time
        self.width = width
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
