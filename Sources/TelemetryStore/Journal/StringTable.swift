import Glibc
import TelemetryModel

/// Numbers strings in order of first sight; open addressing over one arena. Confined to one thread.
///
/// Bounded by `countMax` strings and `bytesMax` bytes: beyond either, `intern` returns nil for new strings.
@safe
struct StringTable: ~Copyable {
    let countMax: Int
    let bytesMax: Int
    private var arena = ByteWriter(capacity: 16 << 10)
    private var entries = RawBuffer<Entry>(capacity: 1024)
    /// String number + 1, or 0 when the slot is free; a power of two long, at most half full.
    private var slots = RawBuffer<UInt32>(capacity: StringTable.slotsMin)

    struct Entry: BitwiseCopyable {
        var offset: UInt32
        var count: UInt32
        var hash: UInt32
    }

    private static let slotsMin = 1024

    init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
        slots.fill(0, count: Self.slotsMin)
    }

    var count: Int { entries.count }
    var byteCount: Int { arena.count }

    mutating func removeAll() {
        arena.removeAll()
        entries.removeAll(keepingAtMost: 1 << 18)
        slots.removeAll(keepingAtMost: 1 << 14)
        slots.fill(0, count: Self.slotsMin)
    }

    @inline(__always)
    private func equals(_ number: Int, _ text: UnsafeRawBufferPointer) -> Bool {
        let entry = entries[number]
        guard Int(entry.count) == text.count else { return false }
        return unsafe arena.withBytes { unsafe memoryEqual($0.baseAddress! + Int(entry.offset), text.baseAddress, text.count) }
    }

    /// Whether string `number` is `text`.
    @inline(__always)
    func isEqual(_ number: Int, _ text: UnsafeRawBufferPointer) -> Bool {
        number < entries.count && (unsafe equals(number, text))
    }

    func isEqual(_ number: Int, _ text: StaticString) -> Bool {
        unsafe isEqual(number, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    mutating func intern(_ text: UnsafeRawBufferPointer) -> Int? {
        let hash = UInt32(truncatingIfNeeded: unsafe Mixing.hash(text) >> 16)
        let mask = slots.count &- 1
        var slot = Int(hash) & mask
        while slots[slot] != 0 {
            let number = Int(slots[slot]) &- 1
            if entries[number].hash == hash, unsafe equals(number, text) { return number }
            slot = (slot &+ 1) & mask
        }
        return unsafe insert(text, hash, slot)
    }

    @inline(never)
    private mutating func insert(_ text: UnsafeRawBufferPointer, _ hash: UInt32, _ slot: Int) -> Int? {
        guard entries.count < countMax, arena.count + text.count <= bytesMax else { return nil }
        let number = entries.count
        entries.append(Entry(offset: UInt32(arena.count), count: UInt32(text.count), hash: hash))
        unsafe arena.append(bytes: text)
        slots[slot] = UInt32(number + 1)
        if entries.count * 2 > slots.count { rehash() }
        return number
    }

    private mutating func rehash() {
        slots.fill(0, count: slots.count * 2)
        let mask = slots.count - 1
        for number in 0..<entries.count {
            var slot = Int(entries[number].hash) & mask
            while slots[slot] != 0 { slot = (slot + 1) & mask }
            slots[slot] = UInt32(number + 1)
        }
    }

    func withText<Result>(_ number: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        let reference = entries[number]
        return unsafe arena.withBytes {
            unsafe body(UnsafeRawBufferPointer(rebasing: $0[Int(reference.offset)..<Int(reference.offset) + Int(reference.count)]))
        }
    }

    /// Where string `number` lies among the bytes of all.
    func reference(_ number: Int) -> TextRef { TextRef(offset: entries[number].offset, count: entries[number].count) }

    /// Whether the string at `reference`, which this table has given, is `text`.
    @inline(__always)
    func isEqual(_ reference: TextRef, _ text: UnsafeRawBufferPointer) -> Bool {
        let end = Int(reference.offset) &+ Int(reference.count)
        guard Int(reference.count) == text.count, end <= arena.count else { return false }
        return unsafe arena.withBytes { unsafe memoryEqual($0.baseAddress! + Int(reference.offset), text.baseAddress, text.count) }
    }

    /// What `write` writes, as a reader of it would have it.
    func stringList() -> StringList {
        StringList(bytes: arena.array(), references: (0..<entries.count).map { reference($0) })
    }

    /// Count, then each string with its length.
    func write(to writer: inout ByteWriter) {
        writer.append(varint: UInt64(entries.count))
        for number in 0..<entries.count { writer.append(varint: UInt64(entries[number].count)) }
        unsafe arena.withBytes { unsafe writer.append(bytes: $0) }
    }
}

/// The strings of a decoded journal row or segment, in one arena.
struct StringList: Sendable {
    private(set) var bytes: [UInt8] = []
    private(set) var references: [TextRef] = []

    init() {}

    init(bytes: [UInt8], references: [TextRef]) {
        self.bytes = bytes
        self.references = references
    }

    init(_ reader: inout ByteReader) {
        let count = reader.count()
        references.reserveCapacity(count)
        var total = 0
        for _ in 0..<count {
            let length = reader.varint()
            guard length <= UInt64(UInt32.max), total + Int(length) <= reader.remaining else { reader.fail(); break }
            references.append(TextRef(offset: UInt32(total), count: UInt32(length)))
            total += Int(length)
        }
        bytes = unsafe [UInt8](reader.bytes(total))
        if reader.failed {
            references = []
            bytes = []
        }
    }

    var count: Int { references.count }

    @inline(__always)
    func withText<Result>(_ number: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        guard number >= 0, number < references.count else { return unsafe body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        let reference = references[number]
        return unsafe bytes.withUnsafeBytes {
            unsafe body(UnsafeRawBufferPointer(rebasing: $0[Int(reference.offset)..<Int(reference.offset) + Int(reference.count)]))
        }
    }

    func string(_ number: Int) -> String {
        unsafe withText(number) { unsafe String(decoding: $0, as: UTF8.self) }
    }

    func find(_ text: [UInt8]) -> Int? {
        for (number, reference) in references.enumerated() where Int(reference.count) == text.count {
            if unsafe withText(number, { unsafe $0.elementsEqual(text) }) { return number }
        }
        return nil
    }
}

@inline(__always)
func memoryEqual(_ left: UnsafeRawPointer?, _ right: UnsafeRawPointer?, _ count: Int) -> Bool {
    guard count > 0 else { return true }
    guard let left = unsafe left, let right = unsafe right else { return false }
    // Most strings are short, and a call costs more than their comparison.
    if count > 32 { return unsafe memcmp(left, right, count) == 0 }
    if count >= 8 {
        var at = 0
        while at &+ 8 < count {
            if unsafe left.loadUnaligned(fromByteOffset: at, as: UInt64.self) != right.loadUnaligned(fromByteOffset: at, as: UInt64.self) {
                return false
            }
            at &+= 8
        }
        return unsafe left.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            == right.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
    }
    if count >= 4 {
        return unsafe left.loadUnaligned(as: UInt32.self) == right.loadUnaligned(as: UInt32.self)
            && left.loadUnaligned(
                fromByteOffset: count &- 4, as: UInt32.self) == right.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
    }
    for at in 0..<count where unsafe left.load(fromByteOffset: at, as: UInt8.self) != right.load(fromByteOffset: at, as: UInt8.self) {
        return false
    }
    return true
}
