internal import Primitives
internal import TelemetryModel
internal import Matching

/// Expressions in their canonical form, on one line (promql/parser/printer.go). What it prints parses to the same tree.
public struct Printer {
    public static func text(of expression: Expression) -> String {
        switch expression {
        case .number(let node): text(of: node)
        case .string(let node): GoText.quoted(node.value)
        case .selector(let node): bare(node) + suffix(of: node.modifiers)
        case .range(let node):
            "\(bare(node.selector))[\(PromDuration.text(milliseconds: node.length))]\(suffix(of: node.selector.modifiers))"
        case .subquery(let node): text(of: node.inner) + suffix(of: node)
        case .parenthesized(let node): "(\(text(of: node.inner)))"
        case .unary(let node): (node.isNegative ? "-" : "+") + text(of: node.operand)
        case .binary(let node): "\(text(of: node.left)) \(head(of: node)) \(text(of: node.right))"
        case .aggregation(let node):
            "\(head(of: node))(\(node.parameter.map { text(of: $0) + ", " } ?? "")\(text(of: node.inner)))"
        case .call(let node): "\(node.function.name)(\(node.arguments.map { text(of: $0) }.joined(separator: ", ")))"
        }
    }

    private static func text(of node: NumberLiteral) -> String {
        guard node.isDuration else { return GoFloat.plain(node.value) }
        let milliseconds = Int64(exactly: (node.value.magnitude * 1000).rounded()) ?? 0
        return (node.value < 0 ? "-" : "") + PromDuration.text(milliseconds: milliseconds)
    }

    /// An operator with its modifiers.
    static func head(of node: Binary) -> String {
        var text = node.operation.rawValue + (node.returnsBool ? " bool" : "")
        let matching = node.matching
        guard node.left.type == .vector, node.right.type == .vector else { return text }
        let isGrouped = matching.cardinality == .manyToOne || matching.cardinality == .oneToMany
        if !matching.labels.isEmpty || matching.isOn || isGrouped {
            text += (matching.isOn ? " on (" : " ignoring (") + list(matching.labels) + ")"
        }
        if isGrouped { text += (matching.cardinality == .manyToOne ? " group_left (" : " group_right (") + list(matching.include) + ")" }
        return text
    }

    static func head(of node: Aggregation) -> String {
        if node.isWithout { return "\(node.operation.rawValue) without (\(list(node.labels))) " }
        return node.operation.rawValue + (node.labels.isEmpty ? "" : " by (\(list(node.labels))) ")
    }

    static func suffix(of node: Subquery) -> String {
        let step = node.step.map { PromDuration.text(milliseconds: $0) } ?? ""
        return "[\(PromDuration.text(milliseconds: node.length)):\(step)]\(suffix(of: node.modifiers))"
    }

    private static func list(_ labels: [String]) -> String { labels.map { labelName($0) }.joined(separator: ", ") }
    private static func labelName(_ name: String) -> String { GoText.isPlainLabelName(name) ? name : GoText.quoted(name) }

    private static func bare(_ node: VectorSelector) -> String {
        let matchers = node.matchers.filter {
            !($0.name == LabelSet.metricName && $0.operation == .equal && $0.value == node.name && !$0.value.isEmpty)
        }
        let texts = matchers.map { labelName($0.name) + $0.operation.rawValue + GoText.quoted($0.value) }
            .sorted { Array($0.utf8).lexicographicallyPrecedes($1.utf8) }
        return (node.name ?? "") + (texts.isEmpty ? "" : "{\(texts.joined(separator: ","))}")
    }

    private static func suffix(of modifiers: TimeModifiers) -> String {
        var text = ""
        switch modifiers.at {
        case .milliseconds(let time): text = " @ " + seconds(time)
        case .start: text = " @ start()"
        case .end: text = " @ end()"
        case nil: break
        }
        guard modifiers.offset != 0 else { return text }
        let size = PromDuration.text(milliseconds: Int64(clamping: modifiers.offset.magnitude))
        return text + " offset " + (modifiers.offset < 0 ? "-" : "") + size
    }

    /// With three digits behind the point.
    private static func seconds(_ milliseconds: Int64) -> String {
        let rest = String(milliseconds.magnitude % 1000)
        let padded = String(repeating: "0", count: 3 - rest.utf8.count) + rest
        return (milliseconds < 0 ? "-" : "") + "\(milliseconds.magnitude / 1000).\(padded)"
    }
}
