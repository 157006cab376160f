public import EventLoops
internal import HTTPService
internal import Synchronization
public import TelemetryModel

/// Takes the metrics of static targets at an interval, as Prometheus does: text 0.0.4 or OpenMetrics over HTTP, with `up` and its like, and
/// staleness markers for what has gone. A thread for each target, so that one that does not answer holds up no other; each has its own
/// place within its interval.
///
/// Confined to its owner's thread, but for what the targets' threads do.
public final class Scraper {
    /// Bytes of one page.
    public static let pageBytesMax = 64 << 20

    private enum Order: UInt8, AtomicRepresentable {
        case scrape
        /// The process ends: a later one goes on with the series.
        case stop
        /// The target is scraped no more: its series end.
        case end
    }

    /// What a target's thread and its owner tell each other.
    private final class Channel: Sendable {
        let mailbox: Mailbox<Bool>
        let order = Atomic<Order>(.scrape)
        let hasEnded = Atomic<Bool>(false)

        init() throws(SystemError) { mailbox = try Mailbox() }

        func give(_ new: Order) {
            order.store(new, ordering: .relaxed)
            mailbox.wake()
        }
    }

    private struct Place {
        let target: ScrapeTarget
        let thread: WorkerThread
        let channel: Channel
    }

    private let sink: any BatchSink<SeriesBatch>
    private let counters: TargetScraping.Counters
    private let adopted, refused: CollectorCounter
    private let say: @Sendable (String) -> Void
    private var places: [Place] = []
    /// Those whose last scrape is still under way.
    private var ending: [Place] = []

    /// Scrapes nothing yet. `say` gets a sentence when a target begins to fail and when it works again, on that target's thread.
    public init(into sink: any BatchSink<SeriesBatch>, statistics: CollectorStatistics, say: @escaping @Sendable (String) -> Void) {
        self.sink = sink
        counters = TargetScraping.Counters(statistics)
        adopted = statistics.counter(.scrapeReloads, [("outcome", "adopted")])
        refused = statistics.counter(.scrapeReloads, [("outcome", "refused")])
        self.say = say
    }

    /// Scrapes the first `ScrapeTarget.countMax` of these targets from now on, and no others. One that is scraped already goes on as it is.
    /// The series of those that are not among them end, unless another one has their labels now. Does not wait for scrapes under way.
    /// Returns false, and changes nothing, while more than `ScrapeTarget.countMax` threads have such a last scrape. A thread that cannot be
    /// started is thrown; those started before scrape on.
    public func adopt(_ targets: [ScrapeTarget]) throws(SystemError) -> Bool {
        joinEnded()
        guard ending.count <= ScrapeTarget.countMax else { return false }
        let targets = Array(targets.prefix(ScrapeTarget.countMax))
        var new: [(place: Int, target: ScrapeTarget)] = []
        var left = places
        var kept: [Place] = []
        for (place, target) in targets.enumerated() {
            if let known = left.firstIndex(where: { $0.target == target }) {
                kept.append(left.remove(at: known))
            } else {
                new.append((place, target))
            }
        }
        for one in left { one.channel.give(targets.contains { $0.labels == one.target.labels } ? .stop : .end) }
        ending += left
        places = kept
        for (place, target) in new {
            // Spread over the interval, so that they are not all due at once.
            let delay = target.intervalMilliseconds / Int64(targets.count) * Int64(place)
            places.append(try beginScraping(target, place, after: delay))
        }
        return true
    }

    /// Counts a reading of targets, whatever became of it.
    public func noteReload(isAdopted: Bool) { (isAdopted ? adopted : refused).add() }

    private func beginScraping(_ target: ScrapeTarget, _ place: Int, after delay: Int64) throws(SystemError) -> Place {
        let channel = try Channel()
        let (sink, counters, say) = (sink, counters, say)
        let thread = try WorkerThread(name: "scrape-\(place)") {
            var scraping = TargetScraping(target, after: delay, sink, counters, channel.mailbox, say)
            while channel.order.load(ordering: .relaxed) == .scrape { scraping.turn() }
            if channel.order.load(ordering: .relaxed) == .end { scraping.end() }
            channel.hasEnded.store(true, ordering: .releasing)
        }
        return Place(target: target, thread: thread, channel: channel)
    }

    private func joinEnded() {
        for one in ending where one.channel.hasEnded.load(ordering: .acquiring) { one.thread.join() }
        ending.removeAll { $0.channel.hasEnded.load(ordering: .acquiring) }
    }

    /// Ends the threads, after the scrapes that are under way. Once.
    public func stop() {
        for one in places { one.channel.give(.stop) }
        for one in places + ending { one.thread.join() }
        (places, ending) = ([], [])
    }
}
