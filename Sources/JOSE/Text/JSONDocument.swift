internal import Primitives

/// A JSON text as a flat list of its values, in the order of the text. Value 0 is the outermost.
///
/// Its memory is used again by the next text: nothing is allocated once it has grown. What it lends is good until then.
struct JSONDocument: ~Copyable {
    enum Kind: UInt8 {
        case object, list, string, number, isTrue, isFalse, null
    }

    /// Bytes of the text, or of `unescaped` for a string that had escapes.
    struct Piece {
        var start: UInt32 = 0
        var end: UInt32 = 0
        var isUnescaped = false
    }

    struct Value {
        var kind: Kind
        /// Objects and lists around it.
        var depth: UInt8
        /// The member's name; empty for elements of lists.
        var name: Piece
        var nameHash: UInt32
        /// Of a string without its quotes, or of a number.
        var text = Piece()
        /// The index of the object or list around it; its own index for the outermost.
        var parent: UInt32
        /// The index after the last value inside of this one.
        var next: UInt32 = 0
        /// Members or elements.
        var count: UInt32 = 0
    }

    var text = ByteBuffer()
    var unescaped = ByteBuffer()
    var values: [Value] = []
    /// Of one object's members: the hash of the name in the upper half, the value's index in the lower.
    private var names: [UInt64] = []

    mutating func clear() {
        text.clear()
        clearValues()
    }

    /// Keeps the text.
    mutating func clearValues() {
        unescaped.clear()
        values.removeAll(keepingCapacity: true)
    }

    /// Whether two members of an object that has been read whole have the same name. Sorts them by hash: comparing each with each would
    /// let a token of 14 KiB cost half a millisecond. The standard library's sort allocates for more than some thirty members.
    mutating func hasTwins(_ object: Int) -> Bool {
        names.removeAll(keepingCapacity: true)
        var child = object + 1
        while child < values.count {
            names.append(UInt64(values[child].nameHash) << 32 | UInt64(child))
            child = Int(values[child].next)
        }
        names.sort()
        for place in names.indices.dropFirst() {
            var other = place - 1
            while other >= 0, names[other] >> 32 == names[place] >> 32 {
                if name(Int(names[other] & 0xFFFF_FFFF)) == name(Int(names[place] & 0xFFFF_FFFF)) { return true }
                other -= 1
            }
        }
        return false
    }

    func bytes(_ piece: Piece) -> LentBytes {
        let all = unsafe LentBytes(piece.isUnescaped ? unescaped.readable : text.readable)
        return all[Int(piece.start)..<Int(piece.end)]
    }

    func name(_ index: Int) -> LentBytes { bytes(values[index].name) }

    func isObject(_ index: Int) -> Bool { index < values.count && values[index].kind == .object }

    /// The text of a string; nil for everything else.
    func string(_ index: Int) -> LentBytes? { values[index].kind == .string ? bytes(values[index].text) : nil }

    /// The index of the member of that name.
    func member(_ name: StaticString, of object: Int = 0) -> Int? {
        guard isObject(object) else { return nil }
        var index = object + 1
        let end = Int(values[object].next)
        while index < end {
            if self.name(index) == name { return index }
            index = Int(values[index].next)
        }
        return nil
    }

    /// Calls `body` with the index of each member or element.
    func forEachChild(of index: Int, _ body: (Int) -> Void) {
        var child = index + 1
        let end = Int(values[index].next)
        while child < end {
            body(child)
            child = Int(values[child].next)
        }
    }
}
