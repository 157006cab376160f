/// Well-typed queries in the printer's own form.
struct RandomQuery {
    var draw: Draw

    mutating func vector(_ depth: Int) -> String {
        guard depth > 0 else { return selector() }
        switch Int.random(in: 0..<9, using: &draw) {
        case 0: return "(\(vector(depth - 1)))"
        case 1: return "-" + selector()
        case 2: return binary(depth)
        case 3: return aggregation(depth)
        case 4: return draw.one(of: ["abs", "ceil", "histogram_avg", "sort_desc", "timestamp", "year"]) + "(\(vector(depth - 1)))"
        case 5: return draw.one(of: ["rate", "sum_over_time", "irate", "changes", "absent_over_time"]) + "(\(matrix(depth - 1)))"
        case 6: return "clamp_max(\(vector(depth - 1)), \(scalar(depth - 1)))"
        case 7: return "label_join(\(vector(depth - 1)), \"a\", \"\\n\\\"\", \"b\", \"c\")"
        default: return selector()
        }
    }

    private mutating func scalar(_ depth: Int) -> String {
        guard depth > 0 else { return number() }
        switch Int.random(in: 0..<4, using: &draw) {
        case 0: return "scalar(\(vector(depth - 1)))"
        case 1: return "(\(scalar(depth - 1)) \(draw.one(of: ["+", "-", "*", "/", "%", "atan2", "== bool"])) \(scalar(depth - 1)))"
        case 2: return "time()"
        default: return number()
        }
    }

    private mutating func number() -> String {
        draw.one(of: ["0", "1", "-2.5", "1000000", "NaN", "+Inf", "-Inf", "1h30m", "250ms", "0.001"])
    }

    private mutating func matrix(_ depth: Int) -> String {
        if draw.chance(0.6) { return bare() + "[\(duration())]" + modifiers() }
        let step = draw.chance(0.5) ? duration() : ""
        return "(\(vector(depth)))[\(duration()):\(step)]" + modifiers()
    }

    private mutating func binary(_ depth: Int) -> String {
        let arithmetic = ["+", "-", "*", "/", "%", "^", "atan2", "==", "!=", ">", "<", ">=", "<=", "> bool"]
        let isSet = draw.chance(0.3)
        var text = isSet ? draw.one(of: ["and", "or", "unless"]) : draw.one(of: arithmetic)
        if draw.chance(0.5) {
            let isGrouped = !isSet && draw.chance(0.5)
            text += draw.one(of: [" on (a, b)", " ignoring (a)", " on ()", " on (\"é.x\")"])
            if isGrouped { text += draw.one(of: [" group_left (z)", " group_right ()"]) }
        }
        // Parentheses, as the tree of a chain depends on the operators.
        return "(\(vector(depth - 1))) \(text) (\(vector(depth - 1)))"
    }

    private mutating func aggregation(_ depth: Int) -> String {
        let grouping = draw.one(of: ["", " by (a) ", " without (a, b) ", " without () ", " by (\"b c\", by) "])
        if draw.chance(0.3) {
            return "\(draw.one(of: ["topk", "bottomk", "quantile"]))\(grouping)(\(scalar(depth - 1)), \(vector(depth - 1)))"
        }
        if draw.chance(0.2) { return "count_values\(grouping)(\"value\", \(vector(depth - 1)))" }
        return "\(draw.one(of: ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]))\(grouping)(\(vector(depth - 1)))"
    }

    private mutating func selector() -> String { bare() + modifiers() }

    private mutating func bare() -> String {
        draw.one(of: [
            "up", "sum", "a:b:c", "up{a=\"b\"}", "up{a!=\"\",b=~\"x|y\",c!~\"\\\\d+\"}", "{__name__=~\".+\"}", "{\"x.y\"=\"1\"}",
            "offset{on=\"é\\t\"}",
        ])
    }

    private mutating func modifiers() -> String {
        draw.one(of: ["", "", " @ 1.500", " @ start()", " @ end()", " @ -1.000"]) + draw.one(of: ["", "", " offset 5m", " offset -1d2h"])
    }

    private mutating func duration() -> String { draw.one(of: ["5m", "1h30m", "1w", "250ms", "1m1s1ms"]) }
}
