// libFuzzer entry: any bytes are points, some of them rejected, or an error. The first byte chooses how they are translated. What is taken
// is valid, named, and has each label once.
import TelemetryModel
import TelemetryWire

#if LIBFUZZER
@_cdecl("LLVMFuzzerTestOneInput")
#endif
public func fuzzOTLPMetrics(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard size > 0 else { return 0 }
    let choice = unsafe data[0]
    var translation = OTLPTranslation()
    translation.strategy = OTLPTranslation.Strategy.allCases[Int(choice & 3)]
    translation.promotion = choice & 4 == 0 ? .only([]) : .allBut([])
    translation.keepsIdentifyingAttributes = choice & 8 != 0
    translation.convertsHistograms = choice & 16 != 0
    translation.promotesScope = choice & 32 != 0
    let bytes = unsafe UnsafeRawBufferPointer(start: data + 1, count: size - 1)
    _ = try? unsafe OTLPMetricsDecoder.decode(bytes, translation) { point in
        precondition(point.labels[LabelSet.metricName] != nil, "a point without a name")
        precondition(Set(point.labels.labels.map(\.name)).count == point.labels.count, "a label twice")
        switch point.value {
        case .number: break
        case .classic(let histogram): precondition(histogram.isValid)
        case .histogram(let histogram): precondition(histogram.isValid)
        }
        return nil
    }
    return 0
}
