internal import Primitives
internal import TelemetryModel

extension ByteBuffer {
    /// An address without its port; the path of a Unix socket.
    mutating func append(address endpoint: SocketEndpoint) {
        guard endpoint.family == .ipv4 else {
            if endpoint.family == .unix { return unsafe append(endpoint.unixPath) }
            // Rare, and not worth a formatter of its own: this one makes a String.
            return append(string: endpoint.addressText)
        }
        let out = unsafe reserve(15)
        var count = 0
        for place in 0..<4 {
            var octet = UInt8(truncatingIfNeeded: endpoint.low >> UInt64(24 - 8 * place))
            if place > 0 {
                unsafe out.storeBytes(of: UInt8(ascii: "."), toByteOffset: count, as: UInt8.self)
                count &+= 1
            }
            if octet >= 10 {
                if octet >= 100 {
                    unsafe out.storeBytes(of: 48 &+ octet / 100, toByteOffset: count, as: UInt8.self)
                    count &+= 1
                    octet %= 100
                }
                unsafe out.storeBytes(of: 48 &+ octet / 10, toByteOffset: count, as: UInt8.self)
                count &+= 1
                octet %= 10
            }
            unsafe out.storeBytes(of: 48 &+ octet, toByteOffset: count, as: UInt8.self)
            count &+= 1
        }
        commit(count)
    }

    /// An address, its port, or both.
    mutating func append(_ endpoint: SocketEndpoint, hasAddress: Bool, hasPort: Bool) {
        guard endpoint.family != .absent else { return }
        if endpoint.family == .unix {
            // A path has no port.
            if hasAddress { append(address: endpoint) }
            return
        }
        if hasAddress {
            let isBracketed = hasPort && endpoint.family == .ipv6
            if isBracketed { append("[") }
            append(address: endpoint)
            if isBracketed { append("]") }
            if hasPort { append(":") }
        }
        if hasPort { append(decimal: UInt64(endpoint.port)) }
    }

    /// `value` with leading zeros.
    mutating func append(_ value: UInt64, digits: Int) {
        var unit: UInt64 = 1
        for _ in 1..<digits { unit *= 10 }
        while unit > 0 {
            append(byte: 48 + UInt8(truncatingIfNeeded: value / unit % 10))
            unit /= 10
        }
    }

    /// Sixteen hexadecimal digits.
    mutating func append(hexadecimal16 value: UInt64) {
        for place in 0..<16 {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(60 - 4 * place)) & 15
            append(byte: nibble < 10 ? 48 + nibble : 87 + nibble)
        }
    }
}

extension FixedOutput {
    /// A random identifier in the form of a UUID, version 4 (RFC 9562 5.4): 36 bytes.
    @inline(__always)
    mutating func append(uuid draw: inout RandomSource) {
        let high = draw.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000
        let low = draw.next() & 0x3FFF_FFFF_FFFF_FFFF | 0x8000_0000_0000_0000
        let second = HexCodec.encode8(UInt32(truncatingIfNeeded: high))
        let third = HexCodec.encode8(UInt32(truncatingIfNeeded: low >> 32))
        let dash = UInt64(UInt8(ascii: "-"))
        // 8-4-4-4-12 digits, eight bytes at a time.
        append(eight: HexCodec.encode8(UInt32(truncatingIfNeeded: high >> 32)))
        append(eight: dash << 56 | (second >> 32) << 24 | dash << 16 | (second >> 16) & 0xFFFF)
        append(eight: (second & 0xFFFF) << 48 | dash << 40 | (third >> 32) << 8 | dash)
        append(eight: third << 32 | HexCodec.encode8(UInt32(truncatingIfNeeded: low)) >> 32)
        append(four: UInt32(truncatingIfNeeded: HexCodec.encode8(UInt32(truncatingIfNeeded: low))))
    }
}
