internal import EventLoops
internal import Glibc
internal import HTTPService
internal import Primitives
internal import TelemetryModel
internal import TelemetryWire

/// Scrapes one target, on a thread of its own.
struct TargetScraping {
    /// Of all targets.
    struct Counters: Sendable {
        let scraped, failed, refused: CollectorCounter

        init(_ statistics: CollectorStatistics) {
            scraped = statistics.counter(.scrapes, [("outcome", "success")])
            failed = statistics.counter(.scrapes, [("outcome", "failed")])
            refused = statistics.counter(.scrapes, [("outcome", "refused")])
        }
    }

    private let target: ScrapeTarget
    private var series: ScrapedSeries
    /// Milliseconds since 1970.
    private var due: Int64
    /// Why the last scrape failed; nil = it did not.
    private var problem: String?
    private let contexts = ClientContexts()
    private let sink: any BatchSink<SeriesBatch>
    private let counters: Counters
    private let mailbox: Mailbox<Bool>
    private let say: @Sendable (String) -> Void

    /// `after`: milliseconds to the first scrape.
    init(
        _ target: ScrapeTarget, after delay: Int64, _ sink: any BatchSink<SeriesBatch>, _ counters: Counters, _ mailbox: Mailbox<Bool>,
        _ say: @escaping @Sendable (String) -> Void
    ) {
        self.target = target
        due = Self.now() + delay
        series = ScrapedSeries(
            target: target.labels, honorsLabels: target.honorsLabels, honorsTimestamps: target.honorsTimestamps,
            sampleLimit: target.sampleLimit)
        self.sink = sink
        self.counters = counters
        self.mailbox = mailbox
        self.say = say
    }

    /// The target is none any more: its series end, as Prometheus ends them.
    mutating func end() {
        var batch = SeriesBatch()
        let time = Self.now()
        series.end(at: time, into: &batch)
        ScrapeSamples.end(target.labels, at: time, in: &batch)
        let refused = counters.refused
        sink.submit(batch) { if case .failure = $0 { refused.add() } }
    }

    private static func now() -> Int64 { Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000) }

    /// Waits until the target is due, or to be woken; scrapes it when it is.
    mutating func turn() {
        let now = Self.now()
        let interval = max(1, target.intervalMilliseconds)
        // A clock that was set back must not silence it.
        if due > now + interval { due = now }
        guard due <= now else { return wait(milliseconds: due - now) }
        scrape(at: now)
        due += interval * max(1, (Self.now() - due) / interval)
    }

    private func wait(milliseconds: Int64) {
        var waiting = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
        if unsafe poll(&waiting, 1, Int32(clamping: milliseconds)) > 0 { _ = mailbox.take() }
    }

    private mutating func scrape(at time: Int64) {
        let begun = SystemClock.monotonicNow()
        var batch = SeriesBatch()
        var read: (samples: Int, added: Int)?
        var problem: String?
        switch fetchPage() {
        case .success(let (page, isOpenMetrics)):
            do throws(ExpositionFault) {
                read = try series.read(page, isOpenMetrics: isOpenMetrics, at: time, into: &batch)
            } catch {
                problem = "its page cannot be read: \(error)"
            }
        case .failure(let failure):
            problem = failure.reason
            series.end(at: time, into: &batch)
        }
        let seconds = Double(SystemClock.monotonicNow().nanoseconds - begun.nanoseconds) / 1e9
        ScrapeSamples.append(
            target.labels, at: time, isUp: read != nil, seconds: seconds, samples: read?.samples ?? 0, added: read?.added ?? 0,
            to: &batch)
        (read == nil ? counters.failed : counters.scraped).add()
        report(problem)
        let refused = counters.refused
        sink.submit(batch) { if case .failure = $0 { refused.add() } }
    }

    private mutating func report(_ found: String?) {
        let name = "\(target.job) (\(target.url))"
        if let found, found != problem { say("cannot scrape \(name): \(found)") }
        if found == nil, problem != nil { say("\(name) is scraped again") }
        problem = found
    }

    private struct Failure: Error {
        var reason: String
    }

    private static let accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"

    private func fetchPage() -> Result<(page: [UInt8], isOpenMetrics: Bool), Failure> {
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
