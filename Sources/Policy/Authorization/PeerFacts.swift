public import Primitives

/// What rules ask of a connection, worked out once for all of its requests: who its client is by its certificate, and the server name that
/// it asked for. Kept with the connection.
public struct PeerFacts: ~Copyable {
    private static let scheme = "spiffe://"

    /// The identity without its scheme, then the server name.
    private var text = ByteBuffer()
    private var principal = 0..<0
    private var serverName = 0..<0
    private var domain = 0..<0
    private var namespace = 0..<0
    private var account = 0..<0
    private var principalHash: UInt64 = 0
    private var namespaceHash: UInt64 = 0

    /// A client that shows nothing.
    public init() {}

    /// `identity`: a SPIFFE ID that was verified; nil = none. `serverName`: empty = none.
    public mutating func note(identity: String?, serverName name: String) {
        text.clear()
        let id = identity.flatMap { $0.hasPrefix(Self.scheme) ? Array($0.utf8.dropFirst(Self.scheme.utf8.count)) : nil } ?? []
        principal = 0..<id.count
        for byte in id { text.append(byte: byte) }
        text.append(string: name)
        serverName = id.count..<text.count
        let end = id.firstIndex(of: UInt8(ascii: "/")) ?? id.count
        domain = 0..<end
        (namespace, account) = Self.workload(id[end...])
        let view = view
        principalHash = RuleKeyKinds.principal.hash(view.principal)
        namespaceHash = RuleKeyKinds.namespace.hash(view.namespace)
    }

    /// Places of namespace and account where the path is Istio's, `/ns/NAMESPACE/sa/ACCOUNT`; empty elsewhere.
    private static func workload(_ path: ArraySlice<UInt8>) -> (namespace: Range<Int>, account: Range<Int>) {
        let parts = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard parts.count == 5, parts[0].isEmpty, parts[1].elementsEqual("ns".utf8), parts[3].elementsEqual("sa".utf8) else {
            return (0..<0, 0..<0)
        }
        return (parts[2].startIndex..<parts[2].endIndex, parts[4].startIndex..<parts[4].endIndex)
    }

    /// Good until the connection ends or `note` is called again.
    public var view: PeerView {
        var view = PeerView()
        let bytes = unsafe LentBytes(text.readable)
        view.principal = bytes[principal]
        view.trustDomain = bytes[domain]
        view.namespace = bytes[namespace]
        view.account = bytes[account]
        view.serverName = bytes[serverName]
        view.principalHash = principalHash
        view.namespaceHash = namespaceHash
        return view
    }
}

/// The same for the time of a call.
public struct PeerView: BitwiseCopyable {
    /// Without `spiffe://`; empty = the client has shown none.
    var principal = LentBytes()
    var trustDomain = LentBytes()
    var namespace = LentBytes()
    var account = LentBytes()
    /// SNI; empty = none.
    public var serverName = LentBytes()
    /// `RuleKeyKinds.hash` of the two.
    var principalHash: UInt64 = 0
    var namespaceHash: UInt64 = 0

    public init() {}
}
