// libFuzzer entry: any bytes are a head, an unfinished one or an error, and a head lies within them.
import HTTP

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzHTTPHead(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    var head = MessageHead()
    let limits = HTTPLimits()
    for unsafe parse in unsafe [HeadParser.parseRequest, HeadParser.parseResponse, HeadParser.parseTrailers] {
        var scan = HeadScan()
        if unsafe parse(bytes, &scan, limits, &head) == .complete { precondition(head.byteCount <= size, "a head longer than its bytes") }
    }
    return 0
}
