// libFuzzer entry: any first bytes have a verdict, what more bytes cannot change stays, and a server name is no longer than they are.
import HTTP

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzProtocolSniffer(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe UnsafeRawBufferPointer(start: data, count: size)
    let verdict = unsafe ProtocolSniffer.look(bytes)
    let hello = unsafe ClientHello.parse(bytes)
    if case .hello(let name, _) = hello { precondition(name.count <= size, "a name beyond the bytes") }
    for count in [size / 2, size - min(size, 1)] {
        let early = unsafe ProtocolSniffer.look(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        let earlyHello = unsafe ClientHello.parse(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        precondition(earlyHello == .incomplete || earlyHello == hello || size == 0, "bytes that came later changed a hello")
        precondition(early == .undecided || early == verdict || size == 0, "bytes that came later changed a verdict")
    }
    return 0
}
