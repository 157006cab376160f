import MeshConfig
import Policy
import Primitives
import TelemetryModel
import Testing

@testable import MeshRuntime

@Suite struct KeyFetchingTests {
    @Test(arguments: [
        ("https://a.example/keys", "https a.example 443 /keys"), ("HTTP://a.example:8080?x=1", "http a.example 8080 /?x=1"),
        ("https://[::1]:9/k#f", "https ::1 9 /k"), ("file:///etc/keys.json", "file  0 /etc/keys.json"),
        ("https://a.example:", "https a.example 443 /"),
        ("ftp://a/", nil), ("https:///keys", nil), ("https://user@a.example/", nil), ("https://a:0/", nil), ("https://a:65536/", nil),
        ("https://a:x/", nil),
        ("https://a/\r\nx", nil), ("https://a/ b", nil), ("file://host/path", nil), ("a.example/keys", nil), ("https://[::1", nil),
    ] as [(String, String?)])
    func urls(_ text: String, _ wanted: String?) {
        let url = KeyURL(text)
        #expect(url.map { "\($0.scheme) \($0.host) \($0.port) \($0.target)" } == wanted)
    }

    @Test(arguments: [
        ("/other", "https://a.example:444/other"),
        ("//b.example/x", "https://b.example/x"), ("http://a.example:444/", "http://a.example:444/"),
        ("javascript:1", nil), ("", nil),
    ] as [(String, String?)])
    func redirects(_ location: String, _ wanted: String?) throws {
        let url = try #require(KeyURL("https://a.example:444/keys"))
        #expect(url.redirected(to: location) == wanted.flatMap { KeyURL($0) })
        if let next = url.redirected(to: location) { #expect(next.isSameServer(as: url) == (location == "/other")) }
    }

    @Test func theNextFetchComesLaterWithEachFailure() {
        let keys = IssuerKeys()
        let yaml = """
            apiVersion: security.istio.io/v1
            kind: RequestAuthentication
            metadata: {name: r, namespace: a}
            spec: {jwtRules: [{issuer: i, jwksUri: 'https://a/k'}]}
            """
        let mesh = MeshConfiguration.load(texts: [(name: "m", text: yaml)]).0
        _ = RequestAuthenticationCompiler.compile(mesh, namespace: "a", labels: [:], names: .init(), keys: keys)
        let begun = MonotonicInstant(nanoseconds: 1_000_000_000_000)
        #expect(KeyFetching.wait(keys.rows[0], failures: 0, now: begun) == 0)
        keys.note(0, .failure(KeyFetchError("down")), now: begun, unixNanoseconds: 0)
        let waits = (1...10).map { KeyFetching.wait(keys.rows[0], failures: $0, now: begun) / 1_000_000_000 }
        #expect(waits == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60])
        #expect(KeyFetching.wait(keys.rows[0], failures: 1, now: begun + 1_000_000_000) == 0)
        #expect(KeyFetching.wait(keys.rows[0], failures: 0, now: begun) == KeyFetching.refreshNanoseconds)
    }
}
