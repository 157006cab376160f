// libFuzzer entry: any query string of /api/v2/traces is either a query within its bounds or an error.
import QueryAPI
import TelemetryModel

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzZipkinQuery(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let text = unsafe String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self)
    if let query = try? TraceQuery.parse(text, nowMilliseconds: 1) {
        precondition(
            (1...ZipkinLimits.tracesMax).contains(query.limit) && query.terms.count <= ZipkinLimits.termsMax, "a bound was not kept")
    }
    return 0
}
