import Glibc
import MeshConfig
import Testing

/// docs/analysis.md has a row for every code, written from the table that the program prints. After changing the table:
/// SKEIN_REWRITE_GOLDEN=1 swift test --filter AnalysisDocumentationTests.
@Suite struct AnalysisDocumentationTests {
    static let path = TestFiles.root + "/docs/analysis.md"
    static let start =
        "<!-- Codes: written by Tests/MeshConfigTests/AnalysisDocumentationTests.swift; change "
            + "Sources/MeshConfig/Analysis/AnalysisCode.swift. -->\n"

    @Test func theTableOfCodesIsUpToDate() throws {
        let page = try #require(TestFiles.read(Self.path))
        let head = try #require(page.ranges(of: Self.start).first).upperBound
        var table = "\n| code | name | severity | what it says | what to do |\n|---|---|---|---|---|\n"
        for code in AnalysisCode.all {
            let name =
                code.code.hasPrefix("IST")
                ? "[\(code.name)](https://istio.io/latest/docs/reference/config/analysis/\(code.code.lowercased())/)" : code.name
            table +=
                "| `\(code.code)` | \(name) | \(code.level) | \(code.meaning.replacing("|", with: "\\|")) | "
                    + "\(code.hint.replacing("|", with: "\\|")) |\n"
        }
        let expected = page[..<head] + table
        if unsafe getenv("SKEIN_REWRITE_GOLDEN") != nil { TestFiles.write(String(expected), to: Self.path) }
        #expect(page == expected)
    }

    @Test func codesAreInOrderAndExplained() {
        let codes = AnalysisCode.all.map(\.code)
        #expect(codes == codes.sorted() && Set(codes).count == codes.count)
        for code in AnalysisCode.all { #expect(code.meaning.hasSuffix(".") && code.hint.hasSuffix("."), "\(code.code)") }
    }

    /// A code that somebody reports and nobody explains would be a riddle; one that nobody reports is a promise not kept.
    @Test func everyCodeOfTheSourcesHasARow() {
        var reported: Set<String> = []
        for target in ["MeshConfig", "Routing", "Policy", "MeshRuntime"] {
            // The table itself does not report anything.
            for path in TestFiles.sources(below: "\(TestFiles.root)/Sources/\(target)") where !path.hasSuffix("AnalysisCode.swift") {
                let text = TestFiles.read(path) ?? ""
                for piece in text.split(separator: "\"")
                where piece.count == 7 && (piece.hasPrefix("SKN") || piece.hasPrefix("IST")) && piece.dropFirst(3).allSatisfy(\.isNumber) {
                    reported.insert(String(piece))
                }
            }
        }
        #expect(reported == Set(AnalysisCode.all.map(\.code)), "\(reported.symmetricDifference(AnalysisCode.all.map(\.code)).sorted())")
    }
}
