import Foundation
import PromQL
@testable import QueryAPI
import Testing

/// The trees of `parse_query`, against what Prometheus' translate_ast.go makes of the same queries.
@Suite struct ExpressionTreeTests {
    private func tree(_ query: String) throws -> NSDictionary {
        var bytes: [UInt8] = []
        ExpressionTree.append(try PromQLEngine().parse(query), to: &bytes)
        return try #require(JSONSerialization.jsonObject(with: Data(bytes)) as? NSDictionary)
    }

    private func json(_ text: String) throws -> NSDictionary {
        try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? NSDictionary)
    }

    private static let up = """
        {"type":"vectorSelector","name":"up","offset":0,"timestamp":null,"startOrEnd":null,"anchored":false,"smoothed":false,
         "matchers":[{"name":"__name__","value":"up","type":"="}]}
        """

    @Test(arguments: [
        ("1.50", #"{"type":"numberLiteral","val":"1.5"}"#),
        ("Inf", #"{"type":"numberLiteral","val":"+Inf"}"#),
        ("\"a\\\"\"", #"{"type":"stringLiteral","val":"a\""}"#),
        ("up", up),
        ("-(up)", #"{"type":"unaryExpr","op":"-","expr":{"type":"parenExpr","expr":\#(up)}}"#),
        (
            #"up{a!="b",c=~"d"} offset -1m @ 5.5"#,
            """
            {"type":"vectorSelector","name":"up","offset":-60000,"timestamp":5500,"startOrEnd":null,"anchored":false,"smoothed":false,
             "matchers":[{"name":"a","value":"b","type":"!="},{"name":"c","value":"d","type":"=~"},
             {"name":"__name__","value":"up","type":"="}]}
            """
        ),
        (
            "rate(up[5m] @ end())",
            """
            {"type":"call","func":{"name":"rate","argTypes":["matrix"],"variadic":0,"returnType":"vector"},"args":[
             {"type":"matrixSelector","name":"up","range":300000,"offset":0,"timestamp":null,"startOrEnd":"end","anchored":false,
              "smoothed":false,"matchers":[{"name":"__name__","value":"up","type":"="}]}]}
            """
        ),
        (
            "up[1h:1m] offset 1s",
            """
            {"type":"subquery","expr":\(up),"range":3600000,"step":60000,"offset":1000,"timestamp":null,"startOrEnd":null,
             "alignEvalTime":false}
            """
        ),
        (
            "topk by (a) (3, up)",
            """
            {"type":"aggregation","op":"topk","expr":\(up),"param":{"type":"numberLiteral","val":"3"},"grouping":["a"],"without":false}
            """
        ),
        ("sum(up)", #"{"type":"aggregation","op":"sum","expr":\#(up),"param":null,"grouping":[],"without":false}"#),
        (
            "up * on (a) group_left (b) up",
            """
            {"type":"binaryExpr","op":"*","lhs":\(up),"rhs":\(up),"bool":false,
             "matching":{"card":"many-to-one","labels":["a"],"on":true,"include":["b"],"fillValues":{"lhs":null,"rhs":null}}}
            """
        ),
        (
            "up and up",
            """
            {"type":"binaryExpr","op":"and","lhs":\(up),"rhs":\(up),"bool":false,
             "matching":{"card":"many-to-many","labels":[],"on":false,"include":[],"fillValues":{"lhs":null,"rhs":null}}}
            """
        ),
        (
            "up == bool 1",
            #"{"type":"binaryExpr","op":"==","lhs":\#(up),"rhs":{"type":"numberLiteral","val":"1"},"bool":true,"matching":null}"#
        ),
    ])
    func trees(_ query: String, _ expected: String) throws {
        #expect(try tree(query) == json(expected), "\(query)")
    }
}
