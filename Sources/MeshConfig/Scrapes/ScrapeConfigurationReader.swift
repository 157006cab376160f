/// Makes targets of a Prometheus configuration's document, and says what cannot be one.
struct ScrapeConfigurationReader {
    private let file: String
    private(set) var targets: [ScrapeConfiguration.Target] = []
    private(set) var problems: [ScrapeConfiguration.Problem] = []
    private var jobs: Set<String> = []

    init(file: String) { self.file = file }

    private static let globalFields = ["scrape_interval", "scrape_timeout", "sample_limit"]
    private static let jobFields = [
        "job_name", "static_configs", "metrics_path", "scheme", "params", "scrape_interval", "scrape_timeout", "honor_labels",
        "honor_timestamps", "sample_limit", "tls_config",
    ]
    private static let tlsFields = [
        "ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify", "min_version",
    ]

    mutating func report(line: Int, column: Int, _ message: String) {
        problems.append(.init(position: SourcePosition(file: file, line: line, column: column), message: message))
    }

    private mutating func report(_ node: YAMLNode, _ message: String) { report(line: node.line, column: node.column, message) }

    mutating func read(_ documents: [YAMLNode]) {
        guard let document = documents.first, documents.count == 1 else {
            return report(line: 0, column: 0, "expected one document with scrape_configs, got \(documents.count)")
        }
        guard let top = fields(document, "", ["global", "scrape_configs"]) else { return }
        var defaults = ScrapeConfiguration.Target()
        defaults.intervalMilliseconds = ScrapeConfiguration.intervalDefault
        defaults.timeoutMilliseconds = ScrapeConfiguration.timeoutDefault
        if let node = top["global"], let global = fields(node, "global", Self.globalFields) {
            readTimes(global, &defaults, defaultTimeout: defaults.timeoutMilliseconds)
            readLimit(global, &defaults)
        }
        guard let list = top["scrape_configs"] else { return report(document, "scrape_configs is required: a list of jobs") }
        for node in items(list, "scrape_configs") { readJob(node, defaults) }
    }

    // MARK: Jobs

    private mutating func readJob(_ node: YAMLNode, _ defaults: ScrapeConfiguration.Target) {
        guard let job = fields(node, "scrape_configs", Self.jobFields) else { return }
        var target = defaults
        target.job = text(job["job_name"], "job_name") ?? ""
        if target.job.isEmpty { return report(job["job_name"] ?? node, "job_name is required") }
        if !jobs.insert(target.job).inserted { return report(job["job_name"] ?? node, "job_name \"\(target.job)\" is there twice") }
        if let scheme = text(job["scheme"], "scheme") {
            target.isSecure = scheme == "https"
            if scheme != "http", scheme != "https" {
                report(job["scheme"] ?? node, "scheme \(scheme) is not supported: accepted are http, https")
            }
        }
        if let node = job["tls_config"] { target.tls = readTLS(node) }
        readTimes(job, &target, defaultTimeout: defaults.timeoutMilliseconds)
        readLimit(job, &target)
        target.honorsLabels = boolean(job["honor_labels"], "honor_labels") ?? false
        target.honorsTimestamps = boolean(job["honor_timestamps"], "honor_timestamps") ?? true
        target.path = path(job)
        guard let configurations = job["static_configs"] else {
            return report(node, "job \"\(target.job)\" has no static_configs: other ways to find targets are not supported")
        }
        for one in items(configurations, "static_configs") { readTargets(one, target) }
    }

    /// Prometheus: `tls_config`. Files are read by whoever scrapes.
    private mutating func readTLS(_ node: YAMLNode) -> ScrapeConfiguration.TLS? {
        guard let fields = fields(node, "tls_config", Self.tlsFields) else { return nil }
        var tls = ScrapeConfiguration.TLS()
        tls.authorities = path(fields["ca_file"], "ca_file")
        tls.certificate = path(fields["cert_file"], "cert_file")
        tls.key = path(fields["key_file"], "key_file")
        if (tls.certificate == nil) != (tls.key == nil) { report(node, "cert_file and key_file are given together") }
        tls.serverName = text(fields["server_name"], "server_name").flatMap { $0.isEmpty ? nil : $0 }
        tls.skipsVerification = boolean(fields["insecure_skip_verify"], "insecure_skip_verify") ?? false
        if let version = text(fields["min_version"], "min_version") {
            tls.oldestIsTLS13 = version == "TLS13"
            // Below 1.2 nothing is spoken, whatever is allowed.
            if !["TLS10", "TLS11", "TLS12", "TLS13"].contains(version) {
                report(fields["min_version"] ?? node, "min_version \(version): accepted are TLS10, TLS11, TLS12, TLS13")
            }
        }
        return tls
    }

