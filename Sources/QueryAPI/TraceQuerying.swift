public import TelemetryModel

/// The reads that the query API needs of a trace store. Every call may block on the disk; any thread, several at once.
public protocol TraceQuerying: AnyObject, Sendable {
    /// Names of local services, lower-case, sorted.
    func services() throws -> [String]
    /// Sorted; empty for an unknown service.
    func spanNames(service: String) throws -> [String]
    func remoteServices(service: String) throws -> [String]
    /// All spans of one trace; empty when there are none.
    func trace(_ id: TraceID) throws -> SpanBatch
    /// One batch for each trace that exists, in the order asked for.
    func traces(_ ids: [TraceID]) throws -> [SpanBatch]
    /// One batch for each matching trace, newest first.
    func search(_ query: TraceQuery) throws -> [SpanBatch]
    /// The same, and how many traces had to be read.
    func find(_ query: TraceQuery) throws -> FoundTraces
    /// Calls between services in `endTimestamp - lookback ... endTimestamp`, milliseconds since 1970.
    func dependencies(endTimestamp: UInt64, lookback: UInt64) throws -> [DependencyLink]
    /// Sorted values of one of the configured keys; empty for others.
    func autocompleteValues(key: String) throws -> [String]
    /// A moment's counters and sizes, and what is wrong.
    func statistics() -> StoreStatistics
}

/// Why a store could not answer; any other error is reported as 500 with its description.
public enum QueryFailure: Error, Sendable, Equatable {
    /// Try again later: 503.
    case unavailable(reason: String)
}
