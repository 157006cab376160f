internal import Primitives

/// Texts by number: names of services, operations and peers, each kept once. A value, confined to its owner.
///
/// Bounded by number and by bytes of each. A text keeps its number until `keep` finds it unused.
struct InternedTexts {
    /// The number of the empty text.
    static let none: UInt32 = 0
    /// The highest number of a text: two of them and more fit in a key, and there is one left that is no text's.
    static let numberMax = (1 << 24) - 2

    private struct Entry {
        var bytes: [UInt8]
        var hash: UInt64
    }

    /// By number; the empty text first.
    private var entries: [Entry] = [Entry(bytes: [], hash: 0)]
    private var slots = HashSlots()
    /// Numbers that are free again.
    private var free: [UInt32] = []
    private let countMax: Int
    private let bytesMax: Int

    init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    /// Texts kept, the empty one left out.
    var count: Int { slots.count }

    /// The number of the text `arena[start ..< start + count]`, as far as it may be long; nil when there is no room for another.
    @inline(__always)
    mutating func number(of arena: [UInt8], at start: Int, count: Int) -> UInt32? {
        if count == 0 { return Self.none }
        let range = start..<start + (count <= bytesMax ? count : Self.cut(arena, start, bytesMax))
        let hash = ByteHash.hash(arena, range)
        if let known = slots.find(hash, { entries[$0].hash == hash && isEqual(entries[$0].bytes, arena, range) }) { return UInt32(known) }
        return add(Array(arena[range]), hash)
    }

    /// The same for a text of our own.
    mutating func number(of text: String) -> UInt32? {
        let bytes = Array(text.utf8)
        return number(of: bytes, at: 0, count: bytes.count)
    }

    func string(_ number: UInt32) -> String { String(decoding: entries[Int(number)].bytes, as: UTF8.self) }

    /// Whether a text is another one, or the other one with a dot and more behind it.
    func isName(_ longer: UInt32, of shorter: UInt32) -> Bool {
        if longer == shorter { return true }
        let (long, short) = (entries[Int(longer)].bytes, entries[Int(shorter)].bytes)
        return !short.isEmpty && long.count > short.count && long[short.count] == UInt8(ascii: ".") && long.starts(with: short)
    }

    /// Forgets every text whose number is not in `used`, when there are many.
    mutating func keep(_ used: () -> Set<UInt32>) {
        guard count > countMax / 2 else { return }
        let used = used()
        slots.removeAll()
        free.removeAll()
        for number in entries.indices.dropFirst() {
            guard used.contains(UInt32(number)) else {
                entries[number] = Entry(bytes: [], hash: 0)
                free.append(UInt32(number))
                continue
            }
            slots.insert(entries[number].hash, number) { entries[$0].hash }
        }
    }

    private mutating func add(_ bytes: [UInt8], _ hash: UInt64) -> UInt32? {
        guard count < countMax else { return nil }
        let number = free.popLast() ?? UInt32(entries.count)
        let entry = Entry(bytes: bytes, hash: hash)
        if Int(number) < entries.count { entries[Int(number)] = entry } else { entries.append(entry) }
        slots.insert(hash, Int(number)) { entries[$0].hash }
        return number
    }

    @inline(__always)
    private func isEqual(_ own: [UInt8], _ arena: [UInt8], _ range: Range<Int>) -> Bool {
        guard own.count == range.count else { return false }
        let (own, other) = (own.span, arena.span.extracting(range))
        for index in own.indices where own[index] != other[index] { return false }
        return true
    }

    /// How many bytes of a text that is too long are kept: no character is cut in two.
    private static func cut(_ arena: [UInt8], _ start: Int, _ countMax: Int) -> Int {
        var count = countMax
        while count > 0, arena[start + count] & 0xC0 == 0x80 { count -= 1 }
        return count
    }
}
