internal import EventLoops
public import HTTPService
internal import Primitives
public import TelemetryModel

/// One place that metrics are taken from, and how: `http://host:port/metrics`, under the job `job`.
public struct ScrapeTarget: Sendable, Equatable {
    public let job: String
    public let host: String
    public let port: UInt16
    /// With its query.
    public let path: String
    /// Of its address: `https`. `tls` is then to be given.
    public let isSecure: Bool
    /// Nil = plaintext.
    public var tls: ClientTLS?
    /// What every series of it has; nil = `job` and `instance`.
    public var ownLabels: [LabelSet.Label]?
    /// Between two scrapes, milliseconds; at least 1.
    public var intervalMilliseconds: Int64 = 15_000
    /// It has so long to answer, milliseconds.
    public var timeoutMilliseconds: Int32 = 5000
    /// Where a label of the page has the name of one of the target's, the page's stays; else it becomes `exported_…`.
    public var honorsLabels = false
    /// Times of the page count; else all samples are of the scrape's time.
    public var honorsTimestamps = true
    /// A page with more samples is refused whole; 0 = no limit of its own.
    public var sampleLimit = 0

    /// Targets of one process.
    public static let countMax = 64

    /// Why a text names no target.
    public struct Problem: Error, Sendable, CustomStringConvertible {
        public var description: String
    }

    /// `[job=]http[s]://host[:port][/path]`; without a job it is the host, without a path `/metrics`.
    public init(_ text: String) throws(Problem) {
        var rest = Substring(text)
        var job = ""
        // A query may have an = as well.
        if !rest.hasPrefix("http://"), !rest.hasPrefix("https://"), let equals = rest.firstIndex(of: "=") {
            job = String(rest[..<equals])
            rest = rest[rest.index(after: equals)...]
        }
        guard let scheme = ["http://", "https://"].first(where: rest.hasPrefix) else {
            throw Problem(description: "\"\(text)\": write http://host:port/path, or job=http://host:port/path; or https")
        }
        isSecure = scheme == "https://"
        rest = rest.dropFirst(scheme.utf8.count)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let authority = rest[..<slash]
        let close = authority.lastIndex(of: "]") ?? authority.startIndex
        let colon = authority[close...].firstIndex(of: ":")
        let host = authority[..<(colon ?? authority.endIndex)].filter { $0 != "[" && $0 != "]" }
        let port = colon.map { UInt16(authority[authority.index(after: $0)...]) } ?? (isSecure ? 443 : 80)
        guard !host.isEmpty, let port, port > 0 else { throw Problem(description: "\"\(text)\": expected a host and a port of 1 to 65535") }
        self.host = String(host)
        self.port = port
        self.job = job.isEmpty ? String(host) : job
        path = slash == rest.endIndex ? "/metrics" : String(rest[slash...])
    }

    /// `path`: with its query, from `/` on.
    public init(job: String, host: String, port: UInt16, path: String, isSecure: Bool = false) {
        self.isSecure = isSecure
        self.job = job
        self.host = host
        self.port = port
        self.path = path
    }

    public var instance: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    /// Where it is, for people.
    public var url: String { "\(isSecure ? "https" : "http")://\(instance)\(path)" }
    public var labels: [LabelSet.Label] { ownLabels ?? [LabelSet.Label("job", job), LabelSet.Label("instance", instance)] }

    /// Blocks for the look-up of a name. Nil = it has no address.
    func endpoint() throws(ResolveError) -> SocketEndpoint? {
        if let endpoint = SocketEndpoint(address: host, port: port) { return endpoint }
        return try Resolver.addresses(of: host, port: port).get().first
    }
}
