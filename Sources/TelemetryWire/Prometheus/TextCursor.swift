/// A place in a line of text, which only moves on.
struct TextCursor {
    private let bytes: [UInt8]
    private(set) var position: Int
    let end: Int

    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        // Of lines that end in CR LF.
        end = range.upperBound > range.lowerBound && bytes[range.upperBound - 1] == 0x0D ? range.upperBound - 1 : range.upperBound
    }

    var isAtEnd: Bool { position >= end }
    var peek: UInt8? { position < end ? bytes[position] : nil }
    var rest: Range<Int> { position..<max(position, end) }

    mutating func advance() { position = min(position + 1, end) }
    mutating func skipToEnd() { position = end }
    mutating func skipBlanks() { skip { $0 == 0x20 || $0 == 0x09 } }

    mutating func skip(_ isSkipped: (UInt8) -> Bool) {
        while position < end, isSkipped(bytes[position]) { position += 1 }
    }

    /// What is skipped.
    mutating func range(_ isSkipped: (UInt8) -> Bool) -> Range<Int> {
        let start = position
        skip(isSkipped)
        return start..<position
    }

    mutating func bytesOfWord() -> Range<Int> { range { $0 != 0x20 && $0 != 0x09 } }
    mutating func word() -> String { String(decoding: bytes[bytesOfWord()], as: UTF8.self) }

    /// The text between quotes, as it stands there; nil when its end is missing. The cursor is behind it then.
    mutating func quotedRange() -> Range<Int>? {
        advance()
        let start = position
        while position < end {
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                return start..<position - 1
            case UInt8(ascii: "\\"): position += 2
            default: position += 1
            }
        }
        position = end
        return nil
    }

    /// Moves behind the brace that closes the one here. False when it is missing.
    mutating func skipBraces() -> Bool {
        while position < end {
            switch bytes[position] {
            case UInt8(ascii: "}"):
                position += 1
                return true
            case UInt8(ascii: "\""): if quotedRange() == nil { return false }
            default: position += 1
            }
        }
        return false
    }
}
