/// How a request ended, for success rates. The rule is that of linkerd and Kiali for HTTP (a 5xx is a failure, nothing else is), and
/// OpenTelemetry's for servers of gRPC ("RPC spans: gRPC", status codes that are errors of the server).
public enum RequestOutcome: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case success, failure
    /// No response was begun, nearly always because the client had left: neither a success nor a failure.
    case unanswered

    /// `grpcStatus`: 255 = the response ended without one, which gRPC takes for UNKNOWN.
    @inlinable
    public init(responseCode: UInt16, isGRPC: Bool, grpcStatus: UInt8) {
        if responseCode == 0 {
            self = .unanswered
        } else if isGRPC, responseCode == 200 {
            self = Self.isServerError(grpcStatus: grpcStatus) ? .failure : .success
        } else {
            self = responseCode >= 500 ? .failure : .success
        }
    }

    /// UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS, and none at all.
    @inlinable
    public static func isServerError(grpcStatus: UInt8) -> Bool {
        switch grpcStatus {
        case 2, 4, 12, 13, 14, 15, 255: true
        default: false
        }
    }
}
