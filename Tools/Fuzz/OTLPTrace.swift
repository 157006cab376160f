// libFuzzer entry: any bytes are either spans or an error.
import TelemetryModel
import TelemetryWire

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzOTLPTrace(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var batch = SpanBatch()
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    _ = try? unsafe OTLPTraceDecoder.decode(bytes, into: &batch)
    return 0
}
