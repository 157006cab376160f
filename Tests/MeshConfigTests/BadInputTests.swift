import Glibc
import MeshConfig
import Testing

/// Each file of Tests/Fixtures/Config/bad against its golden diagnostics, text for text: people read these.
/// After an intended change of wording: SKEIN_REWRITE_GOLDEN=1 swift test --filter BadInputTests, then read the diff.
@Suite struct BadInputTests {
    static let folder = TestFiles.root + "/Tests/Fixtures/Config/bad"
    static let files = TestFiles.names(in: folder).filter { $0.hasSuffix(".yaml") }

    @Test(arguments: BadInputTests.files)
    func diagnosticsAreAsRecorded(_ name: String) throws {
        let text = try #require(TestFiles.read("\(BadInputTests.folder)/\(name)"))
        let (_, diagnostics) = MeshConfiguration.load(texts: [(name: name, text: text)])
        #expect(diagnostics.hasErrors)
        let golden = "\(BadInputTests.folder)/\(name.dropLast(5)).golden"
        let lines = diagnostics.lines.joined(separator: "\n") + "\n"
        if unsafe getenv("SKEIN_REWRITE_GOLDEN") != nil { TestFiles.write(lines, to: golden) }
        #expect(lines == TestFiles.read(golden))
    }

    @Test func theFolderIsThere() { #expect(BadInputTests.files.count >= 10) }

    /// Past crashes and slow inputs; the file name says which.
    @Test func theCorpusIsReplayed() {
        let corpus = TestFiles.root + "/Tests/Fixtures/Corpus/MeshConfig"
        let names = TestFiles.names(in: corpus)
        #expect(!names.isEmpty)
        for name in names {
            let (_, diagnostics) = MeshConfiguration.load(paths: ["\(corpus)/\(name)"])
            #expect(diagnostics.items.allSatisfy { !$0.json.isEmpty && !$0.text.contains("\n") })
        }
    }

    @Test func filesThatCannotBeReadAreErrors() {
        #expect(MeshConfiguration.load(paths: ["/nonexistent/x.yaml"]).1.errors.map(\.code) == ["SKN0001"])
        #expect(MeshConfiguration.load(paths: ["/dev/null"]).1.errors.map(\.code) == ["SKN0001"])
    }

    @Test func aJSONDiagnosticIsOneEscapedObject() {
        let diagnostic = Diagnostic(
            severity: .error, code: "SKN0101", position: SourcePosition(file: "a\"b.yaml", line: 3, column: 4),
            resource: ResourceID(kind: "K", namespace: "n", name: "x"), field: "spec.a", message: "tab\there \u{1b}[31m\n")
        #expect(
            diagnostic.json
                == #"{"severity":"error","code":"SKN0101","file":"a\"b.yaml","line":3,"column":4,"kind":"K","namespace":"n","name":"x","field":"spec.a","message":"tab\there \u001b[31m\n"}"#)
        #expect(diagnostic.text == "a\"b.yaml:3:4: error [SKN0101] K n/x spec.a: tab here  [31m ")
    }

    /// istioctl takes the mesh's settings without metadata, and Istio's documentation shows them so.
    @Test func theMeshSettingsNeedNoName() {
        let (mesh, diagnostics) = TestFiles.load(
            "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  meshConfig: {accessLogFile: /dev/stdout}\n")
        #expect(!diagnostics.hasErrors)
        #expect(mesh.mesh.accessLogFile == "/dev/stdout")
    }

    @Test func aHundredThousandMistakesAreFast() {
        let text = TestFiles.resource("IstioOperator", "meshConfig:\n" + (0..<60_000).map { "  acessLog\($0): 1" }.joined(separator: "\n"))
        let (_, diagnostics) = TestFiles.load(text)
        #expect(diagnostics.errorCount == 60_000)
    }
}
