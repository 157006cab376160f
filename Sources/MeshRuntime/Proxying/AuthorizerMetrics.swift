internal import Policy
internal import QueryAPI
internal import TelemetryWire

/// What external authorizers said, for scrapes: checks by provider and outcome, named after Envoy's. Any thread.
struct AuthorizerMetrics: Sendable {
    let catalog: AuthorizerCatalog
    /// One of each worker.
    let counters: [AuthorizerCounters]

    /// At most `AuthorizerCatalog.slotsMax` series of each outcome; only providers that were known.
    func samples() -> [MetricSamples] {
        let providers = catalog.all
        guard !providers.isEmpty else { return [] }
        return CheckOutcome.allCases.map { outcome in
            func sum(_ slot: AuthorizerSlot) -> Double { Double(counters.reduce(0) { $0 &+ $1.count(outcome, of: slot) }) }
            var samples = providers.map { MetricSamples.Sample(labels: [("provider", $0.name)], value: sum($0.slot)) }
            let others = sum(.other)
            if others > 0 { samples.append(MetricSamples.Sample(labels: [("provider", "other")], value: others)) }
            return MetricSamples(
                name: "skein_ext_authz_\(outcome.name)_total", help: Self.help(outcome), kind: .counter, samples: samples)
        }
    }

    private static func help(_ outcome: CheckOutcome) -> String {
        switch outcome {
        case .ok: "Requests that an external authorizer let in."
        case .denied: "Requests that an external authorizer refused."
        case .error: "Requests whose check by an external authorizer failed."
        case .failureModeAllowed: "Failed checks whose requests went on, as the provider has failOpen."
        }
    }
}
