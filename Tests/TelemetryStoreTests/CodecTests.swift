import TelemetryModel
import Testing
@testable import TelemetryStore

@Suite struct CodecTests {
    private func text(_ value: ClassifiedValue, _ original: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        switch value.kind {
        case .text, .long: out = original
        case .template:
            let template = Array(original[..<value.digitsStart]) + [0] + Array(original[value.digitsEnd...])
            unsafe template.withUnsafeBytes { unsafe ValueText.append(template: $0, number: value.a, to: &out) }
        default: ValueText.append(value.kind, value.a, value.b, to: &out)
        }
        return out
    }

    /// A value that printed back differently would be silent data corruption.
    @Test func everyKindPrintsBackWhatCameIn() {
        var random = SeededRandom(11)
        let alphabet = Array("0123456789abcdefABCDEF.-/ x\u{0}".utf8)
        for round in 0..<200_000 {
            let length = [1, 3, 7, 9, 15, 16, 18, 19, 32, 36, 40].randomElement(using: &random) ?? 1
            let letters = round % 3 == 0 ? 10 : (round % 3 == 1 ? 16 : alphabet.count)
            var bytes = (0..<length).map { _ in alphabet[Int.random(in: 0..<letters, using: &random)] }
            if length == 36 { for dash in [8, 13, 18, 23] { bytes[dash] = 45 } }
            let value = unsafe bytes.withUnsafeBytes { unsafe ClassifiedValue($0) }
            #expect(text(value, bytes) == bytes)
        }
    }

    @Test func kindsAreRecognised() {
        let examples: [(String, ValueKind)] = [
            ("123e4567-e89b-12d3-a456-426614174000", .uuid), ("4bf92f3577b34da6", .hex16), ("4bf92f3577b34da6a3ce929d0e0e4736", .hex32),
            ("200", .number), ("007", .text), ("10.1.2.3", .ipv4), ("10.1.2.256", .template), ("/users/183742", .template), ("GET", .text), ("", .text),
        ]
        for (example, kind) in examples {
            let found = unsafe Array(example.utf8).withUnsafeBytes { unsafe ClassifiedValue($0).kind }
            #expect(found == kind, "\(example)")
        }
    }

    @Test(arguments: 1...300) func integerColumnsReadBack(seed: Int) {
        var random = SeededRandom(UInt64(seed))
        let count = Int.random(in: 0...700, using: &random)
        let width = UInt64.random(in: 0...63, using: &random)
        var values = (0..<count).map { _ in random.next() >> width }
        if seed % 3 == 0 { for index in values.indices where index % 50 != 0 { values[index] &= 7 } }
        if seed % 5 == 0, !values.isEmpty { values[0] = UInt64.max }
        var writer = ByteWriter()
        IntegerColumn.write(values, to: &writer)
        unsafe writer.withBytes { bytes in
            var reader = unsafe ByteReader(bytes)
            let column = IntegerColumnReader(&reader, countMax: 1000)
            #expect(!reader.failed && reader.remaining == 0, "seed \(seed)")
            #expect((0..<count).map { column[$0] } == values, "seed \(seed)")
            let most = values.max() ?? 0
            #expect(column.isBelow(most) == values.isEmpty, "seed \(seed)")
            #expect(most == UInt64.max || column.isBelow(most + 1), "seed \(seed)")
        }
    }

    /// A filter that forgot a value would hide spans; one that knew everything would be useless.
    @Test(arguments: [0, 1, 100, 16_384, 16_385, 60_000]) func filtersKnowWhatWasPutIn(count: Int) {
        var hashes = RawBuffer<UInt64>()
        for value in 0..<count { hashes.append(BloomFilter.hash(7, UInt64(value), 0)) }
        let filter = BloomFilter.build(hashes)
        #expect(filter.count == (count > BloomFilter.wholeValuesMax ? BloomFilter.partCount : 1))
        func knows(_ value: Int) -> Bool {
            let hash = BloomFilter.hash(7, UInt64(value), 0)
            let part = filter.count == 1 ? filter[0] : filter[BloomFilter.part(hash)]
            return unsafe part.withUnsafeBytes { unsafe BloomFilter.mayContain($0, filter.count == 1 ? hash : BloomFilter.withinPart(hash)) }
        }
        #expect((0..<count).allSatisfy { knows($0) })
        #expect((1_000_000..<1_010_000).filter { knows($0) }.count < 600)
    }

