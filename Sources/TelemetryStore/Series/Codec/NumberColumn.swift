internal import Glibc
import TelemetryModel

/// Doubles of one series, oldest first, as they are: every bit comes back.
///
/// Most values of metrics are integers, or have few decimals: they are kept as integers (`IntegerRun`) of a power of ten. What is not is
/// kept as differences of bits, as in Gorilla (Pelkonen et al., VLDB 2015, 4.1.3). Staleness markers stand beside, by their places.
///
/// ```
/// u8 head: bits 0–1 decimals, 2 = bits instead of integers, 3 = has stale places
/// stale places: varint count, varint gap… | integers: IntegerRun | bits: u64 first, varint bytes, packed bits
/// ```
enum NumberColumn {
    static let decimalsMax = 3
    private static let isBits: UInt8 = 4
    private static let hasStale: UInt8 = 8
    private static let scales: [Double] = [1, 10, 100, 1000]
    /// Integers up to here are exact.
    private static let integerMax = 9_007_199_254_740_992.0

    static func write(_ original: [Double], to writer: inout ByteWriter) {
        guard !original.isEmpty else { return }
        var values = original
        let stale = withoutStale(&values)
        let decimals = decimals(of: values)
        writer.append(UInt8(decimals ?? 0) | (decimals == nil ? isBits : 0) | (stale.isEmpty ? 0 : hasStale))
        if !stale.isEmpty { write(places: stale, to: &writer) }
        if let decimals {
            let scale = scales[decimals]
            IntegerRun.write(values.map { Int64(($0 * scale).rounded()) }, to: &writer)
        } else {
            write(bits: values, to: &writer)
        }
    }

    /// Reads `count` doubles; fails the reader on damage, and then there are none.
    static func read(_ reader: inout ByteReader, count: Int) -> [Double] {
        var values: [Double] = []
        var scratch: [Int64] = []
        append(&reader, count: count, to: &values, &scratch)
        return reader.failed ? [] : values
    }

    /// Appends `count` doubles, or fails the reader on damage: then what was appended means nothing. `scratch`: room that is used again.
    static func append(_ reader: inout ByteReader, count: Int, to values: inout [Double], _ scratch: inout [Int64]) {
        guard count > 0 else { return }
        let head = reader.byte()
        guard head < 16 else { return reader.fail() }
        let stale = head & hasStale != 0 ? readPlaces(&reader, below: count) : []
        let start = values.count
        if head & isBits != 0 {
            readBits(&reader, count: count, &values)
        } else {
            scratch.removeAll(keepingCapacity: true)
            IntegerRun.append(&reader, count: count, to: &scratch)
            guard !reader.failed else { return }
            let scale = scales[Int(head & 3)]
            let integers = scratch.span
            values.append(addingCapacity: count) { output in
                if scale == 1 { for index in integers.indices { output.append(Double(integers[index])) } } else {
                    for index in integers.indices { output.append(Double(integers[index]) / scale) }
                }
            }
        }
        guard !reader.failed, values.count == start + count else { return reader.fail() }
        for place in stale { values[start + place] = SeriesSamples.staleMarker }
    }

    // MARK: Staleness markers

    /// Takes the markers out, each replaced by the value before it; returns their places.
    private static func withoutStale(_ values: inout [Double]) -> [Int] {
        var places: [Int] = []
        for index in values.indices where SeriesSamples.isStale(values[index]) { places.append(index) }
        guard !places.isEmpty else { return [] }
        var last = values.first { !SeriesSamples.isStale($0) } ?? 0
        for index in values.indices {
            if SeriesSamples.isStale(values[index]) { values[index] = last } else { last = values[index] }
        }
        return places
    }

    private static func write(places: [Int], to writer: inout ByteWriter) {
        writer.append(varint: UInt64(places.count))
        var last = 0
        for place in places {
            writer.append(varint: UInt64(place - last))
            last = place
        }
    }

    private static func readPlaces(_ reader: inout ByteReader, below count: Int) -> [Int] {
        var places: [Int] = []
        var place = 0
        for _ in 0..<reader.count() {
            place &+= Int(truncatingIfNeeded: reader.varint() & 0xFFFF_FFFF)
            guard !reader.failed, place < count else {
                reader.fail()
                return []
            }
            places.append(place)
        }
        return places
    }

    // MARK: Integers of a power of ten

    /// How many decimals all of the values have at most; nil = they are no such numbers, or would not come back bit by bit.
    private static func decimals(of values: [Double]) -> Int? {
        var decimals = 0
        for value in values {
            while !isExact(value, scales[decimals]) {
                decimals += 1
                if decimals > decimalsMax { return nil }
            }
        }
        if decimals > 0 { for value in values where !isExact(value, scales[decimals]) { return nil } }
        return decimals
    }

    @inline(__always)
    private static func isExact(_ value: Double, _ scale: Double) -> Bool {
        let scaled = (value * scale).rounded()
        return scaled.magnitude <= integerMax && (Double(Int64(scaled)) / scale).bitPattern == value.bitPattern
    }

    // MARK: Bits

    /// Each value's difference to the one before: 0 = the same; 1, leading zeros (6 bits), length − 1 (6 bits), the bits between.
    private static func write(bits values: [Double], to writer: inout ByteWriter) {
        var packed = ByteWriter(capacity: values.count * 8)
        var packer = BitPacker()
        var last = values[0].bitPattern
        for value in values.dropFirst() {
            let difference = value.bitPattern ^ last
            last = value.bitPattern
            guard difference != 0 else {
                packer.append(0, 1, to: &packed)
                continue
            }
            let leading = difference.leadingZeroBitCount
            let length = 64 - leading - difference.trailingZeroBitCount
            packer.append(1 | UInt64(leading) << 1 | UInt64(length - 1) << 7, 13, to: &packed)
            packer.append(difference >> UInt64(64 - leading - length), length, to: &packed)
        }
        packer.finish(to: &packed)
        writer.append(values[0].bitPattern)
        writer.append(varint: UInt64(packed.count))
        writer.append(array: packed.array())
    }

    private static func readBits(_ reader: inout ByteReader, count: Int, _ values: inout [Double]) {
        var last = reader.uint64()
        var bits = BitCursor(&reader, bytes: reader.count())
        values.append(Double(bitPattern: last))
        for _ in 1..<count {
            if bits.read(1) == 1 {
                let leading = Int(bits.read(6))
                let length = Int(bits.read(6)) + 1
                guard leading + length <= 64 else { return reader.fail() }
                last ^= bits.read(length) &<< UInt64(64 - leading - length)
            }
            values.append(Double(bitPattern: last))
        }
    }
}
