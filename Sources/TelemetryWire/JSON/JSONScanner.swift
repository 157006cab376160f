internal import Primitives

struct JSONScanError: Error, BitwiseCopyable {
    var fault: WireFault
    /// Byte offset from the start of the text.
    var offset: Int
}

/// A string as it stands in the text: the bytes between the quotes, already checked for escapes and control characters.
struct JSONString: BitwiseCopyable {
    var start: Int
    var count: Int
    /// The bytes are not the text itself: they hold escapes, or are not UTF-8. `append` gives the text.
    var needsDecoding: Bool
    var isASCII: Bool
}

/// Walks RFC 8259 JSON in place, one token at a time, without building a tree.
///
/// Strict in its grammar: no comments, no trailing commas, no leading zeros. Lenient in its texts, because what cuts one costs a batch
/// otherwise: half a surrogate pair, and each maximal part of a sequence that is not UTF-8, is read as U+FFFD (Unicode 3.9, U+FFFD
/// substitution of maximal subparts). A byte order mark in front is skipped (RFC 8259 section 8.1).
///
/// Nesting is followed with a bit per level, not by recursion, and needs no bound but the text's length. The bytes must stay alive and
/// unchanged while the scanner is used, which its users ensure by living inside one `withUnsafeBytes`. Confined to the caller.
@safe
struct JSONScanner {
    let base: UnsafePointer<UInt8>
    let count: Int
    var at = 0

    init(_ buffer: UnsafeBufferPointer<UInt8>) {
        if let address = buffer.baseAddress {
            unsafe base = address
        } else {
            unsafe base = UnsafePointer(bitPattern: 1).unsafelyUnwrapped  // Never read: the count is zero.
        }
        count = buffer.count
        if count >= 3, self[0] == 0xEF, self[1] == 0xBB, self[2] == 0xBF { at = 3 }
    }

    /// What `body` makes of the text.
    static func reading<Value>(
        _ bytes: [UInt8], _ body: (inout JSONScanner) throws(JSONScanError) -> Value
    ) throws(JSONScanError) -> Value {
        try unsafe bytes.withUnsafeBufferPointer { text throws(JSONScanError) in
            var scanner = unsafe JSONScanner(text)
            return try body(&scanner)
        }
    }

    @inline(__always)
    subscript(_ index: Int) -> UInt8 { unsafe base[index] }

    private func text(from start: Int) -> LentBytes {
        unsafe LentBytes(UnsafeRawBufferPointer(start: base + start, count: count - start))
    }

    @inline(__always)
    func error(_ fault: WireFault) -> JSONScanError { JSONScanError(fault: fault, offset: at) }

    /// The byte at the cursor after skipping white space.
    @inline(__always)
    mutating func peek() throws(JSONScanError) -> UInt8 {
        while at < count {
            let byte = self[at]
            if byte > 0x20 { return byte }
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { throw error(.unexpectedByte) }
            at += 1
        }
        throw error(.unexpectedEnd)
    }

    /// Skips white space and takes `byte`, or fails.
    @inline(__always)
    mutating func expect(_ byte: UInt8, _ fault: WireFault = .unexpectedByte) throws(JSONScanError) {
        guard try peek() == byte else { throw error(fault) }
        at += 1
    }

    /// After the last value: nothing but white space may follow.
    mutating func expectEnd() throws(JSONScanError) {
        while at < count {
            let byte = self[at]
            guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { throw error(.trailingBytes) }
            at += 1
        }
    }

    var isAtEnd: Bool { at >= count }

    /// Takes `{` or `[`. True when a first element follows, false when the container was empty (and its end is taken).
    @inline(__always)
    mutating func open(_ opener: UInt8, _ closer: UInt8, _ fault: WireFault) throws(JSONScanError) -> Bool {
        try expect(opener, fault)
        if try peek() == closer {
            at += 1
            return false
        }
        return true
    }

    @inline(__always)
    mutating func openObject() throws(JSONScanError) -> Bool { try open(UInt8(ascii: "{"), UInt8(ascii: "}"), .expectedObject) }

