/// What a resource says, in hashes, so that two loads can be compared without keeping the text of both (`ConfigurationChanges`).
///
/// Hashes are this process's own (`Hasher`). Order of keys, comments, style and place do not count; order of lists does.
struct ResourceDigest: Sendable {
    /// A rule of a VirtualService: an entry of `http`, `tls` or `tcp`.
    struct Rule: Sendable {
        var list: String
        /// As written; `http[2]` where it has none.
        var name: String
        var position: SourcePosition
        var hash: Int
    }

    /// A field of `spec`, or `metadata.labels` or `metadata.annotations`.
    struct Field: Sendable, Hashable {
        var name: String
        var hash: Int
    }

    static let ruleLists = ["http", "tls", "tcp"]
    /// Bytes of a rule's name that are kept.
    static let nameBytesMax = 253

    var id: ResourceID
    var position: SourcePosition
    /// Lists of rules excepted. In no order: an array, because there is one for each resource of a mesh.
    var fields: [Field] = []
    var rules: [Rule] = []

    init(id: ResourceID, position: SourcePosition, spec: NodeReader, metadata: NodeReader?) {
        self.id = id
        self.position = position
        for pair in spec.node.pairs ?? [] {
            let name = FieldName.canonical(pair.key)
            if id.kind == "VirtualService", Self.ruleLists.contains(name), let items = pair.value.items {
                for (index, item) in items.enumerated() { rules.append(Self.rule(item, name, index, file: position.file)) }
            } else {
                fields.append(Field(name: name, hash: Self.hash(pair.value)))
            }
        }
        for name in ["labels", "annotations"] {
            if let node = metadata?.node(name) { fields.append(Field(name: "metadata.\(name)", hash: Self.hash(node))) }
        }
    }

    private static func rule(_ node: YAMLNode, _ list: String, _ index: Int, file: String) -> Rule {
        let name = node.pairs?.first { $0.key == "name" }?.value.scalar?.text ?? ""
        return Rule(
            list: list, name: name.isEmpty ? "\(list)[\(index)]" : String(name.prefix(nameBytesMax)),
            position: SourcePosition(file: file, line: node.line, column: node.column), hash: hash(node))
    }

    private static func hash(_ node: YAMLNode) -> Int {
        var hasher = Hasher()
        add(node, to: &hasher)
        return hasher.finalize()
    }

    /// Recursion is bounded by `ConfigLimits.nestingDepth`.
    private static func add(_ node: YAMLNode, to hasher: inout Hasher) {
        switch node.content {
        case .scalar(let scalar):
            hasher.combine(0)
            // `"1"` and `1` differ, and so do `yes` and `"yes"`.
            hasher.combine(scalar.value == .string)
            hasher.combine(scalar.text)
        case .sequence(let items):
            hasher.combine(1)
            hasher.combine(items.count)
            for item in items { add(item, to: &hasher) }
        case .mapping(let pairs):
            hasher.combine(2)
            hasher.combine(pairs.count)
            for pair in pairs.sorted(by: { $0.key < $1.key }) {
                hasher.combine(pair.key)
                add(pair.value, to: &hasher)
            }
        }
    }
}
