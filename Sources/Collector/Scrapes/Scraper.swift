public import EventLoops
internal import HTTPService
internal import Synchronization
public import TelemetryModel

/// Takes the metrics of static targets at an interval, as Prometheus does: text 0.0.4 or OpenMetrics over HTTP, with `up` and its like, and
/// staleness markers for what has gone. A thread for each target, so that one that does not answer holds up no other; each has its own
/// place within its interval.
public final class Scraper: Sendable {
    /// Bytes of one page.
    public static let pageBytesMax = 64 << 20

    private let threads: [Thread]
    private let isStopped: StopMark

    private struct Thread: Sendable {
        let thread: WorkerThread
        let mailbox: Mailbox<Bool>
    }

    private final class StopMark: Sendable {
        let value = Atomic<Bool>(false)
    }

    /// Starts the threads, of the first `ScrapeTarget.countMax` targets. `say` gets a sentence when a target begins to fail and when it
    /// works again, on that target's thread.
    public init(
        _ targets: [ScrapeTarget], into sink: any BatchSink<SeriesBatch>, statistics: CollectorStatistics,
        say: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        let mark = StopMark()
        isStopped = mark
        let counters = TargetScraping.Counters(statistics)
        let targets = targets.prefix(ScrapeTarget.countMax)
        var threads: [Thread] = []
        do throws(SystemError) {
            for (place, target) in targets.enumerated() {
                let mailbox = try Mailbox<Bool>()
                // Spread over the interval, so that they are not all due at once.
                let delay = target.intervalMilliseconds / Int64(targets.count) * Int64(place)
                let thread = try WorkerThread(name: "scrape-\(place)") {
                    var scraping = TargetScraping(target, after: delay, sink, counters, mailbox, say)
                    while !mark.value.load(ordering: .relaxed) { scraping.turn() }
                }
                threads.append(Thread(thread: thread, mailbox: mailbox))
            }
        } catch {
            Self.stop(threads, mark)
            throw error
        }
        self.threads = threads
    }

    /// Ends the threads, after the scrapes that are under way. Once.
    public func stop() { Self.stop(threads, isStopped) }

    private static func stop(_ threads: [Thread], _ mark: StopMark) {
        mark.value.store(true, ordering: .relaxed)
        for one in threads { one.mailbox.wake() }
        for one in threads { one.thread.join() }
    }
}
