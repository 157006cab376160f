/// Functions of a range of samples, by their names in the language.
enum RangeFunction: String {
    case rate, increase, delta, irate, idelta, deriv, changes, resets
    case absentOverTime = "absent_over_time"
    case avgOverTime = "avg_over_time"
    case countOverTime = "count_over_time"
    case firstOverTime = "first_over_time"
    case lastOverTime = "last_over_time"
    case maxOverTime = "max_over_time"
    case minOverTime = "min_over_time"
    case predictLinear = "predict_linear"
    case presentOverTime = "present_over_time"
    case quantileOverTime = "quantile_over_time"
    case stddevOverTime = "stddev_over_time"
    case stdvarOverTime = "stdvar_over_time"
    case sumOverTime = "sum_over_time"

    /// The result is a sample of the same metric for these two only.
    var dropsName: Bool { self != .lastOverTime && self != .firstOverTime }
    var isCounterRate: Bool { self == .rate || self == .increase }

    /// What grows from a window's first sample to its last one.
    var isOfBothEnds: Bool { isCounterRate || self == .delta }

    /// Samples that one window's result looks at.
    func cost(of count: Int) -> Int {
        switch self {
        case .rate, .increase, .delta, .irate, .idelta, .countOverTime, .firstOverTime, .lastOverTime, .presentOverTime, .absentOverTime: 1
        default: count
        }
    }
}

/// The samples of one step's window, as indices into a series' samples.
struct Window {
    var first = 0
    /// Behind the last number.
    var end = 0
    var firstHistogram = 0
    var endHistogram = 0
    /// The window's ends, milliseconds: left-open.
    var after: Int64 = 0
    var through: Int64 = 0
    /// The time of evaluation.
    var time: Int64 = 0

    var count: Int { end - first }
    var histogramCount: Int { endHistogram - firstHistogram }
}
