internal import Primitives

/// Reads a JSON text into a `JSONDocument`: RFC 8259 to the letter, within bounds, without recursion.
struct JSONParser {
    private let text: LentBytes
    private let limits: JSONLimits
    private var place = 0
    /// The object or list that is being read; nil = the outermost value.
    private var parent: Int?
    private var depth = 0
    private var name = JSONDocument.Piece()
    private var nameHash: UInt32 = 0
    private let seed = ByteHash.seed

    /// `text` stays as it is until it is read. It has less than 4 GiB.
    private init(_ text: LentBytes, _ limits: JSONLimits) {
        self.text = text
        self.limits = limits
    }

    /// Reads what `document.text` holds. No value is there after a fault.
    static func parse(_ document: inout JSONDocument, _ limits: JSONLimits) -> JSONFault? {
        document.clearValues()
        guard document.text.count <= limits.bytes else { return .tooLong }
        var parser = unsafe JSONParser(LentBytes(document.text.readable), limits)
        do {
            try parser.read(into: &document)
            return nil
        } catch {
            document.clearValues()
            return error
        }
    }

    /// As above, for a text that must be an object.
    static func parseObject(_ document: inout JSONDocument, _ limits: JSONLimits) -> JSONFault? {
        if let fault = parse(&document, limits) { return fault }
        if document.isObject(0) { return nil }
        document.clearValues()
        return .notObject
    }

    private mutating func read(into document: inout JSONDocument) throws(JSONFault) {
        skipSpace()
        repeat {
            while try !readValue(&document) {}
        } while try !closeParents(&document)
        if place != text.count { throw .trailingCharacters }
    }

    /// Reads one value. False: it is an object or a list, and its first member or element comes next.
    private mutating func readValue(_ document: inout JSONDocument) throws(JSONFault) -> Bool {
        switch try current() {
        case UInt8(ascii: "{"): return try open(.object, UInt8(ascii: "}"), &document)
        case UInt8(ascii: "["): return try open(.list, UInt8(ascii: "]"), &document)
        case UInt8(ascii: "\""):
            let text = try readString(&document)
            try append(.string, text, &document)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            let text = try readNumber()
            try append(.number, text, &document)
        case UInt8(ascii: "t"): try readWord("true", .isTrue, &document)
        case UInt8(ascii: "f"): try readWord("false", .isFalse, &document)
        case UInt8(ascii: "n"): try readWord("null", .null, &document)
        default: throw .unexpectedCharacter
        }
        return true
    }

    /// Behind a value: a comma and the next name, or the ends of what is around it. True = the outermost value has ended.
    private mutating func closeParents(_ document: inout JSONDocument) throws(JSONFault) -> Bool {
        while true {
            skipSpace()
            guard let parent else { return true }
            let isObject = document.values[parent].kind == .object
            switch try take() {
            case UInt8(ascii: ","):
                skipSpace()
                if isObject { try readName(&document) }
                return false
            case UInt8(ascii: "}") where isObject:
                close(parent, &document)
                if document.hasTwins(parent) { throw .duplicateMember }
            case UInt8(ascii: "]") where !isObject: close(parent, &document)
            default: throw .unexpectedCharacter
            }
        }
    }

    // MARK: - Objects and lists

    private mutating func open(_ kind: JSONDocument.Kind, _ end: UInt8, _ document: inout JSONDocument) throws(JSONFault) -> Bool {
        let index = document.values.count
        try append(kind, JSONDocument.Piece(), &document)
        place += 1
        skipSpace()
        if try current() == end {
            place += 1
            return true
        }
        depth += 1
        if depth > min(limits.depth, 255) { throw .tooDeep }
        parent = index
        (name, nameHash) = (JSONDocument.Piece(), 0)
        if kind == .object { try readName(&document) }
        return false
    }

    private mutating func close(_ index: Int, _ document: inout JSONDocument) {
        document.values[index].next = UInt32(truncatingIfNeeded: document.values.count)
        depth -= 1
        parent = depth == 0 ? nil : Int(document.values[index].parent)
        (name, nameHash) = (JSONDocument.Piece(), 0)
    }

    private mutating func append(_ kind: JSONDocument.Kind, _ text: JSONDocument.Piece, _ document: inout JSONDocument) throws(JSONFault) {
        let index = UInt32(truncatingIfNeeded: document.values.count)
        if document.values.count >= limits.values { throw .tooManyValues }
        if let parent { document.values[parent].count += 1 }
        document.values.append(
            JSONDocument.Value(
                kind: kind, depth: UInt8(truncatingIfNeeded: depth), name: name, nameHash: nameHash, text: text,
                parent: parent.map { UInt32(truncatingIfNeeded: $0) } ?? index, next: index + 1))
    }

    /// A member's name and the colon.
    private mutating func readName(_ document: inout JSONDocument) throws(JSONFault) {
        guard let parent else { return }
        if try current() != UInt8(ascii: "\"") { throw .unexpectedCharacter }
        if document.values[parent].count >= limits.membersOfObject { throw .tooManyMembers }
        name = try readString(&document)
        nameHash = UInt32(truncatingIfNeeded: document.bytes(name).hash(seed: seed))
        skipSpace()
        if try take() != UInt8(ascii: ":") { throw .unexpectedCharacter }
        skipSpace()
    }

    // MARK: - Strings

    /// At the opening quote.
    private mutating func readString(_ document: inout JSONDocument) throws(JSONFault) -> JSONDocument.Piece {
        place += 1
        let start = place
        while true {
            let byte = try current()
            if byte == UInt8(ascii: "\"") {
                place += 1
                return piece(start, place - 1)
            }
            if byte == UInt8(ascii: "\\") { return try readEscaped(from: start, &document) }
            try skipCharacter(byte)
        }
    }

