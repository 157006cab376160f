/// Texts by number: names of services, operations and peers, each kept once. A value, confined to its owner.
///
/// Bounded by number and by bytes of each. A text keeps its number until `keepUsed` finds it unused. They are found by their
/// hashes, see `TextHashing`.
struct InternedTexts {
    /// The number of the empty text.
    static let none: UInt32 = 0
    /// The highest number of a text: two of them and more fit in a key, and there is one left that is no text's.
    static let numberMax = (1 << 24) - 2

    private struct Entry {
        var text: String
        var hash: UInt64
    }

    /// By number; the empty text first.
    private var entries: [Entry] = [Entry(text: "", hash: 0)]
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

    /// The number of the text with this hash; 0 is the empty one's. Nil when there is no room for another. What is too long is cut, between
    /// characters.
    @inline(__always)
    mutating func number(_ hash: UInt64, _ text: () -> String) -> UInt32? {
        if hash == 0 { return Self.none }
        return slots.find(hash, { entries[$0].hash == hash }).map { UInt32($0) } ?? add(hash, text())
    }

    func string(_ number: UInt32) -> String { entries[Int(number)].text }

    /// Whether a text is another one, or the other one with a dot and more behind it.
    func isName(_ longer: UInt32, of shorter: UInt32) -> Bool {
        longer == shorter || shorter != Self.none && entries[Int(longer)].text.utf8.starts(with: (entries[Int(shorter)].text + ".").utf8)
    }

    /// Forgets every text whose number is not in `used`, when there are many.
    mutating func keepUsed(_ used: () -> Set<UInt32>) {
        guard count > countMax / 2 else { return }
        let used = used()
        slots.forgetEntries()
        free.removeAll()
        for number in entries.indices.dropFirst() {
            guard used.contains(UInt32(number)) else {
                entries[number] = Entry(text: "", hash: 0)
                free.append(UInt32(number))
                continue
            }
            slots.insert(entries[number].hash, number)
        }
    }

    private mutating func add(_ hash: UInt64, _ text: String) -> UInt32? {
        guard count < countMax else { return nil }
        let number = free.popLast() ?? UInt32(entries.count)
        let entry = Entry(text: cut(text), hash: hash)
        if Int(number) < entries.count { entries[Int(number)] = entry } else { entries.append(entry) }
        slots.insert(hash, Int(number))
        return number
    }

    /// As much of a text as is kept, as `TextHashing` has it.
    private func cut(_ text: String) -> String {
        let bytes = Array(text.utf8)
        guard bytes.count > bytesMax else { return text }
        var count = bytesMax
        while count > 0, bytes[count] & 0xC0 == 0x80 { count -= 1 }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }
}
