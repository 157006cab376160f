internal import QueryAPI
internal import TelemetryModel
internal import TelemetryStore

/// The embedded traces as receivers and queries see them. Any thread.
final class StoredTraces: BatchSink, TraceQuerying {
    private let holder: StoreHolder

    init(_ holder: StoreHolder) { self.holder = holder }

    func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        let store: TraceStore
        switch holder.place(for: batch, deliver: { batch, stores in stores.traces.submit(batch) { _ in } }) {
        case .stores(let stores): store = stores.traces
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
    func remoteServices(service: String) throws -> [String] {
        try calling { store throws(StoreError) in try store.remoteServices(service: service) }
    }
    func trace(_ id: TraceID) throws -> SpanBatch { try calling { store throws(StoreError) in try store.trace(id) } }
    func traces(_ ids: [TraceID]) throws -> [SpanBatch] { try calling { store throws(StoreError) in try store.traces(ids) } }

    func search(_ query: TraceQuery) throws -> [SpanBatch] { try find(query).traces }
    func find(_ query: TraceQuery) throws -> FoundTraces { try calling { store throws(StoreError) in try store.find(query) } }

    func dependencies(endTimestamp: UInt64, lookback: UInt64) throws -> [DependencyLink] {
        try calling { store throws(StoreError) in try store.dependencies(endTimestamp: endTimestamp, lookback: lookback) }
    }

    func autocompleteValues(key: String) throws -> [String] {
        try calling { store throws(StoreError) in try store.autocompleteValues(key) }
    }

    func statistics() -> StoreStatistics {
        var result = StoreStatistics()
        if let stores = holder.stores {
            result = stores.traces.statistics()
            if let damage = stores.series.damage { result.damage.append(damage) }
        } else {
            result.problem = holder.problem
        }
        result.spansRefused[.notOpen] = holder.refused(.spans)
        return result
    }

    /// What can be tried again is 503 to the client; anything else is an error of ours.
    private func calling<T>(_ body: (TraceStore) throws(StoreError) -> T) throws -> T {
        guard let store = holder.stores?.traces else {
            throw QueryFailure.unavailable(reason: holder.problem ?? StoreError.closed.description)
        }
        do throws(StoreError) {
            return try body(store)
        } catch {
            if error.isRetryable || error == .closed { throw QueryFailure.unavailable(reason: error.description) }
            throw error
        }
    }
}

/// Stands where a process has no store: spans go to exporters, and keeping none of them is what was asked for.
final class NoStore: BatchSink {
    func submit(_ batch: consuming SpanBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        completion(.success(()))
    }
}
