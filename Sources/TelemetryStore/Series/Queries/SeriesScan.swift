import TelemetryModel

/// Reads the samples of some series from one moment of the store, a group of series at a time: each block once.
struct SeriesScan {
    private let state: SeriesState
    private let plan: TierPlan
    private let connection: SeriesConnection
    private let samplesMax: Int
    private(set) var samples = 0
    private(set) var damagedBlocks = 0
    private var scratch: [Int64] = []
    /// About how many samples a series of this group will have.
    private var expected = 0
    /// Times of this group's tracks.
    private var chains = TimeChains()

    /// A track as far as it was read: its times are in a chain.
    private struct Reading {
        var track: Track
        var times = TimeChains.empty
    }

    /// The chain that was continued last in a block, with which of its columns: neighbours mostly have the same.
    private struct Continued {
        var before = TimeChains.empty
        var column = -1
        var after = TimeChains.empty
    }

    init(_ state: SeriesState, _ plan: TierPlan, _ connection: SeriesConnection, samplesMax: Int) {
        self.state = state
        self.plan = plan
        self.connection = connection
        self.samplesMax = samplesMax
    }

    var isTooMuch: Bool { samples > samplesMax }

    /// The tracks of `ids`, which are of one group and ascend; nil = a block was deleted meanwhile. Tracks of one series follow each
    /// other in time, and may be of different width.
    mutating func readTracks(_ ids: ArraySlice<UInt32>) throws(StoreError) -> [[Track]]? {
        var found = [[Reading]](repeating: [], count: ids.count)
        let group = GroupTracks.groupNumber(of: ids.first ?? 0)
        expected = samplesOfSeries(group)
        chains = TimeChains()
        for part in plan.parts {
            guard let tier = part.tier else {
                readHead(group, ids, part, &found)
                continue
            }
            for span in state.tiers[tier].spans where span.start < part.end && span.end > part.start {
                guard let block = span.block(group) else { continue }
                guard let bytes = try connection.block(block.row) else { return nil }
                append(bytes, ids, part, &found)
                if isTooMuch { return [] }
            }
        }
        return found.map { $0.map { whole($0) } }
    }

    private mutating func whole(_ reading: Reading) -> Track {
        var track = reading.track
        track.times = chains.column(reading.times)
        return track
    }

    /// What a series of a group has in the plan's blocks on average, if as many series have some as there are in a group; a quarter more
    /// for what the head has, and because the last group is not full.
    private func samplesOfSeries(_ group: UInt32) -> Int {
        var total = 0
        for part in plan.parts {
            guard let tier = part.tier else { continue }
            for span in state.tiers[tier].spans where span.start < part.end && span.end > part.start {
                total += span.block(group)?.samples ?? 0
            }
        }
        return (total + total / 4) / Int(SeriesLimits.groupSeries)
    }

    private mutating func append(_ bytes: [UInt8], _ ids: ArraySlice<UInt32>, _ part: TierPlan.Part, _ found: inout [[Reading]]) {
        guard let reader = try? SeriesBlockReader(bytes) else {
            damagedBlocks += 1
            return
        }
        var index = 0
        var continued = Continued()
        for (place, id) in ids.enumerated() {
            index = reader.firstEntry(of: id, from: index)
            while index < reader.entries.count, reader.entries[index].id == id {
                append(reader, index, part, &continued, &found[place])
                index += 1
            }
        }
    }

    private mutating func append(
        _ reader: SeriesBlockReader, _ index: Int, _ part: TierPlan.Part, _ continued: inout Continued, _ readings: inout [Reading]
    ) {
        guard reader.isWithin(index, part.start, part.end) else {
            guard let track = try? reader.readTrack(index, connection.zstd) else { return damagedBlocks += 1 }
            return add(track.clipped(part.start, part.end), &readings)
        }
        let entry = reader.entries[index]
        let last = reading(of: entry.width, &readings)
        guard (try? reader.appendValues(index, to: &readings[last].track, &scratch)) != nil else {
            if readings[last].times == TimeChains.empty { readings.removeLast() }
            return damagedBlocks += 1
        }
        if readings[last].times != continued.before || entry.timeColumn != continued.column {
            let after = chains.append(reader.times[entry.timeColumn], to: readings[last].times)
            continued = Continued(before: readings[last].times, column: entry.timeColumn, after: after)
        }
        readings[last].times = continued.after
        samples += reader.timeRanges[entry.timeColumn].count * entry.width
    }

    /// Index of the last track, which has this width.
    private func reading(of width: Int, _ readings: inout [Reading]) -> Int {
        if readings.last?.track.width != width {
            readings.append(Reading(track: Track(width: width)))
            readings[readings.count - 1].track.reserveValues(expected)
        }
        return readings.count - 1
    }

    private mutating func add(_ track: Track, _ readings: inout [Reading]) {
        guard !track.isEmpty else { return }
        samples += track.count * max(track.width, 1)
        let last = reading(of: track.width, &readings)
        readings[last].times = chains.append(track.times, to: readings[last].times)
        readings[last].track.append(valuesOf: track)
    }

    // MARK: The head

    private mutating func readHead(_ group: UInt32, _ ids: ArraySlice<UInt32>, _ part: TierPlan.Part, _ found: inout [[Reading]]) {
        for block in state.head.blocks[group] ?? [] where block.earliest < part.end && block.latest >= part.start {
            append(block.bytes, ids, part, &found)
        }
        guard let first = ids.first, let last = ids.last else { return }
        var young = [Track?](repeating: nil, count: ids.count)
        var places = [Int](repeating: -1, count: Int(last - first) + 1)
        for (place, id) in ids.enumerated() { places[Int(id - first)] = place }
        for section in state.head.sections(of: group) where section.time >= part.start && section.time < part.end {
            for index in section.sampleIndex(of: first)..<section.sampleIndex(of: last + 1) {
                let place = places[Int(section.ids[index] - first)]
                guard place >= 0 else { continue }
                if young[place] == nil { young[place] = Track(width: section.width) }
                young[place]?.append(index, of: section)
            }
        }
        for (place, track) in young.enumerated() { if let track { add(track, &found[place]) } }
    }
}
