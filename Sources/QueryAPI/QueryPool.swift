public import EventLoops
internal import Glibc
public import HTTPService
internal import Synchronization

/// A few threads that do what may block, so that no server's thread does.
///
/// The queue is bounded: work that does not fit is refused with 503 and counted. Any thread may submit; `stop` once, from outside.
/// `@unchecked Sendable`: the semaphore is made for sharing; everything else is behind the mutex.
@safe
public final class QueryPool: @unchecked Sendable {
    public static let threadsDefault = 2
    public static let queueMaxDefault = 128
    /// What refused clients are told, seconds.
    public static let retryAfterSeconds = 1

    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var isStopped = false
        var refused: UInt64 = 0
        var finished: UInt64 = 0
    }

    private let state = Mutex(State())
    private let available: UnsafeMutablePointer<sem_t>
    private let threads = Mutex<[WorkerThread]>([])
    /// Jobs that wait, at most.
    public let queueMax: Int

    /// Added to the threads' nice value.
    private let niceness: Int32

    /// `niceness`: 1 to 19 have the threads give way to all others of the machine that want a processor (`setpriority(2)`, which is of a
    /// thread on Linux); 0 = none.
    public init(
        name: String = "query", threads count: Int = QueryPool.threadsDefault, queueMax: Int = QueryPool.queueMaxDefault,
        niceness: Int32 = 0
    ) throws(SystemError) {
        self.niceness = niceness
        self.queueMax = max(1, queueMax)
        unsafe available = .allocate(capacity: 1)
        unsafe available.initialize(to: sem_t())
        unsafe sem_init(available, 0, 0)
        for number in 0..<max(1, count) {
            let thread: WorkerThread
            do throws(SystemError) {
                thread = try WorkerThread(name: "\(name)-\(number)") { [self] in self.work() }
            } catch {
                stop()
                throw error
            }
            threads.withLock { $0.append(thread) }
        }
    }

    deinit {
        unsafe sem_destroy(available)
        unsafe available.deallocate()
    }

    private func work() {
        // Never refused: nobody needs a privilege to give way.
        let thread = __priority_which_t(PRIO_PROCESS.rawValue)
        if niceness > 0 { _ = setpriority(thread, 0, getpriority(thread, 0) + niceness) }
        while true {
            while unsafe sem_wait(available) != 0 {}
            let job = state.withLock { state -> (@Sendable () -> Void)? in
                if !state.jobs.isEmpty { return state.jobs.removeFirst() }
                return nil
            }
            guard let job else { return }
            job()
            state.withLock { $0.finished &+= 1 }
        }
    }

    /// Queues a job; false when the queue is full or the pool has stopped, and then the job will not run.
    public func submit(_ job: @escaping @Sendable () -> Void) -> Bool {
        let isAccepted = state.withLock { state in
            guard !state.isStopped, state.jobs.count < queueMax else {
                state.refused &+= 1
                return false
            }
            state.jobs.append(job)
            return true
        }
        if isAccepted { unsafe sem_post(available) }
        return isAccepted
    }

    /// Answers a request with what `work` returns, later; at once with 503 when the pool is busy.
    public func answer(_ responder: Responder, _ work: @escaping @Sendable () -> ServiceResponse) -> ServiceOutcome {
        if submit({ responder.respond(work()) }) { return .later }
        return .respond(
            .text(
                503, "too many queries at once (\(queueMax) are waiting): try again later",
                headers: [("Retry-After", "\(Self.retryAfterSeconds)"), ("Access-Control-Allow-Origin", "*")]))
    }

    /// Jobs waiting now.
    public var depth: Int { state.withLock { $0.jobs.count } }
    public var refused: UInt64 { state.withLock { $0.refused } }
    public var finished: UInt64 { state.withLock { $0.finished } }

    /// Refuses new jobs, finishes those queued, ends the threads. Stopping twice is harmless.
    public func stop() {
        state.withLock { $0.isStopped = true }
        let ending = threads.withLock { list in
            let taken = list
            list = []
            return taken
        }
        // Each thread takes the jobs that came before, then finds an empty queue.
        for _ in ending { unsafe sem_post(available) }
        for thread in ending { thread.join() }
    }
}
