/// Why a head is not a message. Each case is one rule; `status` is what a server answers.
public enum HeadError: UInt8, Error, Sendable, CaseIterable {
    case malformedRequestLine
    case malformedStatusLine
    case unsupportedVersion
    case targetTooLong
    case headTooLarge
    case tooManyFields
    case bareLineFeed
    case bareCarriageReturn
    case foldedLine
    case malformedFieldName
    case forbiddenByteInValue
    case repeatedContentLength
    case malformedContentLength
    case lengthAndTransferEncoding
    case malformedTransferEncoding
    case unsupportedTransferEncoding
    case transferEncodingInHTTP10
    case missingHost
    case repeatedHost
    case malformedHost

    /// The status a server answers with before it closes the connection.
    public var status: UInt16 {
        switch self {
        case .unsupportedVersion: 505
        case .targetTooLong: 414
        case .headTooLarge, .tooManyFields: 431
        case .unsupportedTransferEncoding: 501
        default: 400
        }
    }

    /// For the body of that answer and for diagnostics: what is wrong and what would have been accepted.
    public var reason: StaticString {
        switch self {
        case .malformedRequestLine: "malformed request line: expected METHOD SP target SP HTTP/1.1"
        case .malformedStatusLine: "malformed status line: expected HTTP/1.1 SP three digits SP reason"
        case .unsupportedVersion: "unsupported HTTP version: HTTP/1.1 and HTTP/1.0 are spoken here"
        case .targetTooLong: "request target too long"
        case .headTooLarge: "header section too large"
        case .tooManyFields: "too many header fields"
        case .bareLineFeed: "line ended by LF without CR (RFC 9112 2.2)"
        case .bareCarriageReturn: "CR that ends no line (RFC 9112 2.2)"
        case .foldedLine: "folded header line (RFC 9112 5.2)"
        case .malformedFieldName: "malformed header field name: token characters, then a colon with no space before it (RFC 9112 5.1)"
        case .forbiddenByteInValue: "control character in a header field value (RFC 9110 5.5)"
        case .repeatedContentLength: "more than one Content-Length (RFC 9112 6.3)"
        case .malformedContentLength: "malformed Content-Length: expected a decimal number below 2^63 (RFC 9110 8.6)"
        case .lengthAndTransferEncoding: "both Content-Length and Transfer-Encoding (RFC 9112 6.1)"
        case .malformedTransferEncoding: "malformed Transfer-Encoding: expected chunked, once (RFC 9112 6.1)"
        case .unsupportedTransferEncoding: "unsupported Transfer-Encoding: only chunked is spoken here"
        case .transferEncodingInHTTP10: "Transfer-Encoding in an HTTP/1.0 message (RFC 9112 6.1)"
        case .missingHost: "missing Host (RFC 9112 3.2)"
        case .repeatedHost: "more than one Host (RFC 9112 3.2)"
        case .malformedHost: "malformed host: expected a name or an address, and perhaps a colon and a port of 1 to 65535 (RFC 9110 4.2.1)"
        }
    }
}