    /// The rest of a string from its first escape on; everything of it goes to `unescaped`.
    private mutating func readEscaped(from start: Int, _ document: inout JSONDocument) throws(JSONFault) -> JSONDocument.Piece {
        let first = document.unescaped.count
        document.unescaped.append(text[start..<place])
        while true {
            let byte = try current()
            if byte == UInt8(ascii: "\"") {
                place += 1
                var piece = piece(first, document.unescaped.count)
                piece.isUnescaped = true
                return piece
            }
            if byte == UInt8(ascii: "\\") {
                place += 1
                try readEscape(&document.unescaped)
            } else {
                let character = place
                try skipCharacter(byte)
                document.unescaped.append(text[character..<place])
            }
        }
    }

    /// Behind the backslash.
    private mutating func readEscape(_ out: inout ByteBuffer) throws(JSONFault) {
        switch try take() {
        case UInt8(ascii: "\""): out.append(byte: UInt8(ascii: "\""))
        case UInt8(ascii: "\\"): out.append(byte: UInt8(ascii: "\\"))
        case UInt8(ascii: "/"): out.append(byte: UInt8(ascii: "/"))
        case UInt8(ascii: "b"): out.append(byte: 8)
        case UInt8(ascii: "f"): out.append(byte: 12)
        case UInt8(ascii: "n"): out.append(byte: 10)
        case UInt8(ascii: "r"): out.append(byte: 13)
        case UInt8(ascii: "t"): out.append(byte: 9)
        case UInt8(ascii: "u"):
            let scalar = try readScalar()
            if let bytes = UTF8.encode(scalar) { for byte in bytes { out.append(byte: byte) } }
        default: throw .badEscape
        }
    }

    /// Behind `\u`: four digits, and the other half of a pair.
    private mutating func readScalar() throws(JSONFault) -> Unicode.Scalar {
        let first = try readUnit()
        guard first & 0xF800 == 0xD800 else {
            guard let scalar = Unicode.Scalar(first) else { throw .loneSurrogate }
            return scalar
        }
        guard first < 0xDC00, place + 1 < text.count, text[place] == UInt8(ascii: "\\"), text[place + 1] == UInt8(ascii: "u")
        else { throw .loneSurrogate }
        place += 2
        let second = try readUnit()
        guard second & 0xFC00 == 0xDC00, let scalar = Unicode.Scalar(0x10000 + (first & 0x3FF) << 10 + second & 0x3FF)
        else { throw .loneSurrogate }
        return scalar
    }

    private mutating func readUnit() throws(JSONFault) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            let digit = ASCII.hexValue(try take())
            if digit > 15 { throw .badEscape }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// One character that is neither a quote nor a backslash, as UTF-8 (RFC 3629 4).
    private mutating func skipCharacter(_ first: UInt8) throws(JSONFault) {
        if first < 0x20 { throw .controlCharacter }
        place += 1
        if first < 0x80 { return }
        var range: ClosedRange<UInt8> = 0x80...0xBF
        let more: Int
        switch first {
        case 0xC2...0xDF: more = 1
        case 0xE0...0xEF:
            more = 2
            if first == 0xE0 { range = 0xA0...0xBF }
            if first == 0xED { range = 0x80...0x9F }
        case 0xF0...0xF4:
            more = 3
            if first == 0xF0 { range = 0x90...0xBF }
            if first == 0xF4 { range = 0x80...0x8F }
        default: throw .invalidUTF8
        }
        for _ in 0..<more {
            guard place < text.count, range.contains(text[place]) else { throw .invalidUTF8 }
            range = 0x80...0xBF
            place += 1
        }
    }

    // MARK: - Numbers and words

    private mutating func readNumber() throws(JSONFault) -> JSONDocument.Piece {
        let start = place
        if text[place] == UInt8(ascii: "-") { place += 1 }
        let whole = place
        try skipDigits()
        if text[whole] == UInt8(ascii: "0"), place - whole > 1 { throw .badNumber }
        if place < text.count, text[place] == UInt8(ascii: ".") {
            place += 1
            try skipDigits()
        }
        if place < text.count, text[place] | 0x20 == UInt8(ascii: "e") {
            place += 1
            if place < text.count, text[place] == UInt8(ascii: "+") || text[place] == UInt8(ascii: "-") { place += 1 }
            try skipDigits()
        }
        return piece(start, place)
    }

    private mutating func skipDigits() throws(JSONFault) {
        let start = place
        while place < text.count, text[place] &- 48 < 10 { place += 1 }
        if place == start { throw .badNumber }
    }

    private mutating func readWord(_ word: StaticString, _ kind: JSONDocument.Kind, _ document: inout JSONDocument) throws(JSONFault) {
        guard text.from(place).hasPrefix(LentBytes(word)) else { throw .unexpectedCharacter }
        place += word.utf8CodeUnitCount
        try append(kind, JSONDocument.Piece(), &document)
    }

    // MARK: - Bytes

    private func piece(_ start: Int, _ end: Int) -> JSONDocument.Piece {
        JSONDocument.Piece(start: UInt32(truncatingIfNeeded: start), end: UInt32(truncatingIfNeeded: end))
    }

    private func current() throws(JSONFault) -> UInt8 {
        guard place < text.count else { throw .truncated }
        return text[place]
    }

    private mutating func take() throws(JSONFault) -> UInt8 {
        let byte = try current()
        place += 1
        return byte
    }

    private mutating func skipSpace() {
        while place < text.count {
            switch text[place] {
            case 32, 9, 10, 13: place += 1
            default: return
            }
        }
    }
}
