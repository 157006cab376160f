/// Tracks of one group of series being put together, by place in the group.
struct GroupTracks {
    private let first: UInt32
    private var tracks: [Track?] = Array(repeating: nil, count: Int(SeriesLimits.groupSeries))

    init(group: UInt32) { first = group * SeriesLimits.groupSeries }

    static func groupNumber(of id: UInt32) -> UInt32 { id / SeriesLimits.groupSeries }

    /// A series has one width; samples of another, of a damaged block, are left out.
    mutating func append(_ section: HeadSection, _ index: Int) {
        let place = Int(section.ids[index] - first)
        if tracks[place] == nil { tracks[place] = Track(width: section.width) }
        guard tracks[place]?.width == section.width else { return }
        tracks[place]?.append(index, of: section)
    }

    mutating func append(_ track: Track, of id: UInt32) {
        let place = Int(id) - Int(first)
        guard place >= 0, place < tracks.count else { return }
        guard tracks[place] != nil else {
            tracks[place] = track
            return
        }
        if tracks[place]?.width == track.width { tracks[place]?.append(contentsOf: track) }
    }

    /// Appends what a block has; false = the block is damaged.
    mutating func append(_ block: [UInt8], _ zstd: ZstdCodec) -> Bool {
        guard let reader = try? SeriesBlockReader(block) else { return false }
        for (index, entry) in reader.entries.enumerated() {
            guard let track = try? reader.readTrack(index, zstd) else { return false }
            append(track, of: entry.id)
        }
        return true
    }

    /// In order of id.
    var all: [(id: UInt32, track: Track)] {
        tracks.enumerated().compactMap { place, track in track.map { (first + UInt32(place), $0) } }
    }
}
