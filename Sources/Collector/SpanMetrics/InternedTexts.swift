internal import Primitives

/// Texts by number: names of services, operations and peers, each kept once. A value, confined to its owner.
///
/// Bounded by number and by bytes of each. A text keeps its number until `keepUsed` finds it unused. Two texts whose hashes are equal are
/// taken for one: 64 bits under this process's seed, so that not even a full table has them by chance, and nobody can look for them.
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
    private let seed = ByteHash.seed

    init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    /// Texts kept, the empty one left out.
    var count: Int { slots.count }

    /// What `number` finds a text by: a hash of its bytes as far as they count.
    @inline(__always)
    func textHash(_ bytes: LentBytes) -> UInt64 { bytes.count <= bytesMax ? bytes.hash(seed: seed) : cut(bytes).hash(seed: seed) }

    /// The number of a text; nil when there is no room for another. What is too long is cut, and what is no UTF-8 replaced.
    @inline(__always)
    mutating func number(of bytes: LentBytes) -> UInt32? {
        if bytes.isEmpty { return Self.none }
        let hash = textHash(bytes)
        if let known = slots.find(hash, { entries[$0].hash == hash }) { return UInt32(known) }
        return add(bytes.count <= bytesMax ? bytes : cut(bytes), hash)
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
            slots.insert(entries[number].hash, number) { entries[$0].hash }
        }
    }

    private mutating func add(_ bytes: LentBytes, _ hash: UInt64) -> UInt32? {
        guard count < countMax else { return nil }
        let number = free.popLast() ?? UInt32(entries.count)
        let entry = Entry(text: bytes.text, hash: hash)
        if Int(number) < entries.count { entries[Int(number)] = entry } else { entries.append(entry) }
        slots.insert(hash, Int(number)) { entries[$0].hash }
        return number
    }

    /// As much of a text as is kept: no character is cut in two.
    private func cut(_ bytes: LentBytes) -> LentBytes {
        var count = bytesMax
        while count > 0, bytes[count] & 0xC0 == 0x80 { count -= 1 }
        return bytes.prefix(count)
    }
}
