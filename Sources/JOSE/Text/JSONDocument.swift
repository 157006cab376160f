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

    /// What `text` holds, read. No value is there after a fault.
    mutating func parse(_ limits: JSONLimits) -> JSONFault? {
        values.removeAll(keepingCapacity: true)
        unescaped.clear()
        guard text.count <= limits.bytes else { return .tooLong }
        var parser = unsafe JSONParser(LentBytes(text.readable), limits)
        do {
            try parser.read(into: &self)
            return nil
        } catch {
            values.removeAll(keepingCapacity: true)
            return error
        }
    }

    /// As `parse`, for a text that must be an object.
    mutating func parseObject(_ limits: JSONLimits) -> JSONFault? {
        if let fault = parse(limits) { return fault }
        if isObject(0) { return nil }
        values.removeAll(keepingCapacity: true)
        return .notObject
    }

    mutating func clear() {
        text.clear()
        unescaped.clear()
        values.removeAll(keepingCapacity: true)
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
