/// Expressions over several lines where they are longer than one: what `format_query` answers (promql/parser/prettier.go).
public struct PrettyPrinter {
    static let columnsMax = 100

    public static func text(of expression: Expression) -> String { text(of: expression, level: 0) }

    private static func indent(_ level: Int) -> String { String(repeating: "  ", count: level) }

    private static func text(of expression: Expression, level: Int) -> String {
        let line = Printer.text(of: expression)
        let space = indent(level)
        if case .unary(let node) = expression {
            let operand = text(of: node.operand, level: level)
            return space + (node.isNegative ? "-" : "+") + operand.drop { $0 == " " }
        }
        guard line.utf8.count > columnsMax else { return space + line }
        switch expression {
        case .number, .string, .selector, .range, .unary: return space + line
        case .subquery(let node): return text(of: node.inner, level: level) + Printer.suffix(of: node)
        case .parenthesized(let node): return "\(space)(\n\(text(of: node.inner, level: level + 1))\n\(space))"
        case .binary(let node):
            let (left, right) = (text(of: node.left, level: level + 1), text(of: node.right, level: level + 1))
            return "\(left)\n\(space)\(Printer.head(of: node))\n\(right)"
        case .aggregation(let node):
            let parameter = node.parameter.map { text(of: $0, level: level + 1) + ",\n" } ?? ""
            return "\(space)\(Printer.head(of: node))(\n\(parameter)\(text(of: node.inner, level: level + 1))\n\(space))"
        case .call(let node):
            let arguments = node.arguments.map { text(of: $0, level: level + 1) }.joined(separator: ",\n")
            return "\(space)\(node.function.name)(\n\(arguments)\n\(space))"
        }
    }
}
