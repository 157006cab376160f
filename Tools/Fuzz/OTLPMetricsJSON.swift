// libFuzzer entry: any text is points, some of them rejected, or an error.
import TelemetryModel
import TelemetryWire

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzOTLPMetricsJSON(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    var points = 0
    let outcome = try? unsafe OTLPMetricsDecoder.decodeJSON(bytes) { _ in
        points += 1
        return nil
    }
    precondition(outcome.map { $0.acceptedPoints <= points } ?? true)
    return 0
}