    private func sample() -> SpanBatch {
        var spans: [PlainTestSpan] = []
        for number in 1...200 as ClosedRange<UInt64> {
            var span = PlainTestSpan(traceLow: number / 8 + 1, id: number)
            span.parent = number % 8
            span.timestamp = 1_000_000 + number
            span.duration = number
            span.service = "s\(number % 3)"
            span.name = "n\(number % 5)"
            span.tags = [
                "id": "123e4567-e89b-12d3-a456-4266141740\(10 + number % 80)", "path": "/a/\(1000 + number)", "addr": "10.0.0.\(number)",
                "long": String(repeating: "z", count: 150), "n": "\(number)", "t": "text",
            ]
            span.annotations = number % 4 == 0 ? ["x"] : []
            spans.append(span)
        }
        return makeBatch(spans)
    }

    /// The checksums are passed over here: what gets past them must still not end the process.
    @Test func damagedJournalRowsNeverCrash() {
        var encoder = JournalEncoder()
        #expect(encoder.append(sample(), from: 0) == 200)
        guard let row = encoder.finish() else { Issue.record("no row"); return }
        #expect(HeadBatch(row: row.bytes) != nil)
        var random = SeededRandom(5)
        for _ in 0..<4000 {
            var bytes = row.bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            if let walked = HeadBatch.walk(bytes), let head = HeadBatch(bytes: bytes, spanStarts: walked.spanStarts, traceIDs: walked.traceIDs) {
                var out = SpanBatch()
                for index in 0..<min(head.spanCount, 300) { head.decode(index, into: &out) }
            }
            #expect(bytes == row.bytes || HeadBatch(row: bytes) == nil)
        }
    }

    @Test func damagedSegmentsNeverCrash() {
        var encoder = JournalEncoder()
        _ = encoder.append(sample(), from: 0)
        guard let row = encoder.finish() else { Issue.record("no row"); return }
        var builder = SegmentBuilder(blockSpansMax: 64, autocompleteKeys: ["t"])
        let built = builder.build([row])
        let zstd = ZstdCodec()
        guard let header = SegmentHeader(built.header, zstd) else { Issue.record("no header"); return }
        var random = SeededRandom(6)
        func damaged(_ bytes: [UInt8]) -> [UInt8] {
            var bytes = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Int.random(in: 0..<4, using: &random) == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            return bytes
        }
        for _ in 0..<4000 {
            _ = SegmentHeader(damaged(built.header), zstd, checksChecksum: false)
            let hot = damaged(built.blocks[0].hot)
            let cold = damaged(built.blocks[0].cold)
            unsafe hot.withUnsafeBytes { hot in
                unsafe cold.withUnsafeBytes { cold in
                    #expect(unsafe SegmentBlock(header: header, block: 0, hot: hot) == nil || hot.elementsEqual(built.blocks[0].hot))
                    guard let block = unsafe SegmentBlock(header: header, block: 0, hot: hot, checksChecksum: false),
                        let text = unsafe SegmentBlockCold(header: header, block: 0, cold: cold, zstd, checksChecksum: false)
                    else { return }
                    var out = SpanBatch()
                    var decoder = SegmentBlockDecoder(block, text)
                    for trace in 0..<block.entry.traceCount {
                        decoder.decode(block.rows(ofTrace: trace), base: block.traceBases[trace], traceID: TraceID(high: 0, low: 1), into: &out)
                    }
                }
            }
        }
    }
}
