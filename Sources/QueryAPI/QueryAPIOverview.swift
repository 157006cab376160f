// QueryAPI: what the process answers about itself and about stored traces, over HTTP.
//
// `ZipkinAPI` (Zipkin v2 queries), `JaegerAPI` and `TempoAPI` (the same traces in their ways), `PrometheusAPI` (PromQL),
// `MetricsExposition` (Prometheus scrapes), `CanaryAPI` and `CanaryWatch` (verdicts on canaries, from the same series as PromQL),
// `LandingPage` (HTML for people), `AdminAPI` (readiness and the configuration in force). Each
// offers `handle(request, responder)`, which answers nil for a path that is not its own; the composition root asks them in turn.
//
// `Search` is what Jaeger's and Tempo's searches share: a condition on spans, what of it a store can answer, and the scan that tests the
// rest.
//
// It refuses to receive telemetry, to know SQLite or the proxy, and to block the server's thread: stores and counters are read on the
// `QueryPool`, a few threads behind a bounded queue, and what does not fit is 503 with Retry-After.
//
// Data in: `TraceQuerying` (the store, adapted by the composition root), RED shards, closures that tell sizes and counts. Data out:
// whole `ServiceResponse`s. Invariants: nothing in a query traps or allocates without a bound; text from spans reaches HTML escaped and
// JSON escaped; `istio_requests_total` equals the `_count` of each histogram of its series.
//
// Threads: `handle` on a server's thread, everything slow on the pool's.
// Next file: `TraceQuerying.swift`.
