/// A column of unsigned integers, packed to a fixed width with random access.
///
/// Layout (docs/formats/segment.md): mode byte; mode 0: minimum, width, exceptions, packed differences; mode 1: a table of at most
/// `tableMax` distinct values, then packed positions. Differences wider than the chosen width are exceptions: (index, value) pairs in order
/// of index, so that one slow request does not widen every duration. Nothing is entropy coded: the columns that fill a
/// store are random ids, and random access keeps a read of eight spans from decoding four thousand.
enum IntegerColumn {
    static let tableMax = 64

    static func write(_ values: [UInt64], to writer: inout ByteWriter) {
        unsafe values.withUnsafeBufferPointer { unsafe write($0, to: &writer) }
    }

    static func write(_ values: borrowing RawBuffer<UInt64>, to writer: inout ByteWriter) {
        unsafe values.withElements { unsafe write($0, to: &writer) }
    }

    private static func write(_ values: UnsafeBufferPointer<UInt64>, to writer: inout ByteWriter) {
        writer.append(varint: UInt64(values.count))
        guard let first = unsafe values.first else { return }
        var least = first
        var most = first
        for unsafe value in unsafe values {
            if value < least { least = value }
            if value > most { most = value }
        }
        var widthCounts = [Int](repeating: 0, count: 65)
        for unsafe value in unsafe values { widthCounts[64 - (value &- least).leadingZeroBitCount] &+= 1 }
        let fullWidth = 64 - (most &- least).leadingZeroBitCount
        var best = fullWidth
        var bestBits = fullWidth * values.count
        var exceptions = 0
        var width = fullWidth
        while width > 0 {
            exceptions += widthCounts[width]
            width -= 1
            let bits = width * values.count + exceptions * (16 + fullWidth + 4)
            if exceptions > values.count / 8 { break }
            if bits < bestBits {
                bestBits = bits
                best = width
            }
        }
        if best > 1, unsafe writeTable(values, smallerThan: bestBits, to: &writer) { return }
        writer.append(UInt8(0))
        writer.append(varint: least)
        writer.append(UInt8(best))
        let limit: UInt64 = best == 64 ? UInt64.max : (1 << UInt64(best)) - 1
        var exceptionCount = 0
        if best < fullWidth { for unsafe value in unsafe values where value &- least > limit { exceptionCount += 1 } }
        writer.append(varint: UInt64(exceptionCount))
        if exceptionCount > 0 {
            for unsafe (index, value) in unsafe values.enumerated() where value &- least > limit {
                writer.append(UInt32(index))
                writer.append(value &- least)
            }
        }
        guard best > 0 else { return }
        let start = writer.count
        writer.append(zeros: (best * values.count + 7) / 8 + ByteWriter.packSlackBytes)
        writer.packBits(values.count, width: best, from: start) { index in
            let difference = unsafe values[index] &- least
            return difference <= limit ? difference : 0
        }
    }

    private static func writeTable(_ values: UnsafeBufferPointer<UInt64>, smallerThan bits: Int, to writer: inout ByteWriter) -> Bool {
        var slots = [UInt8](repeating: 0, count: 256)
        var table: [UInt64] = []
        for unsafe value in unsafe values {
            var slot = Int((value &* Mixing.odd) >> 56)
            while slots[slot] != 0, table[Int(slots[slot]) - 1] != value { slot = (slot + 1) & 255 }
            if slots[slot] == 0 {
                guard table.count < tableMax else { return false }
                table.append(value)
                slots[slot] = UInt8(table.count)
            }
        }
        let width = table.count <= 1 ? 0 : 64 - UInt64(table.count - 1).leadingZeroBitCount
        guard width * values.count + table.count * 24 < bits else { return false }
        writer.append(UInt8(1))
        writer.append(varint: UInt64(table.count))
        for value in table { writer.append(varint: value) }
        writer.append(UInt8(width))
        guard width > 0 else { return true }
        let start = writer.count
        writer.append(zeros: (width * values.count + 7) / 8 + ByteWriter.packSlackBytes)
        writer.packBits(values.count, width: width, from: start) { index in
            let value = unsafe values[index]
            var slot = Int((value &* Mixing.odd) >> 56)
            while table[Int(slots[slot]) - 1] != value { slot = (slot + 1) & 255 }
            return UInt64(slots[slot] - 1)
        }
        return true
    }
}

/// Reads an `IntegerColumn` in place; valid as long as the bytes it was made from.
@safe
struct IntegerColumnReader {
    let count: Int
    private var least: UInt64 = 0
    private var width = 0
    private var table: [UInt64] = []
    private var isTable = false
    private var exceptionCount = 0
    private var exceptions: UnsafeRawPointer?
    private var packed: UnsafeRawPointer?

    init() { count = 0 }

