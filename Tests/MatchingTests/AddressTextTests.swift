import Matching
import Primitives
import Testing

/// Addresses from the wire are read as those of configurations are, but for what stands for IPv4.
@Suite struct AddressTextTests {
    static func read(_ text: String) -> SocketEndpoint? {
        let bytes = Array(text.utf8)
        return unsafe bytes.withUnsafeBytes { unsafe SocketEndpoint(wireAddress: LentBytes($0)) }
    }

    @Test(arguments: [
        "10.0.0.1", "0.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
        "::2:3:4:5:6:7:8", "64:ff9b::10.0.0.1", "FE80::Abcd",
    ])
    func addressesAreRead(text: String) { #expect(Self.read(text) == SocketEndpoint(address: text, port: 0)) }

    @Test func addressesThatStandForIPv4AreIPv4() {
        for text in ["::ffff:10.0.0.1", "::FFFF:a00:1", "0:0:0:0:0:ffff:10.0.0.1"] {
            #expect(Self.read(text) == SocketEndpoint(address: "10.0.0.1", port: 0), "\(text)")
        }
    }

    @Test(arguments: [
        "", "10.0.0", "10.0.0.1.2", "10.0.0.256", "10.0.0.01", "10.0.0.1:80", "10.0.0.", ".10.0.0", "1:2", ":", ":1", "1:", "1::2::3",
        ":::", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "12345::", "g::", "unknown", "_hidden", "[::1]", "1.2.3.4::", "::1.2.3",
        "1:2:3:4:5:6:7:1.2.3.4",
    ])
    func whatIsNoneIsRefused(text: String) { #expect(Self.read(text) == nil) }

    /// Nothing from the wire may end the process, and nothing is read that configurations would not be.
    @Test func randomTextsAreReadAlike() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = RandomSource(seed: seed)
        let letters = Array("0123456789abcf:.:. ")
        for _ in 0..<20_000 {
            let text = String((0..<random.below(20)).map { _ in letters[Int(random.below(UInt32(letters.count)))] })
            guard let read = Self.read(text) else { continue }
            #expect(SocketEndpoint(address: text, port: 0)?.unmapped == read, "seed \(seed): \(text)")
        }
    }
}
