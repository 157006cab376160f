internal import Collector
internal import MeshConfig
internal import Primitives
internal import TelemetryModel

/// The targets that are scraped, and the file that they come from besides the command line, which is read again when it changes. What is
/// wrong with a new one is told and counted, and the targets of the last good one are scraped on; it is tried again now and then, because
/// what was wrong may be a certificate beside it. Confined to the control thread.
final class ScrapeReload {
    private let options: RuntimeOptions
    private let tls: ServiceTLS
    private let scraper: Scraper
    private let say: @Sendable (String) -> Void
    private var watcher: FileWatcher?
    /// Targets that wait for those before them to end.
    private var waiting: [ScrapeTarget]?
    /// Of a file that was refused: what was said of it, and when it is read again.
    private var refusal: (lines: [String], retryAt: MonotonicInstant)?
    private static let retryNanoseconds: UInt64 = 5_000_000_000

    /// Reads the targets and starts scraping them. Throws what is wrong with them.
    init(
        _ options: RuntimeOptions, _ tls: ServiceTLS, into sink: any BatchSink<SeriesBatch>, _ statistics: CollectorStatistics,
        say: @escaping @Sendable (String) -> Void
    ) throws {
        self.options = options
        self.tls = tls
        self.say = say
        // Before the file is read: what changes meanwhile is seen at the next look.
        watcher = options.scrapeConfiguration.map { FileWatcher([$0]) }
        scraper = Scraper(into: sink, statistics: statistics, say: say)
        _ = try scraper.adopt(try ScrapePlan.targets(options, tls))
    }

    /// Reads the file again when it has changed. Twice a second or so.
    func look() {
        if watcher?.hasSettledChange() == true {
            refusal = nil
            read()
        } else if let refusal, SystemClock.monotonicNow() >= refusal.retryAt {
            read()
        }
        if let targets = waiting { adopt(targets) }
    }

    /// Reads the file again now.
    func readAnew() {
        guard watcher != nil else { return }
        watcher?.take()
        refusal = nil
        read()
    }

    private func read() {
        do throws(StartError) {
            let targets = try ScrapePlan.targets(options, tls)
            refusal = nil
            adopt(targets)
        } catch {
            let isKnown = refusal?.lines == error.lines
            refusal = (error.lines, SystemClock.monotonicNow() + Self.retryNanoseconds)
            if isKnown { return }
            waiting = nil
            scraper.noteReload(isAdopted: false)
            say("the targets of --scrape-config were not adopted, the last good ones are scraped on")
            for line in error.lines.prefix(ConfigurationController.errorLinesMax) { say(line) }
        }
    }

    private func adopt(_ targets: [ScrapeTarget]) {
        do {
            waiting = try scraper.adopt(targets) ? nil : targets
            if waiting != nil { return }
            scraper.noteReload(isAdopted: true)
            say("\(targets.count) targets are scraped from now on")
        } catch {
            waiting = nil
            scraper.noteReload(isAdopted: false)
            say("not all targets of --scrape-config are scraped: \(error)")
        }
    }

    func stop() { scraper.stop() }
}