    /// Prometheus: relative paths start at the configuration's own directory.
    private mutating func path(_ node: YAMLNode?, _ name: String) -> String? {
        guard let text = text(node, name), !text.isEmpty else { return nil }
        guard !text.hasPrefix("/"), let slash = file.lastIndex(of: "/") else { return text }
        return file[...slash] + text
    }

    /// Prometheus: a job's own interval below the timeout it has from elsewhere shortens that.
    private mutating func readTimes(
        _ fields: [String: YAMLNode], _ target: inout ScrapeConfiguration.Target, defaultTimeout: Int64
    ) {
        if let interval = duration(fields["scrape_interval"], "scrape_interval") { target.intervalMilliseconds = interval }
        target.timeoutMilliseconds = min(defaultTimeout, target.intervalMilliseconds)
        guard let node = fields["scrape_timeout"], let timeout = duration(node, "scrape_timeout") else { return }
        target.timeoutMilliseconds = timeout
        if timeout > target.intervalMilliseconds { report(node, "scrape_timeout is longer than scrape_interval") }
    }

    private mutating func readLimit(_ fields: [String: YAMLNode], _ target: inout ScrapeConfiguration.Target) {
        guard let node = fields["sample_limit"] else { return }
        guard let limit = node.scalar.flatMap(NodeReader.integer).flatMap({ Int(exactly: $0) }), limit >= 0 else {
            return report(node, "sample_limit: expected a whole number, 0 for none, got \(node.described)")
        }
        target.sampleLimit = limit
    }

