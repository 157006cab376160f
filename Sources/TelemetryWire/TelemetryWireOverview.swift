// TelemetryWire: telemetry as bytes. Spans in (Zipkin v2 JSON, OTLP protobuf) and out (Zipkin v2 JSON), metrics out (Prometheus text 0.0.4,
// OpenMetrics 1.0), access-log lines and proxy spans from request records.
//
// It refuses to do I/O, to keep state between calls, to know the store or HTTP. Decoders take bytes and append rows to the caller's
// `SpanBatch`, or throw and leave it as it was; writers append to the caller's `[UInt8]`. Nothing is built in between: no JSON
// tree, no message objects, no String on the way.
//
// Invariants: no input traps, recurses without a bound or costs more than a small multiple of its bytes; a Zipkin body is taken whole or
// not at all, an OTLP request span by span with the rejected ones counted.
//
// Threads: any; values and pure functions only.
// Next file: `JSON/JSONScanner.swift`, then `Zipkin/ZipkinJSONDecoder.swift`.
