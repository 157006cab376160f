internal import Collector
internal import MeshConfig
internal import TelemetryModel

/// What is scraped: the targets of the command line and those of a file in Prometheus' form.
enum ScrapePlan {
    /// Reads the file; blocks. Errors say file, line and what would be accepted.
    static func targets(_ options: RuntimeOptions) throws(StartError) -> [ScrapeTarget] {
        var targets = options.scrapeTargets.compactMap { text -> ScrapeTarget? in
            var target = try? ScrapeTarget(text)
            target?.intervalMilliseconds = Int64(clamping: max(1, options.scrapeIntervalSeconds)) * 1000
            return target
        }
        guard let path = options.scrapeConfiguration else { return targets }
        switch ScrapeConfiguration.read(path) {
        case .success(let configuration): targets += configuration.targets.map { ScrapeTarget($0) }
        case .failure(let problems):
            throw StartError(status: SkeinProcess.badInput, lines: problems.list.map { "\($0)" })
        }
        guard targets.count <= ScrapeTarget.countMax else {
            let line = "\(path): \(targets.count) targets together with those of --scrape; at most \(ScrapeTarget.countMax) are scraped"
            throw StartError(status: SkeinProcess.badInput, lines: [line])
        }
        return targets
    }
}

extension ScrapeTarget {
    fileprivate init(_ target: ScrapeConfiguration.Target) {
        self.init(job: target.job, host: target.host, port: target.port, path: target.path)
        ownLabels = target.labels.map { LabelSet.Label($0.name, $0.value) }
        intervalMilliseconds = target.intervalMilliseconds
        timeoutMilliseconds = Int32(clamping: target.timeoutMilliseconds)
        honorsLabels = target.honorsLabels
        honorsTimestamps = target.honorsTimestamps
        sampleLimit = target.sampleLimit
    }
}
