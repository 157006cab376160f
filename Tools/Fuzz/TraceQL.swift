// libFuzzer entry: any text is either a query or an error with a place in the text.
import QueryAPI

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzTraceQL(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let text = unsafe String(decoding: UnsafeBufferPointer(start: data, count: size), as: UTF8.self)
    if let problem = TraceQL.problem(text) {
        precondition((1...text.count + 1).contains(problem.place) && !problem.text.isEmpty, "an error has no place in the text")
    }
    return 0
}
