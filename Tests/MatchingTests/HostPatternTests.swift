import Matching
import Testing

@Suite struct HostPatternTests {
    @Test(arguments: [
        ("a.example", ["a.example", "A.Example"], ["b.a.example", "a.example.", ""]),
        ("*.example", ["a.example", "b.A.EXAMPLE"], [".example", "example", "aexample", ""]),
        ("*ample", ["example", "x.ample"], ["ample"]),
        ("*", ["a"], [""]),
        ("", [""], ["a"]),
    ])
    func hosts(pattern: String, yes: [String], no: [String]) {
        var builder = MatcherPoolBuilder()
        let matcher = builder.addHost(pattern)
        let pool = Pool(builder)
        for host in yes { #expect(pool.test(matcher, host), "\(host)") }
        for host in no { #expect(!pool.test(matcher, host), "\(host)") }
        #expect(matcher.isAll == (pattern == "*"))
    }
}
