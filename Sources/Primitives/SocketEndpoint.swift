/// An IPv4 or IPv6 address and port, or the path of a Unix domain socket. IPv4 is held in `low`'s lower 32 bits; a path by its number in
/// `UnixPathTable`, without a port.
public struct SocketEndpoint: Hashable, Sendable, BitwiseCopyable {
    public enum Family: UInt8, Sendable, BitwiseCopyable { case absent, ipv4, ipv6, unix }

    public var high: UInt64 = 0
    public var low: UInt64 = 0
    public var port: UInt16 = 0
    public var family = Family.absent

    @inlinable
    public init() {}

    @inlinable
    public init(ipv4: UInt32, port: UInt16) {
        low = UInt64(ipv4)
        self.port = port
        family = .ipv4
    }

    @inlinable
    public init(ipv6High: UInt64, ipv6Low: UInt64, port: UInt16) {
        high = ipv6High
        low = ipv6Low
        self.port = port
        family = .ipv6
    }

    /// An absolute path, or `@name` for an abstract socket.
    public init(unixPath path: String) throws(UnixPathTable.Refusal) {
        low = UInt64(try UnixPathTable.shared.number(of: path.utf8))
        family = .unix
    }
}

extension SocketEndpoint {
    /// Parses `10.0.0.1` or an IPv6 address with or without brackets; nil for anything else (host names included).
    public init?(address: String, port: UInt16) {
        var text = Substring(address)
        let isBracketed = text.first == "[" && text.last == "]" && text.utf8.count > 1
        if isBracketed { text = text.dropFirst().dropLast() }
        if !isBracketed, let ipv4 = Self.parseIPv4(text) {
            self.init(ipv4: ipv4, port: port)
        } else if let (high, low) = Self.parseIPv6(text) {
            self.init(ipv6High: high, ipv6Low: low, port: port)
        } else {
            return nil
        }
    }

    /// The same address with another port; a path has none.
    public func with(port: UInt16) -> SocketEndpoint {
        if family == .unix { return self }
        var copy = self
        copy.port = port
        return copy
    }

    public var isLoopback: Bool {
        switch family {
        case .ipv4: low >> 24 == 127
        case .ipv6: high == 0 && low == 1
        case .absent, .unix: false
        }
    }

    /// The path as it is written, `@` before an abstract name; none for other families. Valid for ever.
    public var unixPath: UnsafeRawBufferPointer {
        guard family == .unix else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
        return unsafe UnixPathTable.shared.bytes(Int(truncatingIfNeeded: low))
    }

    /// Dotted quad or RFC 5952 text, without port; a path as it is.
    public var addressText: String {
        switch family {
        case .absent: return "-"
        case .unix: return unsafe String(decoding: unixPath, as: UTF8.self)
        case .ipv4: return "\(low >> 24 & 255).\(low >> 16 & 255).\(low >> 8 & 255).\(low & 255)"
        case .ipv6:
            let groups = (0..<8).map { UInt16(truncatingIfNeeded: ($0 < 4 ? high : low) >> UInt64(48 - 16 * ($0 & 3))) }
            // RFC 5952 4.2: the longest run of two or more zero groups, the first of equals, becomes "::".
            var best = 0..<0
            var start = 0
            while start < 8 {
                var end = start
                while end < 8, groups[end] == 0 { end += 1 }
                if end - start > max(best.count, 1) { best = start..<end }
                start = max(end, start + 1)
            }
            let left = groups[..<best.lowerBound].map { String($0, radix: 16) }.joined(separator: ":")
            let right = groups[best.upperBound...].map { String($0, radix: 16) }.joined(separator: ":")
            return best.isEmpty ? groups.map { String($0, radix: 16) }.joined(separator: ":") : left + "::" + right
        }
    }

    private static func parseIPv4(_ text: Substring) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            // A leading zero means octal to some readers (RFC 6943 3.1.1), so it means nothing here.
            guard (1...3).contains(part.utf8.count), part.utf8.count == 1 || part.first != "0", part.utf8.allSatisfy({ $0 &- 48 < 10 }),
                let byte = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    private static func parseIPv6(_ text: Substring) -> (UInt64, UInt64)? {
        guard text.contains(":"), text.utf8.count <= 45 else { return nil }
        let halves = text.components(separatedBy: "::")
        guard halves.count <= 2 else { return nil }
        func groups(_ part: Substring, isLast: Bool) -> [UInt16]? {
            if part.isEmpty { return [] }
            var result: [UInt16] = []
            let pieces = part.split(separator: ":", omittingEmptySubsequences: false)
            for (position, piece) in pieces.enumerated() {
                if isLast, position == pieces.count - 1, let ipv4 = parseIPv4(piece) {
                    result += [UInt16(truncatingIfNeeded: ipv4 >> 16), UInt16(truncatingIfNeeded: ipv4)]
                } else {
                    guard (1...4).contains(piece.utf8.count), piece.utf8.allSatisfy({ ASCII.hexValue($0) < 16 }),
                        let group = UInt16(piece, radix: 16)
                    else { return nil }
                    result.append(group)
                }
            }
            return result
        }
        guard let left = groups(halves[0], isLast: halves.count == 1) else { return nil }
        var all = left
        if halves.count == 2 {
            guard let right = groups(halves[1], isLast: true), left.count + right.count < 8 else { return nil }
            all += Array(repeating: 0, count: 8 - left.count - right.count) + right
        }
        guard all.count == 8 else { return nil }
        let high = all[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = all[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        return (high, low)
    }
}

extension SocketEndpoint: CustomStringConvertible {
    /// `10.0.0.1:80`, `[::1]:80`, or a path as Envoy writes it.
    public var description: String {
        switch family {
        case .absent, .unix: addressText
        case .ipv4: "\(addressText):\(port)"
        case .ipv6: "[\(addressText)]:\(port)"
        }
    }
}

extension Substring {
    /// Splits at every non-overlapping occurrence of a two-character separator; standard-library only.
    fileprivate func components(separatedBy separator: String) -> [Substring] {
        var parts: [Substring] = []
        var start = startIndex
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(separator) {
                parts.append(self[start..<index])
                index = self.index(index, offsetBy: separator.count)
                start = index
            } else {
                index = self.index(after: index)
            }
        }
        parts.append(self[start...])
        return parts
    }
}
