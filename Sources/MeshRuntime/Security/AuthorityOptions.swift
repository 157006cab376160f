/// Where the workload's certificate comes from, when not from somebody who writes the files of `identityDirectory`. A value.
public struct AuthorityOptions: Sendable, Equatable {
    public static let pollSecondsDefault: UInt64 = 60
    public static let pollSecondsRange: ClosedRange<UInt64> = 1...86_400

    /// Host and port of the served authority.
    public var host: String
    public var port: UInt16
    /// File with the token for the first certificate; nil = there is a certificate already.
    public var token: String?
    /// Between two looks at roots and revocations, seconds, give or take a fifth.
    public var pollSeconds = pollSecondsDefault

    public init(host: String, port: UInt16, token: String? = nil) {
        self.host = host
        self.port = port
        self.token = token
    }

    /// `HOST` or `HOST:PORT`, `[::1]:15012`; nil = the text is no such thing.
    public static func address(_ text: String, portDefault: UInt16) -> (host: String, port: UInt16)? {
        let close = text.lastIndex(of: "]")
        let colon = text[(close ?? text.startIndex)...].firstIndex(of: ":")
        let host = text[..<(colon ?? text.endIndex)].filter { $0 != "[" && $0 != "]" }
        guard !host.isEmpty, !host.contains("/"), let port = colon.map({ UInt16(text[text.index(after: $0)...]) }) ?? portDefault, port > 0
        else { return nil }
        return (String(host), port)
    }
}
