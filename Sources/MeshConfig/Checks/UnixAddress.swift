/// Unix domain sockets as Istio's resources name them: `unix:///absolute/path`, or `unix://@name` in Linux's abstract namespace.
public enum UnixAddress {
    public static let prefix = "unix://"
    /// Bytes of the path, or of the name with its `@`: `sun_path` has 108, of which one is a NUL (unix(7)).
    public static let pathBytesMax = 107

    /// The path, or `@name`; nil for an address of another kind. Whether it can be used is `problem`'s to say.
    public static func path(_ address: String) -> String? {
        address.hasPrefix(prefix) ? String(address.dropFirst(prefix.count)) : nil
    }

    /// What is wrong with an address that begins with `unix://`; nil = nothing. Istio's ValidateUnixAddress, and what Envoy and the
    /// system refuse later.
    static func problem(_ address: String) -> String? {
        let path = path(address) ?? ""
        guard path.count > 1, path.hasPrefix("/") || path.hasPrefix("@"), path.hasPrefix("@") || !path.hasSuffix("/") else {
            return "\"\(address)\" is not a socket; write unix:///absolute/path or unix://@name"
        }
        guard path.utf8.count <= pathBytesMax else {
            return "the path of \"\(address)\" has \(path.utf8.count) bytes; a Unix socket's has \(pathBytesMax) at most"
        }
        guard path.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return "a socket's path has no control characters" }
        return nil
    }
}
