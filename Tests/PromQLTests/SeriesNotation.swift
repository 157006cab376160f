import PromQL
import TelemetryModel

/// A series and its samples as scripts write them: `name{label="value"} 1 2+3x4 _ stale {{schema:1 sum:2 count:3 buckets:[1 2]}}`
/// (prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series).
struct SeriesNotation {
    enum Value {
        case nothing
        case number(Double)
        /// `isHintSet`: the hint of counter resets is written, so it is compared.
        case histogram(NativeHistogram, isHintSet: Bool)
    }

    struct Problem: Error, CustomStringConvertible {
        var description: String
    }

    var labels: LabelSet
    var values: [Value]

    init(_ line: String) throws {
        var scanner = TextScanner(line)
        labels = try Self.labels(&scanner)
        values = []
        scanner.skipSpace()
        while !scanner.isAtEnd {
            values += try Self.item(&scanner)
            scanner.skipSpace()
        }
    }

    private static func labels(_ scanner: inout TextScanner) throws -> LabelSet {
        var labels = LabelSet()
        let name = scanner.take { $0 != "{" && $0 != " " && $0 != "\t" }
        if !name.isEmpty { labels[LabelSet.metricName] = name }
        guard scanner.takeIf("{") else { return labels }
        while !scanner.takeIf("}") {
            scanner.skipSpace()
            let isQuoted = scanner.peek == "\""
            let label = isQuoted ? try scanner.quoted() : scanner.take { $0 != "=" && $0 != "}" && $0 != "," && $0 != " " }
            scanner.skipSpace()
            if scanner.takeIf("=") {
                scanner.skipSpace()
                labels[label] = try scanner.quoted()
            } else if isQuoted {
                labels[LabelSet.metricName] = label
            } else {
                throw Problem(description: "bad labels in \(scanner.text)")
            }
            scanner.skipSpace()
            _ = scanner.takeIf(",")
            scanner.skipSpace()
        }
        return labels
    }

    private static func item(_ scanner: inout TextScanner) throws -> [Value] {
        if scanner.starts(with: "{{") { return try histograms(&scanner) }
        if scanner.takeIf("_") {
            let count = scanner.takeIf("x") ? try scanner.integer() : 1
            return Array(repeating: .nothing, count: count)
        }
        if scanner.starts(with: "stale") {
            _ = scanner.take { $0.isLetter }
            return [.number(SeriesSamples.staleMarker)]
        }
        var value = try scanner.number()
        var step = 0.0
        if scanner.peek == "+" || scanner.peek == "-" { step = try scanner.number() }
        guard scanner.takeIf("x") else { return [.number(value)] }
        var values: [Value] = []
        for _ in 0...(try scanner.integer()) {
            values.append(.number(value))
            value += step
        }
        return values
    }

    private static func histograms(_ scanner: inout TextScanner) throws -> [Value] {
        let (base, isHintSet) = try histogram(&scanner)
        var change: (NativeHistogram, isAdded: Bool)?
        if scanner.peek == "+" || scanner.peek == "-" {
            let isAdded = scanner.takeIf("+")
            if !isAdded { _ = scanner.takeIf("-") }
            change = (try histogram(&scanner).0, isAdded)
        }
        guard scanner.takeIf("x") else { return [.histogram(base, isHintSet: isHintSet)] }
        var current = base
        var values: [Value] = []
        for _ in 0...(try scanner.integer()) {
            values.append(.histogram(current, isHintSet: isHintSet))
            guard let change else { continue }
            current = change.isAdded ? HistogramTools.sum(current, change.0) : HistogramTools.difference(current, change.0)
        }
        return values
    }

