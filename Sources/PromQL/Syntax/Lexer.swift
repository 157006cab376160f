/// Cuts a query into tokens. Pure; costs its length. The first thing that cannot be a token ends the list, as a problem with Prometheus'
/// reason (promql/parser/lex.go): whether it counts is the parser's matter, which may find another problem before it.
struct Lexer {
    private let bytes: [UInt8]
    private var position = 0
    /// Where the token at hand begins.
    private var start = 0
    private var parenthesisDepth = 0
    private var isInBraces = false
    private var isInBrackets = false
    /// In brackets: a colon was there.
    private var hasColon = false
    private var hasDuration = false
    private(set) var tokens: [Token] = []

    init(_ text: String) { bytes = Array(text.utf8) }

    /// The last token is `.end` or `.problem`.
    static func tokens(of text: String) -> [Token] {
        var lexer = Lexer(text)
        while lexer.step() {}
        return lexer.tokens
    }

    /// One token or some space; false behind the last one.
    private mutating func step() -> Bool {
        start = position
        guard let byte = peek() else { return finish() }
        if Self.isSpace(byte) { skip { Self.isSpace($0) }; return true }
        if byte == UInt8(ascii: "#"), !isInBrackets { skip { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }; return true }
        switch UnicodeScalar(byte) {
        case "\"", "'", "`": return string(quote: byte)
        default: return isInBraces ? insideBraces(byte) : isInBrackets ? insideBrackets(byte) : statement(byte)
        }
    }

    private mutating func finish() -> Bool {
        if isInBraces { return fail("unexpected end of input inside braces") }
        if isInBrackets { return fail("unexpected end of input in duration expression") }
        if parenthesisDepth != 0 { return fail("unclosed left parenthesis") }
        tokens.append(Token(kind: .end, range: SourceRange(position, position), text: ""))
        return false
    }

    private mutating func statement(_ byte: UInt8) -> Bool {
        switch UnicodeScalar(byte) {
        case ",": return emit(.comma, 1)
        case "*", "/", "%", "+", "-", "^": return emitOperation(1)
        case "=": return equalSign()
        case "!":
            guard peek(1) == UInt8(ascii: "=") else { return fail("unexpected character after '!': \(character(at: position + 1))") }
            return emitOperation(2)
        case "<", ">": return emitOperation(peek(1) == UInt8(ascii: "=") ? 2 : 1)
        case "(": return openParenthesis()
        case ")": return closeParenthesis()
        case "{":
            isInBraces = true
            return emit(.leftBrace, 1)
        case "[":
            (isInBrackets, hasColon, hasDuration) = (true, false, false)
            return emit(.leftBracket, 1)
        case "]": return fail("unexpected right bracket ']'")
        case "@": return emit(.at, 1)
        case ":": return word()
        default:
            if Self.isDigit(byte) || (byte == UInt8(ascii: ".") && peek(1).map(Self.isDigit) == true) { return number() }
            return Self.isAlpha(byte) ? word() : fail("unexpected character: \(character(at: position))")
        }
    }

    private mutating func equalSign() -> Bool {
        if peek(1) == UInt8(ascii: "=") { return emitOperation(2) }
        return peek(1) == UInt8(ascii: "~") ? fail("unexpected character after '=': '~'") : emit(.equal, 1)
    }

    private mutating func openParenthesis() -> Bool {
        parenthesisDepth += 1
        return emit(.leftParenthesis, 1)
    }

    private mutating func closeParenthesis() -> Bool {
        parenthesisDepth -= 1
        return parenthesisDepth < 0 ? fail("unexpected right parenthesis ')'") : emit(.rightParenthesis, 1)
    }

