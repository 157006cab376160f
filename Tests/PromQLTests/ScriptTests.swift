import Foundation
import PromQL
import Testing

@Suite struct ScriptTests {
    static let folder = "/" + #filePath.split(separator: "/").dropLast().joined(separator: "/") + "/Scripts"

    static func files(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.hasSuffix(".test") }.sorted()
    }

    @Test(arguments: files(in: folder))
    func scriptHolds(file: String) throws {
        var runner = ScriptRunner()
        runner.engine.delaysNameRemoval = file.contains("delayed")
        runner.run(try String(contentsOfFile: Self.folder + "/" + file, encoding: .utf8))
        for problem in runner.problems { Issue.record("\(file): \(problem)") }
        #expect(runner.evaluations > 0)
    }

    /// Prometheus' own scripts, where the variable says they are. They are run with its tests' setting for names.
    @Test func foreignScriptsHold() throws {
        guard let folder = ProcessInfo.processInfo.environment["PROMQL_SCRIPTS"] else { return }
        for file in Self.files(in: folder) {
            var runner = ScriptRunner()
            runner.engine.delaysNameRemoval = true
            runner.run(try String(contentsOfFile: folder + "/" + file, encoding: .utf8))
            print("\(file): \(runner.evaluations) evaluations, \(runner.skipped) experimental, \(runner.problems.count) problems")
            for problem in runner.problems { Issue.record("\(file): \(problem)") }
        }
    }
}
