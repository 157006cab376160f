internal import HTTP
internal import Primitives

/// What method, version and kind of content say of a request.
struct RequestTraits: OptionSet, BitwiseCopyable {
    let rawValue: UInt16

    static let isHEAD = RequestTraits(rawValue: 1 << 0)
    static let isHTTP10 = RequestTraits(rawValue: 1 << 1)
    /// RFC 9110 9.2.2.
    static let isIdempotent = RequestTraits(rawValue: 1 << 2)
    static let isGRPC = RequestTraits(rawValue: 1 << 3)
    static let wantsUpgrade = RequestTraits(rawValue: 1 << 4)
    static let expectsContinue = RequestTraits(rawValue: 1 << 5)
    /// An external authorizer has been asked about it.
    static let isChecked = RequestTraits(rawValue: 1 << 6)

    static func read(_ head: borrowing MessageHead) -> RequestTraits {
        var traits: RequestTraits = []
        let method = head.methodBytes
        if method == "GET" {
            traits.insert(.isIdempotent)
        } else if method == "HEAD" {
            traits.formUnion([.isHEAD, .isIdempotent])
        } else if method == "PUT" || method == "DELETE" || method == "OPTIONS"
            || method == "TRACE"
        {
            traits.insert(.isIdempotent)
        }
        if let type = head.bytes(of: .contentType), isGRPC(type) { traits.insert(.isGRPC) }
        return traits
    }

    /// `application/grpc`, alone or with a `+` or `;` behind it.
    private static func isGRPC(_ type: LentBytes) -> Bool {
        let text: StaticString = "application/grpc"
        let count = text.utf8CodeUnitCount
        guard type.count >= count, type.prefix(count).equals(ignoringCase: text) else {
            return false
        }
        return type.count == count || type[count] == UInt8(ascii: "+") || type[count] == UInt8(ascii: ";")
    }
}
