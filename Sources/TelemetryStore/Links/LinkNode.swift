/// The local endpoint of a span; all zero = absent. `service` is a number of the caller's.
struct LinkEndpoint: Hashable {
    var service: Int32 = 0
    var port: UInt16 = 0
    var hasIPv4 = false
    var hasIPv6 = false
    var ipv4: UInt32 = 0
    var ipv6High: UInt64 = 0
    var ipv6Low: UInt64 = 0

    static let absent = LinkEndpoint()
    var isAbsent: Bool { service == 0 && port == 0 && !hasIPv4 && !hasIPv6 }

    /// Takes a payload of a span: `key` is one of `PayloadKey`, and only those of the local endpoint count.
    mutating func set(_ key: UInt32, _ a: UInt64, _ b: UInt64) {
        switch key {
        case PayloadKey.localIPv4: (hasIPv4, ipv4) = (true, UInt32(truncatingIfNeeded: a))
        case PayloadKey.localPort: port = UInt16(truncatingIfNeeded: a)
        case PayloadKey.localIPv6: (hasIPv6, ipv6High, ipv6Low) = (true, a, b)
        default: break
        }
    }
}

/// A span as the linker needs it.
struct LinkNode {
    var id: UInt64
    /// 0 at the root.
    var parentID: UInt64
    /// `SpanKind.rawValue`.
    var kind: UInt8
    var isShared: Bool
    var hasError: Bool
    var remoteService: Int32
    /// Beyond its service it counts only in a trace where an id is there twice or shared.
    var local: LinkEndpoint

    init(id: UInt64, parentID: UInt64, kind: UInt8, isShared: Bool, hasError: Bool, localService: Int, remoteService: Int) {
        self.id = id
        // A span cannot be its own parent; Zipkin takes such a one for a root.
        self.parentID = parentID == id ? 0 : parentID
        self.kind = kind
        self.isShared = isShared
        self.hasError = hasError
        self.remoteService = Int32(clamping: remoteService)
        local = LinkEndpoint(service: Int32(clamping: localService))
    }
}
