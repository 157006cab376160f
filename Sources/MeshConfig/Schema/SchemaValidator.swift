internal import Primitives

/// Holds one resource against the tables: unknown fields, types, enum names, ranges, deprecated spellings, and the
/// notice for what is not in effect. Recursion is bounded by `ConfigLimits.nestingDepth`.
struct SchemaValidator {
    let resource: ResourceID
    let file: String
    let schema = Schema.istio
    private(set) var findings: Findings

    init(resource: ResourceID, file: String) {
        self.resource = resource
        self.file = file
        findings = Findings(resource: resource)
    }

    /// `path` names elements (`spec.http[0].timeout`); `pattern` does not (`spec.http.timeout`).
    private struct Place {
        var path: String
        var pattern: String
        /// Inside something already reported as not in effect.
        var isCovered: Bool

        func field(_ name: String) -> Place { Place(path: "\(path).\(name)", pattern: "\(pattern).\(name)", isCovered: isCovered) }
        func item(_ index: Int) -> Place { Place(path: "\(path)[\(index)]", pattern: pattern, isCovered: isCovered) }
        func key(_ key: String) -> Place { Place(path: "\(path)[\(key.prefix(64))]", pattern: pattern, isCovered: isCovered) }
    }

    mutating func validate(spec: YAMLNode, message: String) {
        var place = Place(path: "spec", pattern: "spec", isCovered: false)
        noteEffect(&place, line: spec.line, column: spec.column)
        check(spec, .message(message), place)
    }

    mutating func report(
        _ severity: Diagnostic.Severity, _ code: DiagnosticCode, line: Int, column: Int, field: String, _ message: String
    ) {
        findings.add(severity, code, SourcePosition(file: file, line: line, column: column), field, message)
    }

    private mutating func noteEffect(_ place: inout Place, line: Int, column: Int) {
        guard !place.isCovered, !EffectTable.isInEffect(kind: resource.kind, field: place.pattern) else { return }
        place.isCovered = true
        let what = place.pattern == "spec" ? resource.kind : String(place.pattern.split(separator: ".").last ?? "")
        report(
            .notice, .notYetInEffect, line: line, column: column, field: place.path,
            "\(what) is accepted, not yet in effect")
    }

    private mutating func wrong(_ node: YAMLNode, _ place: Place, expected: String, hint: String = "") {
        report(
            .error, .wrongType, line: node.line, column: node.column, field: place.path,
            "expected \(expected), got \(node.described)\(hint.isEmpty ? "" : ". \(hint)")")
    }

    private mutating func check(_ node: YAMLNode, _ type: Schema.FieldType, _ place: Place) {
        switch type {
        case .any: break
        case .message(let name): checkMessage(node, name, place)
        case .list(let element):
            guard let items = node.items else {
                wrong(node, place, expected: "a list", hint: "Begin each element with \"- \".")
                return
            }
            for (index, item) in items.enumerated() {
                if item.isNull {
                    wrong(item, place.item(index), expected: describe(element))
                } else {
                    check(item, element, place.item(index))
                }
            }
        case .map(let element), .portMap(let element):
            guard let pairs = node.pairs else {
                wrong(node, place, expected: "a mapping of names to \(describe(element))")
                return
            }
            for pair in pairs {
                if case .portMap = type, UInt16(pair.key).map({ $0 > 0 }) != true {
                    report(
                        .error, .outOfRange, line: pair.keyLine, column: pair.keyColumn, field: place.path,
                        "\"\(pair.key)\" is not a port number, 1 to 65535")
                }
                if pair.value.isNull {
                    // `headers: {x: }` means what `{}` means; for text it means an empty string.
                    continue
                }
                check(pair.value, element, place.key(pair.key))
            }
        default: checkScalar(node, type, place)
        }
    }

    private func describe(_ type: Schema.FieldType) -> String {
        switch type {
        case .string: "a string"
        case .bool: "true or false"
        case .int32, .uint32, .int64, .uint64: "a whole number"
        case .port: "a port number, 1 to 65535"
        case .double: "a number"
        case .duration: "a duration"
        case .enumeration: "a name"
        case .message, .map, .portMap: "a mapping"
        case .list: "a list"
        case .any: "any value"
        }
    }

