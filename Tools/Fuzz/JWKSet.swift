// libFuzzer entry: bytes are a key set or none, and what is one is within its bounds and shows no control characters.
import JOSE

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzJWKSet(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: size))
    let limits = JOSELimits()
    for allowsSymmetric in [false, true] {
        guard let set = try? KeySet.parse(bytes, allowsSymmetric: allowsSymmetric) else { continue }
        precondition((1...limits.keys).contains(set.count) && set.summaries.count == set.count, "a bound was not kept")
        precondition(set.problems.count <= limits.problems, "a bound was not kept")
        for line in set.problems { precondition(line.utf8.allSatisfy { $0 >= 32 }, "a control character in a message") }
        for summary in set.summaries {
            precondition(!summary.algorithms.isEmpty, "a key for nothing")
            precondition(allowsSymmetric || !summary.kind.hasPrefix("oct"), "a secret that was not allowed")
        }
    }
    return 0
}
