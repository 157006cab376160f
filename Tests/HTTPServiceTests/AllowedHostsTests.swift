import HTTPService
import Testing

/// The guard against DNS rebinding: which names a browser may have come by.
struct AllowedHostsTests {
    @Test(arguments: [
        "localhost", "LocalHost:9411", "localhost.", "a.localhost:1", "127.0.0.1", "127.0.0.1:9411", "127.8.9.1:80", "[::1]:9411", "[::1]",
        "10.0.0.5:9411", "192.168.1.4", "[fe80::1]:80", "mesh.example:9411", "MESH.example.", "x.lab.example", "a.b.lab.example:1",
    ])
    func allows(host: String) { #expect(AllowedHosts(["mesh.example", "*.lab.example"]).allows(host)) }

    @Test(arguments: [
        "evil.example", "evil.example:9411", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost", "lab.example",
        "evillab.example",
        "", ":9411", ".localhost", "[::1].evil.example", "mesh.example.evil", "127.0.0.1@evil.example", "1", "0x7f000001",
    ])
    func refuses(host: String) { #expect(!AllowedHosts(["mesh.example", "*.lab.example"]).allows(host)) }

    /// HTTP/1.0 without the field is no browser, and `*` is what somebody chose.
    @Test func refusesOnlyNames() {
        #expect(AllowedHosts([]).allows(nil))
        #expect(AllowedHosts(["*"]).allows("evil.example"))
    }

    @Test func namesAreChecked() {
        for good in ["skein.example.org", "*.example.org", "*", "host"] { #expect(AllowedHosts.problem(good) == nil, "\(good)") }
        for bad in ["", "a b", "host:9411", "http://host", "ü.example", String(repeating: "a", count: 256)] {
            #expect(AllowedHosts.problem(bad) != nil, "\(bad)")
        }
    }
}
