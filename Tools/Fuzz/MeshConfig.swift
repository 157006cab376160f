// libFuzzer entry: any bytes as one configuration file. Build with -sanitize=fuzzer -parse-as-library; seeds are
// Config/seed and Tests/Fixtures/Corpus/MeshConfig.
import MeshConfig

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzMeshConfig(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: count))
    let (configuration, diagnostics) = MeshConfiguration.load(bytes: [(name: "fuzz", bytes: bytes)])
    for item in diagnostics.items { precondition(!item.json.isEmpty && !item.text.utf8.contains(0x0a)) }
    _ = configuration.tracingPolicy(namespace: "default", labels: [:], direction: .client)
    for finding in MeshAnalysis.run(texts: [(name: "fuzz", text: String(decoding: bytes, as: UTF8.self))]).findings {
        precondition(!finding.json.isEmpty && !finding.text.utf8.contains(0x0a) && !finding.hint.utf8.contains(0x0a))
    }
    let fix = DeprecationFix(file: "fuzz", bytes: bytes)
    precondition(fix.hasChanges == !fix.rewritten.isEmpty && fix.hasChanges != fix.diff.isEmpty)
    return 0
}
