@testable import JOSE
import Primitives

/// JSON in the obvious way: recursive, with arrays and strings. What `JSONDocument` is compared with.
indirect enum JSONModel: Equatable {
    case object([(name: String, value: JSONModel)]), list([JSONModel]), string(String), number(String), word(String)

    static func == (left: JSONModel, right: JSONModel) -> Bool { left.claims(under: "") == right.claims(under: "") }

    /// Nil for what is not JSON, or has two members of one name.
    static func read(_ bytes: [UInt8]) -> JSONModel? {
        var rest = bytes[...]
        guard let value = value(&rest) else { return nil }
        space(&rest)
        return rest.isEmpty ? value : nil
    }

    /// As `TokenHelp.claims`.
    func claims(under path: String) -> [String] {
        switch self {
        case .object(let members):
            return members.flatMap { $0.value.claims(under: path.isEmpty ? $0.name : "\(path)/\($0.name)") }
        case .list(let elements):
            return elements.flatMap { element -> [String] in
                switch element {
                case .object, .list: []
                default: element.claims(under: path + "[]")
                }
            }
        case .string(let text): return ["\(path) = \(JSONString.quoted(text))"]
        case .number(let text), .word(let text): return ["\(path) = \(text)"]
        }
    }

    private static func space(_ rest: inout ArraySlice<UInt8>) { rest = rest.drop { [9, 10, 13, 32].contains($0) } }

    private static func take(_ text: String, _ rest: inout ArraySlice<UInt8>) -> Bool {
        guard rest.starts(with: text.utf8) else { return false }
        rest = rest.dropFirst(text.utf8.count)
        return true
    }

    private static func value(_ rest: inout ArraySlice<UInt8>) -> JSONModel? {
        space(&rest)
        for word in ["true", "false", "null"] where take(word, &rest) { return .word(word) }
        switch rest.first {
        case UInt8(ascii: "{"): return object(&rest)
        case UInt8(ascii: "["): return list(&rest)
        case UInt8(ascii: "\""): return string(&rest).map { .string($0) }
        default: return number(&rest)
        }
    }

    private static func object(_ rest: inout ArraySlice<UInt8>) -> JSONModel? {
        var members: [(name: String, value: JSONModel)] = []
        rest.removeFirst()
        space(&rest)
        if take("}", &rest) { return .object([]) }
        repeat {
            space(&rest)
            guard rest.first == UInt8(ascii: "\""), let name = string(&rest) else { return nil }
            space(&rest)
            guard take(":", &rest), let value = value(&rest) else { return nil }
            if members.contains(where: { Array($0.name.utf8) == Array(name.utf8) }) { return nil }
            members.append((name, value))
            space(&rest)
        } while take(",", &rest)
        return take("}", &rest) ? .object(members) : nil
    }

    private static func list(_ rest: inout ArraySlice<UInt8>) -> JSONModel? {
        var elements: [JSONModel] = []
        rest.removeFirst()
        space(&rest)
        if take("]", &rest) { return .list([]) }
        repeat {
            guard let value = value(&rest) else { return nil }
            elements.append(value)
            space(&rest)
        } while take(",", &rest)
        return take("]", &rest) ? .list(elements) : nil
    }

    private static func string(_ rest: inout ArraySlice<UInt8>) -> String? {
        rest.removeFirst()
        var units: [UInt16] = []
        var plain: [UInt8] = []
        func flush() -> Bool {
            guard let text = String(validating: plain, as: UTF8.self) else { return false }
            units += Array(text.utf16)
            plain = []
            return true
        }
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""):
                guard flush() else { return nil }
                return String(validating: units, as: UTF16.self)
            case 0..<32: return nil
            case UInt8(ascii: "\\"):
                guard flush(), let escape = rest.popFirst() else { return nil }
                let simple: [UInt8: UInt16] = [34: 34, 92: 92, 47: 47, 98: 8, 102: 12, 110: 10, 114: 13, 116: 9]
                if let unit = simple[escape] {
                    units.append(unit)
                } else {
                    let digits = String(decoding: rest.prefix(4), as: UTF8.self)
                    guard escape == UInt8(ascii: "u"), digits.utf8.count == 4, digits.allSatisfy({ $0.isHexDigit && $0.isASCII }),
                        let unit = UInt16(digits, radix: 16)
                    else { return nil }
                    units.append(unit)
                    rest = rest.dropFirst(4)
                }
            default: plain.append(byte)
            }
        }
        return nil
    }

    private static func number(_ rest: inout ArraySlice<UInt8>) -> JSONModel? {
        let text = String(decoding: rest.prefix { "+-.eE0123456789".utf8.contains($0) }, as: UTF8.self)
        guard text.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/) != nil else { return nil }
        rest = rest.dropFirst(text.utf8.count)
        return .number(text)
    }
}

/// Random JSON texts, of all that the grammar has.
struct JSONTexts {
    var draw: RandomSource

    mutating func object(_ depth: Int) -> String {
        let members = (0..<draw.below(5)).map { "\"\($0)\(name())\"\(space()):\(space())\(value(depth))" }
        return "{\(space())\(members.joined(separator: "\(space()),\(space())"))\(space())}"
    }

    private mutating func value(_ depth: Int) -> String {
        switch draw.below(depth > 0 ? 8 : 6) {
        case 0: return "\"\(name())\(name())\""
        case 1: return pick(["0", "-0", "1", "-17", "1.5", "1e3", "2E-2", "12345678901234567890", "-0.0e+0"])
        case 2: return pick(["true", "false", "null"])
        case 3: return "[\((0..<draw.below(4)).map { _ in value(0) }.joined(separator: ","))]"
        case 4: return "[\(space())]"
        case 5: return "\"\""
        case 6: return "[\((0..<draw.below(4)).map { _ in value(depth - 1) }.joined(separator: "\(space()),"))]"
        default: return object(depth - 1)
        }
    }

    private mutating func name() -> String {
        pick(["", "a", "sub", "ä", "€", "😀", "\\n", "\\\"", "\\\\", "\\/", "\\u0041", "\\ud83d\\ude00", "\\u0000", " ", ".", "\u{7f}"])
    }

    private mutating func space() -> String { pick(["", "", "", " ", "\t", "\r\n", "  "]) }

    private mutating func pick(_ texts: [String]) -> String { texts[Int(draw.below(UInt32(texts.count)))] }

    /// The text with a few bytes changed, taken out or put in: most of these are wrong in a small way.
    mutating func changed(_ text: String) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<draw.below(3) where !bytes.isEmpty {
            let place = Int(draw.below(UInt32(bytes.count)))
            let special = Array("{}[]\",:\\u0-e.d8\u{1}\u{80} ".utf8) + [0xC0, 0xED, 0xA0, 0xF4, 0xFF]
            let byte = special[Int(draw.below(UInt32(special.count)))]
            switch draw.below(3) {
            case 0: bytes[place] = byte
            case 1: bytes.remove(at: place)
            default: bytes.insert(byte, at: place)
            }
        }
        return bytes
    }
}
