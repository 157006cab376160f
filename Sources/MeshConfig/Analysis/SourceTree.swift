internal import CYaml
internal import Yams

/// A scalar as it stands in the text.
struct SourceScalar {
    var text: String
    /// Bytes of the file, quotes, anchor and tag included.
    var range: Range<Int>
    var isPlain: Bool
    /// On one line, without anchor or tag, and no block scalar.
    var isSimple: Bool
    var line: Int
    var column: Int
}

/// A node of a YAML text as it stands there: where each thing begins and ends, so that a word can be replaced and everything else
/// stays byte for byte. Aliases are not followed and merges not applied.
enum SourceNode {
    case scalar(SourceScalar)
    /// `range`: of a flow collection with its brackets; of a block collection from its first entry to somewhere after its last.
    case sequence([SourceNode], range: Range<Int>, isFlow: Bool)
    case mapping([SourcePair], range: Range<Int>, isFlow: Bool)
    case alias

    var scalar: SourceScalar? { if case .scalar(let scalar) = self { scalar } else { nil } }
    var items: [SourceNode]? { if case .sequence(let items, _, _) = self { items } else { nil } }
    var pairs: [SourcePair]? { if case .mapping(let pairs, _, _) = self { pairs } else { nil } }

    /// The value of a field, by its canonical name.
    func value(_ name: String) -> SourceNode? {
        pairs?.first { $0.key.scalar.map { FieldName.canonical($0.text) } == name }?.value
    }
}

/// An entry of a mapping. A type of its own: a tuple here would have the compiler go in circles.
struct SourcePair {
    var key: SourceNode
    var value: SourceNode
}

/// Reads the documents of a file into `SourceNode`s by libyaml's events.
///
/// For files that `YAMLLoader` has read without complaint: its bounds hold then, aliases expanded, and so do they without.
struct SourceTree {
    private struct Frame {
        var isMapping: Bool
        var start: Int
        var isFlow: Bool
        var items: [SourceNode] = []
        var pairs: [SourcePair] = []
        var key: SourceNode?
    }

    private(set) var documents: [SourceNode] = []
    private var frames: [Frame] = []
    /// Byte of each Unicode scalar of the text, which libyaml counts, and the end.
    private var offsets: [Int] = []

    /// Nil for what is not UTF-8 or not YAML.
    init?(_ bytes: [UInt8]) {
        guard let start = SourceTree.textStart(bytes) else { return nil }
        offsets.reserveCapacity(bytes.count + 1)
        for index in start..<bytes.count where bytes[index] & 0xC0 != 0x80 { offsets.append(index) }
        offsets.append(bytes.count)
        guard read(bytes) else { return nil }
    }

    /// After a byte-order mark, which libyaml does not count; nil for UTF-16.
    private static func textStart(_ bytes: [UInt8]) -> Int? {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { return 3 }
        return bytes.starts(with: [0xFE, 0xFF]) || bytes.starts(with: [0xFF, 0xFE]) ? nil : 0
    }

    private mutating func read(_ bytes: [UInt8]) -> Bool {
        var parser = unsafe yaml_parser_t()
        guard unsafe yaml_parser_initialize(&parser) == 1 else { return false }
        defer { unsafe yaml_parser_delete(&parser) }
        return unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
            while true {
                var event = unsafe yaml_event_t()
                guard unsafe yaml_parser_parse(&parser, &event) == 1 else { return false }
                defer { unsafe yaml_event_delete(&event) }
                if unsafe event.type == YAML_STREAM_END_EVENT { return true }
                guard unsafe take(event) else { return false }
            }
        }
    }

    private func offset(_ mark: yaml_mark_t) -> Int { offsets[min(Int(clamping: mark.index), offsets.count - 1)] }

    private mutating func take(_ event: yaml_event_t) -> Bool {
        let start = unsafe offset(event.start_mark)
        let end = unsafe max(start, offset(event.end_mark))
        switch unsafe event.type {
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let text = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: Int(clamping: scalar.length)), as: UTF8.self)
            let style = unsafe scalar.style
            let isBlock = style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE
            let isOneLine = unsafe event.start_mark.line == event.end_mark.line
            let isSimple = unsafe isOneLine && !isBlock && scalar.anchor == nil && scalar.tag == nil
            add(
                .scalar(
                    SourceScalar(
                        text: text, range: start..<end, isPlain: style == YAML_PLAIN_SCALAR_STYLE, isSimple: isSimple,
                        line: unsafe Int(clamping: event.start_mark.line) &+ 1,
                        column: unsafe Int(clamping: event.start_mark.column) &+ 1)))
        case YAML_ALIAS_EVENT: add(.alias)
        case YAML_SEQUENCE_START_EVENT, YAML_MAPPING_START_EVENT:
            // A guard of its own: what recurses over the tree relies on the depth.
            guard frames.count <= ConfigLimits.standard.nestingDepth else { return false }
            let isMapping = unsafe event.type == YAML_MAPPING_START_EVENT
            let isFlow =
                unsafe isMapping
                ? event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE : event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE
            frames.append(Frame(isMapping: isMapping, start: start, isFlow: isFlow))
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
            guard let frame = frames.popLast() else { return false }
            let range = frame.start..<max(frame.start, end)
            add(
                frame.isMapping
                    ? .mapping(frame.pairs, range: range, isFlow: frame.isFlow) : .sequence(frame.items, range: range, isFlow: frame.isFlow)
            )
        default: break
        }
        return true
    }

    private mutating func add(_ node: SourceNode) {
        guard !frames.isEmpty else {
            documents.append(node)
            return
        }
        let top = frames.count - 1
        if !frames[top].isMapping {
            frames[top].items.append(node)
        } else if let key = frames[top].key {
            frames[top].pairs.append(SourcePair(key: key, value: node))
            frames[top].key = nil
        } else {
            frames[top].key = node
        }
    }
}
