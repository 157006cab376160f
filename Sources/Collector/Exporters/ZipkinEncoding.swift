public import TelemetryModel
internal import TelemetryWire

/// Spans as `POST /api/v2/spans` of Zipkin v2 JSON (Zipkin API; semantics 2.11).
public struct ZipkinEncoding: ExporterEncoding {
    public let name = "zipkin"
    public let path = "/api/v2/spans"
    public let fields = [(name: "Content-Type", value: "application/json")]

    public init() {}

    public func append(_ batches: [SpanBatch], to body: inout [UInt8]) {
        body.append(UInt8(ascii: "["))
        var isFirst = true
        for batch in batches {
            for span in batch.spans {
                if !isFirst { body.append(UInt8(ascii: ",")) }
                isFirst = false
                ZipkinJSONEncoder.append(span, of: batch, to: &body)
            }
        }
        body.append(UInt8(ascii: "]"))
    }
}
