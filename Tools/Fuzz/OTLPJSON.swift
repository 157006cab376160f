// libFuzzer entry: any bytes are spans, some of them rejected, or an error that leaves nothing behind.
import TelemetryModel
import TelemetryWire

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzOTLPJSON(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var batch = SpanBatch()
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    if let outcome = try? unsafe OTLPTraceDecoder.decodeJSON(bytes, into: &batch) {
        precondition(outcome.acceptedSpans == batch.spans.count)
        precondition(outcome.firstFault == nil || outcome.rejectedSpans > 0)
    } else {
        precondition(batch.spans.isEmpty && batch.text.isEmpty)
    }
    return 0
}
