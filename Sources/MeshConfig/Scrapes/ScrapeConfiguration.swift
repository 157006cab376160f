/// Static targets as Prometheus' configuration file has them: `global` and `scrape_configs` with `static_configs`
/// (prometheus.io/docs/prometheus/latest/configuration/configuration). A value.
///
/// Fields that are not supported are refused: a target that is left out in silence is missed when it is needed.
public struct ScrapeConfiguration: Sendable, Hashable {
    /// One target with all that its job says.
    public struct Target: Sendable, Hashable {
        public var job = ""
        public var host = ""
        public var port: UInt16 = 0
        /// Path and query.
        public var path = ""
        /// Of each of its series, ascending by name; `job` and `instance` among them.
        public var labels: [(name: String, value: String)] = []
        public var intervalMilliseconds: Int64 = 0
        public var timeoutMilliseconds: Int64 = 0
        /// The page's labels stay where they have the names of the target's.
        public var honorsLabels = false
        /// The page's times count.
        public var honorsTimestamps = true
        /// Samples of a page; 0 = no limit.
        public var sampleLimit = 0
        /// `scheme: https`.
        public var isSecure = false
        /// `tls_config`; of no effect without `isSecure`.
        public var tls: TLS?

        public static func == (left: Target, right: Target) -> Bool { left.key == right.key }
        public func hash(into hasher: inout Hasher) { hasher.combine(key) }

        private var key: [String] {
            [job, host, "\(port)", path, "\(intervalMilliseconds)", "\(timeoutMilliseconds)", "\(honorsLabels)", "\(honorsTimestamps)"]
                + ["\(sampleLimit)", "\(isSecure)", tls.map { "\($0)" } ?? ""] + labels.flatMap { [$0.name, $0.value] }
        }
    }

    /// A job's `tls_config`. Paths are as written, relative ones from the file's directory.
    public struct TLS: Sendable, Hashable {
        /// `ca_file`; nil = the system's authorities.
        public var authorities: String?
        /// `cert_file` and `key_file`, both or neither.
        public var certificate: String?
        public var key: String?
        /// `server_name`; nil = the target's host.
        public var serverName: String?
        /// `insecure_skip_verify`.
        public var skipsVerification = false
        /// `min_version: TLS13`.
        public var oldestIsTLS13 = false
    }

    /// What is wrong, and where.
    public struct Problem: Error, Sendable, CustomStringConvertible {
        public var position: SourcePosition
        public var message: String

        /// `file:line:column: message`.
        public var description: String { "\(position): \(message)" }
    }

    /// In the order of the file.
    public private(set) var targets: [Target] = []

    /// Targets of one file.
    public static let targetsMax = 64
    /// Problems that are told; more are counted in the last one.
    public static let problemsMax = 20
    /// Milliseconds.
    public static let intervals: ClosedRange<Int64> = 1000...3_600_000
    static let intervalDefault: Int64 = 60_000
    static let timeoutDefault: Int64 = 10_000

    /// Reads a file; blocks.
    public static func read(_ path: String) -> Result<ScrapeConfiguration, Problems> {
        switch ConfigFiles.read(path, limit: ConfigLimits.standard.fileBytes) {
        case .success(let bytes): return read(bytes, file: path)
        case .failure(let problem):
            return .failure(Problems([Problem(position: SourcePosition(file: path, line: 0, column: 0), message: problem.message)]))
        }
    }

    /// The same of bytes; `file` stands in messages.
    public static func read(_ bytes: [UInt8], file: String) -> Result<ScrapeConfiguration, Problems> {
        var loader = YAMLLoader(limits: .standard)
        let documents = loader.load(bytes)
        var reader = ScrapeConfigurationReader(file: file)
        for problem in loader.problems { reader.report(line: problem.line, column: problem.column, problem.message) }
        if loader.problems.isEmpty { reader.read(documents) }
        return reader.problems.isEmpty ? .success(ScrapeConfiguration(targets: reader.targets)) : .failure(Problems(reader.problems))
    }

    /// All that is wrong with a file, in its order.
    public struct Problems: Error, Sendable {
        public var list: [Problem]

        init(_ all: [Problem]) {
            list = Array(all.prefix(ScrapeConfiguration.problemsMax))
            guard all.count > list.count, let last = list.indices.last else { return }
            list[last].message += " (and \(all.count - list.count) more problems)"
        }
    }
}
