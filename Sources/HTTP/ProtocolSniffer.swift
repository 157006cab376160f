public import Primitives

/// Which protocol a connection speaks, by its first bytes.
public enum ProtocolSniffer {
    public enum Verdict: Sendable, Equatable {
        /// More bytes will tell.
        case undecided
        /// HTTP/1, or the HTTP/2 preface.
        case http
        /// A TLS handshake; see `ClientHello`.
        case tls
        case other
    }

    /// A request line longer than this is none; nor is a method, of which the longest registered has 17.
    public static let lineBytesMax = 8192
    public static let methodBytesMax = 24

    public static func look(_ bytes: LentBytes) -> Verdict { unsafe look(bytes.buffer) }

    /// The same of bytes that are not lent.
    @unsafe
    public static func look(_ bytes: UnsafeRawBufferPointer) -> Verdict {
        if bytes.count == 0 { return .undecided }
        if unsafe bytes[0] == 0x16 {
            switch unsafe ClientHello.parse(bytes) {
            case .incomplete: return .undecided
            case .notTLS: return .other
            case .hello, .refused: return .tls
            }
        }
        // A method in capitals and a space...
        var end = 0
        while end < bytes.count,
            unsafe bytes[end] >= UInt8(ascii: "A") && bytes[end] <= UInt8(ascii: "Z") || bytes[end] == UInt8(ascii: "-")
        { end += 1 }
        // However the bytes come in pieces, the verdict is the same.
        if end > methodBytesMax { return .other }
        if end == bytes.count { return .undecided }
        guard end >= 3, unsafe bytes[end] == 32 else { return .other }
        // ... and a line that ends with the version.
        guard let feed = unsafe bytes.firstIndex(of: 10, from: end) else { return bytes.count >= lineBytesMax ? .other : .undecided }
        guard feed < lineBytesMax else { return .other }
        let lineEnd = unsafe feed > 0 && bytes[feed - 1] == 13 ? feed - 1 : feed
        let version: StaticString = "HTTP/"
        guard lineEnd >= 9,
            unsafe ASCII.equal(UnsafeRawBufferPointer(rebasing: bytes[(lineEnd - 8)..<(lineEnd - 3)]), version)
        else { return .other }
        return .http
    }
}
