/// A word of TraceQL and where it begins, in characters from 1.
struct TraceQLToken: Equatable {
    enum Kind: Equatable {
        case openBrace, closeBrace, openParenthesis, closeParenthesis
        case and, or
        case comparison(SpanComparison)
        case text(String)
        case number(Double)
        case duration(nanoseconds: Double)
        /// A field, a keyword or a function's name.
        case word(String)
        /// An operator of TraceQL that is not among the above.
        case symbol(String)
        case end
    }

    var kind: Kind
    var place: Int
    /// As it stands in the query, for errors.
    var source: String
}

/// Why a query is none, or is not supported: where, what was found and what would be accepted.
struct TraceQLError: Error, Equatable, Sendable {
    var place: Int
    var text: String

    var description: String { "TraceQL, character \(place): \(text)" }
}

/// Cuts a query into tokens (grafana.com/docs/tempo, "TraceQL"; operators and names of Tempo's `pkg/traceql` lexer). Linear in the text.
struct TraceQLLexer {
    private let characters: [Character]
    private var at = 0

    init(_ text: String) { characters = Array(text) }

    private static let symbols = [
        "&>>", "&<<", "!>>", "!<<", "&&", "||", ">=", "<=", "!=", "=~", "!~", ">>", "<<", "&>", "&<", "&~", "!>", "!<", "=", ">", "<", "~",
        "|", "!", "+", "-", "*", "/", "%", "^", ",",
    ]

    mutating func nextToken() throws(TraceQLError) -> TraceQLToken {
        while at < characters.count, characters[at].isWhitespace { at += 1 }
        let start = at
        guard at < characters.count else { return TraceQLToken(kind: .end, place: start + 1, source: "the end of the query") }
        let kind = try readKind()
        return TraceQLToken(kind: kind, place: start + 1, source: ZipkinParameters.quoted(String(characters[start..<at])))
    }

    private mutating func readKind() throws(TraceQLError) -> TraceQLToken.Kind {
        let character = characters[at]
        switch character {
        case "{", "}", "(", ")":
            at += 1
            return character == "{" ? .openBrace : character == "}" ? .closeBrace : character == "(" ? .openParenthesis : .closeParenthesis
        case "\"", "`": return .text(try readText(character))
        default: break
        }
        let isNegative = character == "-" && at + 1 < characters.count && Self.isDigit(characters[at + 1])
        if Self.isDigit(character) || isNegative { return try readNumber() }
        if character.isLetter || character == "." || character == "_" { return .word(try readWord()) }
        for symbol in Self.symbols where characters[at...].starts(with: symbol) {
            at += symbol.count
            if symbol == "&&" { return .and }
            if symbol == "||" { return .or }
            return SpanComparison(rawValue: symbol).map { .comparison($0) } ?? .symbol(symbol)
        }
        throw TraceQLError(place: at + 1, text: "\(ZipkinParameters.quoted(String(character))) is nothing of TraceQL")
    }

    /// A string in quotes with Go's escapes, or in backquotes without.
    private mutating func readText(_ quote: Character) throws(TraceQLError) -> String {
        let start = at
        at += 1
        var text = ""
        while at < characters.count {
            let character = characters[at]
            at += 1
            if character == quote { return text }
            guard character == "\\", quote == "\"" else {
                text.append(character)
                continue
            }
            guard at < characters.count else { break }
            let escapes: [Character: Character] = ["n": "\n", "r": "\r", "t": "\t", "\\": "\\", "\"": "\"", "'": "'"]
            guard let plain = escapes[characters[at]] else {
                throw TraceQLError(
                    place: at, text: "\\\(characters[at]) is no escape: write \\\" \\\\ \\n \\r \\t, or put the string in backquotes")
            }
            text.append(plain)
            at += 1
        }
        throw TraceQLError(place: start + 1, text: "the string that begins here has no end")
    }

    private mutating func readNumber() throws(TraceQLError) -> TraceQLToken.Kind {
        let start = at
        if characters[at] == "-" { at += 1 }
        while at < characters.count, Self.isDigit(characters[at]) || characters[at] == "." || characters[at].isLetter { at += 1 }
        let text = String(characters[start..<at])
        // Words that Swift reads as numbers have letters, which only durations have here.
        if !text.contains(where: \.isLetter), let number = Double(text), number.isFinite { return .number(number) }
        if let nanoseconds = GoDuration.nanoseconds(text) { return .duration(nanoseconds: nanoseconds) }
        throw TraceQLError(
            place: start + 1, text: "\(ZipkinParameters.quoted(text)) is neither a number nor a duration such as 100ms or 1.5s")
    }

    /// A name runs to a blank or an operator; parts of it may stand in quotes.
    private mutating func readWord() throws(TraceQLError) -> String {
        var word = ""
        while at < characters.count {
            let character = characters[at]
            if character == "\"" {
                word += try readText("\"")
            } else if character.isWhitespace || "{}()=~!<>&|^,".contains(character) {
                break
            } else {
                word.append(character)
                at += 1
            }
        }
        return word
    }

    private static func isDigit(_ character: Character) -> Bool { character.isASCII && character.isNumber }
}
