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
            let (_, diagnostics) = MeshConfiguration.load(from: ["\(corpus)/\(name)"])
            #expect(diagnostics.items.allSatisfy { !$0.json.isEmpty && !$0.text.contains("\n") })
        }
    }

    @Test func filesThatCannotBeReadAreErrors() {
        #expect(MeshConfiguration.load(from: ["/nonexistent/x.yaml"]).1.errors.map(\.code) == ["SKN0001"])
        #expect(MeshConfiguration.load(from: ["/dev/null"]).1.errors.map(\.code) == ["SKN0001"])
    }

    @Test func aJSONDiagnosticIsOneEscapedObject() {
        let diagnostic = Diagnostic(
            severity: .error, code: "SKN0101", position: SourcePosition(file: "a\"b.yaml", line: 3, column: 4),
            resource: ResourceID(kind: "K", namespace: "n", name: "x"), field: "spec.a", message: "tab\there \u{1b}[31m\n")
        #expect(
            diagnostic.json
                == #"{"severity":"error","code":"SKN0101","file":"a\"b.yaml","line":3,"column":4,"kind":"K","namespace":"n","name":"x","#
                    + #""field":"spec.a","message":"tab\there \u001b[31m\n"}"#
        )
        #expect(diagnostic.text == "a\"b.yaml:3:4: error [SKN0101] K n/x spec.a: tab here  [31m ")
    }

    /// One slip, one message: what follows from it is not told as if it were another.
    @Test func aSlipIsNotToldTwice() {
        func codes(_ route: String) -> [String] {
            TestFiles.load(TestFiles.resource("VirtualService", "hosts: [a.b]\nhttp: [{route: \(route)}]")).1.errors.map {
                "\($0.code) \($0.field)"
            }
        }
        let destination = "destination: {host: a.b}"
        #expect(
            codes("[{\(destination), wieght: 90}, {\(destination), wieght: 10}]") == [
                "SKN0101 spec.http[0].route[0].wieght", "SKN0101 spec.http[0].route[1].wieght",
            ])
        #expect(
            codes("[{\(destination), weight: many}, {\(destination), weight: few}]") == [
                "SKN0102 spec.http[0].route[0].weight", "SKN0102 spec.http[0].route[1].weight",
            ])
        #expect(
            codes("[{\(destination), weight: 0}, {\(destination), weight: 0}]") == ["IST0106 spec.http[0].route"],
            "nothing else explains it")
        #expect(codes("[{destination: {hots: a.b}}]") == ["SKN0101 spec.http[0].route[0].destination.hots"])
    }

    /// A file with nothing in it is most likely a mistake, and was silence.
    @Test(arguments: ["", "\n\n", "# later\n", "---\n", "---\n---\n"])
    func aFileWithoutResourcesIsSaid(_ text: String) {
        let (_, diagnostics) = TestFiles.load(text)
        #expect(diagnostics.items.map(\.code) == ["SKN0010"] && !diagnostics.hasErrors)
    }

    /// What people do to YAML, and where they are sent: the place that has to change, in their words, with the line.
    @Test(arguments: [
        ("spec:\n  hosts: [a, b\n  http: []\n", 3, "list in [ ] that began at line 2, column 10 is not closed"),
        ("spec: {a: b\nc: d\n", 2, "mapping in { } that began at line 1, column 7 is not closed"),
        ("a: b: c\n", 1, "is a quote missing"), ("a: 'b\nc: d\n", 1, "the quote that opens at line 1, column 4 is never closed"),
        ("a:\n\tb: c\n", 2, "indent with spaces"), ("a:\n  - b\n c: d\n", 3, "check the indentation"), ("a: @b\n", 1, "put it in quotes"),
        ("a: b\nc\nd: e\n", 2, "a key without \":\""), ("a: \"\\q\"\n", 1, "double it"), ("a: *\n", 1, "begin an anchor's name"),
        ("a: \"\\xZZ\"\n", 1, "hexadecimal digits"), ("a: b\n- c\n", 2, "align"), ("%YAML 9.9\n---\na: b\n", 1, "delete it"),
    ])
    func syntaxErrorsAreForPeople(_ text: String, _ line: Int, _ words: String) throws {
        let error = try #require(TestFiles.load(text).1.errors.first { $0.code == "SKN0002" })
        #expect(error.position.line == line && error.message.contains(words), "\(error.text)")
        let excerpt = error.excerptLines
        try #require(excerpt.count == 2)
        #expect(excerpt[0].hasPrefix("  \(line) | ") && excerpt[1].hasSuffix("^"))
        #expect(excerpt[1].count <= excerpt[0].count + 1, "the caret is under the line")
    }

    /// The line may be a megabyte long, and its bytes may be a terminal's orders.
    @Test func anExcerptIsShortAndPrintable() throws {
        let text = "a: " + String(repeating: "x", count: 5000) + "\u{9b}31m: c\n"
        let error = try #require(TestFiles.load(text).1.errors.first { $0.code == "SKN0002" })
        #expect(error.excerptLines.allSatisfy { $0.unicodeScalars.count < 120 && !$0.unicodeScalars.contains("\u{9b}") })
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
