internal import JOSE
internal import Policy
internal import Primitives
internal import QueryAPI
internal import Synchronization
internal import TelemetryModel
internal import TelemetryWire

/// What RequestAuthentications did and how old the keys of their issuers are, for scrapes. Any thread.
struct TokenMetrics: Sendable {
    let keys: IssuerKeys
    let workers: [WorkerStatistics]

    /// Sources of keys that have series of their own.
    static let sourcesMax = 200

    func samples() -> [MetricSamples] {
        let rows = keys.rows
        guard !rows.isEmpty else { return [] }
        func sum(_ count: (WorkerStatistics) -> UInt64) -> Double { Double(workers.reduce(0) { $0 &+ count($1) }) }
        let requests = [
            ("accepted", sum { $0.tokensAccepted.load(ordering: .relaxed) }),
            ("refused", sum { $0.tokensRefused.load(ordering: .relaxed) }),
        ]
        let read = [
            ("remembered", sum { $0.tokensRemembered.load(ordering: .relaxed) }), ("read", sum { $0.tokensRead.load(ordering: .relaxed) }),
        ]
        return [
            family("skein_jwt_requests_total", "Requests whose token was accepted or refused.", .counter, "result", requests),
            family(
                "skein_jwt_tokens_total", "Tokens that were remembered as good, and those that were read and verified.", .counter, "from",
                read),
            MetricSamples(
                name: "skein_jwt_key_waits_total", help: "Times that a request waited for the keys of its issuer.", kind: .counter,
                samples: [MetricSamples.Sample(value: sum { $0.keyWaits.load(ordering: .relaxed) })]),
        ] + ofSources(rows.filter { $0.isUsed && !$0.isInline })
    }

    private func ofSources(_ rows: [IssuerKeys.Row]) -> [MetricSamples] {
        let shown = rows.prefix(Self.sourcesMax)
        let now = SystemClock.monotonicNow()
        let ages = shown.compactMap { row in row.fetched.map { (row.name, Double(now.nanoseconds(since: $0)) / 1e9) } }
        return [
            family("skein_jwks_age_seconds", "Time since the keys of an issuer were fetched, in seconds.", .gauge, "source", ages),
            family(
                "skein_jwks_keys", "Keys of an issuer that can be used.", .gauge, "source",
                shown.map { ($0.name, Double($0.set?.count ?? 0)) }),
            family(
                "skein_jwks_fetches_total", "Fetches of the keys of an issuer, failed ones included.", .counter, "source",
                shown.map { ($0.name, Double($0.attempts)) }),
            family(
                "skein_jwks_fetch_failures_total", "Fetches of the keys of an issuer that failed.", .counter, "source",
                shown.map { ($0.name, Double($0.failures)) }),
        ].filter { !$0.samples.isEmpty }
    }

    private func family(
        _ name: String, _ help: String, _ kind: MetricKind, _ label: String, _ values: [(String, Double)]
    ) -> MetricSamples {
        let samples = values.map { MetricSamples.Sample(labels: [(label, $0.0)], value: $0.1) }
        return MetricSamples(name: name, help: help, kind: kind, samples: samples)
    }
}
