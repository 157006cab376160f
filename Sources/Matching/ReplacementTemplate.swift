/// A replacement as Go's `Regexp.Expand` reads it: `$name` and `${name}`, where a name of digits is a group's number and `$$` is a dollar.
/// A dollar that begins nothing stands for itself.
enum ReplacementTemplate {
    enum Piece: Hashable {
        case literal([UInt8])
        case group(Int)
        case named(String)
    }

    static func parsed(_ template: String) -> [Piece] {
        var pieces: [Piece] = []
        var rest = Array(template.utf8)[...]
        while let dollar = rest.firstIndex(of: UInt8(ascii: "$")) {
            pieces.append(.literal(Array(rest[..<dollar])))
            rest = rest[(dollar + 1)...]
            if rest.first == UInt8(ascii: "$") {
                pieces.append(.literal([UInt8(ascii: "$")]))
                rest.removeFirst()
            } else if let (piece, behind) = reference(in: rest) {
                pieces.append(piece)
                rest = behind
            } else {
                pieces.append(.literal([UInt8(ascii: "$")]))
            }
        }
        return pieces + [.literal(Array(rest))]
    }

    /// The reference behind a dollar, and what comes behind it.
    private static func reference(in text: ArraySlice<UInt8>) -> (Piece, ArraySlice<UInt8>)? {
        let isBraced = text.first == UInt8(ascii: "{")
        let text = isBraced ? text.dropFirst() : text
        let name = text.prefix { isNamePart($0) }
        guard !name.isEmpty else { return nil }
        var rest = text[name.endIndex...]
        if isBraced {
            guard rest.popFirst() == UInt8(ascii: "}") else { return nil }
        }
        return (reference(named: name), rest)
    }

    private static func reference(named name: ArraySlice<UInt8>) -> Piece {
        let text = String(decoding: name, as: UTF8.self)
        // Go takes no leading zeros and no number of nine digits.
        if name.count < 9, name.count == 1 || name.first != UInt8(ascii: "0"), let number = Int(text), number >= 0 { return .group(number) }
        return .named(text)
    }

    private static func isNamePart(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: byte == UInt8(ascii: "_") || byte >= 0x80
        }
    }
}
