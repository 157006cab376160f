import TLS
import Testing

/// SPIFFE's own rules, as examples; comparison is by bytes.
@Suite struct SPIFFEIDTests {
    @Test(arguments: [
        "spiffe://cluster.local/ns/default/sa/reviews", "spiffe://a", "spiffe://example.org/9eebccd2-12bf-40a6-b262-65fe0487d453",
        "spiffe://staging.example.com/payments/web-fe", "spiffe://a.b-c_9/X/y.z", "spiffe://a/...",
    ]) func these(text: String) throws {
        #expect(try SPIFFEID(text).description == text)
    }

    @Test(arguments: [
        ("", .scheme), ("SPIFFE://a/b", .scheme), ("spiffe:/a", .scheme), ("http://a/b", .scheme), (" spiffe://a", .scheme),
        ("spiffe://", .trustDomain), ("spiffe:///ns", .trustDomain), ("spiffe://Cluster.local/ns", .trustDomain),
        ("spiffe://a:80/b", .trustDomain), ("spiffe://u@a/b", .trustDomain), ("spiffe://a?b", .trustDomain), ("spiffe://a#b", .trustDomain),
        ("spiffe://a%20/b", .trustDomain), ("spiffe://ä/b", .trustDomain), ("spiffe://a/", .path), ("spiffe://a/b/", .path),
        ("spiffe://a//b", .path), ("spiffe://a/./b", .path), ("spiffe://a/../b", .path), ("spiffe://a/b?c", .path),
        ("spiffe://a/b#c", .path),
        ("spiffe://a/b%41", .path), ("spiffe://a/b c", .path), ("spiffe://a/b\u{0}", .path), ("spiffe://a\u{0}.b/c", .trustDomain),
        ("spiffe://a/*", .path), ("spiffe://a/b\n", .path),
    ] as [(String, SPIFFEID.Problem)]) func notThese(text: String, problem: SPIFFEID.Problem) {
        #expect(throws: problem) { try SPIFFEID(text) }
    }

    @Test func lengthIsBounded() throws {
        let longest = "spiffe://a/" + String(repeating: "b", count: SPIFFEID.bytesMax - 11)
        #expect(try SPIFFEID(longest).path.utf8.count == SPIFFEID.bytesMax - 10)
        #expect(throws: SPIFFEID.Problem.tooLong) { try SPIFFEID(longest + "b") }
        #expect(throws: SPIFFEID.Problem.trustDomain) { try SPIFFEID("spiffe://" + String(repeating: "a", count: 256)) }
    }

    @Test func istiosFormHasParts() throws {
        let id = try #require(SPIFFEID(trustDomain: "cluster.local", namespace: "default", serviceAccount: "a.b"))
        #expect(id.principal == "cluster.local/ns/default/sa/a.b")
        #expect(id.workload?.namespace == "default" && id.workload?.serviceAccount == "a.b")
        #expect(try SPIFFEID("spiffe://cluster.local/ns/default/sa/axb") != id)
        #expect(try SPIFFEID("spiffe://cluster.local/ns/default").workload == nil)
        #expect(SPIFFEID(trustDomain: "cluster.local", namespace: "a/b", serviceAccount: "c")?.workload == nil)
        #expect(SPIFFEID(trustDomain: "cluster.local", namespace: "", serviceAccount: "c") == nil)
    }
}
