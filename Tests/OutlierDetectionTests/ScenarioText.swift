import Foundation

/// The text of a scenario, and the words that both languages of them have: `ScenarioRunner` and `MeshScenarioRunner` say what verbs mean.
///
/// One statement a line; `#` begins a comment.
struct ScenarioText {
    struct Statement {
        let line: Int
        let verb: String
        let words: [String]
    }

    struct Malformed: Error, CustomStringConvertible { var description: String }

    static let folder = "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/Scenarios"

    /// Names of the scenarios in a folder, sorted.
    static func files(in folder: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".scenario") }.sorted()
    }

    let file: String
    let statements: [Statement]
    /// The line of the statement that runs, for messages.
    private(set) var line = 0

    init(folder: String, file: String) throws {
        self.file = file
        let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
        statements = text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap { number, content in
            let words = content.prefix { $0 != "#" }.split(separator: " ").map(String.init)
            return words.first.map { Statement(line: number + 1, verb: $0, words: Array(words.dropFirst())) }
        }
    }

    mutating func begin(_ statement: Statement) { line = statement.line }

    func bad(_ what: String) -> Malformed { Malformed(description: "\(file):\(line): \(what)") }

    func time(_ text: String?) throws -> UInt64 {
        guard let text, let time = Self.nanoseconds(text) else { throw bad("\(text ?? "nothing") is not a time") }
        return time
    }

    func number(_ text: String?) throws -> Int {
        guard let text, let number = Int(text) else { throw bad("\(text ?? "nothing") is no number") }
        return number
    }

    /// `10s` or `1500ms`.
    private static func nanoseconds(_ text: String) -> UInt64? {
        if text.hasSuffix("ms"), let value = UInt64(text.dropLast(2)) { return value * 1_000_000 }
        if text.hasSuffix("s"), let value = UInt64(text.dropLast()) { return value * 1_000_000_000 }
        return nil
    }
}
