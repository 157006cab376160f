/// Operators between two expressions.
public enum BinaryOperation: String, Hashable, Sendable, CaseIterable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case modulo = "%"
    case power = "^"
    case equal = "=="
    case notEqual = "!="
    case greater = ">"
    case less = "<"
    case greaterOrEqual = ">="
    case lessOrEqual = "<="
    case atan2
    case and
    case or
    case unless

    /// Higher binds tighter (promql/parser/generated_parser.y).
    var precedence: Int {
        switch self {
        case .or: 1
        case .and, .unless: 2
        case .equal, .notEqual, .greater, .less, .greaterOrEqual, .lessOrEqual: 3
        case .add, .subtract: 4
        case .multiply, .divide, .modulo, .atan2: 5
        case .power: 6
        }
    }

    var isRightAssociative: Bool { self == .power }
    public var isComparison: Bool { precedence == 3 }
    public var isSetOperation: Bool { precedence < 3 }
    var isWord: Bool { isSetOperation || self == .atan2 }
    /// The result is no longer the metric that its name says.
    var changesMeaning: Bool { precedence > 3 }
}

/// Operators over the series of a vector.
public enum AggregationOperation: String, Hashable, Sendable, CaseIterable {
    case sum, avg, count, min, max, group, stddev, stdvar, topk, bottomk, quantile
    case countValues = "count_values"
    case limitk
    case limitRatio = "limit_ratio"

    public var hasParameter: Bool {
        switch self {
        case .topk, .bottomk, .quantile, .countValues, .limitk, .limitRatio: true
        default: false
        }
    }

    public var isExperimental: Bool { self == .limitk || self == .limitRatio }
}

public enum ValueType: String, Hashable, Sendable {
    case scalar, vector, matrix, string

    /// As documentation and errors call it.
    public var documented: String {
        switch self {
        case .vector: "instant vector"
        case .matrix: "range vector"
        case .scalar, .string: rawValue
        }
    }
}
