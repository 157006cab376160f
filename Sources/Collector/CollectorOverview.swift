// Collector: what happens to telemetry between the proxy's rings, the network and the store.
//
// In:  request records from `RecordRing`s (one for each proxy worker), spans from Zipkin and OTLP senders.
// Out: access-log files, span batches for a `SpanSink` (the store), Zipkin servers elsewhere, the tail that `skein logs` reads.
//
// It refuses to: make a request wait (a full ring drops, and counts), queue without a bound, drop without counting a reason, know
// what Istio resources look like (the composition root turns them into a `CollectorPlan`), and acknowledge a span before the sink has it.
//
// Threads: `RecordPump` owns one thread, which alone touches rings, files and the proxy's span batches. `Receivers` runs on the threads
// of the servers it is given to. Each `ZipkinExporter` owns one thread. `LogTail` and `CollectorStatistics` are for any thread.
//
// Start the sink, then exporters, then the pump, then receivers and workers. Stop in the opposite order: every `stop` drains what is there.
// Next file: `CollectorPlan.swift`, then `RecordPump.swift` and `PumpLoop.swift`.
