internal import Collector
internal import HTTPService
internal import MeshConfig
internal import TLS
internal import TelemetryModel

/// What is scraped: the targets of the command line and those of a file in Prometheus' form.
enum ScrapePlan {
    /// Reads the file; blocks. Errors say file, line and what would be accepted.
    static func targets(_ options: RuntimeOptions, _ tls: ServiceTLS) throws(StartError) -> [ScrapeTarget] {
        var targets: [ScrapeTarget] = []
        for text in options.scrapeTargets {
            guard var target = try? ScrapeTarget(text) else { continue }
            target.intervalMilliseconds = Int64(clamping: max(1, options.scrapeIntervalSeconds)) * 1000
            if target.isSecure { target.tls = try Self.tls(of: target, nil, tls, "--scrape \(text)") }
            targets.append(target)
        }
        guard let path = options.scrapeConfiguration else { return targets }
        switch ScrapeConfiguration.read(path) {
        case .success(let configuration):
            for entry in configuration.targets {
                var target = ScrapeTarget(entry)
                if target.isSecure { target.tls = try Self.tls(of: target, entry.tls, tls, "\(path): job \(entry.job)") }
                targets.append(target)
            }
        case .failure(let problems):
            throw StartError(status: SkeinProcess.badInput, lines: problems.list.map { "\($0)" })
        }
        guard targets.count <= ScrapeTarget.countMax else {
            let line = "\(path): \(targets.count) targets together with those of --scrape; at most \(ScrapeTarget.countMax) are scraped"
            throw StartError(status: SkeinProcess.badInput, lines: [line])
        }
        return targets
    }

    private static func tls(
        of target: ScrapeTarget, _ configuration: ScrapeConfiguration.TLS?, _ tls: ServiceTLS, _ place: String
    ) throws(StartError) -> ClientTLS {
        var key = ServiceTLS.ClientKey()
        if let configuration {
            key.files = TLSFiles(
                certificate: configuration.certificate, key: configuration.key, authorities: configuration.authorities)
            key.verifies = !configuration.skipsVerification
            if configuration.oldestIsTLS13 { key.oldest = .tls13 }
        }
        do throws(TLSError) {
            return try tls.client(host: target.host, name: configuration?.serverName, key)
        } catch {
            throw StartError(status: SkeinProcess.badInput, lines: ["\(place): \(error)"])
        }
    }
}

extension ScrapeTarget {
    fileprivate init(_ target: ScrapeConfiguration.Target) {
        self.init(job: target.job, host: target.host, port: target.port, path: target.path, isSecure: target.isSecure)
        ownLabels = target.labels.map { LabelSet.Label($0.name, $0.value) }
        intervalMilliseconds = target.intervalMilliseconds
        timeoutMilliseconds = Int32(clamping: target.timeoutMilliseconds)
        honorsLabels = target.honorsLabels
        honorsTimestamps = target.honorsTimestamps
        sampleLimit = target.sampleLimit
    }
}
