internal import Primitives
import TelemetryModel

/// Addresses from and to text, byte by byte and without a String.
enum AddressText {
    enum Parsed: Equatable {
        case ipv4(UInt32)
        case ipv6(high: UInt64, low: UInt64)
    }

    /// Dotted IPv4, IPv6 (RFC 4291 section 2.2), and IPv4 embedded in IPv6 (`::ffff:1.2.3.4`, `::1.2.3.4`), which counts as IPv4 as it
    /// does in Zipkin. Nil for anything else.
    static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> Parsed? {
        var lastColon = -1
        var hasDot = false
        guard bytes.count <= 45 else { return nil }
        for index in 0..<bytes.count {
            switch unsafe bytes[index] {
            case UInt8(ascii: ":"):
                if hasDot { return nil }
                lastColon = index
            case UInt8(ascii: "."): hasDot = true
            default: break
            }
        }
        if lastColon < 0 { return unsafe parseIPv4(bytes, 0).map(Parsed.ipv4) }
        if !hasDot { return unsafe parseIPv6(bytes) }
        guard let embedded = unsafe parseIPv4(bytes, lastColon + 1), unsafe bytes[0] == UInt8(ascii: ":"),
            unsafe bytes[1] == UInt8(ascii: ":")
        else { return nil }
        if lastColon == 1 { return .ipv4(embedded) }
        guard lastColon == 6 else { return nil }
        for index in 2..<6 {
            let byte = unsafe bytes[index]
            guard byte | 0x20 == UInt8(ascii: "f") || byte == UInt8(ascii: "0") else { return nil }
        }
        return .ipv4(embedded)
    }

    private static func parseIPv4(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> UInt32? {
        var address: UInt32 = 0
        var at = start
        for part in 0..<4 {
            if part > 0 {
                guard at < bytes.count, unsafe bytes[at] == UInt8(ascii: ".") else { return nil }
                at += 1
            }
            var value: UInt32 = 0
            let first = at
            while at < bytes.count, at - first < 3, unsafe JSONScanner.isDigit(bytes[at]) {
                value = unsafe value &* 10 &+ UInt32(bytes[at] &- 0x30)
                at += 1
            }
            guard at > first, value <= 255 else { return nil }
            address = address << 8 | value
        }
        return at == bytes.count ? address : nil
    }

    private static func parseIPv6(_ bytes: UnsafeBufferPointer<UInt8>) -> Parsed? {
        var groups = InlineArray<8, UInt16>(repeating: 0)
        var count = 0
        var gap = -1
        var at = 0
        if bytes.count >= 2, unsafe bytes[0] == UInt8(ascii: ":") {
            guard unsafe bytes[1] == UInt8(ascii: ":") else { return nil }
            gap = 0
            at = 2
        }
        while at < bytes.count {
            var value: UInt32 = 0
            let first = at
            while at < bytes.count, at - first < 5, let digit = unsafe hexDigit(bytes[at]) {
                value = value << 4 | UInt32(digit)
                at += 1
            }
            guard at > first, at - first <= 4, count < 8 else { return nil }
            groups[count] = UInt16(truncatingIfNeeded: value)
            count += 1
            if at == bytes.count { break }
            guard unsafe bytes[at] == UInt8(ascii: ":") else { return nil }
            at += 1
            guard at < bytes.count else { return nil }  // A single colon at the end.
            if unsafe bytes[at] == UInt8(ascii: ":") {
                guard gap < 0 else { return nil }
                gap = count
                at += 1
            }
        }
        guard gap >= 0 ? count < 8 : count == 8 else { return nil }
        var high: UInt64 = 0
        var low: UInt64 = 0
        let skipped = 8 - count
        for index in 0..<8 {
            let source = gap < 0 || index < gap ? index : index - skipped
            let group = gap >= 0 && index >= gap && index < gap + skipped ? 0 : groups[source]
            if index < 4 { high = high << 16 | UInt64(group) } else { low = low << 16 | UInt64(group) }
        }
        return .ipv6(high: high, low: low)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): (byte | 0x20) &- 0x57
        default: nil
        }
    }

    static func append(ipv4 address: UInt32, to bytes: inout [UInt8]) {
        bytes.append(atMost: 15) { $0.ipv4(address) }
    }

    /// The canonical form of RFC 5952 section 4.
    static func append(ipv6High high: UInt64, low: UInt64, to bytes: inout [UInt8]) {
        bytes.append(atMost: 41) { $0.ipv6(high: high, low: low) }
    }

    /// `1.2.3.4:80` or `[::1]:80`, or the path of a Unix socket; nothing is appended for an absent endpoint.
    static func append(_ endpoint: SocketEndpoint, withPort: Bool, to bytes: inout [UInt8]) {
        switch endpoint.family {
        case .absent: return
        case .unix:
            unsafe bytes.append(contentsOf: endpoint.unixPath)
            return
        case .ipv4: append(ipv4: UInt32(truncatingIfNeeded: endpoint.low), to: &bytes)
        case .ipv6:
            if withPort { bytes.append(UInt8(ascii: "[")) }
            append(ipv6High: endpoint.high, low: endpoint.low, to: &bytes)
            if withPort { bytes.append(UInt8(ascii: "]")) }
        }
        if withPort {
            bytes.append(UInt8(ascii: ":"))
            bytes.append(decimal: UInt64(endpoint.port))
        }
    }
}
