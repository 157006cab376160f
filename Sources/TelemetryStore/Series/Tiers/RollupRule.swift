import TelemetryModel

/// How the samples of a series become those of a coarser tier.
enum RollupRule: UInt8, BitwiseCopyable, Sendable {
    /// Chosen samples stay as they are; see `Rollup`.
    case cumulative
    /// Windows of count, sum, least, most and last.
    case gauge

    /// `name`: of the metric, in bytes.
    init(_ kind: SeriesKind, name: [UInt8]) {
        switch kind {
        case .counter, .classicHistogram, .nativeHistogram: self = .cumulative
        case .gauge: self = .gauge
        case .unknown:
            let endings: [StaticString] = ["_total", "_bucket", "_count", "_sum"]
            self = endings.contains { name.suffix($0.utf8CodeUnitCount).elementsEqual("\($0)".utf8) } ? .cumulative : .gauge
        }
    }
}
