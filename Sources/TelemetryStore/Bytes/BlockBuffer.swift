import TelemetryModel

/// The values of one (tag key, kind) in the block being built.
struct ColumnBuffer: ~Copyable {
    let kind: ValueKind
    /// Hash of the key's text, the same in every segment.
    let keyHash: UInt64
    /// String numbers + 1 (0 = text in `text`), numbers, addresses, or high halves.
    var first = RawBuffer<UInt64>(capacity: 256)
    /// Low halves, or template numbers.
    var second = RawBuffer<UInt64>()
    /// Long text, and text that the dictionary had no room for.
    var text = RawBuffer<UInt8>()
    var textLengths = RawBuffer<UInt64>()

    init(kind: ValueKind, keyHash: UInt64) {
        self.kind = kind
        self.keyHash = keyHash
    }

    mutating func append(text bytes: UnsafeRawBufferPointer) {
        unsafe text.append(bytes)
        textLengths.append(UInt64(bytes.count))
    }

    mutating func removeAll() {
        first.removeAll()
        second.removeAll()
        text.removeAll(keepingAtMost: 1 << 20)
        textLengths.removeAll()
    }
}

/// The columns of a segment being built, numbered in order of first sight; at most `SegmentLimits.standard.columnsMax`. Confined to one
/// thread.
@safe
struct ColumnTable: ~Copyable {
    private let base = UnsafeMutablePointer<ColumnBuffer>.allocate(capacity: SegmentLimits.standard.columnsMax)
    private(set) var count = 0

    deinit {
        unsafe base.deinitialize(count: count)
        unsafe base.deallocate()
    }

    mutating func append(_ column: consuming ColumnBuffer) {
        precondition(count < SegmentLimits.standard.columnsMax)
        unsafe (base + count).initialize(to: column)
        count += 1
    }

    mutating func removeAll() {
        unsafe base.deinitialize(count: count)
        count = 0
    }

    /// Empties every column, keeping what it is for.
    mutating func clear() { for index in 0..<count { unsafe base[index].removeAll() } }

    func numbers(where isWanted: (borrowing ColumnBuffer) -> Bool) -> [Int] {
        (0..<count).filter { unsafe isWanted(base[$0]) }
    }

    @inline(__always)
    subscript(index: Int) -> ColumnBuffer {
        unsafeAddress {
            precondition(index >= 0 && index < count)
            return unsafe UnsafePointer(base + index)
        }
        unsafeMutableAddress {
            precondition(index >= 0 && index < count)
            return unsafe base + index
        }
    }
}

/// The columns that every span has, for the block being built.
struct BlockBuffer: ~Copyable {
    var spanCount = 0
    var traceSpanCounts = RawBuffer<UInt64>()
    var traceBases = RawBuffer<UInt64>()
    var shapes = RawBuffer<UInt64>()
    var timestamps = RawBuffer<UInt64>()
    var durations = RawBuffer<UInt64>()
    var parents = RawBuffer<UInt64>()
    var spanIDs = RawBuffer<UInt64>()
    var externalParents = RawBuffer<UInt64>()
    var annotations = ByteWriter(capacity: 256)
    var annotationLengths = RawBuffer<UInt64>()
    var plain = ByteWriter(capacity: 256)
    var plainLengths = RawBuffer<UInt64>()
    var timestampMin = UInt64.max
    var timestampMax: UInt64 = 0
    var durationMax: UInt64 = 0

    mutating func removeAll() {
        spanCount = 0
        traceSpanCounts.removeAll()
        traceBases.removeAll()
        shapes.removeAll()
        timestamps.removeAll()
        durations.removeAll()
        parents.removeAll()
        spanIDs.removeAll()
        externalParents.removeAll()
        annotations.removeAll()
        annotations.shrink(toCapacity: 1 << 20)
        annotationLengths.removeAll()
        plain.removeAll()
        plain.shrink(toCapacity: 1 << 20)
        plainLengths.removeAll()
        timestampMin = UInt64.max
        timestampMax = 0
        durationMax = 0
    }

    /// Hot: what searches scan. Cold: ids and text, read only for spans that are returned.
    func encode(_ columns: borrowing ColumnTable, _ zstd: ZstdCodec) -> BuiltSegment.Block {
        var hot = ByteWriter(capacity: spanCount * 24)
        IntegerColumn.write(traceSpanCounts, to: &hot)
        IntegerColumn.write(traceBases, to: &hot)
        IntegerColumn.write(shapes, to: &hot)
        IntegerColumn.write(timestamps, to: &hot)
        IntegerColumn.write(durations, to: &hot)
        IntegerColumn.write(parents, to: &hot)
        let packed = columns.numbers { !$0.first.isEmpty && $0.kind.isPacked }
        hot.append(varint: UInt64(packed.count))
        for index in packed {
            hot.append(varint: UInt64(index))
            IntegerColumn.write(columns[index].first, to: &hot)
            if columns[index].kind == .template { IntegerColumn.write(columns[index].second, to: &hot) }
        }
        hot.append(unsafe hot.withBytes { unsafe Mixing.hash($0) })

        var cold = ByteWriter(capacity: spanCount * 40)
        cold.append(words: spanIDs)
        cold.append(varint: UInt64(externalParents.count))
        cold.append(words: externalParents)
        let fixed = columns.numbers { !$0.first.isEmpty && !$0.kind.isPacked }
        cold.append(varint: UInt64(fixed.count))
        for index in fixed {
            let count = columns[index].first.count
            cold.append(varint: UInt64(index))
            cold.append(varint: UInt64(count))
            if columns[index].kind == .hex16 {
                cold.append(words: columns[index].first)
            } else {
                cold.append(pairs: columns[index].first, columns[index].second)
            }
        }
        let texts = columns.numbers { !$0.textLengths.isEmpty }
        cold.append(varint: UInt64(texts.count))
        for index in texts {
            cold.append(varint: UInt64(index))
            IntegerColumn.write(columns[index].textLengths, to: &cold)
            unsafe columns[index].text.withElements { unsafe zstd.write(UnsafeRawBufferPointer($0), to: &cold) }
        }
        IntegerColumn.write(annotationLengths, to: &cold)
        unsafe annotations.withBytes { unsafe zstd.write($0, to: &cold) }
        IntegerColumn.write(plainLengths, to: &cold)
        unsafe plain.withBytes { unsafe zstd.write($0, to: &cold) }
        cold.append(unsafe cold.withBytes { unsafe Mixing.hash($0) })
        return BuiltSegment.Block(hot: hot.array(), cold: cold.array())
    }
}

extension ValueKind {
    /// Stored as ids of fixed width in the cold half.
    var isFixed: Bool { self == .uuid || self == .hex16 || self == .hex32 }

    /// Stored as integer columns in the hot half.
    var isPacked: Bool {
        switch self {
        case .text, .number, .ipv4, .template: true
        case .long, .uuid, .hex16, .hex32: false
        }
    }
}

extension ByteWriter {
    mutating func append(string: String) {
        append(array: Array(string.utf8), withCount: true)
    }

    mutating func append(array: [UInt8], withCount: Bool) {
        if withCount { append(varint: UInt64(array.count)) }
        append(array: array)
    }
}
