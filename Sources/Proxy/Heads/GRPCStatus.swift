internal import Primitives

/// gRPC's status codes where HTTP has its own (gRPC "http-grpc-status-mapping").
enum GRPCStatus {
    /// The HTTP status that a gRPC code amounts to (Envoy's Grpc::Utility).
    static func http(_ code: UInt8) -> UInt16 {
        switch code {
        case 0: 200
        case 1: 499
        case 3, 9, 11: 400
        case 4: 504
        case 5: 404
        case 6, 10: 409
        case 7: 403
        case 8: 429
        case 12: 501
        case 14: 503
        case 16: 401
        default: 500
        }
    }

    static func code(forHTTP status: UInt16) -> UInt8 {
        switch status {
        case 400, 431: 13
        case 401: 16
        case 403: 7
        case 408: 4
        case 404: 12
        case 429, 502, 503, 504: 14
        default: 2
        }
    }

    /// Of a text that clients of gRPC are told; the rest is left out.
    static let messageBytesMax = 4096

    /// A value of `grpc-message`: percent-encoded, as a field takes no line ends (gRPC over HTTP/2, "Status-Message"). White space at its
    /// ends would not be a field's value either.
    static func append(message: LentBytes, to output: inout ByteBuffer) {
        let count = min(message.count, messageBytesMax)
        for index in 0..<count {
            let byte = message[index]
            let isEnd = index == 0 || index == count - 1
            if byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "%") || byte == 0x20 && !isEnd {
                output.append(byte: byte)
            } else {
                output.append("%")
                output.append(byte: ASCII.upperHexDigit(byte >> 4))
                output.append(byte: ASCII.upperHexDigit(byte & 15))
            }
        }
    }
}
