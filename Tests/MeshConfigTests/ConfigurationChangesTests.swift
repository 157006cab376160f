import MeshConfig
import Testing

/// What a reload changed, as somebody reads it who asks why the numbers did.
@Suite struct ConfigurationChangesTests {
    private func mesh(_ texts: String...) throws -> MeshConfiguration {
        let (mesh, list) = MeshConfiguration.load(texts: texts.enumerated().map { ("\($0.offset).yaml", $0.element) })
        try #require(!list.hasErrors, "\(list.items.map(\.text))")
        return mesh
    }

    private func service(_ name: String, hosts: String = "[a.example]", http: String) -> String {
        """
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: \(name)}
        spec:
          hosts: \(hosts)
          http:
        \(http)
        """
    }

    private func rule(_ host: String, name: String? = nil, prefix: String) -> String {
        "  - {\(name.map { "name: \($0), " } ?? "")match: [{uri: {prefix: \(prefix)}}], route: [{destination: {host: \(host)}}]}\n"
    }

    @Test func resourcesAreAddedRemovedAndChanged() throws {
        let one = rule("a.example", prefix: "/a")
        let old = try mesh(service("same", http: one), service("gone", http: one), service("hosts", http: one))
        // What stays the same stands in another file, with a comment and its keys in another order.
        let moved = "# a comment\n" + service("same", http: one).replacing("hosts: [a.example]", with: "hosts:   [ \"a.example\" ]")
        let new = try mesh(
            service("new", http: one), service("hosts", hosts: "[a.example, b.example]", http: one),
            moved.replacing("\"a.example\"", with: "a.example"))
        let changes = ConfigurationChanges(from: old, to: new)
        #expect(changes.counts == [.added: 1, .removed: 1, .changed: 1] && changes.omitted == 0)
        let said = changes.changes.map { "\($0.kind) \($0.id.name) \($0.position.file):\($0.position.line) \($0.fields)" }
        #expect(said == ["removed gone 1.yaml:2 []", "changed hosts 1.yaml:2 [\"hosts\"]", "added new 0.yaml:2 []"])
    }

    @Test func theRulesOfAVirtualServiceAreNamed() throws {
        let (a, b, c) = (rule("a.example", name: "first", prefix: "/a"), rule("b.example", prefix: "/b"), rule("c.example", prefix: "/c"))
        let old = try mesh(service("web", http: a + b + c))
        func said(_ http: String) throws -> [String] {
            let changes = ConfigurationChanges(from: old, to: try mesh(service("web", http: http))).changes
            return changes.flatMap { change in
                change.rules.map { "\($0.kind) \($0.name) \($0.position.line)" } + (change.isReordered ? ["reordered"] : [])
                    + change.fields
            }
        }
        #expect(try said(a + b + c) == [])
        #expect(try said(rule("z.example", name: "first", prefix: "/a") + b + c) == ["changed first 7"])
        #expect(try said(a + c) == ["removed http[1] 8"], "what stands behind has not changed, although its number has")
        #expect(try said(a + b + rule("d.example", prefix: "/d") + c) == ["added http[2] 9"])
        #expect(try said(a + c + b) == ["reordered"])
        #expect(try said(c + b + rule("z.example", name: "first", prefix: "/a")) == ["changed first 9", "reordered"])
    }

    @Test func aFirstLoadChangesNothingAndALargeOneIsCut() throws {
        let many = try mesh((0..<300).map { service("v\($0)", hosts: "[h\($0).example]", http: rule("a.example", prefix: "/")) }
            .joined(separator: "\n---\n"))
        #expect(ConfigurationChanges(from: nil, to: many).counts.isEmpty)
        let changes = ConfigurationChanges(from: try mesh(service("x", http: rule("a.example", prefix: "/"))), to: many)
        #expect(changes.counts == [.added: 300, .removed: 1])
        #expect(changes.changes.count == ConfigurationChanges.changesMax && changes.omitted == 301 - ConfigurationChanges.changesMax)
    }

    /// `"1"` is a text and `1` is a number: a header that begins to be compared with another is a change.
    @Test func kindsOfValuesCount() throws {
        func labelled(_ value: String) throws -> MeshConfiguration {
            try mesh("""
                apiVersion: networking.istio.io/v1
                kind: WorkloadEntry
                metadata: {name: w, labels: {version: \(value)}}
                spec: {address: 127.0.0.1}
                """)
        }
        #expect(ConfigurationChanges(from: try labelled("v1"), to: try labelled("v2")).changes.first?.fields == ["metadata.labels"])
        #expect(ConfigurationChanges(from: try labelled("v1"), to: try labelled("'v1'")).changes.isEmpty)
    }
}
