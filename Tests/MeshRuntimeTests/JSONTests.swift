import Foundation
@testable import MeshRuntime
import TelemetryWire
import Testing

@Suite struct JSONTextTests {
    /// What a parser that we did not write makes of the literal.
    private func parsed(_ literal: String) throws -> String? {
        try JSONSerialization.jsonObject(with: Data(literal.utf8), options: .fragmentsAllowed) as? String
    }

    /// `skein analyze --output json | jq` fails as a whole when one message holds a control character that is not escaped.
    @Test func everyScalarSurvivesAnotherParser() throws {
        let scalars = Array(0..<0x0300) + [0x2028, 0x2029, 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x1_0000, 0x1_F600, 0x10_FFFF]
        for value in scalars {
            let scalar = try #require(Unicode.Scalar(UInt32(value)))
            let text = "a" + String(Character(scalar)) + "b"
            let literal = JSONText.quote(text)
            #expect(literal.unicodeScalars.allSatisfy { $0.value >= 0x20 }, "U+\(String(value, radix: 16))")
            #expect(try parsed(literal) == text, "U+\(String(value, radix: 16))")
        }
    }

    @Test(arguments: [
        ("", "\"\""), ("\"\\", "\"\\\"\\\\\""), ("\u{0}", "\"\\u0000\""), ("\u{1F}", "\"\\u001f\""),
        ("a\r\nb\t", "\"a\\u000d\\nb\\u0009\""),
        ("/", "\"/\""), ("ä😀", "\"ä😀\""),
    ])
    func writes(_ text: String, _ literal: String) { #expect(JSONText.quote(text) == literal) }

    /// A header is bytes. Swift's text repairs what is no UTF-8 (an unpaired surrogate, half a character); what is printed must then be
    /// valid as well.
    @Test(arguments: [[0xFF], [0xED, 0xA0, 0x80], [0x61, 0xC3], [0xF0, 0x9F, 0x98], [0x80, 0x22]] as [[UInt8]])
    func bytesThatAreNoTextBecomeText(_ bytes: [UInt8]) throws {
        let text = String(decoding: bytes, as: UTF8.self)
        let literal = JSONText.quote(text)
        #expect(String(validating: Array(literal.utf8), as: UTF8.self) != nil)
        #expect(try parsed(literal) == text)
        #expect(text.contains("\u{FFFD}"))
    }

    /// A line of the carriage-return-and-feed kind is one character of Swift's; both must be escaped.
    @Test func escapesWithinACluster() throws { #expect(try parsed(JSONText.quote("\r\n\u{301}\"\u{301}")) == "\r\n\u{301}\"\u{301}") }
}

@Suite struct JSONTemplateTests {
    private func parse(_ text: String) throws(AccessLogFormatError) -> [String] {
        try JSONTemplate.parse(text).map { "\($0.key)=\(Self.shown($0.value))" }
    }

    private static func shown(_ value: AccessLogFormat.Value) -> String {
        switch value {
        case .template(let text): text
        case .constant(let text): "<\(text)>"
        case .object(let members): "{\(members.map { "\($0.key)=\(shown($0.value))" }.joined(separator: " "))}"
        case .list(let items): "[\(items.map(shown).joined(separator: " "))]"
        }
    }

    /// Envoy's `json_format` is a protobuf Struct: numbers, booleans, null, objects and lists stand in the line as they are.
    @Test func takesEveryKindOfValue() throws {
        #expect(try parse(#"{"a": 5, "b": -0.5e+3, "c": true, "d": null}"#) == ["a=<5>", "b=<-0.5e+3>", "c=<true>", "d=<null>"])
        #expect(
            try parse(#"{"a": {"b": "%PROTOCOL%", "c": {}}, "d": ["x", [1]], "e": []}"#) == [
                "a={b=%PROTOCOL% c={}}", "d=[x [<1>]]", "e=[]",
            ])
        #expect(try parse(#"{"a": "\u0041\ud83d\ude00", "b": "cut\ud83d"}"#) == ["a=A\u{1F600}", "b=cut\u{FFFD}"])
        let deep = { (count: Int) in String(repeating: #"{"a":"#, count: count) + "1" + String(repeating: "}", count: count) }
        #expect(try parse(deep(JSONTemplate.depthMax - 1)).count == 1)
        #expect(throws: AccessLogFormatError.self) { try JSONTemplate.parse(deep(100_000)) }
    }

    /// Keys stay in the order written: people and column-minded tools read access logs by it.
    @Test func keepsKeysInTheirOrder() throws {
        #expect(try parse(#" { "z" : "%PROTOCOL%", "a":"%RESPONSE_CODE%" } "#) == ["z=%PROTOCOL%", "a=%RESPONSE_CODE%"])
        #expect(try parse("{\n\t\"a\": \"x y\",\r\n\"b\": \"\"}") == ["a=x y", "b="])
        #expect(try parse(#"{"a\"b": "c\\d\/e\n\t\r"}"#) == ["a\"b=c\\d/e\n\t\r"])
    }

    /// The column is what an operator looks at in a line of two hundred characters.
    @Test(arguments: [
        ("", 1, "expected {"), ("[]", 1, "expected {"), ("{}", 2, "at least one field"), (#"{"a"}"#, 5, "expected :"),
        (#"{"a": 05}"#, 7, "expected a string"),
        (#"{"a": nil}"#, 7, "expected a string"), (#"{"a": {"b" "c"}}"#, 12, "expected :"), (#"{"a": "b",}"#, 11, "expected \""),
        (#"{"a": "b" "c": "d"}"#, 11, "expected }"), (#"{"a": "b"} x"#, 12, "text after the object"), (#"{"a": "b"#, 9, "does not end"),
        (#"{"a": "\"#, 9, "does not end"), (#"{"a": "\q"}"#, 10, "unsupported escape \\q"),
        (#"{"a": "\u00g1"}"#, 10, "four hexadecimal digits"), (#"{a: "b"}"#, 2, "expected \""),
    ])
    func saysWhereItIsWrong(_ text: String, _ column: Int, _ message: String) {
        let error = #expect(throws: AccessLogFormatError.self) { try JSONTemplate.parse(text) }
        #expect(error?.column == column)
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    @Test func boundsTheNumberOfFields() throws {
        func template(_ count: Int) -> String { "{" + (0..<count).map { "\"k\($0)\":\"v\"" }.joined(separator: ",") + "}" }
        #expect(try JSONTemplate.parse(template(JSONTemplate.valuesMax)).count == JSONTemplate.valuesMax)
        #expect(throws: AccessLogFormatError.self) { try JSONTemplate.parse(template(JSONTemplate.valuesMax + 1)) }
    }
}
