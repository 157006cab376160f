import FuzzEntries
import Foundation
import Testing

/// The entries for libFuzzer, on what is kept of earlier finds: no search, but no entry rots either.
@Suite struct FuzzTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func names(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: root.appending(path: folder).path).sorted()
    }

    /// A file that the table leaves out would be compiled and never run; a corpus without an entry is never read.
    @Test func everyFileIsAnEntry() throws {
        let files = try Self.names(in: "Tools/Fuzz").map { $0.replacing(".swift", with: "") }.filter { $0 != "FuzzEntries" }
        #expect(FuzzEntries.all.map(\.name) == files)
        #expect(try Set(Self.names(in: "Tests/Fixtures/Corpus")).isSubset(of: files))
    }

    /// Each input whole, without its last byte and cut in half; entries without a corpus get the inputs of all others.
    @Test(arguments: FuzzEntries.all.map(\.name)) func theCorpusRuns(_ name: String) throws {
        let entry = try #require(FuzzEntries.all.first { $0.name == name })
        let own = try Self.names(in: "Tests/Fixtures/Corpus").filter { $0 == name }
        let corpora = try own.isEmpty ? Self.names(in: "Tests/Fixtures/Corpus") : own
        for corpus in corpora {
            for file in try Self.names(in: "Tests/Fixtures/Corpus/\(corpus)") {
                let bytes = try [UInt8](Data(contentsOf: Self.root.appending(path: "Tests/Fixtures/Corpus/\(corpus)/\(file)")))
                for count in [bytes.count, max(0, bytes.count - 1), bytes.count / 2, 0] { entry.run(Array(bytes[..<count])) }
            }
        }
    }
}