    @inline(__always)
    mutating func openArray() throws(JSONScanError) -> Bool { try open(UInt8(ascii: "["), UInt8(ascii: "]"), .expectedArray) }

    /// After an element: true when a comma and another element follow, false when the container ended.
    @inline(__always)
    mutating func hasNext(_ closer: UInt8) throws(JSONScanError) -> Bool {
        let byte = try peek()
        if byte == UInt8(ascii: ",") {
            at += 1
            return true
        }
        guard byte == closer else { throw error(.unexpectedByte) }
        at += 1
        return false
    }

    @inline(__always)
    mutating func hasNextMember() throws(JSONScanError) -> Bool { try hasNext(UInt8(ascii: "}")) }

    @inline(__always)
    mutating func hasNextElement() throws(JSONScanError) -> Bool { try hasNext(UInt8(ascii: "]")) }

    /// A member's name, with its colon taken.
    @inline(__always)
    mutating func key() throws(JSONScanError) -> JSONString {
        let key = try string()
        try expect(UInt8(ascii: ":"))
        return key
    }

    /// Takes `null` when it stands next.
    @inline(__always)
    mutating func takeNull() throws(JSONScanError) -> Bool {
        guard try peek() == UInt8(ascii: "n") else { return false }
        try takeLiteral("null")
        return true
    }

    mutating func boolean() throws(JSONScanError) -> Bool {
        switch try peek() {
        case UInt8(ascii: "t"):
            try takeLiteral("true")
            return true
        case UInt8(ascii: "f"):
            try takeLiteral("false")
            return false
        default: throw error(.expectedBoolean)
        }
    }

    mutating func takeLiteral(_ literal: StaticString) throws(JSONScanError) {
        let length = literal.utf8CodeUnitCount
        guard count - at >= length else { throw error(.unexpectedEnd) }
        for index in 0..<length {
            let expected = unsafe literal.utf8Start[index]
            guard self[at + index] == expected else { throw error(.unexpectedByte) }
        }
        at += length
    }
}

// MARK: - Strings

