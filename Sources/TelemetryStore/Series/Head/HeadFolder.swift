import TelemetryModel

/// Folds the young sections of the head into its blocks, which are eight times smaller. On the maintenance thread; readers see one or the
/// other.
///
/// A group's youngest blocks are taken along when they are not much larger than what comes, so that a group has few blocks and a sample is
/// encoded a few times only.
struct HeadFolder {
    private let state: Monitor<SeriesState>
    private let zstd = ZstdCodec()

    init(_ state: Monitor<SeriesState>) { self.state = state }

    /// One group after the other: all blocks twice, or all tracks at once, would take more than the head.
    func fold() {
        let (sections, points) = state.withLock { ($0.head.sections, $0.head.sectionPoints) }
        guard !sections.isEmpty else { return }
        for group in Self.groupNumbers(of: sections) {
            var young = GroupTracks(group: group)
            let first = group * SeriesLimits.groupSeries
            for section in sections {
                for index in section.sampleIndex(of: first)..<section.sampleIndex(of: first + SeriesLimits.groupSeries) {
                    young.append(section, index)
                }
            }
            let blocks = merged(state.withLock { $0.head.blocks[group] ?? [] }, group, young.all)
            state.withLock { state in
                state.head.blocks[group] = blocks
                state.head.folding = (sections.count, group + 1)
            }
        }
        state.withLock { state in
            state.head.sections.removeFirst(sections.count)
            state.head.sectionPoints -= points
            state.head.folding = (0, 0)
        }
    }

    private static func groupNumbers(of sections: [HeadSection]) -> [UInt32] {
        var groups: Set<UInt32> = []
        for section in sections {
            var index = 0
            while index < section.count {
                let group = GroupTracks.groupNumber(of: section.ids[index])
                groups.insert(group)
                index = section.sampleIndex(of: (group + 1) * SeriesLimits.groupSeries)
            }
        }
        return groups.sorted()
    }

    /// A group's blocks with what is young.
    private func merged(_ old: [HeadBlock], _ group: UInt32, _ young: [(id: UInt32, track: Track)]) -> [HeadBlock] {
        var samples = young.reduce(0) { $0 + $1.track.count }
        var kept = old
        var taken: [HeadBlock] = []
        while let last = kept.last, last.samples <= samples * 2 {
            samples += last.samples
            taken.append(kept.removeLast())
        }
        var tracks = GroupTracks(group: group)
        for block in taken.reversed() { _ = tracks.append(block.bytes, zstd) }
        for (id, track) in young { tracks.append(track, of: id) }
        return kept + [HeadBlock(tracks.all, zstd)].compactMap(\.self)
    }
}

extension HeadBlock {
    /// Nil = there are no samples.
    init?(_ tracks: [(id: UInt32, track: Track)], _ zstd: ZstdCodec) {
        let full = tracks.filter { !$0.track.isEmpty }
        guard !full.isEmpty else { return nil }
        bytes = SeriesBlock.encode(full, zstd)
        samples = full.reduce(0) { $0 + $1.track.count }
        earliest = full.reduce(Int64.max) { min($0, $1.track.times.first ?? Int64.max) }
        latest = full.reduce(Int64.min) { max($0, $1.track.times.last ?? Int64.min) }
    }
}
