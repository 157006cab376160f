// libFuzzer entry: any bytes are either spans or an error.
import TelemetryModel
import TelemetryWire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzZipkinJSON(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var batch = SpanBatch()
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    if (try? unsafe ZipkinJSONDecoder.decode(bytes, into: &batch)) != nil {
        var output: [UInt8] = []
        ZipkinJSONEncoder.appendList(batch, to: &output)
    }
    return 0
}