extension JSONScanner {
    /// Takes a string and checks all of it; `text` and `append` give its bytes.
    @inline(__always)
    mutating func string() throws(JSONScanError) -> JSONString {
        try expect(UInt8(ascii: "\""), .expectedString)
        let start = at
        // Eight bytes at a time until one of them is a quote, a backslash, a control character or not ASCII.
        while count &- at >= 8 {
            let word = unsafe UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self).littleEndian
            let special = Self.specials(word)
            if special != 0 {
                at &+= special.trailingZeroBitCount >> 3
                break
            }
            at &+= 8
        }
        if at < count, self[at] == UInt8(ascii: "\"") {
            let length = at - start
            at += 1
            return JSONString(start: start, count: length, needsDecoding: false, isASCII: true)
        }
        return try stringTail(start)
    }

    /// A string, or the text of a number, `true` or `false` as it stands.
    @inline(__always)
    mutating func scalarText() throws(JSONScanError) -> JSONString {
        try peek() == UInt8(ascii: "\"") ? try string() : try literalText()
    }

    private mutating func literalText() throws(JSONScanError) -> JSONString {
        let start = at
        switch self[at] {
        case UInt8(ascii: "t"): try takeLiteral("true")
        case UInt8(ascii: "f"): try takeLiteral("false")
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try skipNumber()
        default: throw error(.expectedString)
        }
        return JSONString(start: start, count: at - start, needsDecoding: false, isASCII: true)
    }

    /// All of the bytes as a string without escapes.
    var whole: JSONString { JSONString(start: 0, count: count, needsDecoding: false, isASCII: true) }

    /// The top bit of the first special byte is set (bits of later bytes may be set wrongly by a borrow, which does not matter).
    @inline(__always)
    static func specials(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quote = word ^ 0x2222_2222_2222_2222
        let backslash = word ^ 0x5C5C_5C5C_5C5C_5C5C
        let control = word &- ones &* 0x20
        return ((quote &- ones) & ~quote | (backslash &- ones) & ~backslash | control & ~word | word) & 0x8080_8080_8080_8080
    }

    private mutating func stringTail(_ start: Int) throws(JSONScanError) -> JSONString {
        var needsDecoding = false
        var isASCII = true
        while at < count {
            let byte = self[at]
            if byte == UInt8(ascii: "\"") {
                let length = at - start
                at += 1
                return JSONString(start: start, count: length, needsDecoding: needsDecoding, isASCII: isASCII)
            }
            if byte == UInt8(ascii: "\\") {
                needsDecoding = true
                if try takeEscape() >= 0x80 { isASCII = false }
            } else if byte >= 0x80 {
                isASCII = false
                let length = unsafe UTF8Text.sequenceLength(UnsafeRawBufferPointer(start: base, count: count), at)
                if length == 0 { needsDecoding = true }
                at += max(length, 1)
            } else if byte < 0x20 {
                throw error(.controlCharacter)
            } else {
                at += 1
            }
        }
        throw error(.unexpectedEnd)
    }

    /// Takes one escape and returns its scalar.
    private mutating func takeEscape() throws(JSONScanError) -> UInt32 {
        let escape = try JSONEscape(text(from: at), offset: at)
        at += escape.count
        return escape.scalar
    }

    /// Appends the decoded bytes of a string that this scanner has taken.
    @inline(__always)
    func append(_ string: JSONString, to bytes: inout [UInt8]) {
        if !string.needsDecoding {
            unsafe bytes.append(contentsOf: UnsafeBufferPointer(start: base + string.start, count: string.count))
        } else {
            appendUnescaped(string, to: &bytes)
        }
    }

    @inline(never)
    private func appendUnescaped(_ string: JSONString, to bytes: inout [UInt8]) {
        var cursor = self
        cursor.at = string.start
        let end = string.start + string.count
        while cursor.at < end {
            let byte = cursor[cursor.at]
            if byte == UInt8(ascii: "\\") {
                guard let scalar = try? cursor.takeEscape() else { return }  // Cannot happen: `string()` has taken the same escapes.
                JSONEscape.append(scalar, to: &bytes)
            } else if byte < 0x80 {
                bytes.append(byte)
                cursor.at += 1
            } else {
                cursor.at += unsafe UTF8Text.appendSequence(UnsafeRawBufferPointer(start: base, count: end), cursor.at, to: &bytes)
            }
        }
    }

    /// Whether the string's text is exactly `literal`.
    @inline(__always)
    func equals(_ string: JSONString, _ literal: StaticString) -> Bool {
        if string.needsDecoding { return decoded(string, equals: literal) }
        guard string.count == literal.utf8CodeUnitCount else { return false }
        let expected = unsafe literal.utf8Start
        for index in 0..<string.count where unsafe base[string.start + index] != expected[index] { return false }
        return true
    }
}

extension JSONScanner {
    /// `"i\u0064"` is the key `id` as well.
    @inline(never)
    private func decoded(_ string: JSONString, equals literal: StaticString) -> Bool {
        var bytes: [UInt8] = []
        append(string, to: &bytes)
        return unsafe bytes.elementsEqual(UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }
}

// MARK: - Numbers and skipping

extension JSONScanner {
    /// An integer, as a number (`12`, `12.0`, `1.2e1`) or as a string that holds one. A fraction is cut off, as clocks in JavaScript
    /// measure parts of microseconds. A value outside Int64 fails.
    mutating func integer() throws(JSONScanError) -> Int64 {
        let first = try peek()
        if first == UInt8(ascii: "\"") {
            let start = at
            let text = try string()
            guard !text.needsDecoding, text.count > 0 else { throw JSONScanError(fault: .expectedInteger, offset: start) }
            var inner = self
            inner.at = text.start
            do throws(JSONScanError) {
                let value = try inner.integerLiteral()
                if inner.at == text.start + text.count { return value }
            } catch {
                if error.fault == .numberOutOfRange { throw error }
            }
            throw JSONScanError(fault: .expectedInteger, offset: start)
        }
        guard first == UInt8(ascii: "-") || Self.isDigit(first) else { throw error(.expectedInteger) }
        return try integerLiteral()
    }

