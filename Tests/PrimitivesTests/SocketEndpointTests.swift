import Primitives
import Testing

@Suite struct SocketEndpointTests {
    /// RFC 5952's own examples and the usual corner cases: text in, canonical text out.
    @Test(arguments: [
        ("10.0.0.1", "10.0.0.1"), ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"),
        ("::", "::"), ("::1", "::1"), ("[::1]", "::1"), ("1::", "1::"),
        ("2001:db8::1", "2001:db8::1"), ("2001:0db8::0001", "2001:db8::1"), ("2001:db8:0:0:0:0:2:1", "2001:db8::2:1"),
        ("2001:DB8::A", "2001:db8::a"), ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("fe80:0:0:0:0:0:0:0", "fe80::"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
        ("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
    ])
    func readsAndPrints(text: String, canonical: String) throws {
        let endpoint = try #require(SocketEndpoint(address: text, port: 80))
        #expect(endpoint.addressText == canonical)
        #expect(SocketEndpoint(address: endpoint.addressText, port: 80) == endpoint)
        #expect(endpoint.description == (text.contains(":") ? "[\(canonical)]:80" : "\(canonical):80"))
    }

    @Test(arguments: [
        "", " ", "localhost", "reviews", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-1", "1.2.3.+4", "1.2.3.4 ", " 1.2.3.4", "1..2.3",
        ".1.2.3",
        "01.2.3.4", "1.2.3.04", "0x1.2.3.4", "1.2.3.4:80", "[1.2.3.4]", ":", ":::", "1:::2", "1::2::3", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:",
        "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::", "::-1", "::-0", "::+1", "1.2.3.4::", "::1.2.3",
        "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%eth0", "[::1", "::1]", "[[::1]]", "[]", "[", "::\u{661}", "1.2.3.\u{664}",
    ])
    func refusesAnythingElse(text: String) {
        #expect(SocketEndpoint(address: text, port: 1) == nil)
    }

    @Test(arguments: [1, 2] as [UInt64])
    func printedAddressesAreReadBack(seed: UInt64) {
        var random = RandomSource(seed: seed)
        for _ in 0..<5000 {
            // Zero groups are what RFC 5952 is about, so they are common here.
            func half() -> UInt64 {
                (0..<4).reduce(0) { sum, _ in sum << 16 | (random.below(2) == 0 ? 0 : random.next() & 0xFFFF) }
            }
            let six = SocketEndpoint(ipv6High: half(), ipv6Low: half(), port: 1)
            let four = SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: random.next()), port: 1)
            guard SocketEndpoint(address: six.addressText, port: 1) == six, SocketEndpoint(address: four.addressText, port: 1) == four
            else {
                Issue.record("seed \(seed): \(six) or \(four) is not read back")
                return
            }
        }
    }

    @Test func garbageIsRefusedQuietly() {
        var random = RandomSource(seed: 7)
        let alphabet = Array("0123456789abcdefF.::[]%-+ g")
        for _ in 0..<20_000 {
            let text = String((0..<Int(random.below(24))).map { _ in alphabet[Int(random.below(UInt32(alphabet.count)))] })
            guard let endpoint = SocketEndpoint(address: text, port: 1) else { continue }
            #expect(SocketEndpoint(address: endpoint.addressText, port: 1) == endpoint, "\(text)")
        }
    }

    @Test func loopbackIsTheWholeNet() {
        #expect(SocketEndpoint(ipv4: 0x7FFF_FFFF, port: 1).isLoopback && SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: 1).isLoopback)
        #expect(!SocketEndpoint(ipv4: 0x8000_0000, port: 1).isLoopback && !SocketEndpoint().isLoopback)
    }
}
