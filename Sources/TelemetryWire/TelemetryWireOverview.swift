// TelemetryWire: telemetry as bytes. Spans in (Zipkin JSON of both versions and protobuf, OTLP protobuf and JSON) and out (Zipkin v2 JSON,
// OTLP protobuf and JSON), metrics out (Prometheus text 0.0.4, OpenMetrics 1.0), access-log lines and proxy spans from request records.
//
// It refuses to do I/O, to keep state between calls, to know the store or HTTP. Decoders take bytes and append rows to the caller's
// `SpanBatch`, or throw and leave it as it was; writers append to the caller's `[UInt8]`. Nothing is built in between: no JSON
// tree, no message objects, no String on the way.
//
// Invariants: no input traps, recurses or costs more than a small multiple of its bytes. A body that is what it says is taken span by span,
// and a span without what in it is odd; whatever is left out is counted.
//
// Threads: any; values and pure functions only.
// Next file: `JSON/JSONScanner.swift`, then `Zipkin/ZipkinJSONDecoder.swift`.