    private static func histogram(_ scanner: inout TextScanner) throws -> (NativeHistogram, isHintSet: Bool) {
        guard scanner.takeIf("{"), scanner.takeIf("{") else { throw Problem(description: "no histogram in \(scanner.text)") }
        var histogram = NativeHistogram()
        var (offset, negativeOffset, isHintSet) = (Int32(0), Int32(0), false)
        scanner.skipSpace()
        while !scanner.takeIf("}") {
            let key = scanner.take { $0 != ":" }
            guard scanner.takeIf(":") else { throw Problem(description: "bad histogram in \(scanner.text)") }
            switch key {
            case "schema": histogram.schema = Int32(try scanner.number())
            case "sum": histogram.sum = try scanner.number()
            case "count": histogram.count = try scanner.number()
            case "z_bucket": histogram.zeroCount = try scanner.number()
            case "z_bucket_w": histogram.zeroThreshold = try scanner.number()
            case "custom_values": histogram.customBounds = try numbers(&scanner)
            case "buckets": histogram.positiveCounts = try numbers(&scanner)
            case "n_buckets": histogram.negativeCounts = try numbers(&scanner)
            case "offset": offset = Int32(try scanner.number())
            case "n_offset": negativeOffset = Int32(try scanner.number())
            case "counter_reset_hint":
                isHintSet = true
                let name = scanner.take { $0.isLetter || $0 == "_" }
                histogram.resetHint = ["reset": .reset, "not_reset": .noReset, "gauge": .gauge][name] ?? .unknown
            default: throw Problem(description: "unknown part \(key) of a histogram")
            }
            scanner.skipSpace()
        }
        guard scanner.takeIf("}") else { throw Problem(description: "bad histogram in \(scanner.text)") }
        histogram.positiveSpans = span(offset, histogram.positiveCounts)
        histogram.negativeSpans = span(negativeOffset, histogram.negativeCounts)
        return (histogram, isHintSet)
    }

    private static func span(_ offset: Int32, _ counts: [Double]) -> [NativeHistogram.Span] {
        counts.isEmpty ? [] : [NativeHistogram.Span(offset: offset, length: UInt32(counts.count))]
    }

    private static func numbers(_ scanner: inout TextScanner) throws -> [Double] {
        guard scanner.takeIf("[") else { throw Problem(description: "no list in \(scanner.text)") }
        var numbers: [Double] = []
        scanner.skipSpace()
        while !scanner.takeIf("]") {
            numbers.append(try scanner.number())
            scanner.skipSpace()
        }
        return numbers
    }
}

/// Reads a line from its beginning.
struct TextScanner {
    let text: String
    private var rest: Substring

    init(_ text: String) {
        self.text = text
        rest = text[...]
    }

    var isAtEnd: Bool { rest.isEmpty }
    var peek: Character? { rest.first }
    var remainder: String { String(rest) }
    func starts(with prefix: String) -> Bool { rest.hasPrefix(prefix) }

    mutating func skipSpace() { rest = rest.drop { $0 == " " || $0 == "\t" } }

    mutating func take(while isPart: (Character) -> Bool) -> String {
        let part = rest.prefix(while: isPart)
        rest = rest[part.endIndex...]
        return String(part)
    }

    mutating func takeIf(_ character: Character) -> Bool {
        guard rest.first == character else { return false }
        rest.removeFirst()
        return true
    }

    mutating func quoted() throws -> String {
        guard let quote = rest.first, quote == "\"" || quote == "'" || quote == "`" else {
            throw SeriesNotation.Problem(description: "no quote in \(text)")
        }
        var literal = String(rest.removeFirst())
        var isEscaped = false
        while let next = rest.popFirst() {
            literal.append(next)
            if isEscaped { isEscaped = false } else if next == "\\" { isEscaped = quote != "`" } else if next == quote { break }
        }
        guard let value = GoText.unquoted(literal) else { throw SeriesNotation.Problem(description: "bad text \(literal)") }
        return value
    }

    mutating func integer() throws -> Int {
        guard let value = Int(take { $0.isNumber }) else { throw SeriesNotation.Problem(description: "no number in \(text)") }
        return value
    }

    mutating func number() throws -> Double {
        var digits = ""
        if rest.first == "+" || rest.first == "-" { digits.append(rest.removeFirst()) }
        if let first = rest.first, first.isLetter {
            let word = take { $0.isLetter }.lowercased()
            guard word == "nan" || word == "inf" else { throw SeriesNotation.Problem(description: "no number in \(text)") }
            return word == "nan" ? .nan : digits == "-" ? -.infinity : .infinity
        }
        digits += take { $0.isNumber || $0 == "." }
        if rest.first == "e" || rest.first == "E" {
            digits.append(rest.removeFirst())
            if rest.first == "+" || rest.first == "-" { digits.append(rest.removeFirst()) }
            digits += take { $0.isNumber }
        }
        if digits.hasSuffix(".") { digits.append("0") }
        guard let value = Double(digits) else { throw SeriesNotation.Problem(description: "no number \(digits) in \(text)") }
        return value
    }
}
