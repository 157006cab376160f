internal import Matching
internal import TelemetryModel

/// Whether every operand has the type that is wanted of it, in the order in which Prometheus looks (promql/parser/parse.go, `checkAST`).
struct TypeChecker {
    let query: String

    func check(_ expression: Expression) throws(ParseProblem) {
        switch expression {
        case .number, .string: break
        case .selector(let node): try check(node)
        case .range(let node): try check(node.selector)
        case .subquery(let node):
            try check(node.inner)
            guard node.inner.type == .vector else {
                throw problem(expression.range, "subquery is only allowed on instant vector, got \(node.inner.type.rawValue) instead")
            }
        case .parenthesized(let node): try check(node.inner)
        case .unary(let node):
            try check(node.operand)
            guard [.scalar, .vector].contains(node.operand.type) else {
                let rule = "unary expression only allowed on expressions of type scalar or instant vector"
                throw problem(expression.range, "\(rule), got \(GoText.quoted(node.operand.type.documented))")
            }
        case .binary(let node): try check(node, expression.range)
        case .aggregation(let node): try check(node)
        case .call(let node): try check(node)
        }
    }

    private func problem(_ range: SourceRange, _ reason: String) -> ParseProblem { ParseProblem(range, reason, in: query) }

    private func check(_ selector: VectorSelector) throws(ParseProblem) {
        guard let name = selector.name else {
            guard selector.matchers.contains(where: { !$0.acceptsAbsent }) else {
                throw problem(selector.range, "vector selector must contain at least one non-empty matcher")
            }
            return
        }
        if let other = selector.matchers.dropLast().first(where: { $0.name == LabelSet.metricName }) {
            let names = "\(GoText.quoted(name)) or \(GoText.quoted(other.value))"
            throw problem(selector.range, "metric name must not be set twice: \(names)")
        }
    }

    private func expect(_ type: ValueType, of expression: Expression, in context: String) throws(ParseProblem) {
        try check(expression)
        guard expression.type == type else {
            throw problem(expression.range, "expected type \(type.documented) in \(context), got \(expression.type.documented)")
        }
    }

    private func check(_ node: Aggregation) throws(ParseProblem) {
        try expect(.vector, of: node.inner, in: "aggregation expression")
        if let parameter = node.parameter {
            try expect(node.operation == .countValues ? .string : .scalar, of: parameter, in: "aggregation parameter")
        }
    }

    private func check(_ node: Binary, _ range: SourceRange) throws(ParseProblem) {
        try check(node.left)
        try check(node.right)
        let (left, right) = (node.left.type, node.right.type)
        if node.returnsBool, !node.operation.isComparison {
            throw problem(operatorRange(node), "bool modifier can only be used on comparison operators")
        }
        if node.operation.isComparison, !node.returnsBool, left == .scalar, right == .scalar {
            throw problem(operatorRange(node), "comparisons between scalars must use BOOL modifier")
        }
        if node.matching.isOn, let twice = node.matching.labels.first(where: { node.matching.include.contains($0) }) {
            throw problem(operatorRange(node), "label \(GoText.quoted(twice)) must not occur in ON and GROUP clause at once")
        }
        for side in [node.left, node.right] where side.type != .scalar && side.type != .vector {
            throw problem(side.range, "binary expression must contain only scalar and instant vector types")
        }
        try checkMatching(node, areVectors: left == .vector && right == .vector, range)
    }

    private func checkMatching(_ node: Binary, areVectors: Bool, _ range: SourceRange) throws(ParseProblem) {
        let name = GoText.quoted(node.operation.rawValue)
        if !areVectors, !node.matching.labels.isEmpty { throw problem(range, "vector matching only allowed between instant vectors") }
        if areVectors, node.operation.isSetOperation, node.matching.cardinality != .manyToMany {
            throw problem(range, "no grouping allowed for \(name) operation")
        }
        if !areVectors, node.operation.isSetOperation {
            throw problem(range, "set operator \(name) not allowed in binary scalar expression")
        }
    }

    /// From the operator to the right operand, without the space around it.
    private func operatorRange(_ node: Binary) -> SourceRange {
        let bytes = Array(query.utf8)
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D }
        var range = SourceRange(node.left.range.end, node.right.range.start)
        while range.start < range.end, isSpace(bytes[range.start]) { range.start += 1 }
        while range.end > range.start, isSpace(bytes[range.end - 1]) { range.end -= 1 }
        return range
    }

    private func check(_ node: Call) throws(ParseProblem) {
        try checkCount(node)
        let types = node.function.arguments
        for (index, argument) in node.arguments.enumerated() {
            try check(argument)
            guard let wanted = index < types.count ? types[index] : types.last, argument.type != wanted else { continue }
            let call = "call to function \(GoText.quoted(node.function.name))"
            throw problem(argument.range, "expected type \(wanted.documented) in \(call), got \(argument.type.documented)")
        }
    }

    private func checkCount(_ node: Call) throws(ParseProblem) {
        let (listed, given, variadic) = (node.function.arguments.count, node.arguments.count, node.function.variadic)
        let call = "argument(s) in call to \(GoText.quoted(node.function.name)), got \(given)"
        if variadic == 0 {
            if given != listed { throw problem(node.range, "expected \(listed) \(call)") }
        } else if given < listed - 1 {
            throw problem(node.range, "expected at least \(listed - 1) \(call)")
        } else if variadic > 0, given > listed - 1 + variadic {
            throw problem(node.range, "expected at most \(listed - 1 + variadic) \(call)")
        }
    }
}
