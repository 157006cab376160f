/// Who a workload is: `spiffe://TRUST-DOMAIN/PATH` (SPIFFE ID 2, 2.1 to 2.3; semantics 4.1). Compared as bytes, never by prefix or pattern.
///
/// A value.
public struct SPIFFEID: Hashable, Sendable, CustomStringConvertible {
    /// Why a text is no SPIFFE ID.
    public enum Problem: String, Error, Hashable, Sendable {
        case tooLong = "is longer than 2,048 bytes"
        case scheme = "does not begin with spiffe://"
        case trustDomain = "has a trust domain that is empty, longer than 255 bytes, or has other characters than a-z 0-9 . - _"
        case path = "has a path with an empty segment, . or .., a slash at its end, or other characters than a-z A-Z 0-9 . - _"
    }

    public static let bytesMax = 2048
    public static let trustDomainBytesMax = 255
    private static let scheme = Array("spiffe://".utf8)

    public let trustDomain: String
    /// Empty, or with the slash it begins with: `/ns/default/sa/reviews`.
    public let path: String

    /// Reads the bytes of a certificate's URI name, or of a configuration.
    public init(_ bytes: some Collection<UInt8>) throws(Problem) {
        guard bytes.count <= Self.bytesMax else { throw .tooLong }
        guard bytes.starts(with: Self.scheme) else { throw .scheme }
        let rest = Array(bytes.dropFirst(Self.scheme.count))
        let end = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.count
        guard (1...Self.trustDomainBytesMax).contains(end), rest[..<end].allSatisfy(Self.isTrustDomainByte) else { throw .trustDomain }
        let path = rest[end...]
        if !path.isEmpty {
            for segment in path.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
                let isDots = segment.elementsEqual(".".utf8) || segment.elementsEqual("..".utf8)
                guard !segment.isEmpty, !isDots, segment.allSatisfy(Self.isPathByte) else { throw .path }
            }
        }
        trustDomain = String(decoding: rest[..<end], as: UTF8.self)
        self.path = String(decoding: path, as: UTF8.self)
    }

    public init(_ text: String) throws(Problem) { try self.init(text.utf8) }

    /// Istio's identity of a service account; nil = a name has characters that an identity cannot have.
    public init?(trustDomain: String, namespace: String, serviceAccount: String) {
        guard let id = try? SPIFFEID("spiffe://\(trustDomain)/ns/\(namespace)/sa/\(serviceAccount)") else { return nil }
        self = id
    }

    public var description: String { "spiffe://\(trustDomain)\(path)" }

    /// As metrics and policies name it: without `spiffe://` (semantics 2.7).
    public var principal: String { trustDomain + path }

    /// Namespace and service account, where the path is Istio's `/ns/NAMESPACE/sa/ACCOUNT`.
    public var workload: (namespace: String, serviceAccount: String)? {
        let parts = path.split(separator: "/")
        guard parts.count == 4, parts[0] == "ns", parts[2] == "sa" else { return nil }
        return (String(parts[1]), String(parts[3]))
    }

    private static func isTrustDomainByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
            UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func isPathByte(_ byte: UInt8) -> Bool {
        isTrustDomainByte(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
}
