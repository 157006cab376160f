public import Primitives

/// Addresses with common first bits (CIDR, RFC 4632): `destinationSubnets` of a VirtualService, addresses of a service, `ipBlocks` of
/// policies.
/// Ports do not count.
public struct AddressRange: Sendable, BitwiseCopyable {
    /// Any address within it.
    public let address: SocketEndpoint
    /// How many first bits count: 0...32 of IPv4, 0...128 of IPv6; -1 = every address, also of a Unix socket.
    public let bits: Int16

    /// Every address.
    public static let all = AddressRange(address: SocketEndpoint(), bits: -1)

    private init(address: SocketEndpoint, bits: Int16) {
        self.address = address
        self.bits = bits
    }

    /// `10.0.0.0/8`, `2001:db8::/32`, or one address; nil when it is neither.
    public init?(text: String) {
        let parts = text.split(separator: "/", maxSplits: 1)
        guard let first = parts.first, let address = SocketEndpoint(address: String(first), port: 0) else { return nil }
        let full: Int16 = address.family == .ipv4 ? 32 : 128
        var bits = full
        if parts.count == 2 {
            guard let number = Int16(parts[1]), (0...full).contains(number) else { return nil }
            bits = number
        }
        self.init(address: address, bits: bits)
    }

    public var isAll: Bool { bits < 0 }

    public func contains(_ endpoint: SocketEndpoint) -> Bool {
        if isAll { return true }
        guard endpoint.family == address.family else { return false }
        if address.family == .ipv4 {
            let mask = bits == 0 ? UInt64(0) : ~UInt64(0) << UInt64(32 - Int(min(bits, 32))) & 0xFFFF_FFFF
            return endpoint.low & mask == address.low & mask
        }
        let high = bits >= 64 ? UInt64.max : bits == 0 ? 0 : ~UInt64(0) << UInt64(64 - Int(bits))
        let low = bits >= 128 ? UInt64.max : bits <= 64 ? 0 : ~UInt64(0) << UInt64(128 - Int(bits))
        return endpoint.high & high == address.high & high && endpoint.low & low == address.low & low
    }
}
