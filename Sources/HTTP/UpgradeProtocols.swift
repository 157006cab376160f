public import Primitives

/// The protocols that a connection may be switched to (RFC 9110 7.8). Behind a switch the proxy sees bytes and no requests, so no rule
/// holds for them any more: only what is known to carry no requests of its own is let through. `h2c` never is (RFC 9113 3.1 obsoletes
/// it): its requests would pass every route.
public struct UpgradeProtocols: Sendable, Equatable {
    /// A set of them; bit n is the n-th.
    public typealias Choice = UInt8

    /// Names, one behind the other.
    private var text: [UInt8] = []
    private var ends = InlineArray<8, UInt16>(repeating: 0)
    private var count = 0

    public static let countMax = 8
    static let nameBytesMax = 64

    public static let websocket = UpgradeProtocols(validNames: ["websocket"])

    /// Why `name` cannot be one of them, or nil.
    public static func problem(_ name: String) -> String? {
        if name.isEmpty || name.utf8.count > nameBytesMax || !name.utf8.allSatisfy({ HeadBytes.isToken($0) || $0 == UInt8(ascii: "/") }) {
            return "\"\(name)\" is no protocol name: write a token such as websocket, of \(nameBytesMax) characters at most (RFC 9110 7.8)"
        }
        let plain = name.lowercased()
        if plain == "h2c" || plain == "h2" || plain.hasPrefix("http") || plain.hasPrefix("tls") {
            return "\"\(name)\" is never tunnelled: requests inside of it would pass no rule (RFC 9113 3.1); "
                + "clients speak HTTP/2 by prior knowledge"
        }
        return nil
    }

    /// Nil when there are too many, or one has a `problem`.
    public init?(names: [String]) {
        guard names.count <= Self.countMax, names.allSatisfy({ Self.problem($0) == nil }) else { return nil }
        self.init(validNames: names)
    }

    private init(validNames: [String]) {
        for name in validNames {
            text += Array(name.utf8)
            ends[count] = UInt16(clamping: text.count)
            count += 1
        }
    }

    /// Those that an `Upgrade` field lists; `others` is set when it lists one that is none of them.
    public func choice(in value: LentBytes, others: inout Bool) -> Choice {
        var found: Choice = 0
        var sawOthers = false
        HeadParser.forEachListItem(value) { item in
            if let index = unsafe index(of: item.buffer) { found |= 1 << Choice(truncatingIfNeeded: index) } else { sawOthers = true }
        }
        if sawOthers { others = true }
        return found
    }

    /// Names compare without case (RFC 9110 16.7).
    private func index(of item: UnsafeRawBufferPointer) -> Int? {
        unsafe text.withUnsafeBytes { all in
            var start = 0
            for index in 0..<count {
                let end = Int(ends[index])
                if unsafe ASCII.equalIgnoringCase(item, UnsafeRawBufferPointer(rebasing: all[start..<end])) { return index }
                start = end
            }
            return nil
        }
    }

    /// Appends the chosen names as a list.
    public func append(_ choice: Choice, to output: inout ByteBuffer) {
        var start = 0
        var isFirst = true
        for index in 0..<count {
            let end = Int(ends[index])
            if choice >> Choice(truncatingIfNeeded: index) & 1 == 1 {
                if !isFirst { output.append(", ") }
                isFirst = false
                unsafe text.withUnsafeBytes { unsafe output.append(UnsafeRawBufferPointer(rebasing: $0[start..<end])) }
            }
            start = end
        }
    }

    public static func == (first: Self, second: Self) -> Bool { first.text == second.text && first.count == second.count }
}
