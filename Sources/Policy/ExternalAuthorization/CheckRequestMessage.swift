public import HTTP
public import Primitives

/// A request as an authorizer is told of it by gRPC. The bytes are lent for the time of a call.
public struct CheckSubject: BitwiseCopyable {
    /// False = a connection: nothing below the addresses has a meaning.
    public var isHTTP = true
    public var peer = PeerView()
    /// Of this end: `spiffe://…`; empty = it has shown none.
    public var ownPrincipal = LentBytes()
    /// Whom the connection came from, and what it was made to.
    public var source = SocketEndpoint()
    public var destination = SocketEndpoint()
    /// When the request came, nanoseconds since 1970.
    public var unixNanoseconds: UInt64 = 0
    public var id = LentBytes()
    public var method = LentBytes()
    /// Path and query, normalised.
    public var target = LentBytes()
    public var authority = LentBytes()
    public var isHTTPS = false
    /// `HTTP/1.1`.
    public var version: StaticString = ""
    /// Of the body, as far as it has come.
    public var bodyBytes: UInt64 = 0
    /// What is checked of the body, and whether that is not all.
    public var body = LentBytes()
    public var isPartial = false

    public init() {}
}

/// `envoy.service.auth.v3.CheckRequest` (envoy/service/auth/v3/external_auth.proto and attribute_context.proto), as Envoy 1.40 fills it
/// under Istio. Kept with a check and reused.
public struct CheckRequestMessage {
    private var writer = ProtobufWriter()

    public init() {}

    /// The message behind a gRPC prefix.
    public var frame: [UInt8] {
        let count = UInt32(clamping: writer.bytes.count)
        let prefix: [UInt8] = [0] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * UInt32($0))) }
        return prefix + writer.bytes
    }

    var message: [UInt8] { writer.bytes }

    /// `head` has the fields that the authorizer may see.
    public mutating func write(_ subject: CheckSubject, _ head: borrowing MessageHead, _ authorizer: ExternalAuthorizer) {
        writer.clear()
        let packsAsBytes = authorizer.packsAsBytes
        // Closures cannot take a borrowed head along: its fields are gathered first.
        var fields = ProtobufWriter()
        if subject.isHTTP { Self.add(head, subject, to: &fields) }
        writer.add(1) { attributes in
            attributes.add(1) { Self.add(subject.source, principal: subject.peer.principal, scheme: "spiffe://", to: &$0) }
            attributes.add(2) { Self.add(subject.destination, principal: subject.ownPrincipal, scheme: "", to: &$0) }
            if subject.isHTTP { Self.add(subject, fields, packsAsBytes: packsAsBytes, to: &attributes) }
            // Not there without TLS.
            if !subject.peer.serverName.isEmpty { attributes.add(12) { $0.add(1, text: subject.peer.serverName) } }
        }
    }

    /// `AttributeContext.Request`.
    private static func add(
        _ subject: CheckSubject, _ fields: ProtobufWriter, packsAsBytes: Bool, to attributes: inout ProtobufWriter
    ) {
        attributes.add(4) { request in
            request.add(1) { time in
                time.add(1, number: subject.unixNanoseconds / 1_000_000_000)
                time.add(2, number: subject.unixNanoseconds % 1_000_000_000)
            }
            request.add(2) { http in
                http.add(1, text: subject.id)
                http.add(2, text: subject.method)
                http.append(fields)
                http.add(4, text: subject.target)
                http.add(5, text: subject.authority)
                http.add(6, text: subject.isHTTPS ? "https" : "http")
                http.add(9, number: subject.bodyBytes)
                http.add(10, text: subject.version)
                if packsAsBytes { http.add(12, bytes: subject.body) } else { http.add(11, text: subject.body) }
            }
        }
    }

    /// `AttributeContext.Peer`.
    private static func add(_ endpoint: SocketEndpoint, principal: LentBytes, scheme: StaticString, to peer: inout ProtobufWriter) {
        var address = Array(endpoint.addressText.utf8)
        let isUnix = endpoint.family == .unix
        peer.add(1) { wrapped in
            unsafe address.withUnsafeMutableBytes { bytes in
                let text = unsafe LentBytes(UnsafeRawBufferPointer(bytes))
                if isUnix { return wrapped.add(2) { $0.add(1, text: text) } }
                wrapped.add(1) { socket in
                    socket.add(2, text: text)
                    socket.add(3, number: UInt64(endpoint.port))
                }
            }
        }
        guard !principal.isEmpty else { return }
        var name = ByteBuffer()
        name.append(scheme)
        unsafe name.append(principal.buffer)
        unsafe peer.add(4, text: LentBytes(name.readable))
    }

    /// `HttpRequest.headers`: each name once, in lower case, its lines joined by commas; the pseudo-header fields among them.
    private static func add(_ head: borrowing MessageHead, _ subject: CheckSubject, to http: inout ProtobufWriter) {
        func add(_ name: StaticString, _ value: LentBytes, to http: inout ProtobufWriter) {
            http.add(3, key: LentBytes(name)) { unsafe $0.append(contentsOf: value.buffer) }
        }
        add(":authority", subject.authority, to: &http)
        add(":method", subject.method, to: &http)
        add(":path", subject.target, to: &http)
        add(":scheme", LentBytes(subject.isHTTPS ? "https" : "http"), to: &http)
        for index in 0..<head.fieldCount where head.fieldName(at: index) != .host {
            let name = head.nameBytes(at: index)
            guard firstIndex(of: name, head) == index else { continue }
            let values = joined(name, from: index, head)
            http.add(3, key: name) { $0 += values }
        }
        if !subject.body.isEmpty { add("x-envoy-auth-partial-body", LentBytes(subject.isPartial ? "true" : "false"), to: &http) }
    }

    private static func firstIndex(of name: LentBytes, _ head: borrowing MessageHead) -> Int {
        for index in 0..<head.fieldCount where head.isNamed(name, at: index) { return index }
        return head.fieldCount
    }

    private static func joined(_ name: LentBytes, from first: Int, _ head: borrowing MessageHead) -> [UInt8] {
        var values = head.bytes(at: first).copied
        for index in first + 1..<max(first + 1, head.fieldCount) where head.isNamed(name, at: index) {
            values.append(UInt8(ascii: ","))
            values += head.bytes(at: index).copied
        }
        return values
    }
}
