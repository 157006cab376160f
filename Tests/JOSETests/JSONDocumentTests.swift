@testable import JOSE
import Primitives
import Testing

/// JSON to the letter, within bounds: what two parsers read differently is how tokens are forged.
@Suite struct JSONDocumentTests {
    private func fault(_ bytes: [UInt8], _ limits: JSONLimits = JOSELimits().payload) -> JSONFault? {
        var document = JSONDocument()
        document.text.append(contentsOf: bytes)
        return JSONParser.parse(&document, limits)
    }

    private func fault(_ text: String, _ limits: JSONLimits = JOSELimits().payload) -> JSONFault? { fault(Array(text.utf8), limits) }

    @Test(arguments: [
        ("", .truncated), ("{", .truncated), ("[1,", .truncated), ("\"a", .truncated), ("{\"a\":", .truncated), ("{\"a\"", .truncated),
        ("{}x", .trailingCharacters), ("{} {}", .trailingCharacters), ("1 2", .trailingCharacters), ("01", .badNumber), ("-", .badNumber),
        ("1.", .badNumber), (".5", .unexpectedCharacter), ("1e", .badNumber), ("1e+", .badNumber), ("+1", .unexpectedCharacter),
        ("0x10", .trailingCharacters), ("NaN", .unexpectedCharacter), ("Infinity", .unexpectedCharacter), ("-Infinity", .badNumber),
        ("{a:1}", .unexpectedCharacter), ("{'a':1}", .unexpectedCharacter), ("{\"a\":1,}", .unexpectedCharacter),
        ("[1,]", .unexpectedCharacter), ("[,1]", .unexpectedCharacter), ("[1 2]", .unexpectedCharacter), ("[1}", .unexpectedCharacter),
        ("{\"a\" 1}", .unexpectedCharacter), ("{1:2}", .unexpectedCharacter), ("/**/{}", .unexpectedCharacter),
        ("tru", .unexpectedCharacter),
        ("TRUE", .unexpectedCharacter), ("\u{FEFF}{}", .unexpectedCharacter), ("\u{A0}{}", .unexpectedCharacter),
        ("\"\n\"", .controlCharacter), ("\"\\x\"", .badEscape), ("\"\\u12g4\"", .badEscape), ("\"\\U0041\"", .badEscape),
        ("\"\\ud800\"", .loneSurrogate), ("\"\\ud800\\u0041\"", .loneSurrogate), ("\"\\udc00\"", .loneSurrogate),
        ("\"\\ud800x\"", .loneSurrogate),
        ("{\"a\":1,\"a\":1}", .duplicateMember), ("{\"a\":1,\"\\u0061\":2}", .duplicateMember),
        ("{\"b\":{\"a\":1,\"c\":[1],\"a\":1}}", .duplicateMember), ("{\"\":1,\"\":2}", .duplicateMember),
    ] as [(String, JSONFault)]) func refused(text: String, wanted: JSONFault) { #expect(fault(text) == wanted) }

    @Test(
        arguments: [
            [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x80], [0xE2, 0x82], [0xFF], [0xF0, 0x80, 0x80, 0x80],
        ] as [[UInt8]])
    func onlyUTF8(bytes: [UInt8]) { #expect(fault([34] + bytes + [34]) == .invalidUTF8) }

    @Test func sameNamesInOtherObjectsAreFine() { #expect(fault(#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#) == nil) }

    /// However far apart they are, and whatever stands between them.
    @Test(arguments: [2, 31, 33, 64, 255]) func twinsAreFoundInLargeObjects(count: Int) {
        let members = (0..<count).map { #""\#($0)":{"\#($0)":[\#($0)]}"# }
        for place in [0, count / 2, count - 1] {
            let twin = members + [#""\#(place)":0"#]
            #expect(fault("{\(members.joined(separator: ","))}") == nil)
            #expect(fault("{\(twin.joined(separator: ","))}") == .duplicateMember)
            #expect(fault(#"{"a":[{\#(twin.joined(separator: ","))}],"b":1}"#) == .duplicateMember)
        }
    }

    @Test func depthIsBounded() {
        func lists(_ depth: Int) -> String { String(repeating: "[", count: depth) + "1" + String(repeating: "]", count: depth) }
        #expect(fault(lists(32)) == nil)
        #expect(fault(lists(33)) == .tooDeep)
        var large = JOSELimits().payload
        large.bytes = 3_000_000
        // No stack is used up either.
        #expect(fault(lists(1_000_000), large) == .tooDeep)
        large.depth = 1000
        #expect(fault(lists(255), large) == nil && fault(lists(256), large) == .tooDeep)
    }

    @Test func numbersOfThingsAreBounded() {
        func members(_ count: Int) -> String { "{\((0..<count).map { "\"\($0)\":1" }.joined(separator: ","))}" }
        #expect(fault(members(256)) == nil)
        #expect(fault(members(257)) == .tooManyMembers)
        func elements(_ count: Int) -> String { "[\(Array(repeating: "1", count: count).joined(separator: ","))]" }
        var large = JOSELimits().payload
        large.bytes = 1 << 20
        #expect(fault(elements(8191), large) == nil)
        #expect(fault(elements(8192), large) == .tooManyValues)
        #expect(fault(elements(8192)) == .tooLong)
    }

    @Test func randomTextsAgreeWithTheModel() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var texts = JSONTexts(draw: RandomSource(seed: seed))
        var accepted = 0
        for _ in 0..<4000 {
            let bytes = texts.changed(texts.object(3))
            let model = JSONModel.read(bytes)
            #expect((fault(bytes) == nil) == (model != nil), "seed \(seed): \(String(decoding: bytes, as: UTF8.self))")
            if model != nil { accepted += 1 }
        }
        #expect(accepted > 1000 && accepted < 3900, "seed \(seed): \(accepted) accepted")
    }
}
