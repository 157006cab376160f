/// What a person is told of a text that is no YAML: what is probably wrong, where, and the line itself.
///
/// libyaml speaks of tokens and contexts; its words are kept at the end for whoever looks them up.
struct YAMLSyntaxError {
    /// From 1.
    var line: Int
    var column: Int
    var message: String

    /// `problem` and `context`: libyaml's words. `line`, `column`: where it noticed. `beginning`: where the part that it was in began.
    init(problem: String, context: String?, line: Int, column: Int, beginning: (line: Int, column: Int)?, in source: [UInt8]) {
        self.line = line
        self.column = column
        let began = beginning.map { "line \($0.line), column \($0.column)" } ?? "a line above"
        let isQuoted = context?.contains("quoted scalar") ?? false
        let advice: String
        switch problem {
        case _ where problem.contains("tab character"),
            "found character that cannot start any token" where Self.isTab(line, column, source):
            advice = "a tab stands where YAML takes spaces only: indent with spaces"
        case "found character that cannot start any token":
            advice = "text must not begin with this character: put it in quotes"
        case "mapping values are not allowed in this context":
            advice =
                "\": \" is not expected here: is a quote missing around a text that holds a colon, or the indentation of this or the "
                    + "line above off?"
        case "could not find expected ':'":
            advice = "a key without \":\": expected \"key: value\", or less indentation"
            // It is noticed only where the next line begins.
            if let beginning { (self.line, self.column) = beginning }
        case "did not find expected key":
            advice = "expected a key, aligned with those of the mapping that began at \(began): check the indentation"
        case "did not find expected '-' indicator", "block sequence entries are not allowed in this context":
            advice = "\"- \" belongs to a list: align it with the other entries, and put a list on the line after its key"
        case "did not find expected ',' or ']'":
            advice = "the list in [ ] that began at \(began) is not closed here: expected , or ]"
        case "did not find expected ',' or '}'":
            advice = "the mapping in { } that began at \(began) is not closed here: expected , or }"
        case "found unexpected end of stream" where isQuoted, "found unexpected document indicator" where isQuoted:
            advice = "the quote that opens at \(began) is never closed"
            if let beginning { (self.line, self.column) = beginning }
        case "found unknown escape character":
            advice = "\"\\\" with this letter means nothing in double quotes: double it, or use single quotes"
        case "did not find expected hexdecimal number", "found invalid Unicode character escape code":
            advice = "\"\\x\", \"\\u\" and \"\\U\" in double quotes need their hexadecimal digits: double the \"\\\", or use single quotes"
        case "did not find expected alphabetic or numeric character":
            advice = "& and * begin an anchor's name: put text that begins with them in quotes"
        case "did not find expected node content":
            advice = "a value is missing here"
        case "did not find expected comment or line break":
            advice = "nothing may follow here but a comment"
        case "did not find expected <document start>":
            advice = "a document ended above: separate documents by a line ---"
        case "found undefined tag handle", "found incompatible YAML document":
            advice = "tags and directives of other YAML versions are not accepted: delete it"
        case "control characters are not allowed":
            advice = "a control character: delete it, or write it as an escape in double quotes"
        case _ where problem.contains("UTF-8") || problem.contains("UTF-16") || problem.contains("surrogate"):
            advice = "the file is not UTF-8 text: save it as UTF-8"
        default:
            advice = "this cannot be read"
        }
        message = "YAML syntax: \(advice) (\(problem)\(context.map { ", \($0)" } ?? ""))"
    }

    private static func isTab(_ line: Int, _ column: Int, _ source: [UInt8]) -> Bool {
        SourceExcerpt(source, line: line, column: column).map { $0.marked == "\t" } ?? false
    }
}

/// A line of a text and a place in it.
public struct SourceExcerpt: Sendable, Hashable {
    /// The line, without what is too far from the place; tabs as they are.
    public var text: String
    /// Unicode scalars before the place.
    var offset: Int

    /// Scalars shown of one line.
    static let width = 100

    /// Nil when there is no such line. `line` and `column` count from 1.
    init?(_ source: [UInt8], line: Int, column: Int) {
        guard line > 0, column > 0 else { return nil }
        var start = 0
        for _ in 1..<line {
            guard let end = source[start...].firstIndex(of: 0x0A) else { return nil }
            start = end + 1
        }
        let bytes = source[start...].prefix { $0 != 0x0A && $0 != 0x0D }
        var scalars = Array(String(decoding: bytes, as: UTF8.self).unicodeScalars)
        if start == 0, scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        let place = min(column - 1, scalars.count)
        let first = max(0, min(place - Self.width / 2, scalars.count - Self.width))
        text = String(String.UnicodeScalarView(scalars[first...].prefix(Self.width)))
        offset = place - first
    }

    /// The scalar at the place; nil behind the end of the line.
    var marked: Unicode.Scalar? { Array(text.unicodeScalars).dropFirst(offset).first }

    /// The line and below it a caret, with the line's number before them.
    func lines(number: Int) -> [String] {
        let margin = String(number)
        let shown = Diagnostic.printable(text)
        return [
            "  \(margin) | \(shown)", "  \(String(repeating: " ", count: margin.count)) | \(String(repeating: " ", count: offset))^",
        ]
    }
}
