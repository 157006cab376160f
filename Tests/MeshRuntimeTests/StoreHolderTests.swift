import Glibc
@testable import MeshRuntime
import QueryAPI
import TelemetryModel
import TelemetryStore
import Testing

/// A disk in any state must not keep the proxy from starting.
@Suite struct StoreHolderTests {
    /// A file where the directory should be: nothing can be opened until it is gone.
    private func blocked(_ directory: TemporaryDirectory) -> (configuration: StoreConfiguration, path: String) {
        let path = directory.path + "/data"
        close(unsafe open(path, O_CREAT | O_WRONLY, 0o600))
        return (StoreConfiguration(directory: path), path)
    }

    @Test func refusesUntilTheDiskIsWellAndOpensByItself() throws {
        let directory = TemporaryDirectory()
        let (configuration, path) = blocked(directory)
        let holder = try StoreHolder(configuration, isRequired: false, now: 0)
        let adapter = StoredTraces(holder)
        #expect(holder.stores == nil)
        let problem = try #require(adapter.statistics().problem)
        #expect(problem.contains("cannot be opened") && problem.contains(path) && problem.contains("Not a directory"), "\(problem)")
        var refusals: [String] = []
        var batch = SpanBatch()
        batch.spans.append(SpanRow(traceID: TraceID(high: 0, low: 1), id: SpanID(1)))
        nonisolated(unsafe) var result: String?
        adapter.submit(batch) { unsafe result = "\($0)" }
        if let text = unsafe result { refusals.append(text) }
        #expect(refusals.count == 1 && refusals[0].contains("unavailable"), "\(refusals)")
        #expect(adapter.statistics().spansRefused[.notOpen] == 1)
        #expect(throws: QueryFailure.self) { try adapter.services() }
        // Still blocked: the reason stays.
        holder.attempt(from: 0)
        #expect(holder.stores == nil && holder.problem != nil)
        _ = unsafe unlink(path)
        holder.attempt(from: 0)
        #expect(holder.stores != nil && holder.problem == nil)
        #expect(adapter.statistics().problem == nil)
        #expect(try adapter.services() == [])
        holder.close()
        _ = unsafe unlink(path + "/skein.db")
        _ = unsafe unlink(path + "/skein.lock")
        _ = unsafe rmdir(path)
    }

    /// Attempts come by themselves, at growing distances, and not before their time.
    @Test func triesAgainWhenItIsTime() throws {
        let directory = TemporaryDirectory()
        let (configuration, path) = blocked(directory)
        let holder = try StoreHolder(configuration, isRequired: false, now: 0)
        _ = unsafe unlink(path)
        holder.retry(now: 500_000_000)
        #expect(holder.stores == nil)
        holder.retry(now: 1_000_000_000)
        eventually("the store opens") { holder.stores != nil }
        holder.close()
        holder.close()
        _ = unsafe unlink(path + "/skein.db")
        _ = unsafe unlink(path + "/skein.lock")
        _ = unsafe rmdir(path)
    }

    @Test func endsTheStartWhenItIsRequiredOrHeldByAnother() throws {
        let directory = TemporaryDirectory()
        let (configuration, path) = blocked(directory)
        #expect(throws: StoreError.self) { try StoreHolder(configuration, isRequired: true, now: 0) }
        _ = unsafe unlink(path)
        let first = try StoreHolder(configuration, isRequired: false, now: 0)
        #expect(throws: StoreError.locked(directory: path, holder: getpid())) { try StoreHolder(configuration, isRequired: false, now: 0) }
        first.close()
        _ = unsafe unlink(path + "/skein.db")
        _ = unsafe unlink(path + "/skein.lock")
        _ = unsafe rmdir(path)
    }
}
