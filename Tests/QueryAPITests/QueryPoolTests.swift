import Dispatch
import HTTPService
import QueryAPI
import Synchronization
import Testing

struct QueryPoolTests {
    @Test func runsEverythingItAccepts() throws {
        let pool = try QueryPool(threads: 3, queueMax: 1000)
        let count = SendableCounter()
        for _ in 0..<1000 { #expect(pool.submit { count.value.wrappingAdd(1, ordering: .relaxed) } || pool.refused > 0) }
        pool.stop()
        #expect(UInt64(count.value.load(ordering: .relaxed)) + pool.refused == 1000)
        #expect(pool.depth == 0)
        #expect(!pool.submit {}, "a stopped pool takes nothing")
        pool.stop()
    }

    /// A slow disk must cost queries, not the server's thread: the queue has an end, and beyond it the answer is 503 at once.
    @Test func refusesWithRetryAfterWhenFull() throws {
        let pool = try QueryPool(threads: 1, queueMax: 2)
        let server = try TestServer(MemoryTraceStore(), pool: pool)
        let isBusy = DispatchSemaphore(value: 0)
        let gate = DispatchSemaphore(value: 0)
        #expect(
            pool.submit {
                isBusy.signal()
                gate.wait()
            })
        isBusy.wait()
        #expect(pool.submit {} && pool.submit {})
        let refused = try server.get("/api/v2/services")
        #expect(refused.status == 503)
        #expect(refused.header("retry-after") == "1")
        #expect(refused.text.contains("too many queries"))
        // What needs no store is answered all the while.
        #expect(try server.get("/healthz/ready").status == 200)
        #expect(try server.get("/info").status == 200)
        gate.signal()
        pool.stop()
        #expect(pool.refused == 1)
    }
}

final class SendableCounter: Sendable {
    let value = Atomic<Int>(0)
}
