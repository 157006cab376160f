public import Primitives

extension SocketEndpoint {
    /// The address that a text from the wire is, without a port: `10.0.0.1`, `2001:db8::1`; nil when it is none (RFC 4291 2.2). IPv4 within
    /// IPv6 (`::ffff:10.0.0.1`) is the IPv4 address. Allocates nothing.
    public init?(wireAddress text: LentBytes) {
        guard text.count <= 45 else { return nil }
        if let ipv4 = Self.parseIPv4(text) {
            self.init(ipv4: ipv4, port: 0)
        } else if let (high, low) = Self.parseIPv6(text) {
            self = SocketEndpoint(ipv6High: high, ipv6Low: low, port: 0).unmapped
        } else {
            return nil
        }
    }

    /// The IPv4 address that an IPv6 address stands for (`::ffff:0:0/96`, RFC 4291 2.5.5.2); itself where it stands for none.
    public var unmapped: SocketEndpoint {
        guard family == .ipv6, high == 0, low >> 32 == 0xFFFF else { return self }
        return SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: low), port: port)
    }

    private static func parseIPv4(_ text: LentBytes) -> UInt32? {
        var address: UInt32 = 0
        var start = 0
        for part in 0..<4 {
            let end = text.index(of: UInt8(ascii: "."), from: start)
            guard (end == text.count) == (part == 3), (1...3).contains(end - start) else { return nil }
            var number: UInt32 = 0
            for place in start..<end {
                guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[place]) else { return nil }
                number = number * 10 + UInt32(text[place] - UInt8(ascii: "0"))
            }
            guard number <= 255, end - start == 1 || text[start] != UInt8(ascii: "0") else { return nil }
            address = address << 8 | number
            start = min(end + 1, text.count)
        }
        return address
    }

    private static func parseIPv6(_ text: LentBytes) -> (UInt64, UInt64)? {
        var groups = InlineArray<8, UInt16>(repeating: 0)
        var count = 0
        /// Where `::` stands; -1 = nowhere.
        var gap = -1
        var start = 0
        if text.count >= 2, text[0] == UInt8(ascii: ":") {
            guard text[1] == UInt8(ascii: ":") else { return nil }
            gap = 0
            start = 2
        }
        while start < text.count {
            guard count < 8 else { return nil }
            let end = text.index(of: UInt8(ascii: ":"), from: start)
            if end == text.count, let ipv4 = parseIPv4(text.from(start)) {
                guard count <= 6 else { return nil }
                groups[count] = UInt16(truncatingIfNeeded: ipv4 >> 16)
                groups[count + 1] = UInt16(truncatingIfNeeded: ipv4)
                count += 2
                break
            }
            guard (1...4).contains(end - start), let group = hexadecimal(text[start..<end]) else { return nil }
            groups[count] = group
            count += 1
            if end == text.count { break }
            start = end + 1
            // A colon is not the last byte, unless it is the second of two.
            guard start < text.count else { return nil }
            if text[start] == UInt8(ascii: ":") {
                guard gap < 0 else { return nil }
                gap = count
                start += 1
            }
        }
        guard gap >= 0 ? count < 8 : count == 8 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        for place in 0..<8 {
            var group: UInt16 = 0
            if gap < 0 || place < gap { group = groups[place] } else if place >= 8 - (count - gap) { group = groups[place - (8 - count)] }
            if place < 4 { high = high << 16 | UInt64(group) } else { low = low << 16 | UInt64(group) }
        }
        return (high, low)
    }

    private static func hexadecimal(_ text: LentBytes) -> UInt16? {
        var value: UInt16 = 0
        for place in 0..<text.count {
            let digit = ASCII.hexValue(text[place])
            guard digit < 16 else { return nil }
            value = value << 4 | UInt16(digit)
        }
        return value
    }
}
