/// Whether an expression is the same at every step, because all that it selects is at a fixed time (promql/engine.go, `PreprocessExpr`).
/// Then one evaluation serves for all.
enum Invariance {
    /// Functions that depend on the time of evaluation itself.
    private static let unsafeFunctions: Set<String> = [
        "days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month", "year", "predict_linear", "time",
        "timestamp",
    ]

    /// Costs the size of the tree. Numbers alone need no repeating.
    static func holds(_ expression: Expression) -> Bool {
        if case .number = expression { return false }
        return isFixed(expression)
    }

    private static func isFixed(_ expression: Expression) -> Bool {
        switch expression {
        case .number, .string: true
        case .selector(let node): node.modifiers.at != nil
        case .range(let node): node.selector.modifiers.at != nil
        case .subquery(let node): node.modifiers.at != nil
        case .call(let node): !unsafeFunctions.contains(node.function.name) && node.arguments.allSatisfy(isFixed)
        default: expression.children.allSatisfy(isFixed)
        }
    }
}
