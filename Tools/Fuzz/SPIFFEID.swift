// libFuzzer entry: bytes are a SPIFFE ID or none, and what is one is the same bytes again, within its bounds.
import TLS

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzSPIFFEID(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: size))
    guard let id = try? SPIFFEID(bytes) else { return 0 }
    precondition(Array(id.description.utf8) == bytes, "an ID that is not what was read")
    let domain = id.trustDomain.utf8.count
    precondition(size <= SPIFFEID.bytesMax && (1...SPIFFEID.trustDomainBytesMax).contains(domain), "a bound was not kept")
    precondition(!bytes.contains(0) && !id.path.contains("//") && !id.path.hasSuffix("/"), "a byte or a segment that an ID cannot have")
    return 0
}
