internal import Primitives

/// `uri-host [":" port]` (RFC 9112 3.2, RFC 9110 4.2.1), wherever a request has one: Host, an absolute target, `:authority` and the
/// `host` of HTTP/2. One grammar for all of them, or a name that one of them lets through is routed by one rule and served by another.
///
/// RFC 3986 3.2.2 with four decisions: a name has 1 to 255 bytes, as no longer one has a place in DNS and so none in a rule; a comma is
/// refused, since some servers read a list; a port is 1 to 65535 in at most five digits; a zone (RFC 6874) means nothing on another
/// machine. A colon without a port behind it is the same as none (RFC 3986 6.2.3). User information is no part of it (RFC 9110 4.2.4, RFC
/// 9113 8.3.1).
public struct Authority: Equatable, Sendable, BitwiseCopyable {
    /// Bytes of the host, an address's brackets included; it stands first.
    public let hostCount: Int
    /// 0 = none.
    public let port: UInt16
    /// Bytes of host and port, without a colon that no port follows.
    public let count: Int

    @inlinable
    public init(hostCount: Int, port: UInt16, count: Int) {
        self.hostCount = hostCount
        self.port = port
        self.count = count
    }

    public static let hostBytesMax = 255

    /// Nil for what is none, the empty one included. One pass.
    @unsafe
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Authority? {
        let end: Int
        if unsafe bytes.count > 0 && bytes[0] == UInt8(ascii: "[") {
            guard let literal = unsafe literalCount(bytes) else { return nil }
            end = literal
        } else {
            end = unsafe nameCount(bytes)
        }
        guard end > 0, end <= hostBytesMax else { return nil }
        if end == bytes.count { return Authority(hostCount: end, port: 0, count: end) }
        guard unsafe bytes[end] == UInt8(ascii: ":") else { return nil }
        if end + 1 == bytes.count { return Authority(hostCount: end, port: 0, count: end) }
        guard bytes.count - end <= 6 else { return nil }
        var port: UInt32 = 0
        for position in end + 1..<bytes.count {
            let digit = unsafe bytes[position] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            port = port &* 10 &+ UInt32(digit)
        }
        guard port > 0, let port = UInt16(exactly: port) else { return nil }
        return Authority(hostCount: end, port: port, count: bytes.count)
    }

    /// Whether two valid ones name the same, for a scheme whose default port need not be written (RFC 9110 4.2.3).
    @unsafe
    public static func same(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, isHTTPS: Bool) -> Bool {
        guard let one = unsafe parse(first), let other = unsafe parse(second), one.hostCount == other.hostCount else { return false }
        let implied: UInt16 = isHTTPS ? 443 : 80
        guard (one.port == 0 ? implied : one.port) == (other.port == 0 ? implied : other.port) else { return false }
        return unsafe ASCII.equalIgnoringCase(
            UnsafeRawBufferPointer(rebasing: first[..<one.hostCount]), UnsafeRawBufferPointer(rebasing: second[..<other.hostCount]))
    }

    // MARK: Names

    /// Bytes of the `reg-name` at the start; 0 = there is none.
    @inline(__always)
    private static func nameCount(_ bytes: UnsafeRawBufferPointer) -> Int {
        var position = 0
        while position < bytes.count {
            let byte = unsafe bytes[position]
            if isNameByte(byte) {
                position &+= 1
            } else if unsafe byte == UInt8(ascii: "%") && position + 2 < bytes.count && ASCII.hexValue(bytes[position + 1]) < 16
                && ASCII.hexValue(bytes[position + 2]) < 16
            {
                position += 3
            } else {
                break
            }
        }
        return position
    }

    /// Unreserved, or a sub-delimiter other than the comma.
    @inline(__always)
    private static func isNameByte(_ byte: UInt8) -> Bool {
        // Bit n of each mask is the byte 64 * half + n.
        let low: UInt64 = 0x2BFF_6FD2_0000_0000
        let high: UInt64 = 0x47FF_FFFE_87FF_FFFE
        guard byte < 128 else { return false }
        return ((byte < 64 ? low : high) &>> UInt64(byte & 63)) & 1 == 1
    }

    // MARK: Addresses in brackets

    /// Bytes of the `IP-literal` at the start; nil = it is none.
    private static func literalCount(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let close = unsafe bytes.firstIndex(of: UInt8(ascii: "]"), from: 1), close <= hostBytesMax else { return nil }
        let inner = unsafe UnsafeRawBufferPointer(rebasing: bytes[1..<close])
        return unsafe isIPv6(inner) || isFutureAddress(inner) ? close + 1 : nil
    }

    /// `IPv6address`: eight groups of one to four digits, the last two perhaps an IPv4 address, and `::` once for at least one group.
    private static func isIPv6(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var groups = 0
        var hasGap = false
        var position = 0
        if unsafe bytes.count >= 2 && bytes[0] == UInt8(ascii: ":") && bytes[1] == UInt8(ascii: ":") {
            hasGap = true
            position = 2
        }
        while position < bytes.count {
            let start = position
            while position < bytes.count, unsafe ASCII.hexValue(bytes[position]) < 16 { position += 1 }
            if position < bytes.count, unsafe bytes[position] == UInt8(ascii: ".") {
                guard unsafe isIPv4(UnsafeRawBufferPointer(rebasing: bytes[start...])) else { return false }
                groups += 2
                break
            }
            guard position > start, position - start <= 4, groups < 8 else { return false }
            groups += 1
            if position == bytes.count { break }
            guard unsafe bytes[position] == UInt8(ascii: ":") else { return false }
            position += 1
            guard position < bytes.count else { return false }
            if unsafe bytes[position] == UInt8(ascii: ":") {
                if hasGap { return false }
                hasGap = true
                position += 1
            }
        }
        return hasGap ? groups <= 7 : groups == 8
    }

    /// Four numbers up to 255 without leading zeros.
    private static func isIPv4(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var numbers = 0
        var start = 0
        while start <= bytes.count {
            var end = start
            var value: UInt32 = 0
            while end < bytes.count, end - start < 3, unsafe bytes[end] &- UInt8(ascii: "0") < 10 {
                value = unsafe value &* 10 &+ UInt32(bytes[end] &- UInt8(ascii: "0"))
                end += 1
            }
            guard end > start, value <= 255, unsafe end == start + 1 || bytes[start] != UInt8(ascii: "0") else { return false }
            numbers += 1
            guard end < bytes.count else { break }
            guard unsafe bytes[end] == UInt8(ascii: "."), numbers < 4 else { return false }
            start = end + 1
        }
        return numbers == 4
    }

    /// `IPvFuture`: a version in hexadecimal, a dot, and what that version has.
    private static func isFutureAddress(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count > 3, unsafe bytes[0] | 0x20 == UInt8(ascii: "v") else { return false }
        var position = 1
        while position < bytes.count, unsafe ASCII.hexValue(bytes[position]) < 16 { position += 1 }
        guard position > 1, position + 1 < bytes.count, unsafe bytes[position] == UInt8(ascii: ".") else { return false }
        for rest in position + 1..<bytes.count where unsafe !isNameByte(bytes[rest]) && bytes[rest] != UInt8(ascii: ":") { return false }
        return true
    }
}
