import Matching
import PromQL
import TelemetryModel

/// A test script: series to load, queries, and what is expected of them. Our own files use the words below; Prometheus' older and newer
/// ones (promql/promqltest) are read as well.
///
///     clear                                        forgets all series
///     load 5m                                      the series of the following lines, a sample each five minutes from 0 on
///     eval instant at 10m EXPRESSION               and the following lines are its result
///     eval range from 0 to 10m step 1m EXPRESSION
///       expect fail|warn|info|no_warn|no_info|ordered [msg: TEXT | regex: PATTERN]
///       name{label="value"} 1 2 3                  a series of the result; a number alone is a scalar
struct Script {
    enum Command {
        case clear
        case load(step: Int64, series: [String], withNatives: Bool)
        case evaluate(Evaluation)
    }

    struct Evaluation {
        enum Time {
            case instant(Int64)
            case range(from: Int64, through: Int64, step: Int64)
        }

        struct Expectation {
            var kind: String
            var message: String?
            var pattern: TextPattern?
        }

        var line: Int
        var time: Time
        var expression: String
        var expectations: [Expectation] = []
        /// Of an instant query that gives a matrix: the times of its samples.
        var matrixTimes: (from: Int64, through: Int64, step: Int64)?
        var string: String?
        var results: [String] = []

        func expects(_ kind: String) -> Bool { expectations.contains { $0.kind == kind } }
    }

    private(set) var commands: [Command] = []

    init(_ text: String) throws {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            let trimmed = Self.trimmed(line)
            return trimmed.hasPrefix("#") ? "" : trimmed
        }
        var index = 0
        while index < lines.count {
            let line = lines[index]
            let first = index
            index += 1
            if line.isEmpty { continue }
            if line.lowercased() == "clear" { commands.append(.clear); continue }
            var block: [String] = []
            while index < lines.count, !lines[index].isEmpty {
                block.append(lines[index])
                index += 1
            }
            if line.hasPrefix("load") { commands.append(try Self.load(line, block)); continue }
            guard line.hasPrefix("eval") else { throw SeriesNotation.Problem(description: "line \(first + 1): unknown command \(line)") }
            commands.append(.evaluate(try Self.evaluation(line, block, number: first + 1)))
        }
    }

    private static func trimmed(_ line: Substring) -> String {
        var rest = line.drop { $0 == " " || $0 == "\t" || $0 == "\r" }
        while let last = rest.last, last == " " || last == "\t" || last == "\r" { rest.removeLast() }
        return String(rest)
    }

    private static func load(_ line: String, _ block: [String]) throws -> Command {
        let words = line.split { $0 == " " || $0 == "\t" }
        return .load(step: try PromDuration.parse(String(words[1])), series: block, withNatives: words[0] == "load_with_nhcb")
    }

    private static func evaluation(_ line: String, _ block: [String], number: Int) throws -> Evaluation {
        var scanner = TextScanner(line)
        let command = scanner.take { $0 != " " && $0 != "\t" }
        var evaluation = Evaluation(line: number, time: .instant(0), expression: "")
        if command.hasPrefix("eval_") { evaluation.expectations.append(.init(kind: String(command.dropFirst(5)))) }
        func word() -> String {
            scanner.skipSpace()
            return scanner.take { $0 != " " && $0 != "\t" }
        }
        if word() == "instant" {
            var time: Int64 = 0
            scanner.skipSpace()
            if scanner.starts(with: "at ") {
                _ = word()
                time = try PromDuration.parse(word())
            }
            evaluation.time = .instant(time)
        } else {
            var times: [Int64] = []
            for _ in 0..<3 {
                _ = word()
                times.append(try PromDuration.parse(word()))
            }
            evaluation.time = .range(from: times[0], through: times[1], step: times[2])
        }
        scanner.skipSpace()
        evaluation.expression = scanner.remainder
        for line in block { try add(line, to: &evaluation) }
        return evaluation
    }

    private static func add(_ line: String, to evaluation: inout Evaluation) throws {
        let words = line.split { $0 == " " || $0 == "\t" }.map(String.init)
        if line.hasPrefix("expect range vector") {
            evaluation.matrixTimes = (try PromDuration.parse(words[4]), try PromDuration.parse(words[6]), try PromDuration.parse(words[8]))
        } else if line == "expect string" {
            evaluation.string = ""
        } else if line.hasPrefix("expect string ") {
            // Newer scripts quote it.
            let text = String(line.dropFirst("expect string ".count))
            evaluation.string = GoText.unquoted(text) ?? text
        } else if words[0] == "expect" {
            evaluation.expectations.append(try expectation(line, kind: words[1]))
        } else if words[0] == "expected_fail_message" {
            evaluation.expectations.append(.init(kind: "fail", message: trimmed(line.dropFirst(words[0].count))))
        } else if words[0] == "expected_fail_regexp" {
            evaluation.expectations.append(.init(kind: "fail", pattern: try pattern(trimmed(line.dropFirst(words[0].count)))))
        } else {
            evaluation.results.append(line)
        }
    }

    private static func expectation(_ line: String, kind: String) throws -> Evaluation.Expectation {
        var expectation = Evaluation.Expectation(kind: kind)
        if let found = line.firstRange(of: "msg:") { expectation.message = trimmed(line[found.upperBound...]) }
        if expectation.message == nil, let found = line.firstRange(of: "regex:") {
            expectation.pattern = try pattern(trimmed(line[found.upperBound...]))
        }
        return expectation
    }

    /// Anywhere in the text.
    private static func pattern(_ text: String) throws -> TextPattern { try TextPattern(".*(?:\(text)).*") }
}
