internal import ArgumentParser
internal import Foundation
internal import JOSE

/// The token of a command. It is in no message, whatever is wrong with the command line.
struct TokenArgument: ParsableArguments {
    /// Words, because one too many would be printed by the parser, and it may be the token.
    @Argument(help: "The token, or - for standard input. A whole header, Authorization: Bearer TOKEN, is fine.")
    var token: [String] = []

    func validate() throws {
        if Self.words(token).count != 1 { throw ValidationError("give one token, or - to read it from standard input") }
    }

    func text() throws -> String {
        let word = Self.words(token)[0]
        guard word == "-" else { return word }
        let bytes = try JWTFiles.read("-", bytesMax: 4 * JOSELimits().tokenBytes)
        let words = Self.words([String(decoding: bytes, as: UTF8.self)])
        // None or several are no token, and the reader says so.
        return words.joined(separator: " ")
    }

    private static func words(_ arguments: [String]) -> [String] {
        var words = arguments.flatMap { $0.split(whereSeparator: \.isWhitespace).map(String.init) }
        for start in ["authorization:", "bearer"] where words.count > 1 && words[0].lowercased() == start { words.removeFirst() }
        return words
    }
}
