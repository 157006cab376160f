/// Where a key set is fetched: `https://HOST[:PORT]/PATH`, `http://…`, or a file of this machine, `file:///PATH`.
struct KeyURL: Equatable {
    enum Scheme: String { case https, http, file }

    var scheme: Scheme
    /// Without the brackets of an IPv6 address; empty of a file.
    var host: String
    var port: UInt16
    /// Path and query; of a file its path.
    var target: String

    static let bytesMax = 8192

    /// Nil when it is none: no such scheme, no host, a port that is none, a user in front of the host, or a character that no URL has.
    init?(_ text: String) {
        guard text.utf8.count <= Self.bytesMax, text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else { return nil }
        let parts = text.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let scheme = Scheme(rawValue: parts[0].lowercased()) else { return nil }
        self.scheme = scheme
        let rest = parts[1].prefix { $0 != "#" }
        let start = rest.firstIndex { "/?".contains($0) } ?? rest.endIndex
        let authority = rest[..<start]
        let tail = String(rest[start...])
        target = tail.hasPrefix("/") ? tail : "/" + tail
        if scheme == .file {
            guard authority.isEmpty else { return nil }
            (host, port) = ("", 0)
            return
        }
        guard !authority.contains("@"), let (host, port) = Self.split(authority) else { return nil }
        self.host = host
        self.port = port ?? (scheme == .https ? 443 : 80)
    }

    private static func split(_ authority: Substring) -> (String, UInt16?)? {
        var host = authority
        var rest: Substring = ""
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            rest = authority[authority.index(after: end)...]
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            rest = authority[colon...]
        }
        guard !host.isEmpty else { return nil }
        if rest.isEmpty || rest == ":" { return (String(host), nil) }
        guard rest.hasPrefix(":"), let port = UInt16(rest.dropFirst()), port > 0 else { return nil }
        return (String(host), port)
    }

    /// What `Host` says.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (scheme == .https ? 443 : 80) ? name : "\(name):\(port)"
    }

    /// Where a redirect leads; nil = it is no URL that is followed. A relative one stays with this host (RFC 3986 5.2).
    func redirected(to location: String) -> KeyURL? {
        if location.hasPrefix("//") { return KeyURL("\(scheme.rawValue):\(location)") }
        guard location.hasPrefix("/") else { return KeyURL(location) }
        return KeyURL("\(scheme.rawValue)://\(authority)\(location)")
    }

    /// Whether another URL is the same server, by the same means.
    func isSameServer(as other: KeyURL) -> Bool {
        scheme == other.scheme && host.lowercased() == other.host.lowercased() && port == other.port
    }
}
