public import TelemetryModel

/// Reads a page that was scraped, line by line: Prometheus text 0.0.4 and 1.0.0, OpenMetrics 1.0.0
/// (prometheus.io/docs/instrumenting/exposition_formats; OpenMetrics specification, "ABNF").
///
/// It says where the text of each series stands instead of making its labels, so that whoever reads the same page again needs to make
/// them once. A value; it costs the page's bytes, and nothing beyond one sample is kept.
public struct ExpositionReader {
    public enum Entry {
        /// The kind of a family, in the words of the format: `counter`, `gauge`, `histogram`, `summary`, `unknown`, `untyped`, ….
        case kind(family: String, kind: String)
        case help(family: String, text: String)
        case unit(family: String, unit: String)
        case sample(Sample)
    }

    public struct Sample {
        /// Where the metric's name and its labels stand in the page.
        public var series: Range<Int>
        public var value: Double
        /// Milliseconds since 1970; nil = none was given.
        public var timeMilliseconds: Int64?
        /// Where `{labels} value [time]` of an exemplar stands, behind its `#`.
        public var exemplar: Range<Int>?
    }

    /// Which text it is.
    public let isOpenMetrics: Bool
    public let page: [UInt8]
    /// Where the next line begins.
    private var place = 0
    private var line = 0
    private var hasEnded = false

    public init(_ page: [UInt8], isOpenMetrics: Bool) {
        self.page = page
        self.isOpenMetrics = isOpenMetrics
    }

    /// Nil at the page's end. After an error there is nothing more to read.
    public mutating func next() throws(ExpositionFault) -> Entry? {
        while place < page.count {
            let start = place
            let end = page[start...].firstIndex(of: 0x0A) ?? page.count
            place = min(end + 1, page.count)
            line += 1
            if hasEnded { throw fault("text behind # EOF") }
            if isOpenMetrics, end == page.count { throw fault("the page does not end in a line feed") }
            if let entry = try read(start..<end) { return entry }
        }
        if isOpenMetrics, !hasEnded { throw fault("the page does not end in # EOF") }
        return nil
    }

    private mutating func read(_ range: Range<Int>) throws(ExpositionFault) -> Entry? {
        var cursor = TextCursor(page, range)
        cursor.skipBlanks()
        guard let first = cursor.peek else {
            if isOpenMetrics { throw fault("an empty line") }
            return nil
        }
        return first == UInt8(ascii: "#") ? try comment(&cursor) : .sample(try sample(&cursor))
    }

    // MARK: Lines that begin with #

    private mutating func comment(_ cursor: inout TextCursor) throws(ExpositionFault) -> Entry? {
        cursor.advance()
        cursor.skipBlanks()
        let word = cursor.word()
        if isOpenMetrics, word == "EOF" {
            hasEnded = true
            return nil
        }
        guard word == "HELP" || word == "TYPE" || word == "UNIT" else { return nil }
        cursor.skipBlanks()
        let family: String
        if cursor.peek == UInt8(ascii: "\"") { family = try quoted(&cursor) } else { family = cursor.word() }
        cursor.skipBlanks()
        guard !family.isEmpty else { throw fault("# \(word) without a metric's name") }
        switch word {
        case "TYPE":
            let kind = cursor.word()
            cursor.skipBlanks()
            guard !kind.isEmpty, cursor.isAtEnd else { throw fault("# TYPE \(family) wants one word for its kind") }
            return .kind(family: family, kind: kind)
        case "HELP": return .help(family: family, text: unescaped(cursor.rest, quotes: isOpenMetrics))
        default: return .unit(family: family, unit: cursor.word())
        }
    }

    // MARK: Samples

    private func sample(_ cursor: inout TextCursor) throws(ExpositionFault) -> Sample {
        let start = cursor.position
        cursor.skip { $0 != UInt8(ascii: "{") && $0 != 0x20 && $0 != 0x09 }
        var end = cursor.position
        cursor.skipBlanks()
        if cursor.peek == UInt8(ascii: "{") {
            guard cursor.skipBraces() else { throw fault("labels without their closing brace") }
            end = cursor.position
        }
        guard end > start else { throw fault("a sample without a name") }
        cursor.skipBlanks()
        let value = try number(&cursor)
        cursor.skipBlanks()
        var sample = Sample(series: start..<end, value: value, timeMilliseconds: nil, exemplar: nil)
        if let next = cursor.peek, next != UInt8(ascii: "#") {
            sample.timeMilliseconds = try time(&cursor)
            cursor.skipBlanks()
        }
        if isOpenMetrics, cursor.peek == UInt8(ascii: "#") {
            cursor.advance()
            cursor.skipBlanks()
            sample.exemplar = cursor.position..<cursor.end
            cursor.skipToEnd()
        }
        guard cursor.isAtEnd else { throw fault("unexpected text behind the sample: expected a value and perhaps a timestamp") }
        return sample
    }

    private func number(_ cursor: inout TextCursor) throws(ExpositionFault) -> Double {
        let word = cursor.bytesOfWord()
        guard let value = ExpositionNumber.value(page[word]) else { throw fault("\"\(text(word))\" is no number") }
        return value
    }

    private func time(_ cursor: inout TextCursor) throws(ExpositionFault) -> Int64 {
        let word = cursor.bytesOfWord()
        if isOpenMetrics {
            if let seconds = ExpositionNumber.value(page[word]), let time = Int64(exactly: (seconds * 1000).rounded()) { return time }
        } else if let time = Int64(text(word)) {
            return time
        }
        throw fault("\"\(text(word))\" is no timestamp: expected \(isOpenMetrics ? "seconds" : "milliseconds") since 1970")
    }

