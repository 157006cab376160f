internal import Primitives
internal import TelemetryModel

/// An answer that the proxy gives itself, with Envoy's flags, details and bodies.
@safe
struct LocalAnswer: BitwiseCopyable {
    var status: UInt16
    var details: ResponseCodeDetails
    var flags: ResponseFlags
    /// Constant text, or text of the request's configuration or of the context that the answer is given in.
    var body: LentBytes
    /// The connection cannot be used further.
    var closes = false
    /// The status of a gRPC call; 255 = what the HTTP status means.
    var grpcStatus: UInt8 = 255
    /// The context holds the value of `Location`.
    var hasLocation = false
    /// The context holds the value of `WWW-Authenticate`.
    var hasChallenge = false
    /// Refused by a limit, which the answer says.
    var isOverloaded = false
    /// The rule of an AuthorizationPolicy that refused it, or why its token was; none = no rule allowed it, or another reason.
    var policy = NameID.none

    init(_ status: UInt16, _ details: ResponseCodeDetails, _ flags: ResponseFlags = [], body: StaticString = "", closes: Bool = false) {
        self.status = status
        self.details = details
        self.flags = flags
        self.body = LentBytes(body)
        self.closes = closes
    }

    init(_ status: UInt16, _ details: ResponseCodeDetails, text: LentBytes) {
        self.init(status, details)
        body = text
    }

    /// A limit of the cluster refuses the request (semantics 2.4).
    static var overflow: LocalAnswer {
        var answer = LocalAnswer(
            503, .overflowBeforeResponse, [.upstreamOverflow],
            body: "upstream connect error or disconnect/reset before headers. reset reason: overflow")
        answer.isOverloaded = true
        return answer
    }

    /// Of a connection, which is closed, only details and rule have a meaning.
    static func accessDenied(by policy: NameID) -> LocalAnswer {
        var answer = LocalAnswer(403, .rbacAccessDenied, body: "RBAC: access denied")
        answer.policy = policy
        return answer
    }

    /// The time of the whole request is over (semantics 2.3). `isGRPCs`: it was the client's own (gRPC over HTTP/2, "Timeout").
    static func routeTimeout(isGRPCs: Bool) -> LocalAnswer {
        guard isGRPCs else {
            return LocalAnswer(504, .upstreamResponseTimeout, [.upstreamRequestTimeout], body: "upstream request timeout")
        }
        var answer = LocalAnswer(504, .maxDurationTimeout, [.durationTimeout], body: "upstream max stream duration reached")
        answer.grpcStatus = 4
        return answer
    }

    /// Nothing of the request has moved for too long. `isWhole`: it has been received, so the endpoint is late.
    static func idleTimeout(isWhole: Bool) -> LocalAnswer {
        LocalAnswer(isWhole ? 504 : 408, .streamIdleTimeout, [.streamIdleTimeout], body: "stream timeout", closes: true)
    }

    static var noEndpoint: LocalAnswer { LocalAnswer(503, .noHealthyUpstream, [.noHealthyUpstream], body: "no healthy upstream") }
}

extension RequestRecord {
    /// Why it was answered, or ended.
    mutating func note(_ answer: LocalAnswer) {
        details = answer.details
        flags.formUnion(answer.flags)
        policy = answer.policy
    }
}
