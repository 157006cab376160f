/// What a person pressed.
enum TopKey: Equatable, Sendable {
    case up, down, pageUp, pageDown, home, end
    case enter, escape, tab, backspace, interrupt
    case character(Character)
}

/// A terminal's bytes made into keys (ECMA-48 control sequences, xterm's cursor and editing keys). Pure; bytes of a sequence may come in
/// pieces. What it does not know is left out whole, so that the tail of a sequence is never taken for letters.
struct KeyDecoder {
    /// Bytes of one sequence; a longer one is left out up to its end.
    static let sequenceBytesMax = 32

    private var pending: [UInt8] = []
    /// Within a sequence that is too long.
    private var isSkipping = false

    /// Whether a key may be half there: an escape that nothing follows within a moment is the key of that name (`finish`).
    var isWaiting: Bool { !pending.isEmpty }

    mutating func take(_ bytes: some Sequence<UInt8>) -> [TopKey] {
        pending.append(contentsOf: bytes)
        var keys: [TopKey] = []
        while !pending.isEmpty {
            if isSkipping {
                skip()
                continue
            }
            guard let (key, count) = first() else { break }
            pending.removeFirst(count)
            if let key { keys.append(key) }
        }
        if pending.count > Self.sequenceBytesMax {
            isSkipping = true
            pending.removeAll()
        }
        return keys
    }

    /// To behind the sequence's final byte.
    private mutating func skip() {
        let end = pending.firstIndex { $0 >= 0x40 }
        isSkipping = end == nil
        pending.removeFirst(end.map { $0 + 1 } ?? pending.count)
    }

    /// Nothing followed.
    mutating func finish() -> [TopKey] {
        isSkipping = false
        let isEscape = pending.first == 0x1B
        pending.removeAll()
        return isEscape ? [.escape] : []
    }

    /// The first key and its bytes; key nil = none of ours; nil = more bytes are needed.
    private func first() -> (TopKey?, Int)? {
        switch pending[0] {
        case 0x1B: return sequence()
        case 0x03: return (.interrupt, 1)
        case 0x09: return (.tab, 1)
        case 0x0A, 0x0D: return (.enter, 1)
        case 0x08, 0x7F: return (.backspace, 1)
        case 0x00..<0x20: return (nil, 1)
        case 0x20..<0x7F: return (.character(Character(Unicode.Scalar(pending[0]))), 1)
        default: return letter()
        }
    }

    private func sequence() -> (TopKey?, Int)? {
        guard pending.count > 1 else { return nil }
        switch pending[1] {
        case UInt8(ascii: "["), UInt8(ascii: "O"): break
        case 0x1B: return (.escape, 1)
        // Alt and a letter.
        default: return (nil, 2)
        }
        // Parameters 0x30–0x3F, intermediates 0x20–0x2F, a final byte.
        guard let end = pending.indices.dropFirst(2).first(where: { pending[$0] >= 0x40 }) else { return nil }
        guard end < Self.sequenceBytesMax else { return (nil, end + 1) }
        let parameters = pending[2..<end].prefix { $0 != UInt8(ascii: ";") }
        return (Self.key(final: pending[end], parameter: String(decoding: parameters, as: UTF8.self)), end + 1)
    }

    private static func key(final: UInt8, parameter: String) -> TopKey? {
        switch (final, parameter) {
        case (UInt8(ascii: "A"), _): .up
        case (UInt8(ascii: "B"), _): .down
        case (UInt8(ascii: "H"), _), (UInt8(ascii: "~"), "1"), (UInt8(ascii: "~"), "7"): .home
        case (UInt8(ascii: "F"), _), (UInt8(ascii: "~"), "4"), (UInt8(ascii: "~"), "8"): .end
        case (UInt8(ascii: "~"), "5"): .pageUp
        case (UInt8(ascii: "~"), "6"): .pageDown
        case (UInt8(ascii: "M"), _): .enter
        default: nil
        }
    }

    /// A letter of UTF-8; broken bytes are left out.
    private func letter() -> (TopKey?, Int)? {
        let count = pending[0] >= 0xF0 ? 4 : pending[0] >= 0xE0 ? 3 : pending[0] >= 0xC2 ? 2 : 1
        guard count > 1 else { return (nil, 1) }
        for place in 1..<count {
            guard place < pending.count else { return nil }
            guard pending[place] & 0xC0 == 0x80 else { return (nil, place) }
        }
        let text = String(decoding: pending[..<count], as: UTF8.self)
        guard let character = text.first, character != "\u{FFFD}" else { return (nil, count) }
        return (.character(character), count)
    }
}
