// libFuzzer entry: any bytes are spans, some of them refused, or an error that leaves nothing behind; what is accepted can be written as
// JSON and read again without loss.
import TelemetryModel
import TelemetryWire

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzZipkinProtobuf(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var batch = SpanBatch()
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    guard let outcome = try? unsafe ZipkinProtobufDecoder.decode(bytes, into: &batch) else {
        precondition(
            batch.text.isEmpty && batch.spans.isEmpty && batch.tags.isEmpty && batch.annotations.isEmpty && batch.endpoints.isEmpty)
        return 0
    }
    precondition(outcome.acceptedSpans == batch.spans.count)
    precondition(batch.tags.count == batch.spans.reduce(0) { $0 + Int($1.tagCount) })
    precondition(batch.annotations.count == batch.spans.reduce(0) { $0 + Int($1.annotationCount) })
    var output: [UInt8] = []
    ZipkinJSONEncoder.appendList(batch, to: &output)
    var again = SpanBatch()
    let reread = try? unsafe output.withUnsafeBytes { unsafe try ZipkinJSONDecoder.decode($0, into: &again) }
    precondition(reread?.acceptedSpans == outcome.acceptedSpans && reread?.refusedSpans == 0)
    return 0
}
