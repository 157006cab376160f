import Foundation
@testable import skein
import Testing

@Suite struct InitCommandTests {
    /// What is written must be what was tried: Config/two-services runs end to end.
    @Test(arguments: ExampleFiles.all.map(\.name))
    func writesWhatIsTested(_ name: String) throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let file = try String(contentsOf: root.appendingPathComponent("Config/two-services/\(name)"), encoding: .utf8)
        #expect(ExampleFiles.all.first { $0.name == name }?.text == file)
    }

    @Test func aWordThatIsNoCommandIsAnsweredWithTheOneThatWasMeant() {
        #expect(SkeinCommand.advice(for: "runn")?.contains("did you mean `skein run`?") == true)
        #expect(SkeinCommand.advice(for: "validat")?.contains("skein validate") == true)
        #expect(SkeinCommand.advice(for: "zzzzzz")?.contains("commands are analyze,") == true)
        for word in ["run", "pc", "help", "--help", "-h", "--version"] { #expect(SkeinCommand.advice(for: word) == nil) }
    }
}
