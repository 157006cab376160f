public import EventLoops
internal import Glibc
internal import HTTPService
internal import Primitives
internal import Synchronization
public import TelemetryModel
internal import TelemetryWire

/// Takes the metrics of static targets at an interval, as Prometheus does: text 0.0.4 or OpenMetrics over HTTP, with `up` and its like, and
/// staleness markers for what has gone. One thread for all targets; each has its own place within its interval.
///
/// A target that does not answer within its timeout holds the others up so long; it is said once, and once more when it answers.
public final class Scraper: Sendable {
    /// Bytes of one page.
    public static let pageBytesMax = 64 << 20

    private let mailbox: Mailbox<Bool>
    private let thread: WorkerThread
    private let isStopped: StopMark

    private final class StopMark: Sendable {
        let value = Atomic<Bool>(false)
    }

    /// Starts the thread. `say` gets a sentence when a target begins to fail and when it works again, on the scraper's thread.
    public init(
        _ targets: [ScrapeTarget], into sink: any BatchSink<SeriesBatch>, statistics: CollectorStatistics,
        say: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        let mailbox = try Mailbox<Bool>()
        let mark = StopMark()
        self.mailbox = mailbox
        isStopped = mark
        thread = try WorkerThread(name: "scrapes") {
            var loop = ScrapeLoop(targets, sink, statistics, mailbox, say)
            while !mark.value.load(ordering: .relaxed) { loop.turn() }
        }
    }

    /// Ends the thread, after the scrape that is under way. Once.
    public func stop() {
        isStopped.value.store(true, ordering: .relaxed)
        mailbox.wake()
        thread.join()
    }
}

/// The scraper's thread.
private struct ScrapeLoop {
    private struct Target {
        let target: ScrapeTarget
        var series: ScrapedSeries
        /// Milliseconds since 1970.
        var due: Int64
        var problem: String?
    }

    private var targets: [Target]
    private let contexts = ClientContexts()
    private let sink: any BatchSink<SeriesBatch>
    private let mailbox: Mailbox<Bool>
    private let say: @Sendable (String) -> Void
    private let scraped, failed, refused: CollectorCounter

    init(
        _ targets: [ScrapeTarget], _ sink: any BatchSink<SeriesBatch>, _ statistics: CollectorStatistics,
        _ mailbox: Mailbox<Bool>, _ say: @escaping @Sendable (String) -> Void
    ) {
        let now = Self.now()
        self.targets = targets.prefix(ScrapeTarget.countMax).enumerated().map { place, target in
            // Spread over the interval, so that they are not all due at once.
            let due = now + target.intervalMilliseconds * Int64(place) / Int64(max(1, targets.count))
            let series = ScrapedSeries(
                target: target.labels, honorsLabels: target.honorsLabels, honorsTimestamps: target.honorsTimestamps,
                sampleLimit: target.sampleLimit)
            return Target(target: target, series: series, due: due)
        }
        self.sink = sink
        self.mailbox = mailbox
        self.say = say
        scraped = statistics.counter(.scrapes, [("outcome", "success")])
        failed = statistics.counter(.scrapes, [("outcome", "failed")])
        refused = statistics.counter(.scrapes, [("outcome", "refused")])
    }

    /// Without targets.
    private static let idleMilliseconds: Int64 = 60_000

    private static func now() -> Int64 { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000) }

    /// Waits for the next target that is due, or to be woken, and scrapes it.
    mutating func turn() {
        guard let next = targets.indices.min(by: { targets[$0].due < targets[$1].due }) else {
            return wait(milliseconds: Self.idleMilliseconds)
        }
        let now = Self.now()
        let interval = max(1, targets[next].target.intervalMilliseconds)
        // A clock that was set back must not silence a target.
        if targets[next].due > now + interval { targets[next].due = now }
        guard targets[next].due <= now else { return wait(milliseconds: targets[next].due - now) }
        scrape(&targets[next], at: now)
        targets[next].due += interval * max(1, (Self.now() - targets[next].due) / interval)
    }

    private func wait(milliseconds: Int64) {
        var waiting = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
        if unsafe poll(&waiting, 1, Int32(clamping: milliseconds)) > 0 { _ = mailbox.take() }
    }

    private func scrape(_ target: inout Target, at time: Int64) {
        let begun = SystemClock.monotonicNow()
        var batch = SeriesBatch()
        var read: (samples: Int, added: Int)?
        var problem: String?
        switch fetchPage(of: target.target) {
        case .success(let (page, isOpenMetrics)):
            do throws(ExpositionFault) {
                read = try target.series.read(page, isOpenMetrics: isOpenMetrics, at: time, into: &batch)
            } catch {
                problem = "its page cannot be read: \(error)"
            }
        case .failure(let failure):
            problem = failure.reason
            target.series.end(at: time, into: &batch)
        }
        let seconds = Double(SystemClock.monotonicNow().nanoseconds - begun.nanoseconds) / 1e9
        ScrapeSamples.append(
            target.target.labels, at: time, isUp: read != nil, seconds: seconds, samples: read?.samples ?? 0, added: read?.added ?? 0,
            to: &batch)
        (read == nil ? failed : scraped).add()
        report(&target, problem)
        let refused = refused
        sink.submit(batch) { if case .failure = $0 { refused.add() } }
    }

    private func report(_ target: inout Target, _ problem: String?) {
        let name = "\(target.target.job) (\(target.target.url))"
        if let problem, problem != target.problem { say("cannot scrape \(name): \(problem)") }
        if problem == nil, target.problem != nil { say("\(name) is scraped again") }
        target.problem = problem
    }

    private struct Failure: Error {
        var reason: String
    }

    private static let accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

    private func fetchPage(of target: ScrapeTarget) -> Result<(page: [UInt8], isOpenMetrics: Bool), Failure> {
        let found: SocketEndpoint?
        do throws(ResolveError) {
            found = try target.endpoint()
        } catch {
            return .failure(Failure(reason: "\(error)"))
        }
        guard let endpoint = found else { return .failure(Failure(reason: "\(target.host) has no address")) }
        var client = HTTPClient(endpoint: endpoint, tls: target.tls)
        client.timeoutMilliseconds = target.timeoutMilliseconds
        client.bodyBytesMax = Scraper.pageBytesMax
        do throws(HTTPClientError) {
            let headers = [("Host", target.instance), ("Accept", Self.accept), ("User-Agent", "skein")]
            let response = try client.send("GET", target.path, headers: headers, contexts: contexts)
            guard response.status == 200 else { return .failure(Failure(reason: "it answered \(response.status)")) }
            return .success((response.body, response.header("content-type")?.hasPrefix("application/openmetrics-text") == true))
        } catch {
            return .failure(Failure(reason: "\(error)"))
        }
    }
}
