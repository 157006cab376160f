// libFuzzer entry: any bytes are a body of remote write, or an error. The first byte chooses the version. What is taken is valid and
// counted.
import TelemetryModel
import TelemetryWire

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzRemoteWrite(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard size > 0 else { return 0 }
    let version: RemoteWriteDecoder.Version = unsafe data[0] & 1 == 0 ? .v1 : .v2
    let bytes = unsafe UnsafeRawBufferPointer(start: data + 1, count: size - 1)
    var points = 0
    let counts = try? unsafe RemoteWriteDecoder.decode(bytes, version) { point in
        points += 1
        precondition(!point.labels.isEmpty)
        if case .histogram(let histogram) = point.value { precondition(histogram.isValid) }
    }
    if let counts { precondition(counts.samples + counts.histograms == points) }
    return 0
}
