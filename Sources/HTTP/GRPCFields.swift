internal import Primitives

/// Status codes of gRPC (gRPC "statuscodes") that our own endpoints answer with.
public enum GRPCCode: UInt8, Sendable {
    case ok = 0
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case permissionDenied = 7
    case resourceExhausted = 8
    case unimplemented = 12
    case internalError = 13
    case unavailable = 14
    case unauthenticated = 16
}

/// Values of gRPC's own header fields (gRPC over HTTP/2).
public enum GRPCFields {
    /// A `grpc-message`: percent-encoded, since a field takes no line ends and not all clients take more than ASCII.
    public static func percentEncoded(_ text: String) -> String {
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            if byte >= 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%") {
                encoded.append(byte)
            } else {
                encoded.append(UInt8(ascii: "%"))
                encoded.append(upperHex(byte >> 4))
                encoded.append(upperHex(byte & 15))
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }

    private static func upperHex(_ digit: UInt8) -> UInt8 { digit < 10 ? 48 + digit : 55 + digit }

    /// A `grpc-timeout` in nanoseconds: at most eight digits and a unit (gRPC over HTTP/2, "Timeout"). nil = no such value.
    public static func timeoutNanoseconds(_ text: String) -> UInt64? {
        var text = text
        return text.withUTF8 { unsafe timeoutNanoseconds(UnsafeRawBufferPointer($0)) }
    }

    /// As above, of a field's bytes.
    @unsafe
    public static func timeoutNanoseconds(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count >= 2, value.count <= 9,
            let number = unsafe ASCII.decimal(UnsafeRawBufferPointer(rebasing: value[..<(value.count - 1)]))
        else { return nil }
        let unit: UInt64
        switch unsafe value[value.count - 1] {
        case UInt8(ascii: "H"): unit = 3_600_000_000_000
        case UInt8(ascii: "M"): unit = 60_000_000_000
        case UInt8(ascii: "S"): unit = 1_000_000_000
        case UInt8(ascii: "m"): unit = 1_000_000
        case UInt8(ascii: "u"): unit = 1000
        case UInt8(ascii: "n"): unit = 1
        default: return nil
        }
        // 99,999,999 hours are 3.6e20 ns, more than there are: the product stops at the largest number.
        let (product, overflow) = number.multipliedReportingOverflow(by: unit)
        return overflow ? .max : product
    }
}
