import TelemetryModel

/// Why bytes of the series' tables are not what was written.
enum SeriesFormatError: Error, Equatable, Sendable {
    case truncated
    /// The hash behind them is another's.
    case hash
    case version(UInt8)
    /// A count or place that cannot be.
    case content
}

/// Samples of many series over one span of time, in one blob: docs/formats/series.md.
///
/// ```
/// u8 version | varint time columns, (varint count, IntegerRun)… | varint entries
/// | entry: varint id gap, varint width, varint time column, varint bytes | … | values of each entry | u64 hash of all before
/// ```
///
/// Series that were sampled together share a column of times. An entry is read without the others.
enum SeriesBlock {
    static let version: UInt8 = 1
    static let hashBytes = 8
    /// The least that an entry takes in its directory.
    private static let entryBytesMin = 4

    /// `tracks` in order of id; those of one id in order of time.
    static func encode(_ tracks: [(id: UInt32, track: Track)], _ zstd: ZstdCodec) -> [UInt8] {
        var times: [[Int64]] = []
        var timeNumbers: [Int: [Int]] = [:]
        var directory = ByteWriter(capacity: tracks.count * 6)
        var values = ByteWriter(capacity: tracks.count * 256)
        var last: UInt32 = 0
        for (id, track) in tracks {
            let number = timeColumn(track.times, &times, &timeNumbers)
            let start = values.count
            write(track, zstd, to: &values)
            directory.append(varint: UInt64(id - last))
            directory.append(varint: UInt64(track.width))
            directory.append(varint: UInt64(number))
            directory.append(varint: UInt64(values.count - start))
            last = id
        }
        var block = ByteWriter(capacity: values.count + directory.count + 1024)
        block.append(version)
        block.append(varint: UInt64(times.count))
        for column in times {
            block.append(varint: UInt64(column.count))
            IntegerRun.write(column, to: &block)
        }
        block.append(varint: UInt64(tracks.count))
        block.append(array: directory.array())
        block.append(array: values.array())
        block.append(block.hash())
        return block.array()
    }

    /// The number of a column of times, which is taken in when it is new.
    private static func timeColumn(_ times: [Int64], _ all: inout [[Int64]], _ numbers: inout [Int: [Int]]) -> Int {
        // Equal columns mostly stand next to each other.
        if let last = all.last, last == times { return all.count - 1 }
        let key = times.count ^ Int(truncatingIfNeeded: (times.first ?? 0) &* 31 ^ (times.last ?? 0) &* 131)
        if let found = numbers[key]?.first(where: { all[$0] == times }) { return found }
        all.append(times)
        numbers[key, default: []].append(all.count - 1)
        return all.count - 1
    }

    private static func write(_ track: Track, _ zstd: ZstdCodec, to writer: inout ByteWriter) {
        for column in track.columns { NumberColumn.write(column, to: &writer) }
        guard track.width == 0 else { return }
        var bytes = ByteWriter(capacity: track.count * 64)
        for histogram in track.natives { NativeCodec.write(histogram, to: &bytes) }
        zstd.write(bytes.array(), to: &writer)
    }
}

/// A block's directory, and its tracks one by one. Bytes are checked before use; nothing here traps.
struct SeriesBlockReader {
    struct Entry: BitwiseCopyable {
        var id: UInt32
        var width: Int
        var timeColumn: Int
        var offset: Int
        var bytes: Int
    }

    /// What there is to know of a column of times, most of the time.
    struct TimeRange: BitwiseCopyable {
        var count: Int
        /// Milliseconds since 1970; without times the first is behind the last.
        var first: Int64
        var last: Int64
    }

    private let bytes: [UInt8]
    private(set) var times: [[Int64]] = []
    /// One for each column of times.
    private(set) var timeRanges: [TimeRange] = []
    /// In order of id.
    private(set) var entries: [Entry] = []

    init(_ bytes: [UInt8]) throws(SeriesFormatError) {
        self.bytes = bytes
        guard bytes.count > SeriesBlock.hashBytes else { throw .truncated }
        guard let version = bytes.first, version == SeriesBlock.version else { throw .version(bytes[0]) }
        guard ByteReader.hasHash(bytes) else { throw .hash }
        let (times, entries) = ByteReader.read(bytes) { reader in
            _ = reader.byte()
            let times = Self.readTimes(&reader)
            return (times, Self.readDirectory(&reader, times?.count ?? 0))
        }
        guard let times, let entries else { throw .content }
        self.times = times
        self.entries = entries
        timeRanges = times.map { TimeRange(count: $0.count, first: $0.first ?? .max, last: $0.last ?? .min) }
    }