    private mutating func insideBraces(_ byte: UInt8) -> Bool {
        switch UnicodeScalar(byte) {
        case ",": return emit(.comma, 1)
        case "=": return peek(1) == UInt8(ascii: "~") ? emit(.matches, 2) : emit(.equal, 1)
        case "!":
            if peek(1) == UInt8(ascii: "~") { return emit(.matchesNot, 2) }
            guard peek(1) == UInt8(ascii: "=") else {
                return fail("unexpected character after '!' inside braces: \(character(at: position + 1))")
            }
            return emitOperation(2)
        case "{": return fail("unexpected left brace '{'")
        case "}":
            isInBraces = false
            return emit(.rightBrace, 1)
        default:
            guard Self.isAlpha(byte) else { return fail("unexpected character inside braces: \(character(at: position))") }
            skip { Self.isAlpha($0) || Self.isDigit($0) }
            return emit(.identifier, 0)
        }
    }

    private mutating func insideBrackets(_ byte: UInt8) -> Bool {
        switch UnicodeScalar(byte) {
        case "]":
            isInBrackets = false
            return emit(.rightBracket, 1)
        case ":":
            guard hasDuration else { return fail("unexpected colon before duration in duration expression") }
            guard !hasColon else { return fail("unexpected repeated colon in duration expression") }
            hasColon = true
            return emit(.colon, 1)
        case "(": return openParenthesis()
        case ")": return closeParenthesis()
        case ",": return emit(.comma, 1)
        case "*", "/", "%", "+", "-", "^": return emitOperation(1)
        default:
            guard Self.isDigit(byte) || (byte == UInt8(ascii: ".") && peek(1).map(Self.isDigit) == true) else {
                return fail("unexpected character in duration expression: \(character(at: position))")
            }
            hasDuration = true
            return number()
        }
    }

    private mutating func word() -> Bool {
        skip { Self.isAlpha($0) || Self.isDigit($0) || $0 == UInt8(ascii: ":") }
        let text = string(start..<position)
        if let reserved = Token.reserved(text) { return emit(reserved, 0) }
        return emit(text.utf8.contains(UInt8(ascii: ":")) ? .metricName : .identifier, 0)
    }

    private mutating func number() -> Bool {
        if scanNumber() { return emit(.number, 0) }
        // The digits that were read may be a duration's first ones.
        if scanDuration() { return emit(.duration, 0) }
        if let byte = peek(), Self.isAlpha(byte) || Self.isDigit(byte) { position += 1 }
        return fail("bad number or duration syntax: \(GoText.quoted(string(start..<position)))")
    }

    /// Whether a number ends here. It is not checked for sense; that is the parser's.
    private mutating func scanNumber() -> Bool {
        let isHexadecimal = peek() == UInt8(ascii: "0") && (peek(1) == UInt8(ascii: "x") || peek(1) == UInt8(ascii: "X"))
        if isHexadecimal { position += 2 }
        var hasPoint = false
        var hasExponent = false
        while let byte = peek() {
            switch UnicodeScalar(byte) {
            case ".":
                if hasPoint || isHexadecimal { return take() }
                hasPoint = true
            case "e" where !isHexadecimal, "E" where !isHexadecimal:
                if hasExponent { return take() }
                hasExponent = true
                if peek(1) == UInt8(ascii: "+") || peek(1) == UInt8(ascii: "-") { position += 1 }
                guard let next = peek(1), Self.isDigit(next) else { position += 1; return false }
            case "_":
                guard let next = peek(1), isHexadecimal ? Self.isHexadecimal(next) : Self.isDigit(next) else { position += 1; return false }
            default:
                guard isHexadecimal ? Self.isHexadecimal(byte) : Self.isDigit(byte) else {
                    return !Self.isAlpha(byte) && !Self.isDigit(byte)
                }
            }
            position += 1
        }
        return true
    }

    private mutating func take() -> Bool {
        position += 1
        return false
    }

    private mutating func scanDuration() -> Bool {
        var units: [UInt8] = Array("smhdwy".utf8)
        repeat {
            guard let unit = peek(), units.contains(unit) else { return false }
            position += 1
            if peek() == UInt8(ascii: "s") { position += 1 }
            // Years come first only.
            units = Array("smhdw".utf8)
            let digits = position
            skip { Self.isDigit($0) }
            if position == digits { break }
        } while true
        return !(peek().map { Self.isAlpha($0) || Self.isDigit($0) } ?? false)
    }

