import TelemetryModel
import Testing
@testable import TelemetryStore

/// The series' bytes: everything comes back bit by bit, and nothing that is damaged gets through, or ends the process.
@Suite struct SeriesCodecTests {
    private func roundTrip(_ values: [Double]) -> [Double] {
        var writer = ByteWriter()
        NumberColumn.write(values, to: &writer)
        writer.append(UInt64(0))
        return ByteReader.read(writer.array()) { reader in
            let values = NumberColumn.read(&reader, count: values.count)
            return reader.remaining == 8 ? values : []
        }
    }

    @Test(arguments: 0..<400)
    func columnsComeBackBitByBit(seed: Int) {
        var random = SeededRandom(UInt64(seed) + 0x5E1)
        let kind = seed % 8
        var value = 0.0
        let values: [Double] = (0..<Int.random(in: 1...400, using: &random)).map { index in
            let isStale = Int.random(in: 0..<40, using: &random) == 0
            if isStale, kind > 3 { return SeriesSamples.staleMarker }
            switch kind {
            case 0: return 42
            case 1, 4: value += Int.random(in: 0..<3, using: &random) == 0 ? Double(Int.random(in: 0..<100, using: &random)) : 0
            case 2, 5: value = Int.random(in: 0..<50, using: &random) == 0 ? 0 : value + Double(Int.random(in: 900..<1000, using: &random))
            case 3: value = Double.random(in: -1...1, using: &random)
            case 6: value = Double(bitPattern: random.next())
            default: value = Double(Int.random(in: -99_999...99_999, using: &random)) / [1, 10, 100, 1000][index % 4]
            }
            return value
        }
        #expect(roundTrip(values).map(\.bitPattern) == values.map(\.bitPattern), "seed \(seed)")
    }

