/// A function's name and types (promql/parser/functions.go).
public struct FunctionSignature: Sendable, Hashable {
    public let name: String
    public let arguments: [ValueType]
    /// How often the last argument may be missing or repeated: 0 = as listed, n = up to n of it, −1 = any number.
    public let variadic: Int
    public let result: ValueType
    public let isExperimental: Bool

    private init(_ name: String, _ arguments: [ValueType], variadic: Int = 0, result: ValueType = .vector, isExperimental: Bool = false) {
        self.name = name
        self.arguments = arguments
        self.variadic = variadic
        self.result = result
        self.isExperimental = isExperimental
    }

    static func named(_ name: String) -> FunctionSignature? { all[name] }

    private static let all = Dictionary(uniqueKeysWithValues: (ofVector + ofMatrix + ofTime + others + experimental).map { ($0.name, $0) })

    private static let ofVector = [
        "abs", "absent", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg", "exp", "floor", "histogram_avg",
        "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar", "ln", "log10", "log2", "rad", "sgn", "sin", "sinh",
        "sort",
        "sort_desc", "sqrt", "tan", "tanh", "timestamp",
    ].map { FunctionSignature($0, [.vector]) }

    private static let ofMatrix = [
        "absent_over_time", "avg_over_time", "changes", "count_over_time", "delta", "deriv", "first_over_time", "idelta", "increase",
        "irate",
        "last_over_time", "max_over_time", "min_over_time", "present_over_time", "rate", "resets", "stddev_over_time", "stdvar_over_time",
        "sum_over_time",
    ].map { FunctionSignature($0, [.matrix]) }

    private static let ofTime = [
        "days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year",
    ].map { FunctionSignature($0, [.vector], variadic: 1) }

    private static let others = [
        FunctionSignature("clamp", [.vector, .scalar, .scalar]), FunctionSignature("clamp_max", [.vector, .scalar]),
        FunctionSignature("clamp_min", [.vector, .scalar]), FunctionSignature("histogram_fraction", [.scalar, .scalar, .vector]),
        FunctionSignature("histogram_quantile", [.scalar, .vector]),
        FunctionSignature("label_replace", [.vector, .string, .string, .string, .string]),
        FunctionSignature("label_join", [.vector, .string, .string, .string], variadic: -1),
        FunctionSignature("pi", [], result: .scalar), FunctionSignature("predict_linear", [.matrix, .scalar]),
        FunctionSignature("quantile_over_time", [.scalar, .matrix]), FunctionSignature("round", [.vector, .scalar], variadic: 1),
        FunctionSignature("scalar", [.vector], result: .scalar), FunctionSignature("time", [], result: .scalar),
        FunctionSignature("vector", [.scalar]),
    ]

    private static let experimental = [
        ("double_exponential_smoothing", [ValueType.matrix, .scalar, .scalar]), ("histogram_quantiles", [.vector, .string, .scalar]),
        ("info", [.vector]), ("integral", [.matrix]), ("mad_over_time", [.matrix]), ("sort_by_label", [.vector, .string]),
        ("sort_by_label_desc", [.vector, .string]),
        ("ts_of_first_over_time", [.matrix]), ("ts_of_last_over_time", [.matrix]), ("ts_of_max_over_time", [.matrix]),
        ("ts_of_min_over_time", [.matrix]), ("start", []), ("end", []), ("step", []), ("range", []),
    ].map { FunctionSignature($0.0, $0.1, variadic: -1, isExperimental: true) }
}
