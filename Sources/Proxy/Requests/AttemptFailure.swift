internal import EventLoops
internal import OutlierDetection
internal import Routing
internal import TelemetryModel

/// How an attempt came to nothing before its response began.
enum AttemptFailure: Equatable {
    /// No connection to the endpoint: the request was not sent. `code` is errno, 0 where there is none.
    case connectFailure(code: Int32)
    /// As before: connecting to a Unix socket ends at once, and this is how.
    case unixConnectFailure(UnixConnectError)
    /// As before: the endpoint says that nobody listens, or says nothing in time.
    case connectionRefused
    case connectionTimeout
    /// As before: TLS did not come about.
    case transportFailure
    /// The connection ended.
    case terminated
    /// The endpoint reset the stream.
    case remoteReset
    /// The endpoint reset the stream and says that it did nothing (RFC 9113 8.7).
    case refusedStream
    case protocolError
    /// No response within the time of one try.
    case perTryTimeout
}

extension AttemptFailure {
    /// By the error that ended an attempt to connect; 0 where there is none.
    init(connectError error: Int32) {
        self = Socket.isRefusal(error) ? .connectionRefused : Socket.isTimeout(error) ? .connectionTimeout : .connectFailure(code: error)
    }

    /// No connection came about.
    var isOfConnecting: Bool {
        switch self {
        case .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout, .transportFailure: true
        case .terminated, .remoteReset, .refusedStream, .protocolError, .perTryTimeout: false
        }
    }

    /// As it counts for outlier detection.
    var outcome: AttemptOutcome { isOfConnecting ? .connectFailed : self == .perTryTimeout ? .timedOut : .reset }

    /// As it is told of the endpoint.
    var endpointFailure: EndpointFailure {
        switch self {
        case .connectFailure(let code): EndpointFailure(.connectError, code: code)
        case .unixConnectFailure(let reason):
            reason == .refused ? EndpointFailure(.connectionRefused) : EndpointFailure(.connectError, code: reason.code)
        case .connectionRefused: EndpointFailure(.connectionRefused)
        case .connectionTimeout: EndpointFailure(.connectTimeout)
        case .transportFailure: EndpointFailure(.connectError)
        case .terminated: EndpointFailure(.connectionClosed)
        case .remoteReset: EndpointFailure(.reset)
        case .refusedStream: EndpointFailure(.refusedStream)
        case .protocolError: EndpointFailure(.protocolError)
        case .perTryTimeout: EndpointFailure(.noAnswerInTime)
        }
    }

    var flag: ResponseFlags {
        switch self {
        case .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout, .transportFailure:
            .upstreamConnectionFailure
        case .terminated: .upstreamConnectionTermination
        case .remoteReset, .refusedStream: .upstreamRemoteReset
        case .protocolError: .upstreamProtocolError
        case .perTryTimeout: .upstreamRequestTimeout
        }
    }

    var details: ResponseCodeDetails {
        switch self {
        case .connectFailure: .connectionFailureBeforeResponse
        case .unixConnectFailure(.refused): .unixRefusedBeforeResponse
        case .unixConnectFailure(.missing): .unixMissingBeforeResponse
        case .unixConnectFailure(.forbidden): .unixForbiddenBeforeResponse
        case .unixConnectFailure(.backlogFull): .unixBacklogFullBeforeResponse
        case .connectionRefused: .connectionRefusedBeforeResponse
        case .connectionTimeout: .connectionTimeoutBeforeResponse
        case .transportFailure: .transportFailureBeforeResponse
        case .terminated: .connectionTerminationBeforeResponse
        case .remoteReset: .remoteResetBeforeResponse
        case .refusedStream: .refusedStreamBeforeResponse
        case .protocolError: .protocolErrorBeforeResponse
        case .perTryTimeout: .upstreamPerTryTimeout
        }
    }

    var detailsAfterResponse: ResponseCodeDetails {
        switch self {
        case .terminated, .connectFailure, .unixConnectFailure, .connectionRefused, .connectionTimeout, .transportFailure:
            .connectionTerminationAfterResponse
        case .remoteReset, .refusedStream, .perTryTimeout: .remoteResetAfterResponse
        case .protocolError: .protocolErrorAfterResponse
        }
    }

    /// Envoy's words, which people search for.
    var body: StaticString {
        switch self {
        case .connectFailure, .unixConnectFailure, .connectionRefused:
            "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure"
        case .connectionTimeout: "upstream connect error or disconnect/reset before headers. reset reason: connection timeout"
        case .transportFailure:
            """
            upstream connect error or disconnect/reset before headers. \
            reset reason: remote connection failure, transport failure reason: TLS error
            """
        case .terminated: "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
        case .remoteReset: "upstream connect error or disconnect/reset before headers. reset reason: remote reset"
        case .refusedStream: "upstream connect error or disconnect/reset before headers. reset reason: remote refused stream reset"
        case .protocolError: "upstream connect error or disconnect/reset before headers. reset reason: protocol error"
        case .perTryTimeout: "upstream request timeout"
        }
    }

    var bodyAfterRetries: StaticString {
        switch self {
        case .connectFailure, .unixConnectFailure, .connectionRefused:
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure"
        case .connectionTimeout:
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection timeout"
        case .transportFailure: body
        case .terminated:
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection termination"
        case .remoteReset: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote reset"
        case .refusedStream:
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote refused stream reset"
        case .protocolError:
            "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: protocol error"
        case .perTryTimeout: body
        }
    }
}
