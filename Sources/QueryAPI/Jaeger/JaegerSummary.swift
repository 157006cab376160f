internal import TelemetryModel

/// One trace of `/api/v3/trace-summaries` (jaeger's `api_v3.TraceSummary`): 64-bit numbers are texts there.
struct JaegerSummary {
    private struct Service {
        var spans = 0
        var errors = 0
    }

    static func append(_ trace: SpanBatch, _ facts: TraceFacts, to bytes: inout [UInt8]) {
        var services: [String: Service] = [:]
        var ids = Set<SpanID>()
        var first = UInt64.max
        var last: UInt64 = 0
        for span in trace.spans {
            ids.insert(span.id)
            services[trace.nameOfService(span.localEndpoint), default: Service()].spans += 1
            if trace.hasError(span) { services[trace.nameOfService(span.localEndpoint), default: Service()].errors += 1 }
            guard span.timestamp > 0 else { continue }
            first = min(first, span.timestamp)
            last = max(last, span.timestamp.addingReportingOverflow(span.duration).partialValue)
        }
        let orphans = trace.spans.filter { !$0.parentID.isNone && !ids.contains($0.parentID) }.count
        bytes.append(text: "{\"traceId\":\"")
        HexCodec.append16(trace.spans.first?.traceID.high ?? 0, to: &bytes)
        HexCodec.append16(trace.spans.first?.traceID.low ?? 0, to: &bytes)
        bytes.append(text: "\",\"rootServiceName\":")
        bytes.append(jsonString: facts.rootService)
        bytes.append(text: ",\"rootOperationName\":")
        bytes.append(jsonString: facts.rootName)
        if first != .max {
            for (name, time) in [("minStartTimeUnixNano", first), ("maxEndTimeUnixNano", last)] {
                let (nanoseconds, isTooLarge) = time.multipliedReportingOverflow(by: 1000)
                bytes.append(text: ",\"\(name)\":\"\(isTooLarge ? .max : nanoseconds)\"")
            }
        }
        let errors = services.values.reduce(0) { $0 + $1.errors }
        bytes.append(text: ",\"spanCount\":\(trace.spans.count),\"errorSpanCount\":\(errors),\"orphanSpanCount\":\(orphans),\"services\":[")
        for (index, (name, service)) in services.sorted(by: { $0.key < $1.key }).enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            bytes.append(text: "{\"name\":")
            bytes.append(jsonString: name)
            bytes.append(text: ",\"spanCount\":\(service.spans),\"errorSpanCount\":\(service.errors)}")
        }
        bytes.append(text: "]}")
    }
}
