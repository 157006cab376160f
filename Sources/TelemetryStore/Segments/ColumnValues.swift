/// Which values a column of a whole segment has, where they are few: a status code, a method, a flag. A search for a value that no span has
/// then reads no block (docs/formats/segment.md).
enum ColumnValues: Sendable, Equatable {
    /// Anything may be there: segments of earlier versions, and columns that are not scanned as integers.
    case unknown
    /// More than `valuesMax`. Texts and templates are all in the segment's dictionary.
    case many
    /// These, ascending. Of texts and templates: string numbers + 1, and 0 for what the dictionary had no room for.
    case few([UInt64])

    static let valuesMax = 64

    /// Whether the column may have a value. `number`: of its text or template in the dictionary + 1; 0 = not in it.
    func mayHold(_ value: ClassifiedValue, number: Int) -> Bool {
        let isText = value.kind == .text || value.kind == .template
        switch self {
        case .unknown: return true
        case .many: return !isText || number > 0
        case .few(let values):
            if isText { return values.first == 0 || number > 0 && values.contains(UInt64(number)) }
            return values.contains(value.a)
        }
    }

    func write(to writer: inout ByteWriter) {
        switch self {
        case .unknown: writer.append(UInt8(0))
        case .many: writer.append(UInt8(1))
        case .few(let values):
            writer.append(UInt8(2 + values.count))
            var last: UInt64 = 0
            for value in values {
                writer.append(varint: value &- last)
                last = value
            }
        }
    }

    /// Fails the reader for what `write` does not write.
    init(_ reader: inout ByteReader) {
        switch reader.byte() {
        case 0: self = .unknown
        case 1: self = .many
        case let code:
            let count = Int(code) - 2
            guard count <= Self.valuesMax else {
                reader.fail()
                self = .unknown
                return
            }
            var values: [UInt64] = []
            for _ in 0..<count { values.append((values.last ?? 0) &+ reader.varint()) }
            self = reader.failed ? .unknown : .few(values)
        }
    }
}

/// Gathers the values of the columns of a segment being built, block by block. A column of many values costs the first few rows.
struct ColumnValueSets {
    private var sets: [ColumnValueSet] = []

    /// The columns of a block that is full.
    mutating func note(_ columns: borrowing ColumnTable) {
        for column in 0..<columns.count {
            if column == sets.count { sets.append(ColumnValueSet(isScanned: columns[column].kind.isPacked)) }
            sets[column].note(columns[column])
        }
    }

    mutating func removeAll() { sets.removeAll(keepingCapacity: true) }

    var found: [ColumnValues] { sets.map(\.found) }
}

/// The same for one column.
private struct ColumnValueSet {
    /// Searches look along it as integers.
    let isScanned: Bool
    private var slots: [UInt8] = []
    private var values: [UInt64] = []
    private var isMany = false
    private var hasLooseText = false

    init(isScanned: Bool) { self.isScanned = isScanned }

    mutating func note(_ column: borrowing ColumnBuffer) {
        guard isScanned else { return }
        // Text that is not in the dictionary stands for any text.
        if column.textLengths.count > 0 { hasLooseText = true }
        guard !isMany, column.first.count > 0 else { return }
        if slots.isEmpty { slots = [UInt8](repeating: 0, count: 256) }
        var last = column.first[0]
        isMany = !insert(last)
        for row in 0..<column.first.count where column.first[row] != last {
            last = column.first[row]
            guard insert(last) else {
                isMany = true
                return
            }
        }
    }

    /// False when there is no room.
    private mutating func insert(_ value: UInt64) -> Bool {
        var slot = Int((value &* Mixing.odd) >> 56)
        while slots[slot] != 0 {
            if values[Int(slots[slot]) - 1] == value { return true }
            slot = (slot + 1) & 255
        }
        guard values.count < ColumnValues.valuesMax else { return false }
        values.append(value)
        slots[slot] = UInt8(values.count)
        return true
    }

    var found: ColumnValues {
        guard isScanned else { return .unknown }
        if isMany { return hasLooseText ? .unknown : .many }
        return .few(values.sorted())
    }
}
