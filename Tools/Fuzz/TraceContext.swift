// libFuzzer entry: any header bytes give a context.
import TelemetryModel

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzTraceContext(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size).bytes
    _ = TraceContext.extract(
        option: .useB3WithW3CPropagation, b3: bytes, b3TraceID: bytes, b3SpanID: bytes, b3ParentSpanID: bytes, b3Sampled: bytes,
        b3Flags: bytes, traceparent: bytes, tracestate: bytes)
    return 0
}
