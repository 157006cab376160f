// libFuzzer entry: any bytes are chunks or malformed, and every step moves forward.
import HTTP

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzChunkedBody(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    var decoder = ChunkedDecoder()
    var start = 0
    while true {
        let (consumed, event) = unsafe decoder.next(UnsafeRawBufferPointer(start: data + start, count: size - start), limits: HTTPLimits())
        start += consumed
        guard case .data(let count) = event else { return 0 }
        precondition(count > 0 && start + count <= size, "a chunk beyond the input")
        start += count
    }
}
