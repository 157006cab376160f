import TelemetryModel

/// Rows of the series' journal: what a group commit wrote.
///
/// ```
/// u8 version | u8 1 = begins a generation | varint sections, section… | u64 hash of all before
/// section: zigzag time | varint width | varint series | (zigzag id gap, sample)…
/// sample:  width 1: number | more: varint changed columns, (varint column gap, number)… | width 0: NativeCodec
/// number:  varint: 2 × zigzag difference to the last value of the generation, which is 0 at first; or 1 and u64 bits
/// ```
///
/// Sections are in order of time. A difference is used where both numbers are integers (a last value that is none counts as 0).
enum JournalRow {
    static let version: UInt8 = 1
    /// Differences of integers below are exact, and their codes fit.
    private static let integerMax = 4_503_599_627_370_496.0

    static func encode(_ sections: ArraySlice<HeadSection>, beginsGeneration: Bool, _ cursors: inout SampleCursors) -> [UInt8] {
        if beginsGeneration { cursors.beginGeneration() }
        var row = ByteWriter(capacity: 64 + sections.reduce(0) { $0 + $1.count * 3 })
        row.append(version)
        row.append(UInt8(beginsGeneration ? 1 : 0))
        row.append(varint: UInt64(sections.count))
        for section in sections { write(section, to: &row, &cursors) }
        row.append(row.hash())
        return row.array()
    }

    private static func write(_ section: HeadSection, to row: inout ByteWriter, _ cursors: inout SampleCursors) {
        row.append(zigzag: section.time)
        row.append(varint: UInt64(section.width))
        row.append(varint: UInt64(section.count))
        var last: UInt32 = 0
        for (index, id) in section.ids.enumerated() {
            row.append(zigzag: Int64(id) - Int64(last))
            last = id
            switch section.width {
            case 0: NativeCodec.write(section.natives[index], to: &row)
            case 1: write(section.values[index], 0, of: 1, id, to: &row, &cursors)
            default: writeVector(section, index, id, to: &row, &cursors)
            }
        }
    }

    private static func writeVector(
        _ section: HeadSection, _ index: Int, _ id: UInt32, to row: inout ByteWriter, _ cursors: inout SampleCursors
    ) {
        let start = index * section.width
        var changed: [Int] = []
        for column in 0..<section.width where cursors.lastValue(id, column).bitPattern != section.values[start + column].bitPattern {
            changed.append(column)
        }
        row.append(varint: UInt64(changed.count))
        var last = 0
        for column in changed {
            row.append(varint: UInt64(column - last))
            last = column
            write(section.values[start + column], column, of: section.width, id, to: &row, &cursors)
        }
    }

    @inline(__always)
    private static func write(
        _ value: Double, _ column: Int, of width: Int, _ id: UInt32, to row: inout ByteWriter, _ cursors: inout SampleCursors
    ) {
        let base = integer(cursors.lastValue(id, column)) ?? 0
        cursors.set(id, column, of: width, value)
        if let exact = integer(value) {
            let difference = exact - base
            row.append(varint: UInt64(bitPattern: (difference << 1) ^ (difference >> 63)) << 1)
        } else {
            row.append(varint: 1)
            row.append(value.bitPattern)
        }
    }

    /// The value as an integer, when that is all of it. −0 is not.
    @inline(__always)
    private static func integer(_ value: Double) -> Int64? {
        guard value.magnitude < integerMax else { return nil }
        let exact = Int64(value)
        return Double(exact).bitPattern == value.bitPattern ? exact : nil
    }

    // MARK: Reading

    /// The sections of a row; `cursors` stand behind it then. Samples of a series without a cursor, or of another
    /// width, are left out.
    static func decode(_ bytes: [UInt8], _ cursors: inout SampleCursors) throws(SeriesFormatError) -> [HeadSection] {
        guard bytes.count > 10 else { throw .truncated }
        guard bytes[0] == version else { throw .version(bytes[0]) }
        guard ByteReader.hasHash(bytes) else { throw .hash }
        if bytes[1] == 1 { cursors.beginGeneration() }
        let sections: [HeadSection]? = ByteReader.read(bytes, at: 2) { reader in
            var sections: [HeadSection] = []
            for _ in 0..<reader.count(bytesEach: 3) {
                guard let section = read(&reader, &cursors) else { return nil }
                sections.append(section)
            }
            return reader.failed || reader.remaining != 8 ? nil : sections
        }
        guard let sections else { throw .content }
        return sections
    }

    /// Whether a row can be read without those before it.
    static func beginsGeneration(_ bytes: [UInt8]) -> Bool { bytes.count > 2 && bytes[0] == version && bytes[1] == 1 }

    private static func read(_ reader: inout ByteReader, _ cursors: inout SampleCursors) -> HeadSection? {
        let time = reader.zigzag()
        let width = reader.varint()
        let count = reader.count(bytesEach: 2)
        guard !reader.failed, width <= UInt64(SeriesLimits.widthMax) else { return nil }
        var section = HeadSection(time: time, width: Int(width))
        var id: Int64 = 0
        for _ in 0..<count {
            id &+= reader.zigzag()
            guard !reader.failed, let number = UInt32(exactly: id) else { return nil }
            guard cursors.contains(number, width: section.width) else {
                guard skipSample(&reader, section.width) else { return nil }
                continue
            }
            guard readSample(&reader, number, &section, &cursors) else { return nil }
            section.ids.append(number)
        }
        return section
    }

    private static func readSample(
        _ reader: inout ByteReader, _ id: UInt32, _ section: inout HeadSection, _ cursors: inout SampleCursors
    ) -> Bool {
        switch section.width {
        case 0: section.natives.append(NativeCodec.read(&reader))
        case 1: readNumber(&reader, 0, of: 1, id, &cursors)
        default:
            var column = 0
            for _ in 0..<reader.count(bytesEach: 2) {
                column += Int(clamping: reader.varint() & 0xFFFF)
                guard column < section.width else { return false }
                readNumber(&reader, column, of: section.width, id, &cursors)
            }
        }
        for column in 0..<section.width { section.values.append(cursors.lastValue(id, column)) }
        return !reader.failed
    }

    /// A sample of a series that was forgotten since.
    private static func skipSample(_ reader: inout ByteReader, _ width: Int) -> Bool {
        switch width {
        case 0: _ = NativeCodec.read(&reader)
        case 1: if reader.varint() & 1 == 1 { reader.skip(8) }
        default:
            for _ in 0..<reader.count(bytesEach: 2) {
                _ = reader.varint()
                if reader.varint() & 1 == 1 { reader.skip(8) }
            }
        }
        return !reader.failed
    }

    private static func readNumber(_ reader: inout ByteReader, _ column: Int, of width: Int, _ id: UInt32, _ cursors: inout SampleCursors) {
        let code = reader.varint()
        guard code & 1 == 0 else {
            return cursors.set(id, column, of: width, Double(bitPattern: reader.uint64()))
        }
        let difference = Int64(bitPattern: code >> 2) ^ -Int64(bitPattern: (code >> 1) & 1)
        cursors.set(id, column, of: width, Double((integer(cursors.lastValue(id, column)) ?? 0) &+ difference))
    }
}