    private static func readTimes(_ reader: inout ByteReader) -> [[Int64]]? {
        var times: [[Int64]] = []
        var total = 0
        for _ in 0..<reader.count(bytesEach: 2) {
            let count = reader.varint()
            guard count <= UInt64(SeriesLimits.trackValuesMax) else { return nil }
            total += Int(count)
            guard total <= SeriesLimits.blockTimesMax else { return nil }
            let column = IntegerRun.read(&reader, count: Int(count))
            guard !reader.failed, column.count == Int(count), zip(column, column.dropFirst()).allSatisfy({ $0 < $1 }) else { return nil }
            times.append(column)
        }
        return reader.failed ? nil : times
    }

    private static func readDirectory(_ reader: inout ByteReader, _ timeColumns: Int) -> [Entry]? {
        var entries: [Entry] = []
        var id: UInt64 = 0
        var offset = 0
        for _ in 0..<reader.count(bytesEach: 4) {
            id &+= reader.varint()
            let (width, column, count) = (reader.varint(), reader.varint(), reader.varint())
            guard !reader.failed, id <= UInt64(UInt32.max), width <= UInt64(SeriesLimits.widthMax), column < UInt64(timeColumns),
                count <= UInt64(reader.remaining)
            else { return nil }
            entries.append(Entry(id: UInt32(id), width: Int(width), timeColumn: Int(column), offset: offset, bytes: Int(count)))
            offset += Int(count)
        }
        let start = reader.position
        guard !reader.failed, offset == reader.remaining - SeriesBlock.hashBytes else { return nil }
        for index in entries.indices { entries[index].offset += start }
        return entries
    }

    /// Index of the first entry of a series or of one behind it, looked for from `start` on.
    func firstEntry(of id: UInt32, from start: Int = 0) -> Int {
        // Whoever reads all series of a block finds each where the last one ended.
        if start < entries.count, entries[start].id == id { return start }
        var low = start
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func readTrack(_ index: Int, _ zstd: ZstdCodec) throws(SeriesFormatError) -> Track {
        let entry = entries[index]
        let count = times[entry.timeColumn].count
        guard count * max(entry.width, 1) <= SeriesLimits.trackValuesMax else { throw .content }
        var track = Track(width: entry.width)
        track.times = times[entry.timeColumn]
        let isGood = ByteReader.read(bytes, at: entry.offset) { reader in
            for column in 0..<entry.width { track.columns[column] = NumberColumn.read(&reader, count: count) }
            if entry.width == 0 { track.natives = Self.readNatives(&reader, count, zstd) }
            return !reader.failed && reader.position == entry.offset + entry.bytes
        }
        let isWhole = entry.width > 0 ? track.columns.allSatisfy { $0.count == count } : track.natives.count == count
        guard isGood, isWhole else { throw .content }
        return track
    }

    /// Whether all samples of an entry are numbers from `start` on and before `end`, and no more than a track may have.
    func isWithin(_ index: Int, _ start: Int64, _ end: Int64) -> Bool {
        let entry = entries[index]
        let range = timeRanges[entry.timeColumn]
        guard entry.width > 0, range.count > 0, range.first >= start, range.last < end else { return false }
        return range.count * entry.width <= SeriesLimits.trackValuesMax
    }

    /// Appends an entry's values, not their times, to a track of its width. When it throws, the track is as it was. `scratch`: room that is
    /// used again. The entry has numbers: `isWithin`.
    func appendValues(_ index: Int, to track: inout Track, _ scratch: inout [Int64]) throws(SeriesFormatError) {
        let entry = entries[index]
        let count = timeRanges[entry.timeColumn].count
        let before = track.columns.first?.count ?? 0
        let isGood = ByteReader.read(bytes, at: entry.offset) { reader in
            for number in 0..<entry.width {
                NumberColumn.append(&reader, count: count, to: &track.columns[number], &scratch)
                if reader.failed { return false }
            }
            return reader.position == entry.offset + entry.bytes
        }
        guard isGood else {
            for number in 0..<entry.width { track.columns[number].removeLast(track.columns[number].count - before) }
            throw .content
        }
    }

    private static func readNatives(_ reader: inout ByteReader, _ count: Int, _ zstd: ZstdCodec) -> [NativeHistogram] {
        let bytes = zstd.read(&reader, bytesMax: SeriesLimits.nativeBytesMax)
        guard !reader.failed, count <= bytes.count else { return [] }
        return ByteReader.read(bytes) { inner in
            var natives: [NativeHistogram] = []
            for _ in 0..<count where !inner.failed { natives.append(NativeCodec.read(&inner)) }
            return inner.failed ? [] : natives
        }
    }
}
