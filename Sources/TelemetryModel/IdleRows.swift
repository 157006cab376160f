/// Rows that a worker is to free, each with its requests at the time when somebody looked: one that has counted since stays.
public struct IdleRows: Sendable {
    public var series: [(key: SeriesKey, requests: UInt64)] = []
    public var routes: IdleOutcomes = []
    public var endpoints: IdleOutcomes = []

    public init() {}

    public var isEmpty: Bool { series.isEmpty && routes.isEmpty && endpoints.isEmpty }
}

/// Rows of routes or endpoints, in an `OutcomeShard`.
public typealias IdleOutcomes = [(key: OutcomeKey, requests: UInt64)]
