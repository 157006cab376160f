/// Reads Content-Type (RFC 9110, section 8.3.1).
enum MediaType {
    /// `application/json` of `Application/JSON; charset=utf-8`; empty when there is none.
    static func of(_ header: String?) -> String {
        // As nearly everybody writes it. Taking it apart costs 5 us, and each request of a sender asks.
        if let header, header.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ";") && !(0x41...0x5A).contains($0) }) {
            return header
        }
        guard let first = header?.split(separator: ";", maxSplits: 1, omittingEmptySubsequences: false).first else { return "" }
        return first.filter { $0 != " " && $0 != "\t" }.lowercased()
    }
}
