public import EventLoops
internal import Glibc
internal import Primitives
public import Proxy
internal import Synchronization
internal import TLS
public import TelemetryModel

/// The worker threads of a proxy: started together, configured together, drained together.
///
/// Any thread may call it, one at a time (the control thread does).
public final class ProxyGroup {
    public let workers: [WorkerHandle]
    private var threads: [WorkerThread] = []
    private let running: RunningCount
    private let sources: SourceCatalog

    /// Starts `count` workers on a first configuration. Throws what the system refused; nothing is left running then.
    public init(
        count: Int, limits: ProxyLimits, ringBytes: Int, configuration: ProxyConfiguration, shared: SharedUpstreams,
        sources: SourceCatalog, seed: UInt64
    ) throws(SystemError) {
        var workers: [WorkerHandle] = []
        for _ in 0..<count {
            workers.append(try WorkerHandle(limits: limits, ringBytes: ringBytes, shared: shared, sources: sources))
        }
        self.workers = workers
        self.sources = sources
        sources.setOwn(principal: configuration.security.principal)
        shared.setWorkers(workers)
        let running = RunningCount(count)
        self.running = running
        var seeds = RandomSource(seed: seed)
        for (index, handle) in workers.enumerated() {
            let workerSeed = seeds.next()
            let first = FirstConfiguration(configuration)
            do throws(SystemError) {
                threads.append(
                    try WorkerThread(name: "worker-\(index)") {
                        defer { running.leave() }
                        let serve = {
                            guard let poller = try? Poller(), var worker = first.worker(handle, poller, seed: workerSeed) else { return }
                            try? worker.run()
                        }
                        // One worker alone shares OpenSSL with nobody who has much to do there.
                        if count > 1 { LibraryContext.withOwn(serve) } else { serve() }
                    })
            } catch {
                stop()
                join()
                throw error
            }
        }
    }

    public func adopt(_ configuration: ProxyConfiguration) {
        sources.setOwn(principal: configuration.security.principal)
        for worker in workers { worker.mailbox.send(.adopt(configuration)) }
    }

    /// Waits until every worker has adopted a configuration, its listeners included. False when that takes too long.
    func hasAdopted(_ generation: UInt64, withinMilliseconds patience: Int) -> Bool {
        for _ in 0...patience {
            if workers.allSatisfy({ $0.statistics.configurationGeneration.load(ordering: .acquiring) >= generation }) { return true }
            usleep(1000)
        }
        return false
    }

    /// Now and then: frees configurations that no request lives under any more.
    public func freeRetired() {
        for worker in workers { worker.freeRetired() }
    }

    /// First call: stop accepting and finish. Second call: stop at once.
    public func drain() {
        for worker in workers { worker.mailbox.send(.drain) }
    }

    /// Stop accepting and finish, where another process has taken the listeners over.
    func handOver() {
        for worker in workers { worker.mailbox.send(.handOver) }
    }

    public func stop() {
        for worker in workers { worker.mailbox.send(.stop) }
    }

    /// Whether every worker has ended.
    public var hasEnded: Bool { running.isZero }

    /// Waits for all workers to end. Call once.
    public func join() {
        for thread in threads { thread.join() }
        threads = []
    }
}

/// Hands a thread its first configuration without leaving it in the thread's body, where it would live as long as the thread.
private final class FirstConfiguration: Sendable {
    private let configuration: Mutex<ProxyConfiguration?>

    init(_ configuration: ProxyConfiguration) { self.configuration = Mutex(configuration) }

    /// The worker that begins with it; nil the second time.
    func worker(_ handle: WorkerHandle, _ poller: consuming Poller, seed: UInt64) -> ProxyWorker? {
        let first = configuration.withLock { configuration in
            defer { configuration = nil }
            return configuration
        }
        guard let first else { return nil }
        return ProxyWorker(handle: handle, poller: poller, configuration: first, seed: seed)
    }
}

/// How many workers still run.
private final class RunningCount: Sendable {
    private let count: Atomic<Int>

    init(_ count: Int) { self.count = Atomic(count) }

    func leave() { count.wrappingSubtract(1, ordering: .releasing) }
    var isZero: Bool { count.load(ordering: .acquiring) == 0 }
}
