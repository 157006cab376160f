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
            ("200", .number), ("007", .text), ("10.1.2.3", .ipv4), ("10.1.2.256", .template), ("/users/183742", .template), ("GET", .text),
            ("", .text),
        ]
        for (example, kind) in examples {
            let found = unsafe Array(example.utf8).withUnsafeBytes { unsafe ClassifiedValue($0).kind }
            #expect(found == kind, "\(example)")
        }
    }

    /// The rules as `ValueKind` words them, one byte at a time: what the word-wise classification has to agree with.
    private func obviousClass(_ text: [UInt8]) -> ClassifiedValue {
        func isHex(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }
        func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
        func hex(_ digits: ArraySlice<UInt8>) -> UInt64 { UInt64(String(decoding: digits, as: UTF8.self), radix: 16) ?? 0 }
        func number(_ digits: ArraySlice<UInt8>) -> UInt64 { UInt64(String(decoding: digits, as: UTF8.self)) ?? 0 }
        func isNumber(_ digits: ArraySlice<UInt8>, digitsMax: Int) -> Bool {
            !digits.isEmpty && digits.count <= digitsMax && digits.allSatisfy(isDigit) && (digits.count == 1 || digits.first != 48)
        }
        let dashes = [8, 13, 18, 23]
        if text.count == 36, text.indices.allSatisfy({ dashes.contains($0) ? text[$0] == 45 : isHex(text[$0]) }) {
            let digits = text.filter { $0 != 45 }
            return ClassifiedValue(kind: .uuid, a: hex(digits[..<16]), b: hex(digits[16...]))
        }
        if text.count == 16, text.allSatisfy(isHex) { return ClassifiedValue(kind: .hex16, a: hex(text[...])) }
        if text.count == 32, text.allSatisfy(isHex) { return ClassifiedValue(kind: .hex32, a: hex(text[..<16]), b: hex(text[16...])) }
        if text.count > ValueKind.textBytesMax { return ClassifiedValue(kind: .long) }
        if isNumber(text[...], digitsMax: 18) { return ClassifiedValue(kind: .number, a: number(text[...])) }
        let parts = text.split(separator: 46, omittingEmptySubsequences: false)
        if parts.count == 4, parts.allSatisfy({ isNumber($0, digitsMax: 3) && number($0) < 256 }) {
            return ClassifiedValue(kind: .ipv4, a: parts.reduce(0) { $0 << 8 | number($1) })
        }
        var value = ClassifiedValue(kind: .text)
        guard !text.contains(0) else { return value }
        var at = 0
        while at < text.count {
            let end = text[at...].firstIndex { !isDigit($0) } ?? text.count
            if (3...18).contains(end - at), text[at] != 48, end - at >= value.digitsEnd - value.digitsStart {
                value = ClassifiedValue(kind: .template, a: number(text[at..<end]))
                value.digitsStart = at
                value.digitsEnd = end
            }
            at = max(end, at + 1)
        }
        return value
    }

    /// Old and new files hold values classified by the same rules: a query would not find what the other side had classified differently.
    @Test func kindsAreThoseOfTheRules() {
        var random = SeededRandom(12)
        func check(_ bytes: [UInt8]) {
            let value = unsafe bytes.withUnsafeBytes { unsafe ClassifiedValue($0) }
            let wanted = obviousClass(bytes)
            #expect(
                value.kind == wanted.kind && value.a == wanted.a && value.b == wanted.b && value.digitsStart == wanted.digitsStart
                    && value.digitsEnd == wanted.digitsEnd, "\(String(decoding: bytes, as: UTF8.self))")
        }
        for alphabet in [
            "01", "0123456789", "0123456789.", "012.", "0123456789abcdef", "0123456789abcdefg-", "1a/\u{7F}\u{0}", "12é🦊", "/09:;@-.", "9a",
        ] {
            let letters = Array(alphabet.utf8)
            for _ in 0..<12_000 {
                let length = Int.random(in: 0...(Bool.random(using: &random) ? 20 : 135), using: &random)
                check((0..<length).map { _ in letters[Int.random(in: 0..<letters.count, using: &random)] })
            }
        }
        // Runs of digits of every length at every place, across the words that are looked at together.
        for start in 0..<66 {
            for length in [1, 2, 3, 7, 8, 9, 16, 17, 18, 19, 20] {
                for rest in [0, 1, 5, 60] {
                    var bytes =
                        [UInt8](repeating: 0x78, count: start) + (0..<length).map { UInt8(49 + ($0 + start) % 9) }
                        + [UInt8](repeating: 0x79, count: rest)
                    check(bytes)
                    if start > 4 { bytes.replaceSubrange(0..<4, with: Array("1234".utf8)) }
                    check(bytes)
                }
            }
        }
        for _ in 0..<20_000 {
            check(Array((0..<4).map { _ in String(Int.random(in: 0...300, using: &random)) }.joined(separator: ".").utf8))
            check(Array(String(random.next() >> UInt64.random(in: 0...63, using: &random)).utf8))
        }
    }

    /// The encoder hands over what it knows of a row instead of reading it again: a reopened file must read the same.
    @Test(arguments: 1...20) func whatTheEncoderKnowsIsWhatTheRowSays(seed: Int) {
        var random = SeededRandom(UInt64(seed))
        var spans: [PlainTestSpan] = []
        for number in 1...UInt64.random(in: 1...400, using: &random) {
            var span = PlainTestSpan(traceLow: number / 5 + 1, id: number)
            span.kind = [.client, .server, .unspecified].randomElement(using: &random) ?? .unspecified
            span.name = "n\(Int.random(in: 0..<30, using: &random))"
            span.service = ["", "a", "b"].randomElement(using: &random) ?? ""
            span.port = Bool.random(using: &random) ? 80 : 0
            for key in 0..<Int.random(in: 0..<40, using: &random) where Bool.random(using: &random) {
                span.tags["k\(key)"] = ["x", "y", "a\u{0}b", "a123b", "200", "k1", "n3"].randomElement(using: &random) ?? ""
            }
            spans.append(span)
        }
        var encoder = JournalEncoder()
        // The second row must not know anything of the first.
        for _ in 0..<2 {
            #expect(encoder.append(makeBatch(spans), from: 0) == spans.count)
            guard let row = encoder.finish(), let read = HeadBatch(row: row.bytes) else { Issue.record("no row, seed \(seed)"); return }
            #expect(row.spanStarts == read.spanStarts && row.traceIDs == read.traceIDs && row.spansStart == read.spansStart, "seed \(seed)")
            #expect(row.strings.bytes == read.strings.bytes && row.strings.references == read.strings.references, "seed \(seed)")
            func words(_ list: [SpanShape.Payload]) -> [UInt32] { list.map { $0.key << 4 | UInt32($0.kind.rawValue) } }
            func same(_ one: SpanShape, _ other: SpanShape) -> Bool {
                one.kind == other.kind && one.flags == other.flags && one.name == other.name && one.localService == other.localService
                    && one.remoteService == other.remoteService && words(one.payloads) == words(other.payloads)
            }
            #expect(row.shapes.count == read.shapes.count && zip(row.shapes, read.shapes).allSatisfy { same($0, $1) }, "seed \(seed)")
            #expect(row.shapes.allSatisfy { words(row.payloadLists[$0.list]) == words($0.payloads) }, "seed \(seed)")
            #expect(read.shapes.allSatisfy { words(read.payloadLists[$0.list]) == words($0.payloads) }, "seed \(seed)")
            #expect(Set(row.payloadLists.map(words)).count == row.payloadLists.count, "seed \(seed)")
            var out = SpanBatch()
            for index in 0..<row.spanCount { row.decode(index, into: &out) }
            #expect(plain(out) == spans, "seed \(seed)")
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
            let known = Set(values)
            let near = values.prefix(20).flatMap { [$0, $0 &+ 1, $0 &- 1] }
            for value in near + [0, 1, 7, UInt64.max, random.next()] {
                #expect(column.contains(value) == known.contains(value), "seed \(seed), \(value)")
            }
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
            let part = filter.count == 1 ? filter[0] : filter[BloomFilter.partNumber(hash)]
            return unsafe part.withUnsafeBytes {
                unsafe BloomFilter.mayContain($0, filter.count == 1 ? hash : BloomFilter.withinPart(hash))
            }
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
            if let walked = HeadBatch.walk(bytes),
                case let head = HeadBatch(bytes: bytes, walked.prefix, spanStarts: walked.spanStarts, traceIDs: walked.traceIDs)
            {
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
        let built = builder.build([row], arrival: 0)
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
                        decoder.decode(
                            block.spanRows(ofTrace: trace), base: block.traceBases[trace], traceID: TraceID(high: 0, low: 1), into: &out)
                    }
                }
            }
        }
    }
}