    @Test func oddNumbersComeBack() {
        let odd: [Double] = [
            -0.0, 0, .nan, .infinity, -.infinity, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 9_007_199_254_740_994, -9e15,
        ]
        #expect(roundTrip(odd).map(\.bitPattern) == odd.map(\.bitPattern))
        for one in odd { #expect(roundTrip([one]).map(\.bitPattern) == [one.bitPattern]) }
        #expect(roundTrip([SeriesSamples.staleMarker, SeriesSamples.staleMarker]).allSatisfy(SeriesSamples.isStale))
    }

    @Test func runsOfAnyIntegersComeBack() {
        for values in [[Int64.min, Int64.max, 0, -1], [Int64.max, Int64.min], [5], [7, 7, 7], [0, 1, 3, 6, -1_000_000, 2]] as [[Int64]] {
            var writer = ByteWriter()
            IntegerRun.write(values, to: &writer)
            writer.append(UInt64(0))
            #expect(ByteReader.read(writer.array()) { IntegerRun.read(&$0, count: values.count) } == values)
        }
    }

    private func block(_ random: inout SeededRandom) -> [(id: UInt32, track: Track)] {
        (0..<20).map { number in
            var track = Track(width: [1, 5, 0][number % 3])
            for step in 0..<30 {
                track.times.append(Int64(step) * 10_000 + Int64(number % 2) * 3)
                for column in 0..<track.width { track.columns[column].append(Double(Int.random(in: 0..<1000, using: &random)) / 8) }
                if track.width == 0 {
                    track.natives.append(NativeHistogram(
                        schema: 2, count: Double(step), sum: 1.5, positiveSpans: [.init(offset: 0, length: 2)],
                        positiveCounts: [1, Double(step)]))
                }
            }
            return (UInt32(number * 3 + 512), track)
        }
    }

    @Test func blocksComeBack() throws {
        var random = SeededRandom(11)
        let tracks = block(&random)
        let reader = try SeriesBlockReader(SeriesBlock.encode(tracks, ZstdCodec()))
        #expect(reader.entries.map(\.id) == tracks.map(\.id))
        #expect(reader.times.count == 2)
        for (index, (_, track)) in tracks.enumerated() {
            let found = try reader.readTrack(index, ZstdCodec())
            #expect(found.times == track.times && found.columns == track.columns && found.natives == track.natives)
        }
    }

    /// Cut anywhere, any bit turned, and with a hash that fits the damage: an error or other numbers, never a trap.
    @Test func damagedBlocksAreRefused() throws {
        var random = SeededRandom(12)
        let bytes = SeriesBlock.encode(block(&random), ZstdCodec())
        for end in 0..<bytes.count { #expect(throws: SeriesFormatError.self) { _ = try SeriesBlockReader(Array(bytes[..<end])) } }
        for _ in 0..<3000 {
            var damaged = bytes
            damaged[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            #expect(throws: SeriesFormatError.self) { _ = try SeriesBlockReader(damaged) }
            readAll(rehashed(damaged))
            damaged.removeSubrange(Int.random(in: 1..<bytes.count - 8, using: &random)..<bytes.count - 8)
            readAll(rehashed(damaged))
        }
    }

    private func rehashed(_ bytes: [UInt8]) -> [UInt8] {
        var writer = ByteWriter()
        writer.append(array: Array(bytes.dropLast(8)))
        writer.append(writer.hash())
        return writer.array()
    }

    private func readAll(_ bytes: [UInt8]) {
        guard let reader = try? SeriesBlockReader(bytes) else { return }
        for index in reader.entries.indices { _ = try? reader.readTrack(index, ZstdCodec()) }
    }

    @Test func damagedRowsAreRefused() throws {
        var random = SeededRandom(13)
        var cursors = SampleCursors()
        for id in 1..<20 as Range<UInt32> { cursors.add(id, width: id % 3 == 0 ? 0 : id % 3 == 1 ? 1 : 6) }
        var sections: [HeadSection] = []
        for (time, width) in [(1000, 1), (1000, 6), (2000, 0), (3000, 1)] as [(Int64, Int)] {
            var section = HeadSection(time: time, width: width)
            for id in 1..<20 as Range<UInt32> where (id % 3 == 0 ? 0 : id % 3 == 1 ? 1 : 6) == width {
                section.ids.append(id)
                for _ in 0..<width { section.values.append(Double(Int.random(in: 0..<9, using: &random)) / 2) }
                if width == 0 { section.natives.append(NativeHistogram(count: 3, sum: 0.1)) }
            }
            sections.append(section)
        }
        let empty = cursors
        let row = JournalRow.encode(sections[...], beginsGeneration: true, &cursors)
        var fresh = empty
        let found = try JournalRow.decode(row, &fresh)
        #expect(found.map(\.ids) == sections.map(\.ids) && found.map(\.values) == sections.map(\.values))
        #expect(found.map(\.natives) == sections.map(\.natives))
        for end in 0..<row.count {
            #expect(throws: SeriesFormatError.self) { var fresh = empty; _ = try JournalRow.decode(Array(row[..<end]), &fresh) }
        }
        for _ in 0..<5000 {
            var damaged = row
            damaged[Int.random(in: 0..<row.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            var fresh = empty
            _ = try? JournalRow.decode(rehashed(damaged), &fresh)
        }
    }

    /// Identities from the wire.
    @Test func whatIsNoIdentityIsRefused() throws {
        let labels = LabelSet("a", ["b": "c", "x": "\u{1F600}"])
        let bytes = SeriesIdentity.encode(labels, .classicHistogram, bounds: [1, 2])
        #expect(try SeriesIdentityReader(bytes).labels() == labels)
        #expect(throws: SeriesIdentity.Problem.unknownKind) { try SeriesIdentity.check([9]) }
        #expect(throws: SeriesIdentity.Problem.truncated) { try SeriesIdentity.check([]) }
        #expect(throws: SeriesIdentity.Problem.labels) { try SeriesIdentity.check([0, 1, 98, 1, 99, 1, 97, 1, 99]) }
        #expect(throws: SeriesIdentity.Problem.labels) { try SeriesIdentity.check([0, 1, 98, 0]) }
        #expect(throws: SeriesIdentity.Problem.labels) { try SeriesIdentity.check([0, 1, 98, 1, 0xFF]) }
        let falling = SeriesIdentity.encode(labels, .classicHistogram, bounds: [2, 1])
        #expect(throws: SeriesIdentity.Problem.bounds) { try SeriesIdentity.check(falling) }
        var random = SeededRandom(14)
        for _ in 0..<20_000 {
            var damaged = bytes
            damaged[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            _ = try? SeriesIdentityReader(Array(damaged.prefix(Int.random(in: 0...bytes.count, using: &random)))).labels()
        }
        var batch = SeriesBatch()
        let text = Array("xbac1".utf8)
        var unsorted: [(name: Range<Int>, value: Range<Int>)] = [
            (0..<1, 3..<4), (1..<2, 4..<5), (2..<3, 3..<4), (1..<2, 3..<4), (3..<4, 0..<0),
        ]
        let id = batch.append(labels: &unsorted, of: text, .gauge)
        let sorted = LabelSet([.init("a", "c"), .init("b", "c"), .init("x", "c")])
        #expect(id == 0 && batch.identityBytes == SeriesIdentity.encode(sorted, .gauge))
    }
}
