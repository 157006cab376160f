import Glibc
import HTTP
import Primitives
import Testing

@Suite struct AuthorityTests {
    static func parse(_ text: String) -> Authority? { unsafe Array(text.utf8).withUnsafeBytes { unsafe Authority.parse($0) } }

    @Test(arguments: [
        ("a.test", 6, 0, 6), ("A.test:80", 6, 80, 9), ("a.test:", 6, 0, 6), ("a.test:1", 6, 1, 8), ("a.test:65535", 6, 65535, 12), ("a.test:00080", 6, 80, 12),
        ("a.test.", 7, 0, 7), ("10.0.0.1:9080", 8, 9080, 13), ("999.1.1.1", 9, 0, 9), ("[::1]", 5, 0, 5), ("[::1]:8080", 5, 8080, 10), ("[::1]:", 5, 0, 5),
        ("[2001:db8:0:0:0:0:0:1]", 22, 0, 22), ("[::ffff:10.0.0.1]:80", 17, 80, 20), ("[1:2:3:4:5:6:7::]", 17, 0, 17), ("[v1.a:b]", 8, 0, 8),
        ("a_b-c~d!$&'()*+;=", 17, 0, 17), ("a%2Eb", 5, 0, 5), ("*", 1, 0, 1), ("1", 1, 0, 1),
    ])
    func isOne(text: String, hostCount: Int, port: UInt16, count: Int) {
        #expect(Self.parse(text) == Authority(hostCount: hostCount, port: port, count: count))
    }

    /// Each of these was once served by the rules of `*` and forwarded as it was.
    @Test(arguments: [
        "", ":", ":80", "a.test:x", "a.test:0", "a.test:00000", "a.test:65536", "a.test:99999999999999999999", "a.test:000080", "a.test:80:80", "a.test:+80", "a.test: 80",
        "a.test:-1", "a.test:8 0", "u@a.test", "u:p@a.test", "@", "a/b", "a?b", "a#b", "a,b", "a b", "a\tb", "a\\b", "a\"b", "a<b", "a\u{e9}", "a\u{7f}", "a\0b",
        "a%", "a%2", "a%2g", "a%zz", "[", "]", "[]", "[]:80", "[::1", "::1", "::1]", "a]", "[a]", "[::1]a", "[::1]80", "[::1]:x", "[:::]", "[1:2]", "[1:2:3:4:5:6:7]",
        "[1:2:3:4:5:6:7:8:9]", "[1::2::3]", "[::1%25eth0]", "[::12345]", "[1:2:3:4:5:6:7:8::]", "[:1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:]", "[::1.2.3]", "[::1.2.3.256]",
        "[::1.2.3.4.5]", "[::01.2.3.4]", "[1.2.3.4]", "[v1]", "[v.a]", "[v1.]", "[vz.a]", "[[::1]]", "{a}", "a|b", "a^b", "`",
    ])
    func isNone(text: String) { #expect(Self.parse(text) == nil) }

    @Test func aNameNobodyCanLookUpIsNone() {
        #expect(Self.parse(String(repeating: "a", count: 255) + ":80")?.port == 80)
        #expect(Self.parse(String(repeating: "a", count: 256)) == nil)
    }

    @Test(arguments: [
        ("a.test", "A.TEST", false, true), ("a.test:80", "a.test", false, true), ("a.test:443", "a.test", true, true), ("a.test:443", "a.test", false, false),
        ("a.test:80", "a.test:0080", false, true), ("a.test", "b.test", false, false), ("a.test:8080", "a.test", false, false), ("a.test", "a.test:x", false, false),
        ("a.test", "", false, false), ("[::1]", "[::1]:80", false, true), ("a.test:", "a.test", false, true),
    ])
    func same(first: String, second: String, isHTTPS: Bool, expected: Bool) {
        let found = unsafe Array(first.utf8).withUnsafeBytes { one in
            unsafe Array(second.utf8).withUnsafeBytes { other in unsafe Authority.same(one, other, isHTTPS: isHTTPS) }
        }
        #expect(found == expected)
    }

    /// The C library reads addresses by a parser of its own.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func bracketsHoldWhatTheSystemTakesForAnAddress(seed: UInt64) {
        var random = RandomSource(seed: seed)
        let pieces = ["0", "1", "ab", "FFFF", "12345", ":", ":", ":", "::", ".", "1.2.3.4", "255.0.0.1", "256.1.1.1", "g", "01"]
        var valid = 0
        for _ in 0..<20_000 {
            let text = (0..<1 + random.below(16)).map { _ in pieces[Int(random.below(UInt32(pieces.count)))] }.joined()
            var address = in6_addr()
            let isAddress = unsafe text.withCString { unsafe inet_pton(AF_INET6, $0, &address) } == 1
            if isAddress { valid += 1 }
            guard (Self.parse("[\(text)]") != nil) == isAddress else {
                Issue.record("seed \(seed): [\(text)] is \(isAddress ? "an" : "no") address")
                return
            }
        }
        #expect(valid > 50, "too few addresses to mean anything")
    }
}
