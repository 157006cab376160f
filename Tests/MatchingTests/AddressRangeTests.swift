import Matching
import Primitives
import Testing

@Suite struct AddressRangeTests {
    static func address(_ text: String) -> SocketEndpoint { SocketEndpoint(address: text, port: 80) ?? SocketEndpoint() }

    @Test(arguments: [
        ("10.0.0.0/8", ["10.0.0.0", "10.255.255.255"], ["11.0.0.0", "9.255.255.255", "::a00:1"]),
        // Bits behind the first ones do not count.
        ("10.1.2.3/16", ["10.1.0.0", "10.1.255.255"], ["10.2.2.3"]),
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.2", "10.1.2.4"]),
        ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::1"]),
        ("2001:db8::/32", ["2001:db8::1", "2001:db8:ffff::"], ["2001:db9::", "10.0.0.1"]),
        ("2001:db8::8000:0:0:0/65", ["2001:db8::8000:0:0:1", "2001:db8::ffff:0:0:0"], ["2001:db8::7fff:0:0:0", "2001:db9::8000:0:0:1"]),
        ("2001:db8::/64", ["2001:db8::ffff:ffff:ffff:ffff"], ["2001:db8:0:1::"]),
        ("::1/128", ["::1"], ["::2", "::"]),
        ("::/0", ["::", "ffff::"], ["0.0.0.0"]),
    ])
    func contains(text: String, yes: [String], no: [String]) throws {
        let range = try #require(AddressRange(text: text))
        for own in yes { #expect(range.contains(Self.address(own)), "\(own)") }
        for own in no { #expect(!range.contains(Self.address(own)), "\(own)") }
    }

    @Test(arguments: ["", "/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "10.0.0/8", "2001:db8::/129", "a.example"])
    func isNoRange(text: String) { #expect(AddressRange(text: text) == nil) }

    @Test func allAreAll() {
        for own in ["10.0.0.1", "::1"] { #expect(AddressRange.all.contains(Self.address(own))) }
        #expect(AddressRange.all.contains(SocketEndpoint()) && AddressRange.all.isAll)
    }
}
