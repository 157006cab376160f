public import Primitives

/// One try of a request that was followed by another, as its record keeps it: behind the text, in the order of the tries.
public struct AttemptRecord: Sendable, BitwiseCopyable {
    /// How it ended.
    public enum End: UInt8, Sendable, BitwiseCopyable {
        /// A response that the retry policy did not take.
        case response
        case connectFailure, reset, refusedStream, protocolError, perTryTimeout
        /// The kept connection turned out to be closed; the request was sent again on a new one.
        case staleConnection

        public var text: String {
            switch self {
            case .response: "response"
            case .connectFailure: "connect failure"
            case .reset: "reset"
            case .refusedStream: "refused stream"
            case .protocolError: "protocol error"
            case .perTryTimeout: "per-try timeout"
            case .staleConnection: "stale connection"
            }
        }
    }

    /// Kept of one request: the first ones. More tries are counted in the record's `attemptCount` only.
    public static let countMax = 8

    public var endpoint = SocketEndpoint()
    /// Nanoseconds after the request's start.
    public var begin: UInt64 = 0
    public var end: UInt64 = 0
    /// Of the response; 0 = none.
    public var status: UInt16 = 0
    /// 255 = none.
    public var grpcStatus: UInt8 = 255
    public var ending = End.response

    public init() {}
}
