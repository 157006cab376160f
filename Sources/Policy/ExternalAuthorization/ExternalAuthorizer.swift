internal import HTTP
internal import MeshConfig
public import Primitives

/// A provider of external authorization, compiled: whom policies of action CUSTOM ask (semantics 2.8), what is sent there, and what of the
/// answer is taken. Immutable, any thread.
public final class ExternalAuthorizer: Sendable {
    /// Its name in `meshConfig.extensionProviders`.
    public let name: String
    /// `host:port` that it is reached as.
    public let authority: String
    /// Asked by gRPC; otherwise by a request like the one that is checked.
    public let isGRPC: Bool
    /// For the whole check.
    public let timeoutNanoseconds: UInt64
    /// Requests go on where the check fails.
    public let isFailOpen: Bool
    /// What they are answered otherwise, 200...599.
    public let statusOnError: UInt16
    /// The route is chosen again when the authorizer has changed the request.
    public let clearsRouteCache: Bool
    /// Of the request's body that are sent; 0 = none.
    public let bodyBytesMax: Int
    /// A longer body is checked by its beginning; otherwise it is refused.
    public let allowsPartialBody: Bool
    /// gRPC: the body is sent as bytes instead of text.
    public let packsAsBytes: Bool
    /// In front of the path of an HTTP check.
    public let pathPrefix: [UInt8]
    /// Fields that every HTTP check has, in place of the request's own.
    public let additionalFields: [(name: [UInt8], value: [UInt8])]
    /// Where its checks are counted.
    public let slot: AuthorizerSlot

    private let included: FieldNameList
    private let additional: FieldNameList
    private let toUpstream: FieldNameList
    private let toDownstreamOnDeny: FieldNameList
    private let toDownstreamOnAllow: FieldNameList

    init(named name: String, _ settings: ExternalAuthorizerSettings, slot: AuthorizerSlot) {
        self.name = name
        self.slot = slot
        authority = "\(settings.host):\(settings.port)"
        timeoutNanoseconds = settings.timeoutNanoseconds
        isFailOpen = settings.isFailOpen
        statusOnError = settings.statusOnError
        clearsRouteCache = settings.clearsRouteCache
        bodyBytesMax = settings.body.map { Int(clamping: $0.bytesMax) } ?? 0
        allowsPartialBody = settings.body?.allowsPartial ?? false
        packsAsBytes = settings.body?.packsAsBytes ?? false
        switch settings.transport {
        case .grpc:
            isGRPC = true
            pathPrefix = []
            additionalFields = []
            included = FieldNameList([])
            additional = FieldNameList([])
            toUpstream = FieldNameList([])
            toDownstreamOnDeny = FieldNameList([])
            toDownstreamOnAllow = FieldNameList([])
        case .http(let http):
            isGRPC = false
            pathPrefix = Array((http.pathPrefix.hasSuffix("/") ? String(http.pathPrefix.dropLast()) : http.pathPrefix).utf8)
            additionalFields = http.additionalHeaders.map { (Array($0.name.lowercased().utf8), Array($0.value.utf8)) }
            included = FieldNameList(["authorization"] + http.includedHeaders)
            additional = FieldNameList(http.additionalHeaders.map(\.name))
            toUpstream = FieldNameList(http.headersToUpstream)
            toDownstreamOnDeny = FieldNameList(http.headersToDownstreamOnDeny)
            toDownstreamOnAllow = FieldNameList(http.headersToDownstreamOnAllow)
        }
    }

    /// Whether an HTTP check has this field of the request.
    public func sends(_ name: LentBytes) -> Bool {
        CheckFields.isForRequests(name) && included.contains(name) && !additional.contains(name)
    }

    /// Whether a field of an answer that lets in goes into the request.
    func passesToUpstream(_ name: LentBytes) -> Bool { CheckFields.isForRequests(name) && toUpstream.contains(name) }

    /// Whether a field of an answer that lets in goes into the response.
    func passesToDownstream(_ name: LentBytes) -> Bool { CheckFields.isForResponses(name) && toDownstreamOnAllow.contains(name) }

    /// Whether a field of an answer that refuses goes to the client. With a list these few come besides, as in Envoy.
    func passesToRefused(_ name: LentBytes) -> Bool {
        guard CheckFields.isForResponses(name) else { return false }
        return toDownstreamOnDeny.isEmpty || toDownstreamOnDeny.contains(name) || name.equalsIgnoringCase(LentBytes("www-authenticate"))
            || name.equalsIgnoringCase(LentBytes("location"))
    }
}
