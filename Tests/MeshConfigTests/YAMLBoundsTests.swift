import MeshConfig
import Testing

/// Inputs made to exhaust a parser end quickly, with a message that names the bound.
@Suite struct YAMLBoundsTests {
    private func codes(_ text: String) -> [String] { TestFiles.load(text).1.items.map(\.code) }

    @Test func billionLaughsAreCountedBeforeTheyAreTaken() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...30 {
            text += "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", "))]\n"
        }
        #expect(codes(text).contains("SKN0004"))
    }

    @Test func aliasBombsAsKeysAreNotHashed() {
        var text = "a0: &a0 [x, x]\n"
        for level in 1...60 { text += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n" }
        text += "? *a60\n: 1\n? *a60\n: 2\n"
        #expect(codes(text).contains("SKN0004"))
    }

    @Test(arguments: ["[", "{a: ", "- ", "? ", "[{a: "])
    func deepNestingIsRefused(_ opener: String) {
        let text = String(repeating: opener, count: 100_000)
        #expect(!codes(text).isEmpty)
    }

    @Test func deepIndentationIsRefused() {
        let text = (0..<900).map { String(repeating: " ", count: $0) + "k:" }.joined(separator: "\n")
        #expect(codes(text) == ["SKN0004"])
    }

    /// Few nodes, much text: 900 aliases of half a megabyte took 27 seconds before text was charged too.
    @Test func aliasesOfLongTextAreCharged() {
        let text = TestFiles.resource(
            "VirtualService", "hosts: [&x " + String(repeating: "y", count: 1 << 19) + String(repeating: ",*x", count: 900) + "]")
        #expect(codes(text).first == "SKN0004")
    }

    @Test func aliasDepthCounts() {
        var text = "a0: &a0 [x]\n"
        for level in 1...100 { text += "a\(level): &a\(level) [*a\(level - 1)]\n" }
        #expect(codes(text).first == "SKN0004")
    }

    @Test func manyDocumentsStopAtTheBound() {
        let list = codes(String(repeating: "---\na: 1\n", count: 100_000))
        #expect(list.contains("SKN0004"))
        #expect(list.count <= ConfigLimits.standard.diagnostics)
    }

    @Test func hugeScalarsAndFilesAreRefused() {
        #expect(codes("a: \"" + String(repeating: "x", count: 2 << 20) + "\"").contains("SKN0004"))
        #expect(codes("a: " + String(repeating: "x", count: 5 << 20)).contains("SKN0004"))
    }

    @Test func anAnchorInsideItselfIsUndefined() {
        let (_, diagnostics) = TestFiles.load("a: &a [*a]\n")
        #expect(diagnostics.items.contains { $0.code == "SKN0002" && $0.message.contains("no anchor") })
    }

    @Test func mergeBombsAreCounted() {
        var text = "a0: &a0 {k: v}\n"
        for level in 1...200 {
            text += "a\(level): &a\(level)\n  <<: [*a\(level - 1), *a\(level - 1), *a\(level - 1)]\n  k\(level): v\n"
        }
        #expect(codes(text).contains("SKN0004"))
    }

    @Test func manyErrorsAreCountedNotKept() {
        let rules = (0..<500).map { TestFiles.resource("VirtualService", "hosts: [h\($0)]\nhttpp: []", name: "r\($0)") }
        let (_, diagnostics) = TestFiles.load(rules.joined(separator: "---\n"))
        #expect(diagnostics.items.count == 200)
        #expect(diagnostics.errorCount >= 500)
        #expect(diagnostics.lines.last?.contains("more") == true)
        #expect(
            diagnostics.items.count + diagnostics.omitted == diagnostics.errorCount + diagnostics.warningCount + diagnostics.noticeCount)
    }

    /// Nothing read from a configuration file may end the process. On failure the seed reproduces the input.
    @Test(arguments: [UInt64(1), 20_261_123, 77, 4242])
    func mutatedConfigurationsNeverCrash(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        let sources = TestFiles.names(in: SeedTests.seed).compactMap { TestFiles.read("\(SeedTests.seed)/\($0)") }.map { Array($0.utf8) }
        let tokens = [
            "*a", "&a ", "[", "{", "<<: ", "null", "\"", "- ", ": ", "\n", "\t", "!!str ", "1e309", "-", "\u{0}", "é", "---\n", "%", "|",
            ">",
        ]
        for round in 0..<300 {
            var bytes = sources[Int(random.next() % UInt64(sources.count))]
            for _ in 0..<(1 + random.next() % 6) {
                let place = Int(random.next() % UInt64(bytes.count + 1))
                switch random.next() % 4 {
                case 0: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                case 1: if place < bytes.count { bytes.remove(at: place) }
                case 2: bytes.insert(contentsOf: Array(tokens[Int(random.next() % UInt64(tokens.count))].utf8), at: place)
                default:
                    let other = sources[Int(random.next() % UInt64(sources.count))]
                    bytes.insert(contentsOf: other.prefix(Int(random.next() % 200)), at: place)
                }
            }
            let (_, diagnostics) = MeshConfiguration.load(bytes: [(name: "m", bytes: bytes)])
            #expect(diagnostics.items.allSatisfy { !$0.message.isEmpty && !$0.text.contains("\n") }, "seed \(seed) round \(round)")
        }
    }

    @Test(arguments: [UInt64(5), 6, 7])
    func randomBytesNeverCrash(_ seed: UInt64) {
        var random = SplitMix(state: seed)
        for _ in 0..<300 {
            let bytes = (0..<(random.next() % 300)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            _ = MeshConfiguration.load(bytes: [(name: "r", bytes: bytes)])
        }
    }
}

struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
