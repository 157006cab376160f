internal import Matching
internal import Primitives
internal import PromQL

/// Queries as trees in JSON: what `parse_query` of Prometheus 3 answers and its pages draw (web/api/v1/translate_ast.go). As deep as the
/// parser lets a query be.
enum ExpressionTree {
    static func append(_ expression: Expression, to bytes: inout [UInt8]) {
        var object = Object(&bytes)
        switch expression {
        case .number(let node):
            object.type("numberLiteral", &bytes)
            object.text("val", GoFloat.plain(node.value), &bytes)
        case .string(let node):
            object.type("stringLiteral", &bytes)
            object.text("val", node.value, &bytes)
        case .selector(let node):
            object.type("vectorSelector", &bytes)
            append(node, &object, &bytes)
        case .range(let node):
            object.type("matrixSelector", &bytes)
            object.raw("range", "\(node.length)", &bytes)
            append(node.selector, &object, &bytes)
        case .subquery(let node):
            object.type("subquery", &bytes)
            object.expression("expr", node.inner, &bytes)
            object.raw("range", "\(node.length)", &bytes)
            object.raw("step", "\(node.step ?? 0)", &bytes)
            append(node.modifiers, &object, &bytes)
            object.raw("alignEvalTime", "false", &bytes)
        case .parenthesized(let node):
            object.type("parenExpr", &bytes)
            object.expression("expr", node.inner, &bytes)
        case .unary(let node):
            object.type("unaryExpr", &bytes)
            object.text("op", node.isNegative ? "-" : "+", &bytes)
            object.expression("expr", node.operand, &bytes)
        case .binary(let node): append(node, &object, &bytes)
        case .aggregation(let node):
            object.type("aggregation", &bytes)
            object.text("op", node.operation.rawValue, &bytes)
            object.expression("expr", node.inner, &bytes)
            object.expression("param", node.parameter, &bytes)
            object.texts("grouping", node.labels, &bytes)
            object.raw("without", "\(node.isWithout)", &bytes)
        case .call(let node): append(node, &object, &bytes)
        }
        object.end(&bytes)
    }

    private static func append(_ node: VectorSelector, _ object: inout Object, _ bytes: inout [UInt8]) {
        object.text("name", node.name ?? "", &bytes)
        object.name("matchers", &bytes)
        PrometheusJSON.appendList(node.matchers, to: &bytes) { matcher, bytes in
            var object = Object(&bytes)
            object.text("name", matcher.name, &bytes)
            object.text("value", matcher.value, &bytes)
            object.text("type", matcher.operation.rawValue, &bytes)
            object.end(&bytes)
        }
        append(node.modifiers, &object, &bytes)
        // Modifiers of experimental selectors, which are not taken.
        object.raw("anchored", "false", &bytes)
        object.raw("smoothed", "false", &bytes)
    }

    private static func append(_ modifiers: TimeModifiers, _ object: inout Object, _ bytes: inout [UInt8]) {
        object.raw("offset", "\(modifiers.offset)", &bytes)
        var time = "null"
        var end = "null"
        switch modifiers.at {
        case .milliseconds(let at): time = "\(at)"
        case .start: end = "\"start\""
        case .end: end = "\"end\""
        case nil: break
        }
        object.raw("timestamp", time, &bytes)
        object.raw("startOrEnd", end, &bytes)
    }

    private static func append(_ node: Binary, _ object: inout Object, _ bytes: inout [UInt8]) {
        object.type("binaryExpr", &bytes)
        object.text("op", node.operation.rawValue, &bytes)
        object.expression("lhs", node.left, &bytes)
        object.expression("rhs", node.right, &bytes)
        object.name("matching", &bytes)
        if node.left.type == .vector, node.right.type == .vector {
            var matching = Object(&bytes)
            matching.text("card", node.matching.cardinality.rawValue, &bytes)
            matching.texts("labels", node.matching.labels, &bytes)
            matching.raw("on", "\(node.matching.isOn)", &bytes)
            matching.texts("include", node.matching.include, &bytes)
            matching.raw("fillValues", "{\"lhs\":null,\"rhs\":null}", &bytes)
            matching.end(&bytes)
        } else {
            bytes.append(text: "null")
        }
        object.raw("bool", "\(node.returnsBool)", &bytes)
    }

    private static func append(_ node: Call, _ object: inout Object, _ bytes: inout [UInt8]) {
        object.type("call", &bytes)
        object.name("func", &bytes)
        var function = Object(&bytes)
        function.text("name", node.function.name, &bytes)
        function.texts("argTypes", node.function.arguments.map(\.rawValue), &bytes)
        function.raw("variadic", "\(node.function.variadic)", &bytes)
        function.text("returnType", node.function.result.rawValue, &bytes)
        function.end(&bytes)
        object.name("args", &bytes)
        PrometheusJSON.appendList(node.arguments, to: &bytes) { append($0, to: &$1) }
    }

    /// One JSON object being written.
    private struct Object {
        private var isEmpty = true

        init(_ bytes: inout [UInt8]) { bytes.append(UInt8(ascii: "{")) }

        func end(_ bytes: inout [UInt8]) { bytes.append(UInt8(ascii: "}")) }

        mutating func name(_ name: String, _ bytes: inout [UInt8]) {
            bytes.append(text: isEmpty ? "\"\(name)\":" : ",\"\(name)\":")
            isEmpty = false
        }

        mutating func raw(_ name: String, _ json: String, _ bytes: inout [UInt8]) {
            self.name(name, &bytes)
            bytes.append(text: json)
        }

        mutating func text(_ name: String, _ text: String, _ bytes: inout [UInt8]) {
            self.name(name, &bytes)
            bytes.append(jsonString: text)
        }

        mutating func texts(_ name: String, _ texts: [String], _ bytes: inout [UInt8]) {
            self.name(name, &bytes)
            bytes.append(jsonStrings: texts)
        }

        mutating func type(_ type: String, _ bytes: inout [UInt8]) { text("type", type, &bytes) }

        mutating func expression(_ name: String, _ expression: Expression?, _ bytes: inout [UInt8]) {
            self.name(name, &bytes)
            if let expression { ExpressionTree.append(expression, to: &bytes) } else { bytes.append(text: "null") }
        }
    }
}