    private mutating func string(quote: UInt8) -> Bool {
        position += 1
        while let byte = peek() {
            position += 1
            if byte == quote { return emit(.string, 0) }
            if quote == UInt8(ascii: "`") { continue }
            if byte == UInt8(ascii: "\n") { return fail("unterminated quoted string") }
            if byte == UInt8(ascii: "\\"), let reason = skipEscape(quote: quote) { return fail(reason) }
        }
        return fail(quote == UInt8(ascii: "`") ? "unterminated raw string" : "unterminated quoted string")
    }

    /// Why it is no escape; nil when it is one.
    private mutating func skipEscape(quote: UInt8) -> String? {
        guard let kind = peek() else { return "escape sequence not terminated" }
        let (digits, radix): (Int, Int)
        switch UnicodeScalar(kind) {
        case "a", "b", "f", "n", "r", "t", "v", "\\": position += 1; return nil
        case "0", "1", "2", "3", "4", "5", "6", "7": (digits, radix) = (3, 8)
        case "x": position += 1; (digits, radix) = (2, 16)
        case "u": position += 1; (digits, radix) = (4, 16)
        case "U": position += 1; (digits, radix) = (8, 16)
        default:
            guard kind == quote else { return "unknown escape sequence \(codePoint(at: position))" }
            position += 1
            return nil
        }
        var value: UInt32 = 0
        for _ in 0..<digits {
            guard let byte = peek() else { return "escape sequence not terminated" }
            guard let digit = Self.digit(byte), digit < radix else {
                return "illegal character \(codePoint(at: position)) in escape sequence"
            }
            value = value &* UInt32(radix) &+ UInt32(digit)
            position += 1
        }
        let isByte = digits < 4
        return (isByte ? value <= 255 : UnicodeScalar(value) != nil) ? nil : "escape sequence is an invalid Unicode code point"
    }

    // Characters.

    private func peek(_ distance: Int = 0) -> UInt8? {
        let index = position + distance
        return index < bytes.count ? bytes[index] : nil
    }

    private mutating func skip(while isPart: (UInt8) -> Bool) {
        while let byte = peek(), isPart(byte) { position += 1 }
    }

    private func string(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

    private func scalar(at index: Int) -> UnicodeScalar? {
        guard index < bytes.count else { return nil }
        return String(decoding: bytes[index..<min(index + 4, bytes.count)], as: UTF8.self).unicodeScalars.first
    }

    /// As Go's `%q` prints a rune; the end of the text is its rune −1.
    private func character(at index: Int) -> String { scalar(at: index).map { GoText.quoted(character: $0) } ?? "'\u{FFFD}'" }

    /// As Go's `%#U`.
    private func codePoint(at index: Int) -> String {
        guard let scalar = scalar(at: index) else { return "U+FFFD" }
        let code = String(scalar.value, radix: 16, uppercase: true)
        return "U+" + String(repeating: "0", count: max(0, 4 - code.utf8.count)) + code + " '\(scalar)'"
    }

    private mutating func emit(_ kind: Token.Kind, _ count: Int) -> Bool {
        position += count
        tokens.append(Token(kind: kind, range: SourceRange(start, position), text: string(start..<position)))
        return true
    }

    private mutating func emitOperation(_ count: Int) -> Bool {
        guard let operation = BinaryOperation(rawValue: string(position..<position + count)) else { return fail("unexpected character") }
        return emit(.operation(operation), count)
    }

    private mutating func fail(_ reason: String) -> Bool {
        tokens.append(Token(kind: .problem, range: SourceRange(start, bytes.count), text: reason))
        return false
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isAlpha(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte) || byte == 0x5F }
    private static func isHexadecimal(_ byte: UInt8) -> Bool { digit(byte) != nil }

    private static func digit(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte) - 0x30
        case 0x61...0x66: Int(byte) - 0x61 + 10
        case 0x41...0x46: Int(byte) - 0x41 + 10
        default: nil
        }
    }
}