    private mutating func checkMessage(_ node: YAMLNode, _ name: String, _ place: Place) {
        guard let message = schema.messages[name] else { return }
        guard let pairs = node.pairs else {
            let known = message.fields.prefix(6).map(\.name).joined(separator: ", ")
            wrong(
                node, place, expected: "a mapping",
                hint: known.isEmpty ? "" : "Its fields: \(known)\(message.fields.count > 6 ? "..." : "").")
            return
        }
        var seen: [String: YAMLPair] = [:]
        for pair in pairs {
            let fieldName = FieldName.canonical(pair.key)
            guard let field = message.field(named: fieldName) else {
                reportUnknown(pair, message, place)
                continue
            }
            if pair.value.isNull { continue }
            if let first = seen.updateValue(pair, forKey: fieldName) {
                report(
                    .error, .duplicateKey, line: pair.keyLine, column: pair.keyColumn, field: place.field(fieldName).path,
                    "\"\(pair.key)\" and \"\(first.key)\" (line \(first.keyLine), column \(first.keyColumn)) are the same field. Keep "
                        + "one of them.")
                continue
            }
            var inner = place.field(fieldName)
            noteEffect(&inner, line: pair.keyLine, column: pair.keyColumn)
            if let modern = Deprecations.fields["\(name).\(fieldName)"] {
                let value = pair.value.scalar?.shortened ?? "..."
                report(
                    .warning, .deprecated, line: pair.keyLine, column: pair.keyColumn, field: inner.path,
                    "\(fieldName) is deprecated; it is honoured. Write \(modern.replacing("VALUE", with: value))")
            }
            check(pair.value, field.type, inner)
        }
        checkOneOfs(message, seen, place)
    }

    private mutating func checkOneOfs(_ message: Schema.Message, _ seen: [String: YAMLPair], _ place: Place) {
        for group in message.oneOfs {
            let given = group.compactMap { seen[$0] }.sorted { ($0.keyLine, $0.keyColumn) < ($1.keyLine, $1.keyColumn) }
            guard given.count > 1, let last = given.last else { continue }
            report(
                .error, .oneOf, line: last.keyLine, column: last.keyColumn, field: place.path,
                "\(given.map(\.key).joined(separator: " and ")) exclude each other; keep one of \(group.joined(separator: ", "))")
        }
    }

    private mutating func reportUnknown(_ pair: YAMLPair, _ message: Schema.Message, _ place: Place) {
        guard !findings.isFull else {
            report(.error, .unknownField, line: pair.keyLine, column: pair.keyColumn, field: "", "")
            return
        }
        let names = message.fields.map(\.name)
        var text = "unknown field \"\(String(pair.key.prefix(64)))\""
        if let nearest = EditDistance.nearest(to: pair.key, among: names) {
            text += "; did you mean \"\(nearest)\"?"
        } else if names.isEmpty {
            text += "; no fields are accepted here"
        } else {
            text += ". Accepted here: \(names.sorted().joined(separator: ", "))"
        }
        if let home = elsewhere(pair.key, message) { text += " \(home)" }
        report(
            .error, .unknownField, line: pair.keyLine, column: pair.keyColumn, field: place.path + "." + String(pair.key.prefix(64)),
            text)
    }

    /// Wrong indentation is the commonest cause: the field exists one level further in.
    private func elsewhere(_ key: String, _ message: Schema.Message) -> String? {
        let name = FieldName.canonical(key)
        for field in message.fields {
            var type = field.type
            if case .list(let element) = type { type = element }
            if case .message(let inner) = type, schema.messages[inner]?.field(named: name) != nil {
                return "(\"\(name)\" is a field of \"\(field.name)\": check the indentation.)"
            }
        }
        return nil
    }

