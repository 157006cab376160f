/// A run of integers that mostly grow by little, or not at all: times, and values of counters. Differences, packed.
///
/// ```
/// u8 form | zigzag first | constant: nothing more
///                        | dense:  packed differences
///                        | sparse: bitmap of the differences that are not zero, packed differences of those
/// packed: zigzag least | u8 width | varint exceptions, (varint index gap, zigzag difference)… | (difference − least) in width bits…
/// ```
///
/// Exceptions are what would widen all others: a counter's reset among small increases. Arithmetic wraps, so that any integers pass.
enum IntegerRun {
    enum Form {
        static let constant: UInt8 = 0
        static let dense: UInt8 = 1
        static let sparse: UInt8 = 2
    }

    /// An exception costs about this many bits.
    private static let exceptionBits = 40

    static func write(_ values: [Int64], to writer: inout ByteWriter) {
        guard let first = values.first else { return }
        var differences: [Int64] = []
        differences.reserveCapacity(values.count)
        var changes = 0
        var last = first
        for value in values.dropFirst() {
            let difference = value &- last
            if difference != 0 { changes &+= 1 }
            differences.append(difference)
            last = value
        }
        guard changes > 0 else {
            writer.append(Form.constant)
            return writer.append(zigzag: first)
        }
        let dense = Packing(differences)
        let sparseValues = differences.filter { $0 != 0 }
        let sparse = Packing(sparseValues)
        if differences.count + sparse.bits < dense.bits {
            writer.append(Form.sparse)
            writer.append(zigzag: first)
            var packer = BitPacker()
            for difference in differences { packer.append(difference == 0 ? 0 : 1, 1, to: &writer) }
            packer.finish(to: &writer)
            sparse.write(sparseValues, to: &writer)
        } else {
            writer.append(Form.dense)
            writer.append(zigzag: first)
            dense.write(differences, to: &writer)
        }
    }

    /// Reads `count` integers; fails the reader on damage, and then there are none.
    static func read(_ reader: inout ByteReader, count: Int) -> [Int64] {
        var values: [Int64] = []
        append(&reader, count: count, to: &values)
        return reader.failed ? [] : values
    }

    /// Appends `count` integers, or fails the reader on damage: then what was appended means nothing.
    static func append(_ reader: inout ByteReader, count: Int, to values: inout [Int64]) {
        guard count > 0 else { return }
        let form = reader.byte()
        let first = reader.zigzag()
        let start = values.count
        values.append(contentsOf: repeatElement(first, count: count))
        switch form {
        case Form.constant: break
        case Form.dense:
            var differences = PackedDifferences(&reader, count: count - 1)
            var span = values.mutableSpan
            var value = first
            for index in start + 1..<start + count {
                value &+= differences.take()
                span[index] = value
            }
        case Form.sparse: readSparse(&reader, &values, from: start)
        default: reader.fail()
        }
    }

    private static func readSparse(_ reader: inout ByteReader, _ values: inout [Int64], from start: Int) {
        let count = values.count - start
        let bitmapBytes = (count + 6) / 8
        var counting = reader
        var bits = BitCursor(&counting, bytes: bitmapBytes)
        var changes = 0
        var left = count - 1
        while left > 0 {
            changes &+= bits.read(min(left, 56)).nonzeroBitCount
            left -= 56
        }
        var differences = PackedDifferences(&counting, count: changes)
        var bitmap = BitCursor(&reader, bytes: bitmapBytes)
        reader = counting
        guard !reader.failed else { return }
        var span = values.mutableSpan
        let first = span[start]
        // At the end, where each stands at or behind the value that it leads to.
        for index in span.count - changes..<span.count { span[index] = differences.take() }
        spread(changes, over: &span, from: start + 1, first, &bitmap)
    }

    /// Adds up the differences that stand at the end of `span`, one at each bit that is set. Without a branch: bits are hard to foresee.
    private static func spread(
        _ changes: Int, over span: inout MutableSpan<Int64>, from start: Int, _ first: Int64, _ bitmap: inout BitCursor
    ) {
        var (value, next) = (first, span.count - changes)
        var word: UInt64 = 0
        for index in start..<span.count {
            if (index - start) % 32 == 0 { word = bitmap.read(min(32, span.count - index)) }
            let bit = Int64(truncatingIfNeeded: word & 1)
            value &+= span[min(next, span.count - 1)] & (0 &- bit)
            next &+= Int(bit)
            word >>= 1
            span[index] = value
        }
    }

