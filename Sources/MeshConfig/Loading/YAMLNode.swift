/// One node of a document, aliases expanded, merge keys (`<<`) applied. Shared subtrees share storage.
struct YAMLNode: Sendable {
    enum Content: Sendable {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        case mapping([YAMLPair])
    }
    var content: Content
    var line: Int
    var column: Int

    var pairs: [YAMLPair]? { if case .mapping(let pairs) = content { pairs } else { nil } }
    var items: [YAMLNode]? { if case .sequence(let items) = content { items } else { nil } }
    var scalar: YAMLScalar? { if case .scalar(let scalar) = content { scalar } else { nil } }
    var isNull: Bool { if case .scalar(let scalar) = content { scalar.value == .null } else { false } }

    /// "a mapping", "the number 8080"...: how a message speaks of the node.
    var described: String {
        switch content {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar(let scalar): scalar.described
        }
    }
}

struct YAMLPair: Sendable {
    var key: String
    var keyLine: Int
    var keyColumn: Int
    var value: YAMLNode
}

/// A scalar as Istio's Go YAML library (sigs.k8s.io/yaml, YAML 1.1) types it before handing it on as JSON.
struct YAMLScalar: Sendable {
    enum Value: Sendable, Equatable {
        case null
        case bool(Bool)
        case integer(Int64)
        case number(Double)
        case string
    }
    var text: String
    var value: Value

    /// Quoted, block and `!!str` scalars are strings whatever they look like; plain ones are resolved.
    init(text: String, isPlain: Bool) {
        self.text = text
        value = isPlain ? YAMLScalar.resolve(text) : .string
    }

    var described: String {
        switch value {
        case .null: "nothing (null)"
        case .bool: "the boolean \(shortened)"
        case .integer, .number: "the number \(shortened)"
        case .string: "the string \"\(shortened)\""
        }
    }

    var shortened: String { text.count > 60 ? String(text.prefix(57)) + "..." : text }

    private static let fixed: [String: Value] = {
        var table: [String: Value] = [:]
        for word in ["", "~", "null", "Null", "NULL"] { table[word] = .null }
        for word in ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"] { table[word] = .bool(true) }
        for word in ["false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"] {
            table[word] = .bool(false)
        }
        for word in [".nan", ".NaN", ".NAN"] { table[word] = .number(.nan) }
        for word in [".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"] { table[word] = .number(.infinity) }
        for word in ["-.inf", "-.Inf", "-.INF"] { table[word] = .number(-.infinity) }
        return table
    }()

    private static func resolve(_ text: String) -> Value {
        if let value = fixed[text] { return value }
        guard let first = text.utf8.first, text.utf8.count <= 64,
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) || first == UInt8(ascii: "-")
                || first == UInt8(ascii: "+") || first == UInt8(ascii: ".")
        else { return .string }
        let plain = text.replacing("_", with: "")
        if let integer = integer(plain) { return .integer(integer) }
        if isFloat(plain), let number = Double(plain.hasSuffix(".") ? plain + "0" : plain) { return .number(number) }
        return .string
    }

    /// Go's ParseInt with base 0: decimal, 0x, 0o, 0b, and a leading 0 for octal (YAML 1.1).
    private static func integer(_ text: String) -> Int64? {
        var digits = Substring(text)
        var sign = ""
        if let first = digits.first, first == "-" || first == "+" {
            sign = first == "-" ? "-" : ""
            digits = digits.dropFirst()
        }
        guard let first = digits.utf8.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return nil }
        let lower = digits.prefix(2).lowercased()
        if lower == "0x" { return Int64(sign + digits.dropFirst(2), radix: 16) }
        if lower == "0o" { return Int64(sign + digits.dropFirst(2), radix: 8) }
        if lower == "0b" { return Int64(sign + digits.dropFirst(2), radix: 2) }
        if digits.count > 1, first == UInt8(ascii: "0") { return Int64(sign + digits, radix: 8) }
        return Int64(sign + digits, radix: 10)
    }

    /// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
    private static func isFloat(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        var index = 0
        func digits() -> Int {
            let start = index
            while index < bytes.count, bytes[index] >= 0x30, bytes[index] <= 0x39 { index += 1 }
            return index - start
        }
        if index < bytes.count, bytes[index] == UInt8(ascii: "-") || bytes[index] == UInt8(ascii: "+") { index += 1 }
        let whole = digits()
        var fraction = 0
        if index < bytes.count, bytes[index] == UInt8(ascii: ".") {
            index += 1
            fraction = digits()
        }
        guard whole > 0 || fraction > 0 else { return false }
        if index < bytes.count, bytes[index] == UInt8(ascii: "e") || bytes[index] == UInt8(ascii: "E") {
            index += 1
            if index < bytes.count, bytes[index] == UInt8(ascii: "-") || bytes[index] == UInt8(ascii: "+") { index += 1 }
            guard digits() > 0 else { return false }
        }
        return index == bytes.count
    }
}
