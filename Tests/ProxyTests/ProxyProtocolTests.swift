import Primitives
@testable import Proxy
import Testing

/// The bytes of the PROXY protocol, against the examples and diagrams of its specification (2.1, 2.2): the server behind takes them for the
/// client's address, in its logs and its access rules.
@Suite struct ProxyProtocolTests {
    private static let four = (SocketEndpoint(ipv4: 0xC0A8_0001, port: 56324), SocketEndpoint(ipv4: 0xC0A8_000B, port: 443))
    private static let six = (
        SocketEndpoint(ipv6High: 0x2001_0DB8_0000_0000, ipv6Low: 0x0000_0000_0000_0001, port: 65535),
        SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: 1)
    )

    /// Two addresses of different families, of which nothing can be said.
    private static let mixed = (four.0, six.1)

    private func line(_ addresses: (SocketEndpoint, SocketEndpoint)) -> String {
        var output = ByteBuffer()
        ProxyProtocol.announce(addresses.0, addresses.1, version: 1, to: &output)
        return String(decoding: output.bytes, as: UTF8.self)
    }

    private func header(_ addresses: (SocketEndpoint, SocketEndpoint)) -> [UInt8] {
        var output = ByteBuffer()
        ProxyProtocol.announce(addresses.0, addresses.1, version: 2, to: &output)
        return output.bytes
    }

    @Test func versionOneIsALine() {
        #expect(line(Self.four) == "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n")
        #expect(line(Self.six) == "PROXY TCP6 2001:db8::1 ::1 65535 1\r\n")
        #expect(line(Self.mixed) == "PROXY UNKNOWN\r\n")
    }

    /// A header value that a rule makes of an address: a path as it is, and nothing where a port is asked for.
    @Test func aPathIsWrittenAsItIs() throws {
        var output = ByteBuffer()
        output.append(address: try SocketEndpoint(unixPath: "/run/app.sock"))
        #expect(String(decoding: output.bytes, as: UTF8.self) == "/run/app.sock")
    }

    /// Every octet in every place, with as many digits as it has.
    @Test func anAddressHasTheDigitsOfItsOctets() {
        for octet in UInt32(0)...255 {
            for place in 0..<4 {
                var octets: [UInt32] = [7, 10, 100, 205]
                octets[place] = octet
                var output = ByteBuffer()
                output.append(address: SocketEndpoint(ipv4: octets.reduce(0) { $0 << 8 | $1 }, port: 1))
                #expect(String(decoding: output.bytes, as: UTF8.self) == octets.map { "\($0)" }.joined(separator: "."))
            }
        }
    }

    /// The longest line that the specification allows has 107 bytes; receivers reserve no more.
    @Test func versionOneFitsTheReceiversBuffer() {
        let longest = SocketEndpoint(ipv6High: .max, ipv6Low: .max, port: 65535)
        let text = line((longest, longest))
        #expect(text == "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n")
        #expect(text.utf8.count <= 107)
    }

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    @Test func versionTwoIsAHeader() {
        #expect(
            header(Self.four) == Self.signature + [0x21, 0x11, 0, 12] + [192, 168, 0, 1] + [192, 168, 0, 11] + [0xDC, 0x04] + [0x01, 0xBB])
        let source: [UInt8] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
        let target: [UInt8] = [UInt8](repeating: 0, count: 15) + [1]
        #expect(header(Self.six) == Self.signature + [0x21, 0x21, 0, 36] + source + target + [0xFF, 0xFF] + [0, 1])
    }

    /// LOCAL with no addresses: the receiver uses the connection's own.
    @Test func versionTwoSaysWhenTheClientIsUnknown() { #expect(header(Self.mixed) == Self.signature + [0x20, 0, 0, 0]) }
}
