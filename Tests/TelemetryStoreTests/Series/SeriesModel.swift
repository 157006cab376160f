import TelemetryModel
@testable import TelemetryStore

/// What the store should have: obvious, in memory.
struct SeriesModel {
    struct Series {
        var kind: SeriesKind
        var times: [Int64] = []
        var values: [Double] = []
    }

    var series: [LabelSet: Series] = [:]

    /// By the store's rules: ascending times, nothing before `floor`.
    mutating func append(_ labels: LabelSet, _ kind: SeriesKind, _ time: Int64, _ value: Double, floor: Int64) {
        if let last = series[labels]?.times.last, time <= last { return }
        guard time >= floor else { return }
        series[labels, default: Series(kind: kind)].times.append(time)
        series[labels]?.values.append(value)
    }

    var plain: [LabelSet: [PlainSample]] { series.mapValues { zip($0.times, $0.values).map { PlainSample($0, $1) } } }

    /// Everything but the samples of one time.
    func without(time: Int64) -> [LabelSet: [PlainSample]] {
        plain.mapValues { $0.filter { $0.time != time } }.filter { !$0.value.isEmpty }
    }

    /// How much a counter grew, resets added back.
    static func growth(_ samples: [PlainSample]) -> Double {
        var last: Double?
        return samples.reduce(0) { sum, sample in
            let value = Double(bitPattern: sample.bits)
            defer { last = value }
            guard let last else { return sum }
            return sum + (value < last ? value : value - last)
        }
    }
}
