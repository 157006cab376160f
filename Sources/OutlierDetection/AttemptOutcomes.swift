internal import Synchronization

/// How one attempt at an endpoint ended, for the error counters.
public enum AttemptOutcome: Hashable, Sendable, BitwiseCopyable {
    /// A response arrived; for gRPC see `grpc(status:)`.
    case response(status: UInt16)
    /// TCP: the connection was made, which is all there is to judge.
    case connected
    /// Local failures: what the endpoint did to us rather than answered.
    case connectFailed, timedOut, reset

    /// A gRPC response by its grpc-status: the HTTP status that Envoy judges it as. What is no grpc-status is an unknown error.
    public static func grpc(status: UInt32) -> AttemptOutcome {
        let table: InlineArray<17, UInt16> = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401]
        return .response(status: status < 17 ? table[Int(status)] : 500)
    }

    /// The status that a local failure counts as when it is not split off; 0 = a success.
    var equivalentStatus: UInt16 {
        switch self {
        case .response(let status): status
        case .connected: 200
        case .connectFailed, .reset: 503
        case .timedOut: 504
        }
    }

    /// The endpoint answered, whatever it said.
    public var isResponse: Bool { !isLocalFailure }

    /// Which of the endpoint's counts the outcome belongs to.
    var countWord: Int {
        switch self {
        case .response(let status) where (502...504).contains(status): UpstreamState.EndpointWord.gatewayErrors
        case .response(let status) where (500...599).contains(status): UpstreamState.EndpointWord.errors
        case .response, .connected: UpstreamState.EndpointWord.successes
        case .connectFailed, .timedOut, .reset: UpstreamState.EndpointWord.localFailures
        }
    }

    var isLocalFailure: Bool {
        switch self {
        case .response, .connected: false
        case .connectFailed, .timedOut, .reset: true
        }
    }
}

/// Which thresholds an outcome crossed. One 503 may cross two.
public struct OutlierCrossing: OptionSet, Hashable, Sendable, BitwiseCopyable {
    public var rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let gateway = OutlierCrossing(rawValue: 1)
    public static let fiveXX = OutlierCrossing(rawValue: 2)
    public static let localOrigin = OutlierCrossing(rawValue: 4)
}

extension UpstreamState {
    /// Any thread: counts an attempt's outcome. What it returns is not empty exactly once per threshold reached, on the thread whose
    /// outcome reached it; that thread then calls `OutlierJudge.crossed`. Consecutive counts grow by a qualifying error and fall to zero
    /// by anything else: 5xx by any other status, gateway errors (502, 503, 504) also by another 5xx (semantics 2.5).
    public func record(_ outcome: AttemptOutcome, endpoint: EndpointSlot, thresholds: OutlierThresholds) -> OutlierCrossing {
        guard thresholds != .off, let row = unsafe row(endpoint) else { return [] }
        // On the line that `requestBegan` has just written: mesh-wide detection costs a request no other line of memory.
        unsafe row[outcome.countWord].wrappingAdd(1, ordering: .relaxed)
        if thresholds.splitsLocalOrigin {
            if thresholds.countsRequests { unsafe count(row + EndpointWord.intervalLocalOrigin, success: !outcome.isLocalFailure) }
            if outcome.isLocalFailure {
                return unsafe increment(row + EndpointWord.consecutiveLocalOrigin, thresholds.consecutiveLocalOrigin) ? .localOrigin : []
            }
            unsafe reset(row + EndpointWord.consecutiveLocalOrigin)
            // A connection says nothing about what the endpoint answers.
            if outcome == .connected { return [] }
        }
        let status = outcome.equivalentStatus
        let isError = (500...599).contains(status)
        if thresholds.countsRequests { unsafe count(row + EndpointWord.intervalExternal, success: !isError) }
        guard isError else {
            unsafe reset(row + EndpointWord.consecutive5xx)
            unsafe reset(row + EndpointWord.consecutiveGateway)
            return []
        }
        var crossing: OutlierCrossing = []
        if (502...504).contains(status) {
            if unsafe increment(row + EndpointWord.consecutiveGateway, thresholds.consecutiveGateway) { crossing.insert(.gateway) }
        } else {
            unsafe reset(row + EndpointWord.consecutiveGateway)
        }
        if unsafe increment(row + EndpointWord.consecutive5xx, thresholds.consecutive5xx) { crossing.insert(.fiveXX) }
        return crossing
    }

    /// Only who makes the count equal to the threshold is told; later errors find it above, until the judge resets it.
    @unsafe
    private func increment(_ cell: UnsafeMutablePointer<Atomic<UInt64>>, _ threshold: UInt32) -> Bool {
        guard threshold > 0 else { return false }
        return unsafe cell.pointee.wrappingAdd(1, ordering: .relaxed).newValue == UInt64(threshold)
    }

    /// Reads first: an endpoint without errors keeps its line shared among the workers' caches.
    @unsafe
    private func reset(_ cell: UnsafeMutablePointer<Atomic<UInt64>>) {
        if unsafe cell.pointee.load(ordering: .relaxed) != 0 { unsafe cell.pointee.store(0, ordering: .relaxed) }
    }

    /// Total in the upper half, successes in the lower: one exchange takes both, so no request is half in one interval and half in the
    /// next. 2^32 requests of one endpoint in one interval would mix them up.
    @unsafe
    private func count(_ cell: UnsafeMutablePointer<Atomic<UInt64>>, success: Bool) {
        unsafe cell.pointee.wrappingAdd(1 << 32 | (success ? 1 : 0), ordering: .relaxed)
    }
}
