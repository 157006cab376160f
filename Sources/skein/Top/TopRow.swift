internal import TelemetryModel

/// One row of `skein top`: what became of the requests of a service, route, edge or endpoint within the window.
struct TopRow: Equatable, Sendable {
    /// How many requests ended in one way.
    struct Share: Equatable, Sendable {
        /// As the series say: `response_code=503 response_flags=UF`.
        var labels: [String: String]
        var outcome: RequestOutcome
        var perSecond: Double
    }

    var name: String
    var labels: [String: String]
    /// Requests a second by how they ended; most first.
    var shares: [Share] = []
    /// Milliseconds; nil = no traffic, or no buckets.
    var p50: Double?
    var p95: Double?
    var p99: Double?
    /// A second; nil = not known by these rows.
    var retries: Double?
    /// Endpoints that are ejected or fail their health checks; nil = not known by these rows.
    var ejected: Int?
    /// `source` or `destination`; nil = there is but one that reports.
    var reporter: String?

    /// Requests a second.
    var requests: Double { shares.reduce(0) { $0 + $1.perSecond } }
    /// Failures a second.
    var failures: Double { shares.reduce(0) { $0 + ($1.outcome == .failure ? $1.perSecond : 0) } }

    /// The share of answers that are no failure, 0 … 1 (`RequestOutcome`); nil = there was no answer in the window.
    var successRate: Double? {
        let answered = shares.reduce(0) { $0 + ($1.outcome == .unanswered ? 0 : $1.perSecond) }
        return answered > 0 ? min(1, max(0, 1 - failures / answered)) : nil
    }
}

/// One metric's row of `skein top --by family`: how many series it has, and which labels make them so many.
struct TopFamily: Equatable, Sendable, Codable {
    struct Label: Equatable, Sendable, Codable {
        var name: String
        var values: Int
    }

    struct Sender: Equatable, Sendable, Codable {
        var job: String
        var instance: String
        var series: Int
    }

    var metric: String
    var series: Int
    var seriesMax: Int
    var overflowedSeries: UInt64
    var overflowedSamples: UInt64
    /// Most values first.
    var labels: [Label]
    /// Most series first.
    var senders: [Sender]

    var isFull: Bool { series >= seriesMax }

    /// How full it is, 0 … 1.
    var share: Double { seriesMax > 0 ? Double(series) / Double(seriesMax) : 0 }
}

/// One look at the server: what is drawn until the next.
struct TopPicture: Equatable, Sendable {
    var dimension: TopDimension
    var rows: [TopRow] = []
    var families: [TopFamily] = []
    /// Metrics that have as many series as they may, whatever the rows are.
    var fullFamilies: [TopFamily] = []
    /// What the server had to say of its answers.
    var notes: [String] = []
    /// Rows that were left out because there are more than `rowsMax`.
    var omitted = 0

    static let rowsMax = 10_000
}