    private mutating func path(_ job: [String: YAMLNode]) -> String {
        var path = "/metrics"
        if let node = job["metrics_path"], let text = text(node, "metrics_path") {
            path = text
            if !text.hasPrefix("/") || text.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F || $0 == UInt8(ascii: "#") }) {
                report(node, "metrics_path: expected a path that begins with /")
            }
        }
        guard let node = job["params"] else { return path }
        guard let pairs = node.pairs else {
            report(node, "params: expected a mapping of names to lists, got \(node.described)")
            return path
        }
        var separator = path.contains("?") ? "&" : "?"
        for pair in pairs {
            for item in items(pair.value, "params") {
                guard let value = item.scalar?.text else {
                    report(item, "params: expected a text, got \(item.described)")
                    continue
                }
                path += "\(separator)\(Self.escaped(pair.key))=\(Self.escaped(value))"
                separator = "&"
            }
        }
        return path
    }

    /// As a query has it (RFC 3986, 2.3).
    private static func escaped(_ text: String) -> String {
        var made = ""
        for byte in text.utf8 {
            let isUnreserved = (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10 || "-._~".utf8.contains(byte)
            if isUnreserved {
                made.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                made += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return made
    }

    // MARK: Targets

    private mutating func readTargets(_ node: YAMLNode, _ job: ScrapeConfiguration.Target) {
        guard let fields = fields(node, "static_configs", ["targets", "labels"]) else { return }
        let labels = labels(fields["labels"])
        guard let list = fields["targets"] else { return report(node, "targets is required: a list of HOST:PORT") }
        for item in items(list, "targets") {
            guard let text = item.scalar?.text, let (host, port) = Self.address(text) else {
                report(item, "a target is HOST:PORT, such as 10.0.0.7:9100, got \(item.described)")
                continue
            }
            guard targets.count < ScrapeConfiguration.targetsMax else {
                return report(item, "more than \(ScrapeConfiguration.targetsMax) targets")
            }
            var target = job
            target.host = host
            target.port = port ?? (job.isSecure ? 443 : 80)
            // What a static configuration says of its targets comes first (Prometheus: PopulateLabels).
            let all = ["job": job.job, "instance": text].merging(labels) { _, own in own }
            target.labels = all.filter { !$0.value.isEmpty }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
            targets.append(target)
        }
    }

    private mutating func labels(_ node: YAMLNode?) -> [String: String] {
        guard let node, !node.isNull else { return [:] }
        var labels: [String: String] = [:]
        for pair in node.pairs ?? [] {
            if pair.key.hasPrefix("__") || pair.key.isEmpty {
                report(line: pair.keyLine, column: pair.keyColumn, "label \(pair.key): names that begin with __ are not supported")
            } else if let text = pair.value.scalar?.text {
                labels[pair.key] = text
            } else {
                report(pair.value, "label \(pair.key): expected a text, got \(pair.value.described)")
            }
        }
        if node.pairs == nil { report(node, "labels: expected a mapping of names to texts, got \(node.described)") }
        return labels
    }

    /// `host`, `host:port`, `[v6]:port`; a port that is not given is the scheme's.
    private static func address(_ text: String) -> (host: String, port: UInt16?)? {
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "@") }) else {
            return nil
        }
        let close = text.lastIndex(of: "]") ?? text.startIndex
        let colon = text[close...].firstIndex(of: ":")
        let host = text[..<(colon ?? text.endIndex)].filter { $0 != "[" && $0 != "]" }
        guard !host.isEmpty else { return nil }
        guard let colon else { return (String(host), nil) }
        guard let port = UInt16(text[text.index(after: colon)...]), port > 0 else { return nil }
        return (String(host), port)
    }

    // MARK: Values

    /// Fields of a mapping, but those that are null. Others than `accepted` are reported.
    private mutating func fields(_ node: YAMLNode, _ place: String, _ accepted: [String]) -> [String: YAMLNode]? {
        guard let pairs = node.pairs else {
            report(node, "\(place.isEmpty ? "" : place + ": ")expected a mapping, got \(node.described)")
            return nil
        }
        var fields: [String: YAMLNode] = [:]
        for pair in pairs {
            if !accepted.contains(pair.key) {
                let field = place.isEmpty ? pair.key : "\(place).\(pair.key)"
                report(
                    line: pair.keyLine, column: pair.keyColumn,
                    "\(field) is not supported: accepted are \(accepted.joined(separator: ", "))")
            } else if !pair.value.isNull {
                fields[pair.key] = pair.value
            }
        }
        return fields
    }

    private mutating func items(_ node: YAMLNode, _ name: String) -> [YAMLNode] {
        if node.items == nil { report(node, "\(name): expected a list, got \(node.described)") }
        return node.items ?? []
    }

    private mutating func text(_ node: YAMLNode?, _ name: String) -> String? {
        guard let node else { return nil }
        if node.scalar == nil { report(node, "\(name): expected a text, got \(node.described)") }
        return node.scalar?.text
    }

    private mutating func boolean(_ node: YAMLNode?, _ name: String) -> Bool? {
        guard let node else { return nil }
        if case .bool(let value)? = node.scalar?.value { return value }
        report(node, "\(name): expected true or false, got \(node.described)")
        return nil
    }

    private mutating func duration(_ node: YAMLNode?, _ name: String) -> Int64? {
        guard let node else { return nil }
        let accepted = ScrapeConfiguration.intervals
        guard let value = node.scalar.flatMap({ PrometheusDuration.milliseconds($0.text) }) else {
            report(node, "\(name): expected a duration, such as 15s or 1m30s, got \(node.described)")
            return nil
        }
        let least = name == "scrape_timeout" ? 1 : accepted.lowerBound
        guard value >= least, value <= accepted.upperBound else {
            report(node, "\(name) is out of range: accepted are \(least) ms to \(accepted.upperBound / 1000) s")
            return nil
        }
        return value
    }
}

/// Durations as Prometheus writes them: `1h30m`, `15s`, `500ms`, each unit once, from large to small (prometheus.io/docs, "duration").
enum PrometheusDuration {
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("y", 31_536_000_000), ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]

    /// Nil when the text is none, or out of range.
    static func milliseconds(_ text: String) -> Int64? {
        if text == "0" { return 0 }
        var rest = Substring(text)
        var sum: Int64 = 0
        var next = 0
        while !rest.isEmpty {
            let digits = rest.prefix { $0 >= "0" && $0 <= "9" }
            rest = rest[digits.endIndex...]
            let unit = rest.prefix { $0 >= "a" && $0 <= "z" }
            rest = rest[unit.endIndex...]
            guard let count = Int64(digits), let place = units.firstIndex(where: { $0.name == unit }), place >= next else { return nil }
            next = place + 1
            let (product, isTooLarge) = count.multipliedReportingOverflow(by: units[place].milliseconds)
            let (total, isBeyond) = sum.addingReportingOverflow(product)
            if isTooLarge || isBeyond { return nil }
            sum = total
        }
        return text.isEmpty ? nil : sum
    }
}
