public import HTTPService
internal import Primitives

/// An entity tag that is known before the answer is (RFC 9110 8.8.3): a page that asks again and again for what has not changed is told so,
/// and nothing is read for it. Weak, because the compressed answer has the same. A value.
public struct PageTag: Sendable {
    /// Tags of an `If-None-Match` that are looked at.
    static let listMax = 16
    /// Bytes of one tag.
    static let bytesMax = 128
    /// Tells this process's answers from those of one before it.
    private static let process = String(SystemClock.unixNanoseconds(), radix: 36)

    /// Without quotes: letters, digits, hyphens and dots.
    let text: String

    /// `parts`: what the answer depends on, besides its address and this process.
    public init(_ parts: [UInt64]) { text = ([Self.process] + parts.map { String($0, radix: 36) }).joined(separator: "-") }

    /// The tags that the client has answers of, without quotes; compared weakly (RFC 9110 13.1.2).
    static func tags(ofIfNoneMatch field: String?) -> [Substring] {
        (field ?? "").split(separator: ",", maxSplits: listMax).prefix(listMax).compactMap { part in
            let trimmed = part.drop { $0 == " " || $0 == "\t" }
            let tag = trimmed.hasPrefix("W/") ? trimmed.dropFirst(2) : trimmed
            let end = tag.lastIndex(of: "\"") ?? tag.startIndex
            guard tag.utf8.count <= bytesMax, tag.hasPrefix("\""), end > tag.startIndex else { return nil }
            return tag[tag.index(after: tag.startIndex)..<end]
        }
    }

    /// The numbers of a tag of this process; nil for any other.
    static func tagNumbers(_ tag: Substring) -> [UInt64]? {
        let pieces = tag.split(separator: "-", omittingEmptySubsequences: false)
        guard pieces.first == Substring(process) else { return nil }
        let numbers = pieces.dropFirst().map { UInt64($0, radix: 36) }
        return numbers.contains(nil) ? nil : numbers.compactMap(\.self)
    }

    private var headers: [(name: String, value: String)] {
        [("Cache-Control", "no-cache"), ("ETag", "W/\"\(text)\""), ("X-Content-Type-Options", "nosniff")]
    }

    /// 304 when the client has the answer with this tag; nil otherwise.
    public func notModified(_ request: borrowing ServiceRequest) -> ServiceResponse? {
        Self.tags(ofIfNoneMatch: request.header("if-none-match")).contains { $0 == text } ? notModified : nil
    }

    var notModified: ServiceResponse { ServiceResponse(status: 304, headers: headers + [("Vary", "Accept-Encoding")]) }

    /// The answer itself, which a browser keeps and asks for again with this tag.
    public func json(_ body: [UInt8]) -> ServiceResponse {
        ServiceResponse(status: 200, contentType: "application/json", headers: headers, body: body)
    }
}