    /// Fails the reader unless every index below `count` can be read. `countMax` bounds columns of width zero.
    init(_ reader: inout ByteReader, countMax: Int) {
        let wanted = reader.varint()
        guard wanted <= UInt64(countMax), !reader.failed else { reader.fail(); count = 0; return }
        count = Int(wanted)
        guard count > 0 else { return }
        switch reader.byte() {
        case 0:
            least = reader.varint()
            width = Int(reader.byte())
            exceptionCount = reader.count(bytesEach: 12)
            unsafe exceptions = reader.bytes(exceptionCount * 12).baseAddress
        case 1:
            isTable = true
            let tableCount = reader.count()
            guard tableCount > 0, tableCount <= IntegerColumn.tableMax else { reader.fail(); return }
            for _ in 0..<tableCount { table.append(reader.varint()) }
            width = Int(reader.byte())
        default: reader.fail()
        }
        guard width <= 64 else { reader.fail(); return }
        if width > 0 { unsafe packed = reader.bytes((width * count + 7) / 8 + ByteWriter.packSlackBytes).baseAddress }
        if reader.failed { width = 0; unsafe packed = nil; exceptionCount = 0 }
    }

    /// The value at `index`; 0 outside the column.
    @inline(__always)
    subscript(index: Int) -> UInt64 {
        guard index >= 0, index < count else { return 0 }
        var value: UInt64 = 0
        if width > 0, let packed = unsafe packed {
            let bit = index &* width
            let at = unsafe packed + (bit >> 3)
            let shift = UInt64(bit & 7)
            value = (unsafe at.loadUnaligned(as: UInt64.self)) >> shift
            if shift != 0, width > 56 { value |= UInt64(unsafe at.load(fromByteOffset: 8, as: UInt8.self)) << (64 &- shift) }
            if width < 64 { value &= (1 << UInt64(width)) &- 1 }
        }
        if isTable { return value < UInt64(table.count) ? table[Int(value)] : 0 }
        if exceptionCount > 0, let found = exception(index) { value = found }
        return value &+ least
    }

    /// Whether every value is less than `limit`; the same answer as looking at each, without the detours of the subscript.
    func isBelow(_ limit: UInt64) -> Bool {
        guard !isTable, exceptionCount == 0, width > 0, width <= 56 else {
            for index in 0..<count where self[index] >= limit { return false }
            return true
        }
        var most: UInt64 = 0
        _ = anyPacked { difference in
            if difference > most { most = difference }
            return false
        }
        return count == 0 || least &+ most < limit
    }

    /// Whether any row has the value; the same answer as looking at each. A table or the range of the values mostly tells it at once.
    func contains(_ value: UInt64) -> Bool {
        guard count > 0 else { return false }
        if isTable { return (width == 0 ? table.prefix(1) : table[...]).contains(value) }
        guard value >= least else { return false }
        let wanted = value &- least
        for place in 0..<exceptionCount where exceptionValue(place) == wanted { return true }
        // Rows of exceptions have a zero among the packed values.
        guard wanted > 0 || exceptionCount == 0, width <= 56 else { return (0..<count).contains { self[$0] == value } }
        if width == 0 { return wanted == 0 }
        return wanted < 1 << UInt64(width) && anyPacked { $0 == wanted }
    }

    /// Whether any row has a value that passes the test. Of a table each value is tested once.
    func contains(where test: (UInt64) -> Bool) -> Bool {
        if isTable { return count > 0 && (width == 0 ? table.prefix(1) : table[...]).contains(where: test) }
        for index in 0..<count where test(self[index]) { return true }
        return false
    }

    /// Whether a packed difference passes the test. For widths of 1...56.
    @inline(__always)
    private func anyPacked(_ test: (UInt64) -> Bool) -> Bool {
        guard let packed = unsafe packed else { return false }
        let mask: UInt64 = (1 << UInt64(width)) &- 1
        var bit = 0
        for _ in 0..<count {
            let word = unsafe (packed + (bit >> 3)).loadUnaligned(as: UInt64.self)
            if test(word >> UInt64(bit & 7) & mask) { return true }
            bit &+= width
        }
        return false
    }

    private func exceptionValue(_ place: Int) -> UInt64 {
        UInt64(littleEndian: unsafe exceptions?.loadUnaligned(fromByteOffset: place * 12 + 4, as: UInt64.self) ?? 0)
    }

    @inline(never)
    private func exception(_ index: Int) -> UInt64? {
        guard let exceptions = unsafe exceptions else { return nil }
        var low = 0
        var high = exceptionCount
        while low < high {
            let middle = (low + high) / 2
            let at = Int(UInt32(littleEndian: unsafe exceptions.loadUnaligned(fromByteOffset: middle * 12, as: UInt32.self)))
            if at == index { return exceptionValue(middle) }
            if at < index { low = middle + 1 } else { high = middle }
        }
        return nil
    }
}