    private mutating func checkScalar(_ node: YAMLNode, _ type: Schema.FieldType, _ place: Place) {
        guard let scalar = node.scalar else {
            wrong(node, place, expected: describe(type))
            return
        }
        switch type {
        case .string:
            if scalar.value != .string {
                wrong(node, place, expected: "a string", hint: "Quote it: \"\(scalar.shortened)\".")
            }
        case .bool:
            if case .bool = scalar.value { return }
            let hint = scalar.value == .string && YAMLScalar(text: scalar.text, isPlain: true).value != .string ? "Remove the quotes." : ""
            wrong(node, place, expected: "true or false", hint: hint)
        case .int32: checkInteger(node, place, Int64(Int32.min)...Int64(Int32.max))
        case .uint32: checkInteger(node, place, 0...Int64(UInt32.max))
        case .int64: checkInteger(node, place, Int64.min...Int64.max)
        case .uint64: checkInteger(node, place, 0...Int64.max)
        case .port: checkInteger(node, place, 1...65535)
        case .double:
            if NodeReader.double(scalar) == nil { wrong(node, place, expected: "a number") }
        case .duration:
            checkDuration(node, scalar, place)
        case .enumeration(let name):
            checkEnum(node, scalar, name, place)
        default: break
        }
    }

    private mutating func checkInteger(_ node: YAMLNode, _ place: Place, _ range: ClosedRange<Int64>) {
        guard let scalar = node.scalar, let value = NodeReader.integer(scalar) else {
            wrong(node, place, expected: "a whole number")
            return
        }
        guard range.contains(value) else {
            report(
                .error, .outOfRange, line: node.line, column: node.column, field: place.path,
                "\(value) is out of range; accepted: \(range.lowerBound) to \(range.upperBound)")
            return
        }
    }

    private mutating func checkDuration(_ node: YAMLNode, _ scalar: YAMLScalar, _ place: Place) {
        let forms = "a duration such as \"10s\", \"1.5s\", \"100ms\" or \"1h2m\" (units: h, m, s, ms, us, ns)"
        guard case .string = scalar.value else {
            if case .integer = scalar.value {
                wrong(node, place, expected: forms, hint: "Add the unit: \(scalar.shortened)s.")
            } else {
                wrong(node, place, expected: forms)
            }
            return
        }
        guard let nanoseconds = GoDuration.nanoseconds(scalar.text) else {
            report(
                .error, .badDuration, line: node.line, column: node.column, field: place.path,
                "\"\(scalar.shortened)\" is not \(forms)")
            return
        }
        if nanoseconds < 0 {
            report(
                .error, .badDuration, line: node.line, column: node.column, field: place.path,
                "a duration must not be negative, got \"\(scalar.shortened)\"")
        }
    }

    private mutating func checkEnum(_ node: YAMLNode, _ scalar: YAMLScalar, _ name: String, _ place: Place) {
        let accepted = schema.enums[name] ?? []
        // `mode: OFF` and `NO` are booleans to YAML 1.1; the names that collide mean themselves.
        if accepted.contains(scalar.text) {
            if let modern = Deprecations.enumValues["\(name).\(scalar.text)"] {
                report(
                    .warning, .deprecated, line: node.line, column: node.column, field: place.path,
                    "\(scalar.text) is deprecated; it is honoured. Write \(modern)")
            }
            return
        }
        var text = "\"\(scalar.shortened)\" is not accepted; one of \(accepted.joined(separator: ", "))"
        if let nearest = EditDistance.nearest(to: scalar.text, among: accepted) { text += ". Did you mean \(nearest)?" }
        report(.error, .unknownEnumValue, line: node.line, column: node.column, field: place.path, text)
    }
}

/// Field names in JSON form; protobuf JSON accepts the proto form (`mirror_percent`) as well.
enum FieldName {
    static func canonical(_ name: String) -> String {
        guard name.utf8.contains(UInt8(ascii: "_")), name.utf8.count <= 64 else { return name }
        var result = ""
        var raise = false
        for character in name {
            if character == "_" {
                raise = true
            } else {
                result += raise ? character.uppercased() : String(character)
                raise = false
            }
        }
        return result
    }
}
