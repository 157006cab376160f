internal import Policy
internal import QueryAPI
internal import TelemetryWire

/// What AuthorizationPolicies did, for scrapes: verdicts, and the matches of each rule. Any thread.
struct AuthorizationMetrics: Sendable {
    let catalog: RuleCatalog
    /// One of each worker.
    let counters: [AuthorizationCounters]

    /// At most `RuleCatalog.slotsMax` series of rules, and those of verdicts; only what happened.
    func samples() -> [MetricSamples] {
        func sum(_ count: (AuthorizationCounters) -> UInt64) -> Double { Double(counters.reduce(0) { $0 &+ count($1) }) }
        let verdicts = [true, false].flatMap { isHTTP in
            AuthorizationVerdict.allCases.map { verdict in
                MetricSamples.Sample(
                    labels: [("protocol", isHTTP ? "http" : "tcp"), ("verdict", verdict.name)],
                    value: sum { $0.count(verdict, isHTTP: isHTTP) })
            }
        }
        var rules = catalog.all.map { slot, labels in
            MetricSamples.Sample(
                labels: [
                    ("namespace", labels.namespace), ("policy", labels.policy), ("rule", String(labels.rule)), ("action", labels.action),
                    ("dry_run", labels.isDryRun ? "true" : "false"),
                ], value: sum { $0.matches(slot) })
        }
        let others = sum { $0.matches(.other) }
        rules.append(MetricSamples.Sample(labels: [("policy", "other")], value: others))
        return [
            MetricSamples(
                name: "skein_authorization_verdicts_total",
                help: "Requests and TCP connections judged by AuthorizationPolicies; dry-run verdicts are counted besides.", kind: .counter,
                samples: verdicts.filter { $0.value > 0 }),
            MetricSamples(
                name: "skein_authorization_rule_matches_total",
                help: "Requests and TCP connections of which a rule was the first of its action to match. "
                    + "policy=\"other\": rules beyond \(RuleCatalog.slotsMax - 1).",
                kind: .counter, samples: rules.filter { $0.value > 0 }),
        ].filter { !$0.samples.isEmpty }
    }
}
