/// Reads typed values out of a tree that `SchemaValidator` has seen. Lenient: what has the wrong type was reported
/// there and reads as absent here, so that one mistake is told once and later checks still run.
struct NodeReader {
    let node: YAMLNode
    let file: String
    let path: String
    private let fields: [String: YAMLNode]

    init(node: YAMLNode, file: String, path: String) {
        self.node = node
        self.file = file
        self.path = path
        var fields: [String: YAMLNode] = [:]
        for pair in node.pairs ?? [] where !pair.value.isNull && fields[FieldName.canonical(pair.key)] == nil {
            fields[FieldName.canonical(pair.key)] = pair.value
        }
        self.fields = fields
    }

    var position: SourcePosition { SourcePosition(file: file, line: node.line, column: node.column) }

    func has(_ name: String) -> Bool { fields[name] != nil }

    /// Absent, null or `[]`; false for what is not a list (the schema reported it).
    func isEmptyList(_ name: String) -> Bool {
        guard let node = fields[name] else { return true }
        return node.items?.isEmpty ?? false
    }

    func position(_ name: String) -> SourcePosition {
        guard let node = fields[name] else { return position }
        return SourcePosition(file: file, line: node.line, column: node.column)
    }

    func child(_ name: String) -> NodeReader? {
        guard let node = fields[name], node.pairs != nil else { return nil }
        return NodeReader(node: node, file: file, path: "\(path).\(name)")
    }

    func children(_ name: String) -> [NodeReader] {
        (fields[name]?.items ?? []).enumerated().map {
            NodeReader(node: $0.element, file: file, path: "\(path).\(name)[\($0.offset)]")
        }
    }

    /// Entries of a map of mappings, in the order written; null reads as an empty mapping.
    func entries(_ name: String) -> [(key: String, reader: NodeReader)] {
        (fields[name]?.pairs ?? []).map {
            ($0.key, NodeReader(node: $0.value, file: file, path: "\(path).\(name)[\($0.key.prefix(64))]"))
        }
    }

    /// The fields in the file's order, without those that are null or an empty list.
    var written: [(name: String, node: YAMLNode)] {
        (node.pairs ?? []).compactMap { $0.value.isNull || $0.value.items?.isEmpty == true ? nil : (FieldName.canonical($0.key), $0.value) }
    }

    func node(_ name: String) -> YAMLNode? { fields[name] }

    func string(_ name: String) -> String? {
        guard let scalar = fields[name]?.scalar, scalar.value == .string else { return nil }
        return scalar.text
    }

    /// An enum's name: also where YAML reads it as a boolean (`OFF`).
    func name(_ name: String) -> String? { fields[name]?.scalar?.text }

    func strings(_ name: String) -> [String] {
        (fields[name]?.items ?? []).compactMap { item in
            item.scalar.flatMap { $0.value == .string ? $0.text : nil }
        }
    }

    func positionedStrings(_ name: String) -> [(text: String, position: SourcePosition, path: String)] {
        (fields[name]?.items ?? []).enumerated().compactMap { index, item in
            guard let scalar = item.scalar, scalar.value == .string else { return nil }
            return (scalar.text, SourcePosition(file: file, line: item.line, column: item.column), "\(path).\(name)[\(index)]")
        }
    }

    func stringMap(_ name: String) -> [String: String] {
        Dictionary(stringPairs(name).map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    func stringPairs(_ name: String) -> [(name: String, value: String)] {
        (fields[name]?.pairs ?? []).compactMap { pair in
            guard let scalar = pair.value.scalar else { return nil }
            if scalar.value == .null { return (pair.key, "") }
            return scalar.value == .string ? (pair.key, scalar.text) : nil
        }
    }

    func bool(_ name: String) -> Bool? {
        guard case .bool(let value)? = fields[name]?.scalar?.value else { return nil }
        return value
    }

    func integer(_ name: String) -> Int64? { fields[name]?.scalar.flatMap(NodeReader.integer) }
    func uint32(_ name: String) -> UInt32? { integer(name).flatMap { UInt32(exactly: $0) } }
    func port(_ name: String) -> UInt16? { integer(name).flatMap { UInt16(exactly: $0) } }
    func double(_ name: String) -> Double? { fields[name]?.scalar.flatMap(NodeReader.double) }
    func nanoseconds(_ name: String) -> Int64? { string(name).flatMap(GoDuration.nanoseconds) }

    /// Protobuf JSON: a whole number may be written as one, as `1.0`, or in quotes.
    static func integer(_ scalar: YAMLScalar) -> Int64? {
        switch scalar.value {
        case .integer(let value): value
        case .number(let value): Int64(exactly: value)
        case .string: Int64(scalar.text)
        case .null, .bool: nil
        }
    }

    static func double(_ scalar: YAMLScalar) -> Double? {
        switch scalar.value {
        case .integer(let value): Double(value)
        case .number(let value): value.isFinite ? value : nil
        case .string: Double(scalar.text).flatMap { $0.isFinite ? $0 : nil }
        case .null, .bool: nil
        }
    }
}
