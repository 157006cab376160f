// libFuzzer entry: any bytes are a target whose parts lie within them, or none.
import HTTP

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzRequestTarget(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    for method in ["GET", "CONNECT", "OPTIONS"] as [StaticString] {
        let method = unsafe UnsafeRawBufferPointer(start: method.utf8Start, count: method.utf8CodeUnitCount)
        guard let target = unsafe RequestTarget.parse(bytes, method: method) else { continue }
        precondition(
            target.authority.upperBound <= size && target.path.upperBound <= size && target.query.upperBound <= size, "beyond the input")
    }
    return 0
}