    // MARK: Labels

    /// The metric's name and labels from the text of a series. Nothing of an exemplar's.
    public func labels(_ series: Range<Int>) throws(ExpositionFault) -> LabelSet {
        var cursor = TextCursor(page, series)
        var labels: [LabelSet.Label] = []
        let name = cursor.range { $0 != UInt8(ascii: "{") && $0 != 0x20 && $0 != 0x09 }
        if !name.isEmpty {
            guard LabelNames.isMetricName(page[name]) else {
                throw fault("\"\(text(name))\" is no metric's name; others are quoted in the braces")
            }
            labels.append(LabelSet.Label(LabelSet.metricName, text(name)))
        }
        cursor.skipBlanks()
        if !cursor.isAtEnd { try appendLabels(&cursor, to: &labels) }
        let names = Set(labels.map(\.name))
        guard names.count == labels.count else { throw fault("a label twice in \(text(series))") }
        guard names.contains(LabelSet.metricName) else { throw fault("a sample without a name: \(text(series))") }
        return LabelSet(labels)
    }

    /// The exemplar of a sample; nil = it names no trace in `trace_id`, or is none. Without a time of its own it has the sample's.
    public func exemplar(_ place: Range<Int>, at time: Int64) -> SeriesExemplar? {
        var cursor = TextCursor(page, place)
        var labels: [LabelSet.Label] = []
        guard cursor.peek == UInt8(ascii: "{"), (try? appendLabels(&cursor, to: &labels)) != nil else { return nil }
        cursor.skipBlanks()
        guard let value = try? number(&cursor) else { return nil }
        cursor.skipBlanks()
        let time = cursor.isAtEnd ? time : (try? self.time(&cursor)) ?? time
        return ExemplarLabels.exemplar(labels, time: time, value: value)
    }

    private func appendLabels(_ cursor: inout TextCursor, to labels: inout [LabelSet.Label]) throws(ExpositionFault) {
        cursor.advance()
        cursor.skipBlanks()
        while let next = cursor.peek, next != UInt8(ascii: "}") {
            try appendLabel(&cursor, to: &labels)
            cursor.skipBlanks()
            if cursor.peek == UInt8(ascii: ",") {
                cursor.advance()
                cursor.skipBlanks()
            } else if cursor.peek != UInt8(ascii: "}") {
                throw fault("expected , or } between labels")
            }
        }
        cursor.advance()
    }

    private func appendLabel(_ cursor: inout TextCursor, to labels: inout [LabelSet.Label]) throws(ExpositionFault) {
        let isQuoted = cursor.peek == UInt8(ascii: "\"")
        let name: String
        if isQuoted {
            name = try quoted(&cursor)
        } else {
            let word = cursor.range { LabelNames.isNameByte($0) }
            guard LabelNames.isLabelName(page[word]) else { throw fault("\"\(text(word))\" is no label's name; others are quoted") }
            name = text(word)
        }
        cursor.skipBlanks()
        // A quoted text that stands alone is the metric's name (text 1.0.0, "escaping").
        if isQuoted, cursor.peek != UInt8(ascii: "=") { return labels.append(LabelSet.Label(LabelSet.metricName, name)) }
        guard cursor.peek == UInt8(ascii: "=") else { throw fault("expected = behind the label \(name)") }
        cursor.advance()
        cursor.skipBlanks()
        guard cursor.peek == UInt8(ascii: "\"") else { throw fault("the value of the label \(name) is not quoted") }
        labels.append(LabelSet.Label(name, try quoted(&cursor)))
    }

    private func quoted(_ cursor: inout TextCursor) throws(ExpositionFault) -> String {
        guard let range = cursor.quotedRange() else { throw fault("a quoted text without its end") }
        guard let text = String(validating: unescapedBytes(range, quotes: true), as: UTF8.self) else {
            throw fault("a text that is not UTF-8")
        }
        return text
    }

    private func unescaped(_ range: Range<Int>, quotes: Bool) -> String {
        String(decoding: unescapedBytes(range, quotes: quotes), as: UTF8.self)
    }

    /// `\\`, `\n` and perhaps `\"`; what follows another backslash stays as it is, with the backslash.
    private func unescapedBytes(_ range: Range<Int>, quotes: Bool) -> [UInt8] {
        guard page[range].contains(UInt8(ascii: "\\")) else { return Array(page[range]) }
        var bytes: [UInt8] = []
        var index = range.lowerBound
        while index < range.upperBound {
            let next = page[index] == UInt8(ascii: "\\") && index + 1 < range.upperBound ? page[index + 1] : 0
            switch next {
            case UInt8(ascii: "\\"): bytes.append(next)
            case UInt8(ascii: "n"): bytes.append(0x0A)
            case UInt8(ascii: "\"") where quotes: bytes.append(next)
            default:
                bytes.append(page[index])
                index += 1
                continue
            }
            index += 2
        }
        return bytes
    }

    /// A number as the format writes it, such as the value of a label `le`.
    public static func number(_ text: String) -> Double? { ExpositionNumber.value(Array(text.utf8)[...]) }

    public func text(_ range: Range<Int>) -> String { String(decoding: page[range], as: UTF8.self) }

    private func fault(_ reason: String) -> ExpositionFault { ExpositionFault(line: line, reason: reason) }
}

/// Why a page is none. A scraper refuses the whole page, as Prometheus does.
public struct ExpositionFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// From 1.
    public var line: Int
    public var reason: String

    public init(line: Int, reason: String) {
        self.line = line
        self.reason = reason
    }

    public var description: String { "line \(line): \(reason)" }
}