    /// How differences are packed.
    private struct Packing {
        var least: Int64 = 0
        var width = 0
        var exceptions = 0
        var bits: Int

        init(_ values: [Int64]) {
            bits = 24
            guard !values.isEmpty else { return }
            let negatives = values.reduce(0) { $1 < 0 ? $0 + 1 : $0 }
            // Few falls among increases are resets: they are exceptions rather than the least.
            let isRising = negatives <= values.count / 16
            least = values.reduce(Int64.max) { isRising && $1 < 0 ? $0 : min($0, $1) }
            var widths = [Int](repeating: 0, count: 65)
            for value in values {
                let above = UInt64(bitPattern: value &- least)
                widths[isRising && value < 0 ? 64 : 64 - above.leadingZeroBitCount] &+= 1
            }
            var best = Int.max
            var outside = 0
            for candidate in stride(from: 64, through: 0, by: -1) {
                let cost = candidate * values.count + outside * IntegerRun.exceptionBits
                if cost < best {
                    best = cost
                    width = candidate
                    exceptions = outside
                }
                outside += widths[candidate]
            }
            bits += best
        }

        private var limit: UInt64 { width == 64 ? UInt64.max : (1 << UInt64(width)) - 1 }

        func write(_ values: [Int64], to writer: inout ByteWriter) {
            let limit = limit
            writer.append(zigzag: least)
            writer.append(UInt8(width))
            var outside: [Int] = []
            if exceptions > 0 {
                for (index, value) in values.enumerated() where UInt64(bitPattern: value &- least) > limit { outside.append(index) }
            }
            writer.append(varint: UInt64(outside.count))
            var last = 0
            for index in outside {
                writer.append(varint: UInt64(index - last))
                writer.append(zigzag: values[index])
                last = index
            }
            guard width > 0 else { return }
            var packer = BitPacker()
            for value in values {
                let above = UInt64(bitPattern: value &- least)
                packer.append(above > limit ? 0 : above, width, to: &writer)
            }
            packer.finish(to: &writer)
        }
    }
}

/// Packed differences, one after the other: `IntegerRun` says how they lie.
private struct PackedDifferences {
    private let least: Int64
    private let width: Int
    private var bits = BitCursor()
    /// The exceptions from the next one on.
    private var outside: ByteReader
    private var outsideLeft = 0
    /// Of the next exception.
    private var outsideIndex = -1
    private var index = 0

    /// Takes what the reader has of them, or fails it.
    init(_ reader: inout ByteReader, count: Int) {
        least = reader.zigzag()
        let width = Int(reader.byte())
        let exceptions = reader.count(bytesEach: 2)
        self.width = width
        outside = reader
        var index = 0
        var isGood = !reader.failed && width <= 64 && exceptions <= count
        for _ in 0..<(isGood ? exceptions : 0) {
            index &+= Int(truncatingIfNeeded: reader.varint() & 0xFFFF_FFFF)
            _ = reader.zigzag()
            isGood = isGood && index < count
        }
        guard isGood else {
            reader.fail()
            return
        }
        if width > 0 { bits = BitCursor(&reader, bytes: (count * width + 7) / 8) }
        guard exceptions > 0 else { return }
        outsideLeft = exceptions
        outsideIndex = Int(truncatingIfNeeded: outside.varint() & 0xFFFF_FFFF)
    }

    @inline(__always)
    mutating func take() -> Int64 {
        let packed = least &+ Int64(bitPattern: bits.read(width))
        let isOutside = index == outsideIndex
        index &+= 1
        return isOutside ? takeOutside() : packed
    }

    /// The exception that is due; of several at one place the last counts.
    private mutating func takeOutside() -> Int64 {
        var value: Int64 = 0
        var gap = 0
        repeat {
            value = outside.zigzag()
            outsideLeft -= 1
            gap = outsideLeft > 0 ? Int(truncatingIfNeeded: outside.varint() & 0xFFFF_FFFF) : 1
        } while gap == 0
        outsideIndex = outsideLeft > 0 ? outsideIndex + gap : -1
        return value
    }
}
