// Collector: what happens to telemetry between the proxy's rings, the network and the store.
//
// In:  request records from `RecordRing`s (one for each proxy worker), batches from Zipkin and OTLP senders.
// Out: access-log files, batches for a `BatchSink` (the store), servers elsewhere, the tail that `skein logs` reads.
//
// Rooms: `Records` (the pump, access-log files, the tail, the proxy's own spans) · `Receivers` (a file for each protocol; what they share
// is `SignalIntake`: unpack, decode, hand over, count) · `Exporters` (`Exporter` = `SignalQueue` + `ExporterConnection` + an
// `ExporterEncoding`) · `Scrapes` (metrics of other programs) · `SpanMetrics` (metrics and service graph from stored spans:
// `SpanMetricsSink` stands before the store, `SpanMetrics` counts, `EdgePairing` finds the calls) · `Statistics` (counters and their
// names).
//
// It refuses to: make a request wait (a full ring drops, and counts), queue without a bound, drop without counting a reason, know
// what Istio resources look like (the composition root turns them into a `CollectorPlan`), and acknowledge a batch before the sink has it.
//
// Threads: `RecordPump` owns one thread, which alone touches rings, files and the proxy's span batches. `Receivers` runs on the threads
// of the servers it is given to. Each `Exporter` owns one thread. `LogTail` and `CollectorStatistics` are for any thread.
//
// Start the sink, then exporters, then the pump, then receivers and workers. Stop in the opposite order: every `stop` drains what is there.
// Next file: `Records/RecordPump.swift`, or `Receivers/Receivers.swift`.
