public import TelemetryModel

/// The trace store: spans in, durable; traces, names and dependency links out. Any thread may call it.
///
/// Opening takes the data directory for this process alone, sets a damaged file aside, and brings the spans that the last process had
/// acknowledged but not compacted back into the head. Writing is `StoreFile`'s and `TraceTables`' business, reading that of `TraceReads`.
public final class TraceStore: Sendable {
    let file: StoreFile
    let tables: TraceTables

    /// Opens or creates a file for traces alone in `configuration.directory`; with other stores they come from `Stores.open`. Errors:
    /// `.locked`, `.directory`, `.newerSchema`, `.diskFull`, `.sqlite`.
    public static func open(_ configuration: StoreConfiguration) throws(StoreError) -> TraceStore { try open(configuration, beside: []) }

    /// The same, with other sets of tables in the same file.
    static func open(_ configuration: StoreConfiguration, beside others: [any TableSet]) throws(StoreError) -> TraceStore {
        let tables = TraceTables(configuration)
        return TraceStore(try StoreFile.open(configuration, [tables] + others), tables)
    }

    /// `tables`: one of those that `file` was opened with.
    init(_ file: StoreFile, _ tables: TraceTables) {
        self.file = file
        self.tables = tables
    }

    // MARK: Writing

    /// Takes a batch for storing. Never blocks. `completion` is called exactly once: on the writer thread once the batch is committed and
    /// readable, or at once with `.overloaded`, `.diskFull` or `.closed`. It must be short: the next commit waits for it.
    public func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, StoreError>) -> Void) {
        file.submit(batch, to: tables.spans, completion: completion)
    }

    /// Stores a batch and waits for the commit; waits, too, while the queue is full. Not for event-loop threads.
    public func append(_ batch: SpanBatch) throws(StoreError) { try file.append(batch, to: tables.spans) }

    /// Compacts the head into a segment, applies retention and gives free pages back; returns when the file is in its compact form.
    public func flush() throws(StoreError) { try file.flush() }

    /// Commits what is queued, ends the threads, empties the log into the file and releases the directory. Closing twice is harmless.
    public func close() { file.close() }

    /// A moment's counters.
    public func statistics() -> StoreStatistics {
        var result = tables.statistics()
        file.describe(tables.spans, in: &result)
        return result
    }

    // MARK: Reading. Every call looks at one moment of the store.

    /// The spans of a trace as they were received, copies left out; empty when there is none. `strictTraceID` says how the id is matched.
    public func trace(_ id: TraceID) throws(StoreError) -> SpanBatch {
        try tables.reads.look { view throws(StoreError) in try TraceGather.trace(id, view) }
    }

    /// Which of these traces are there.
    public func existing(_ ids: Set<TraceID>) throws(StoreError) -> Set<TraceID> {
        try tables.reads.look { view throws(StoreError) in try view.existing(ids) }
    }

    /// One batch per trace that is found, in the order asked for.
    public func traces(_ ids: [TraceID]) throws(StoreError) -> [SpanBatch] {
        try tables.reads.look { view throws(StoreError) in try TraceGather.traces(ids, view) }
    }

    /// The newest traces that match, at most `limit`; see `TraceQuery` for what matches.
    public func search(_ query: TraceQuery) throws(StoreError) -> [SpanBatch] { try find(query).traces }

    /// The same, and how many traces were read for it.
    public func find(_ query: TraceQuery) throws(StoreError) -> FoundTraces {
        let limit = min(max(query.limit, 0), QueryLimits.tracesMax)
        guard limit > 0 else { return FoundTraces(traces: [], readCount: 0) }
        return try tables.reads.look { view throws(StoreError) in
            try TraceSearch(view, CompiledQuery(query, tables.configuration.segmentLimits), limit).run()
        }
    }

    /// Names of local services, sorted.
    public func services() throws(StoreError) -> [String] {
        try tables.reads.look { view throws(StoreError) in try NameIndex(view).services() }
    }

    /// Names of the spans of a service, sorted.
    public func spanNames(service: String) throws(StoreError) -> [String] {
        try tables.reads.look { view throws(StoreError) in try NameIndex(view).spanNames(service: service) }
    }

    /// Names of the services that a service talks to, sorted.
    public func remoteServices(service: String) throws(StoreError) -> [String] {
        try tables.reads.look { view throws(StoreError) in try NameIndex(view).remoteServices(service: service) }
    }

    /// Values of a tag, sorted; empty unless `key` is one of `autocompleteKeys`.
    public func autocompleteValues(_ key: String) throws(StoreError) -> [String] {
        guard tables.configuration.autocompleteKeys.contains(key) else { return [] }
        return try tables.reads.look { view throws(StoreError) in try NameIndex(view).tagValues(ofKey: key) }
    }

    /// Calls between services in traces that began within `lookback` milliseconds before `endTimestamp` (milliseconds), rounded to minutes.
    /// As in Zipkin, ids with equal low halves name one trace here, strict or not: half an id must not make one call two.
    public func dependencies(endTimestamp: UInt64, lookback: UInt64) throws(StoreError) -> [DependencyLink] {
        var window = TraceQuery(endTimestamp: endTimestamp)
        window.lookback = lookback
        let range = window.timestampRange
        return try tables.reads.look { view throws(StoreError) in try DependencyQuery(view).links(range) }
    }
}
