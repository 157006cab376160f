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
    /// Calls between services in `endTimestamp - lookback ... endTimestamp`, milliseconds since 1970.
    func dependencies(endTimestamp: UInt64, lookback: UInt64) throws -> [DependencyLink]
    /// Sorted values of one of the configured keys; empty for others.
    func autocompleteValues(key: String) throws -> [String]
    func health() -> StoreHealth
}

/// Why a store could not answer; any other error is reported as 500 with its description.
public enum QueryFailure: Error, Sendable, Equatable {
    /// Try again later: 503.
    case unavailable(reason: String)
}

/// A store at one moment. Counts are since the start of the process unless they say "now".
public struct StoreHealth: Sendable, Equatable {
    /// Why ingest or queries fail at the moment; nil = all is well.
    public var problem: String?
    /// What was stored and cannot be read any more, where it is now and how to look at it, a text for each.
    public var damage: [String] = []
    public var spansAccepted: UInt64 = 0
    /// Spans refused, by reason: `overloaded`, `disk_full`, `closed`, `not_open`.
    public var spansRefused: [String: UInt64] = [:]
    public var spansExpired: UInt64 = 0
    /// Spans readable now, in journal and segments.
    public var spansStored: UInt64 = 0
    /// Rows and spans that wait for compaction now.
    public var journalRows: UInt64 = 0
    public var journalSpans: UInt64 = 0
    public var journalBytes: UInt64 = 0
    /// Batches accepted and not yet committed, now.
    public var queuedBatches: UInt64 = 0
    public var queuedBytes: UInt64 = 0
    public var segments: UInt64 = 0
    public var segmentBytes: UInt64 = 0
    /// The database file and its write-ahead log.
    public var fileBytes: UInt64 = 0
    public var commits: UInt64 = 0
    public var compactions: UInt64 = 0
    public var merges: UInt64 = 0
    /// Damaged things set aside, by what they are: `file`, `journal_row`, `segment`.
    public var quarantined: [String: UInt64] = [:]

    public init() {}
}
