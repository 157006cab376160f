internal import Glibc
internal import Primitives
internal import Synchronization

/// How an attempt at an endpoint came to nothing, for people.
public struct EndpointFailure: Sendable, Equatable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case connectionRefused = 1
        case connectTimeout
        /// `code` says more.
        case connectError
        case connectionClosed
        case reset
        case refusedStream
        case protocolError
        case noAnswerInTime
    }

    public var kind: Kind
    /// errno, 0...4095; 0 = none.
    public var code: UInt16

    public init(_ kind: Kind, code: Int32 = 0) {
        self.kind = kind
        self.code = UInt16(clamping: min(4095, code))
    }

    /// Whether no connection came about.
    public var isConnectFailure: Bool { kind.rawValue <= Kind.connectError.rawValue }

    public var text: String {
        let reason = code == 0 ? "" : unsafe ": " + String(cString: strerror(Int32(code)))
        switch kind {
        case .connectionRefused: return "connection refused: nobody listens there"
        case .connectTimeout: return "no connection within the connect timeout"
        case .connectError: return "no connection" + reason
        case .connectionClosed: return "it closed the connection before its response was complete"
        case .reset: return "it reset the stream"
        case .refusedStream: return "it refused the stream (REFUSED_STREAM)"
        case .protocolError: return "its response is no valid HTTP"
        case .noAnswerInTime: return "no response within perTryTimeout"
        }
    }
}

/// What failed at one endpoint since it appeared.
public struct EndpointFailures: Sendable, Equatable {
    /// Attempts that got no connection.
    public var connect: UInt64 = 0
    /// Attempts that got one and no whole response.
    public var other: UInt64 = 0
    public var last: EndpointFailure?
    /// Milliseconds since 1970; 0 = never.
    public var lastUnixMilliseconds: UInt64 = 0

    public init() {}
}

extension UpstreamState {
    /// Any thread: counts a failed attempt. `cluster` keeps a count of its own, which outlives its endpoints.
    public func noteFailure(_ failure: EndpointFailure, endpoint: EndpointSlot, cluster: ClusterSlot, unixMilliseconds: UInt64) {
        if failure.isConnectFailure, let row = unsafe row(cluster) {
            unsafe row[ClusterWord.connectFailures].wrappingAdd(1, ordering: .relaxed)
        }
        guard let row = unsafe row(endpoint) else { return }
        let word = failure.isConnectFailure ? EndpointWord.connectFailures : EndpointWord.otherFailures
        unsafe row[word].wrappingAdd(1, ordering: .relaxed)
        // Kind in 4 bits, errno in 12, time in 48, so that they change together.
        let packed = UInt64(failure.kind.rawValue) | UInt64(failure.code) << 4 | (unixMilliseconds & 0xFFFF_FFFF_FFFF) << 16
        unsafe row[EndpointWord.lastFailure].store(packed, ordering: .relaxed)
    }

    /// Any thread.
    public func failures(of endpoint: EndpointSlot) -> EndpointFailures {
        var failures = EndpointFailures()
        guard let row = unsafe row(endpoint) else { return failures }
        failures.connect = unsafe row[EndpointWord.connectFailures].load(ordering: .relaxed)
        failures.other = unsafe row[EndpointWord.otherFailures].load(ordering: .relaxed)
        let packed = unsafe row[EndpointWord.lastFailure].load(ordering: .relaxed)
        if let kind = EndpointFailure.Kind(rawValue: UInt8(packed & 0xF)) {
            failures.last = EndpointFailure(kind, code: Int32(packed >> 4 & 0xFFF))
            failures.lastUnixMilliseconds = packed >> 16
        }
        return failures
    }

    /// Any thread: attempts at any endpoint of the cluster that got no connection.
    public func connectFailures(cluster: ClusterSlot) -> UInt64 {
        guard let row = unsafe row(cluster) else { return 0 }
        return unsafe row[ClusterWord.connectFailures].load(ordering: .relaxed)
    }
}
