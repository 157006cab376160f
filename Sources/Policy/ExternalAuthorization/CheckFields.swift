internal import HTTP
internal import Primitives

/// Which header fields an authorizer has a say in. How messages are framed and which host they are for is the proxy's own matter: an
/// authorizer that could change it could make one request two.
enum CheckFields {
    /// Whether a field may come into a request, or go out of it, because of an authorizer; also whether it is sent with a check.
    static func isForRequests(_ name: LentBytes) -> Bool {
        switch unsafe HeaderName.lookup(name.buffer) {
        case .host, .contentLength, .transferEncoding, .trailer, .expect, .maxForwards, .forwardedClientCert: false
        case let known: !known.isHopByHop && isToken(name)
        }
    }

    /// The same of a response. `Date` and `Server` are the proxy's.
    static func isForResponses(_ name: LentBytes) -> Bool {
        switch unsafe HeaderName.lookup(name.buffer) {
        case .host, .contentLength, .transferEncoding, .trailer, .date, .server: false
        case let known: !known.isHopByHop && isToken(name)
        }
    }

    /// RFC 9110 5.6.2; a pseudo-header field's name is none.
    static func isToken(_ name: LentBytes) -> Bool {
        guard !name.isEmpty, name.count <= nameBytesMax else { return false }
        for index in 0..<name.count {
            switch name[index] {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"),
                UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "^"), UInt8(ascii: "_"),
                UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
                continue
            default: return false
            }
        }
        return true
    }

    /// RFC 9110 5.5: no control characters but tabs, and none of the white space around it.
    static func isValue(_ value: LentBytes) -> Bool {
        for index in 0..<value.count where value[index] < 0x20 && value[index] != 9 || value[index] == 0x7F { return false }
        return unsafe ASCII.trim(value.buffer).count == value.count
    }

    private static let nameBytesMax = 256
}
