// libFuzzer entry: a normalised path fits where it is written and is its own normal form.
import HTTP

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzRequestPath(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    let path = unsafe UnsafeRawBufferPointer(start: data, count: size)
    for mode in [PathNormalization.base, .mergeSlashes, .decodeAndMergeSlashes] {
        // A normal form has nothing left that grows, but for a `%` that stands alone.
        var once = [UInt8](repeating: 0, count: PathNormalizer.growthMax * size + 1)
        var twice = [UInt8](repeating: 0, count: PathNormalizer.growthMax * once.count)
        unsafe once.withUnsafeMutableBufferPointer { once in
            guard let output = once.baseAddress, case .changed(let count) = unsafe PathNormalizer.normalize(path, mode: mode, into: output)
            else { return }
            let normal = unsafe UnsafeRawBufferPointer(start: output, count: count)
            unsafe twice.withUnsafeMutableBufferPointer { twice in
                guard let output = twice.baseAddress else { return }
                switch unsafe PathNormalizer.normalize(normal, mode: mode, into: output) {
                case .unchanged: break
                case .changed(let again): unsafe precondition(again == count && zip(normal, twice).allSatisfy { $0 == $1 }, "not stable")
                case .rejected: preconditionFailure("a normal form was rejected")
                }
            }
        }
    }
    return 0
}
