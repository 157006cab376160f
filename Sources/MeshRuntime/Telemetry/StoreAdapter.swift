internal import QueryAPI
internal import TelemetryModel
internal import TelemetryStore

/// The embedded store as receivers and queries see it. Any thread.
final class StoreAdapter: SpanSink, TraceQuerying {
    private let holder: StoreHolder

    init(_ holder: StoreHolder) { self.holder = holder }

    func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, SpanRejection>) -> Void) {
        let store: TraceStore
        switch holder.place(for: batch) {
        case .store(let opened): store = opened
        case .kept:
            completion(.success(()))
            return
        case .refused:
            completion(.failure(.unavailable(reason: holder.problem ?? StoreError.closed.description)))
            return
        }
        store.submit(batch) { result in
            switch result {
            case .success: completion(.success(()))
            case .failure(.overloaded): completion(.failure(.overloaded))
            case .failure(let error): completion(.failure(.unavailable(reason: error.description)))
            }
        }
    }

    func services() throws -> [String] { try calling { store throws(StoreError) in try store.services() } }
    func spanNames(service: String) throws -> [String] { try calling { store throws(StoreError) in try store.spanNames(service: service) } }
    func remoteServices(service: String) throws -> [String] { try calling { store throws(StoreError) in try store.remoteServices(service: service) } }
    func trace(_ id: TraceID) throws -> SpanBatch { try calling { store throws(StoreError) in try store.trace(id) } }
    func traces(_ ids: [TraceID]) throws -> [SpanBatch] { try calling { store throws(StoreError) in try store.traces(ids) } }

    func search(_ query: TraceQuery) throws -> [SpanBatch] { try calling { store throws(StoreError) in try store.search(query) } }

    func dependencies(endTimestamp: UInt64, lookback: UInt64) throws -> [DependencyLink] {
        try calling { store throws(StoreError) in try store.dependencies(endTimestamp: endTimestamp, lookback: lookback) }
    }

    func autocompleteValues(key: String) throws -> [String] { try calling { store throws(StoreError) in try store.autocompleteValues(key) } }

    func health() -> StoreHealth {
        var health = StoreHealth()
        guard let store = holder.store else {
            health.problem = holder.problem
            health.spansRefused = ["not_open": holder.spansRefused]
            return health
        }
        let statistics = store.statistics()
        health.damage = statistics.damage.map(\.description)
        health.problem = statistics.isDiskFull ? "the disk of the data directory is full or failing" : nil
        health.spansAccepted = statistics.spansAccepted
        health.spansRefused = [
            "overloaded": statistics.spansRefusedOverloaded, "disk_full": statistics.spansRefusedDiskFull, "closed": statistics.spansRefusedClosed,
            "not_open": holder.spansRefused,
        ]
        health.spansExpired = statistics.spansExpired
        health.spansStored = statistics.spansStored
        health.journalRows = statistics.journalRows
        health.journalSpans = statistics.headSpans
        health.journalBytes = statistics.headBytes
        health.queuedBatches = statistics.queuedBatches
        health.queuedBytes = statistics.queuedBytes
        health.segments = statistics.segments
        health.segmentBytes = statistics.segmentBytes
        health.fileBytes = statistics.fileBytes
        health.commits = statistics.commits
        health.compactions = statistics.compactions
        health.merges = statistics.merges
        health.quarantined = [
            "file": statistics.quarantinedFiles, "journal_row": statistics.corruptJournalRows, "segment": statistics.corruptSegments,
        ]
        return health
    }

    /// What can be tried again is 503 to the client; anything else is an error of ours.
    private func calling<T>(_ body: (TraceStore) throws(StoreError) -> T) throws -> T {
        guard let store = holder.store else { throw QueryFailure.unavailable(reason: holder.problem ?? StoreError.closed.description) }
        do throws(StoreError) {
            return try body(store)
        } catch {
            if error.isRetryable || error == .closed { throw QueryFailure.unavailable(reason: error.description) }
            throw error
        }
    }
}

/// Stands where a process has no store: spans go to exporters, and keeping none of them is what was asked for.
final class NoStore: SpanSink {
    func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, SpanRejection>) -> Void) {
        completion(.success(()))
    }
}