    private mutating func integerLiteral() throws(JSONScanError) -> Int64 {
        let start = at
        var cursor = at
        let isNegative = cursor < count && self[cursor] == UInt8(ascii: "-")
        if isNegative { cursor += 1 }
        let digits = cursor
        var value: UInt64 = 0
        // Eighteen digits cannot overflow.
        while cursor < count, cursor - digits < 18, Self.isDigit(self[cursor]) {
            value = value &* 10 &+ UInt64(self[cursor] &- 0x30)
            cursor += 1
        }
        let isSimple = cursor > digits && (cursor - digits == 1 || self[digits] != UInt8(ascii: "0"))
        if isSimple, cursor == count || !Self.continuesNumber(self[cursor]) {
            at = cursor
            return isNegative ? -Int64(value) : Int64(value)
        }
        try skipNumber()
        guard let value = JSONNumber(text(from: start).prefix(at - start)).wholePart else {
            throw JSONScanError(fault: .numberOutOfRange, offset: start)
        }
        return value
    }

    /// Takes a number by the grammar of RFC 8259 section 6.
    mutating func skipNumber() throws(JSONScanError) {
        if at < count, self[at] == UInt8(ascii: "-") { at += 1 }
        guard at < count else { throw error(.unexpectedEnd) }
        if self[at] == UInt8(ascii: "0") {
            at += 1
        } else {
            try skipDigits()
        }
        if at < count, self[at] == UInt8(ascii: ".") {
            at += 1
            try skipDigits()
        }
        if at < count, self[at] | 0x20 == UInt8(ascii: "e") {
            at += 1
            if at < count, self[at] == UInt8(ascii: "+") || self[at] == UInt8(ascii: "-") { at += 1 }
            try skipDigits()
        }
        // `01`, `1x` and `1.` must not end quietly before the bad character.
        if at < count, Self.continuesNumber(self[at]) { throw error(.invalidNumber) }
    }

    private mutating func skipDigits() throws(JSONScanError) {
        let start = at
        while at < count, Self.isDigit(self[at]) { at += 1 }
        guard at > start else { throw error(at < count ? .invalidNumber : .unexpectedEnd) }
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    private static func continuesNumber(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e") || byte == UInt8(ascii: "+")
            || byte == UInt8(ascii: "-")
    }

    /// Takes one value of any kind, checking it, and forgets it. One bit a level says whether that level is an object; 64 levels need no
    /// memory, and a hostile text an eighth of its own size.
    mutating func skipValue() throws(JSONScanError) {
        var depth = 0
        var objects: UInt64 = 0
        var outerObjects: [UInt64] = []
        while true {
            var completed = true
            switch try peek() {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                let isObject = self[at] == UInt8(ascii: "{")
                if isObject ? try openObject() : try openArray() {
                    if depth > 0, depth % 64 == 0 { outerObjects.append(objects) }
                    objects = objects << 1 | (isObject ? 1 : 0)
                    depth += 1
                    if isObject { _ = try key() }
                    completed = false
                }
            case UInt8(ascii: "\""): _ = try string()
            case UInt8(ascii: "t"): try takeLiteral("true")
            case UInt8(ascii: "f"): try takeLiteral("false")
            case UInt8(ascii: "n"): try takeLiteral("null")
            case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): try skipNumber()
            default: throw error(.unexpectedByte)
            }
            while completed {
                if depth == 0 { return }
                let isObject = objects & 1 == 1
                if isObject ? try hasNextMember() : try hasNextElement() {
                    if isObject { _ = try key() }
                    completed = false
                } else {
                    objects >>= 1
                    depth -= 1
                    if depth > 0, depth % 64 == 0, let outer = outerObjects.popLast() { objects = outer }
                }
            }
        }
    }
}
