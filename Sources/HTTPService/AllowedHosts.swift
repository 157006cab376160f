internal import Primitives

/// By which names a browser may call a port of this machine alone: the guard against DNS rebinding.
///
/// A page from elsewhere may give its own name the address 127.0.0.1; then its scripts count as coming from the same origin as what
/// answers there, and read it. Only the `Host` field still says by which name the browser came. Addresses cannot be rebound and are always
/// allowed, and so are `localhost` and names below it (RFC 6761 6.3). Pure; any thread.
public struct AllowedHosts: Sendable {
    /// Names that can be given, and bytes of one (RFC 1035 2.3.4).
    public static let namesMax = 64
    public static let nameBytesMax = 255

    private var names: Set<String> = ["localhost"]
    /// What a name may end in, each with its dot in front.
    private var suffixes = [".localhost"]
    private var allowsAll = false

    /// `names`: host names without a port; `*.example.org` for all below one, `*` for every name.
    public init(_ names: [String]) {
        for name in names.prefix(Self.namesMax).map({ $0.lowercased() }) {
            if name == "*" {
                allowsAll = true
            } else if name.hasPrefix("*.") {
                suffixes.append(String(name.dropFirst()))
            } else {
                self.names.insert(name)
            }
        }
    }

    /// Why a name cannot be one of `names`, or nil.
    public static func problem(_ name: String) -> String? {
        let isLong = name.utf8.count > nameBytesMax
        let isName = !name.isEmpty && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: "/") }
        return isName && !isLong ? nil : "write a host name without a port, such as skein.example.org, *.example.org or *"
    }

    /// Whether a request with this `Host` is answered. Without one it is no browser's.
    public func allows(_ field: String?) -> Bool {
        guard let field, !allowsAll else { return true }
        let host = Self.withoutPort(field.lowercased())
        let address = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        if SocketEndpoint(address: address, port: 1) != nil { return true }
        let name = host.hasSuffix(".") ? String(host.dropLast()) : host
        return names.contains(name) || suffixes.contains { name.utf8.count > $0.utf8.count && name.hasSuffix($0) }
    }

    private static func withoutPort(_ host: String) -> String {
        guard let colon = host.lastIndex(of: ":"), !host[colon...].contains("]") else { return host }
        return String(host[..<colon])
    }

    /// 421 (RFC 9110 15.5.20) for a request that is not to be answered, with how to allow it; nil for all others.
    public func refusal(_ request: borrowing ServiceRequest) -> ServiceResponse? {
        let host = request.header("host")
        guard !allows(host) else { return nil }
        let name = String((host ?? "").unicodeScalars.prefix(Self.nameBytesMax))
        return .text(
            421,
            "this port belongs to this machine alone and is not known as \(name): call it localhost, or start with "
                + "--allowed-host \(Self.withoutPort(name))",
            headers: [("X-Content-Type-Options", "nosniff")])
    }
}
