public import HTTPService

/// Text into byte arrays: what the writers of this target share.
extension Array where Element == UInt8 {
    mutating func append(text: String) { append(contentsOf: text.utf8) }

    /// A JSON string with its quotes (RFC 8259 section 7).
    mutating func append(jsonString text: String) {
        append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): append(text: "\\\"")
            case UInt8(ascii: "\\"): append(text: "\\\\")
            case 0x0A: append(text: "\\n")
            case 0x0D: append(text: "\\r")
            case 0x09: append(text: "\\t")
            case 0..<0x20:
                append(text: "\\u00")
                append("0123456789abcdef".utf8.dropFirst(Int(byte >> 4)).first ?? 0x30)
                append("0123456789abcdef".utf8.dropFirst(Int(byte & 15)).first ?? 0x30)
            default: append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }

    mutating func append(jsonStrings list: [String]) {
        append(UInt8(ascii: "["))
        for (index, text) in list.enumerated() {
            if index > 0 { append(UInt8(ascii: ",")) }
            append(jsonString: text)
        }
        append(UInt8(ascii: "]"))
    }
}

/// Replies that several handlers give alike.
public enum APIReply {
    /// Any page may read our answers: there are no credentials to protect, and UIs live elsewhere.
    static let crossOrigin = (name: "Access-Control-Allow-Origin", value: "*")

    static func json(_ body: [UInt8], status: UInt16 = 200, headers: [(name: String, value: String)] = []) -> ServiceResponse {
        ServiceResponse(status: status, contentType: "application/json", headers: [crossOrigin] + headers, body: body)
    }

    /// Text without a line feed at its end, as Zipkin sends it.
    static func text(_ status: UInt16, _ text: String, headers: [(name: String, value: String)] = []) -> ServiceResponse {
        ServiceResponse(
            status: status, contentType: "text/plain; charset=utf-8",
            headers: [crossOrigin, ("X-Content-Type-Options", "nosniff")] + headers,
            body: Array(text.utf8))
    }

    /// The answer to a method that a read-only path does not take; nil for GET and HEAD.
    public static func refusal(_ method: String, allow: String = "GET, HEAD, OPTIONS") -> ServiceResponse? {
        switch method {
        case "GET", "HEAD": nil
        case "OPTIONS":
            ServiceResponse(
                status: 204,
                headers: [
                    crossOrigin, ("Allow", allow), ("Access-Control-Allow-Methods", allow), ("Access-Control-Allow-Headers", "*"),
                    ("Access-Control-Max-Age", "600"),
                ])
        default: text(405, "\(method.prefix(32)) is not allowed here; use \(allow)", headers: [("Allow", allow)])
        }
    }
}
