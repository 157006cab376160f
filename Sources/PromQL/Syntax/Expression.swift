public import Matching

/// A query as a tree. A value; its depth is bounded by the parser.
public indirect enum Expression: Sendable {
    case number(NumberLiteral)
    case string(StringLiteral)
    case selector(VectorSelector)
    case range(RangeSelector)
    case subquery(Subquery)
    case parenthesized(Parenthesized)
    case unary(Unary)
    case binary(Binary)
    case aggregation(Aggregation)
    case call(Call)

    public var type: ValueType {
        switch self {
        case .number: .scalar
        case .string: .string
        case .selector, .aggregation: .vector
        case .range, .subquery: .matrix
        case .parenthesized(let node): node.inner.type
        case .unary(let node): node.operand.type
        case .binary(let node): node.left.type == .scalar && node.right.type == .scalar ? .scalar : .vector
        case .call(let node): node.function.result
        }
    }

    public var range: SourceRange {
        switch self {
        case .number(let node): node.range
        case .string(let node): node.range
        case .selector(let node): node.range
        case .range(let node): SourceRange(node.selector.range.start, node.end)
        case .subquery(let node): SourceRange(node.inner.range.start, node.end)
        case .parenthesized(let node): node.range
        case .unary(let node): SourceRange(node.start, node.operand.range.end)
        case .binary(let node): SourceRange(node.left.range.start, node.right.range.end)
        case .aggregation(let node): node.range
        case .call(let node): node.range
        }
    }

    /// Nil where `offset` and `@` make no sense.
    var timeModifiers: TimeModifiers? {
        switch self {
        case .selector(let node): node.modifiers
        case .range(let node): node.selector.modifiers
        case .subquery(let node): node.modifiers
        default: nil
        }
    }

    /// `end`: behind the modifiers' text.
    mutating func setTime(_ modifiers: TimeModifiers, end: Int) {
        switch self {
        case .selector(var node):
            node.modifiers = modifiers
            node.range.end = end
            self = .selector(node)
        case .range(var node):
            node.selector.modifiers = modifiers
            node.end = end
            self = .range(node)
        case .subquery(var node):
            node.modifiers = modifiers
            node.end = end
            self = .subquery(node)
        default: break
        }
    }

    /// Without the parentheses around it.
    var unwrapped: Expression {
        var inner = self
        while case .parenthesized(let node) = inner { inner = node.inner }
        return inner
    }

    /// All selectors in it, from left to right.
    public var selectors: [VectorSelector] {
        switch self {
        case .selector(let node): [node]
        case .range(let node): [node.selector]
        default: children.flatMap(\.selectors)
        }
    }

    var children: [Expression] {
        switch self {
        case .number, .string, .selector, .range: []
        case .subquery(let node): [node.inner]
        case .parenthesized(let node): [node.inner]
        case .unary(let node): [node.operand]
        case .binary(let node): [node.left, node.right]
        case .aggregation(let node): (node.parameter.map { [$0] } ?? []) + [node.inner]
        case .call(let node): node.arguments
        }
    }
}

public struct NumberLiteral: Sendable {
    public var value: Double
    /// Written as a duration, which is its seconds.
    public var isDuration: Bool
    public var range: SourceRange
}

public struct StringLiteral: Sendable {
    public var value: String
    public var range: SourceRange
}

/// When a selector or subquery looks: `offset` and `@`.
public struct TimeModifiers: Sendable, Hashable {
    public enum Moment: Sendable, Hashable {
        case milliseconds(Int64)
        case start, end
    }

    /// Milliseconds back; negative = ahead.
    public var offset: Int64 = 0
    public var at: Moment?
}

public struct VectorSelector: Sendable {
    /// The metric's name before the braces; its matcher is the last one.
    public var name: String?
    public var matchers: [LabelMatcher]
    public var modifiers = TimeModifiers()
    public var range: SourceRange
}

public struct RangeSelector: Sendable {
    public var selector: VectorSelector
    /// Milliseconds, more than 0.
    public var length: Int64
    /// Behind the last byte.
    public var end: Int
}

public struct Subquery: Sendable {
    public var inner: Expression
    /// Milliseconds, more than 0.
    public var length: Int64
    /// Milliseconds; nil = the default step.
    public var step: Int64?
    public var modifiers = TimeModifiers()
    public var end: Int
}

public struct Parenthesized: Sendable {
    public var inner: Expression
    public var range: SourceRange
}

public struct Unary: Sendable {
    public var isNegative: Bool
    public var operand: Expression
    public var start: Int
}

public struct Binary: Sendable {
    public var operation: BinaryOperation
    public var left: Expression
    public var right: Expression
    /// `bool`: 0 and 1 instead of a filter.
    public var returnsBool = false
    public var matching = VectorMatching()
}

/// Which series of two vectors belong together.
public struct VectorMatching: Sendable, Hashable {
    public enum Cardinality: String, Sendable, Hashable {
        case oneToOne = "one-to-one"
        /// `group_left`
        case manyToOne = "many-to-one"
        /// `group_right`
        case oneToMany = "one-to-many"
        case manyToMany = "many-to-many"
    }

    public var cardinality = Cardinality.oneToOne
    /// `on` = these labels only; else all others.
    public var isOn = false
    public var labels: [String] = []
    /// Labels that come from the side with one.
    public var include: [String] = []
}

public struct Aggregation: Sendable {
    public var operation: AggregationOperation
    public var inner: Expression
    public var parameter: Expression?
    public var labels: [String]
    public var isWithout: Bool
    public var range: SourceRange
}

public struct Call: Sendable {
    public var function: FunctionSignature
    public var arguments: [Expression]
    public var range: SourceRange
}
