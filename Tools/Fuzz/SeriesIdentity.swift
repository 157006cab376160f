// libFuzzer entry: any bytes are an identity of a series, whose labels come back as the same bytes, or an error.
import TelemetryModel

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzSeriesIdentity(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: data, count: size))
    guard let reader = try? SeriesIdentityReader(bytes), let labels = try? reader.labels() else { return 0 }
    let again = SeriesIdentity.encode(labels, reader.kind, bounds: reader.bounds)
    precondition(again.count <= bytes.count, "an identity longer than its bytes")
    return 0
}
