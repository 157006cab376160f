internal import Glibc
internal import Primitives
import TelemetryModel

/// Numbers pieces of identities: what stands before the labels, and each label as it is written there. Open addressing over one arena,
/// hashed with this process's seed, because the pieces come from strangers.
///
/// Owned by a `SeriesIndex`. What it takes is bounded by the number of series.
struct PieceTable: ~Copyable {
    struct Entry: BitwiseCopyable {
        var offset: UInt64
        var count: UInt32
        var hash: UInt32
    }

    private var arena: [UInt8] = []
    private var entries = RawBuffer<Entry>(capacity: 256)
    /// Number + 1, or 0 = free; a power of two long, at most half full.
    private var slots = RawBuffer<UInt32>(capacity: 512)

    init() { slots.fill(0, count: 512) }

    var count: Int { entries.count }
    var byteCount: Int { arena.count }

    /// The number of `bytes[range]`; nil = it has none.
    func find(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32? {
        let hash = Self.hash(bytes, range)
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] != 0 {
            let number = slots[slot] - 1
            if entries[Int(number)].hash == hash, isPrefix(number, of: bytes, at: range.lowerBound) == range.count { return number }
            slot = (slot + 1) & mask
        }
        return nil
    }

    /// Takes a piece in under the next number, whether or not it is known.
    mutating func load(_ bytes: [UInt8]) { _ = insert(bytes, 0..<bytes.count) }

    mutating func intern(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
        find(bytes, range) ?? insert(bytes, range)
    }

    private mutating func insert(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
        let hash = Self.hash(bytes, range)
        let number = UInt32(clamping: entries.count)
        entries.append(Entry(offset: UInt64(arena.count), count: UInt32(clamping: range.count), hash: hash))
        arena.append(contentsOf: bytes[range])
        place(number, hash)
        if entries.count * 2 > slots.count { rehash() }
        return number
    }

    private mutating func place(_ number: UInt32, _ hash: UInt32) {
        let mask = slots.count - 1
        var slot = Int(hash) & mask
        while slots[slot] != 0 { slot = (slot + 1) & mask }
        slots[slot] = number + 1
    }

    private mutating func rehash() {
        slots.fill(0, count: slots.count * 2)
        for number in 0..<entries.count { place(UInt32(number), entries[number].hash) }
    }

    private static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt32 {
        UInt32(truncatingIfNeeded: ByteHash.hash(bytes, range) >> 16)
    }

    /// The piece's length when it is what stands at `position`, else nil.
    @inline(__always)
    func isPrefix(_ number: UInt32, of bytes: [UInt8], at position: Int) -> Int? {
        let entry = entries[Int(number)]
        let length = Int(entry.count)
        guard length <= bytes.count - position else { return nil }
        return Self.areEqual(arena, Int(entry.offset), bytes, position, count: length) ? length : nil
    }

    /// The two halves of a label.
    func labelParts(_ number: UInt32) -> (name: [UInt8], value: [UInt8]) {
        let bytes = bytes(number)
        guard let reader = try? SeriesIdentityReader([SeriesKind.gauge.rawValue] + bytes) else { return ([], []) }
        var position = 1
        guard let label = try? reader.label(at: &position) else { return ([], []) }
        return (Array(reader.bytes[label.name]), Array(reader.bytes[label.value]))
    }

    func labelName(_ number: UInt32) -> [UInt8] { labelParts(number).name }

    /// Whether a label has this name, which is shorter than 128 bytes.
    func isLabel(_ number: UInt32, named name: StaticString) -> Bool {
        let entry = entries[Int(number)]
        let length = name.utf8CodeUnitCount
        let start = Int(entry.offset)
        guard Int(entry.count) > length, Int(arena[start]) == length else { return false }
        return name.withUTF8Buffer { bytes in unsafe bytes.elementsEqual(arena[start + 1...start + length]) }
    }

    func pieceByteCount(_ number: UInt32) -> Int { Int(entries[Int(number)].count) }

    func bytes(_ number: UInt32) -> [UInt8] {
        let entry = entries[Int(number)]
        return Array(arena[Int(entry.offset)..<Int(entry.offset) + Int(entry.count)])
    }

    /// Whether `count` bytes of two arrays, from these places on, are the same.
    @inline(__always)
    private static func areEqual(_ left: [UInt8], _ leftStart: Int, _ right: [UInt8], _ rightStart: Int, count: Int) -> Bool {
        precondition(leftStart >= 0 && rightStart >= 0 && count <= left.count - leftStart && count <= right.count - rightStart)
        return unsafe left.withUnsafeBytes { left in
            unsafe right.withUnsafeBytes { right in
                unsafe memoryEqual(left.baseAddress.map { unsafe $0 + leftStart }, right.baseAddress.map { unsafe $0 + rightStart }, count)
            }
        }
    }
}
