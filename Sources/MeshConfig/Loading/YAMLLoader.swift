import CYaml
import Yams

/// Turns the bytes of one file into document trees, within `ConfigLimits`.
///
/// It reads libyaml's events (the C library inside Yams) instead of composing Yams' `Node`: the composer is recursive,
/// hashes whole subtrees to find duplicate keys (exponential when a key is an alias of aliases) and knows only one of
/// the two positions of a duplicate. Here nothing recurses, and each alias is charged with the nodes it stands for
/// *before* it is taken, so that ten lines cannot become a billion nodes. Subtrees are shared, not copied.
struct YAMLLoader {
    struct Problem {
        var code: DiagnosticCode
        var line: Int
        var column: Int
        var message: String
        var excerpt: SourceExcerpt?
    }

    let limits: ConfigLimits
    private(set) var problems: [Problem] = []
    /// Found beyond `Findings.kept`.
    private(set) var omittedProblems = 0
    private var documents: [YAMLNode] = []

    private struct Measured {
        var node: YAMLNode
        /// Nodes after alias expansion, itself included.
        var nodes: Int
        /// Bytes of all its scalars after alias expansion.
        var text: Int
        /// Collections inside one another, itself included; 0 for a scalar.
        var height: Int
    }

    private struct Frame {
        var isMapping: Bool
        var line: Int
        var column: Int
        var anchor: String?
        var items: [YAMLNode] = []
        var pairs: [YAMLPair] = []
        var merges: [YAMLNode] = []
        /// First position of each key of this mapping.
        var seen: [String: (line: Int, column: Int)] = [:]
        var pendingKey: PendingKey?
        var nodes = 1
        var text = 0
        var height = 0
    }

    private struct PendingKey {
        /// Nil = not usable as a name (reported already); its value is read and dropped.
        var name: String?
        var isMerge: Bool
        var line: Int
        var column: Int
    }

    private var frames: [Frame] = []
    private var anchors: [String: Measured] = [:]
    private var aliases = 0
    private var documentNodes = 0
    private var documentText = 0
    private var fileNodes = 0
    private var stop = false

    init(limits: ConfigLimits) { self.limits = limits }

    /// Documents before a syntax error or an exceeded bound are still returned, so that their own errors show too.
    mutating func load(_ bytes: [UInt8]) -> [YAMLNode] {
        guard bytes.count <= limits.fileBytes else {
            report(.limitExceeded, 0, 0, "the file has \(bytes.count) bytes; at most \(limits.fileBytes) are read. Split it.")
            return []
        }
        var parser = unsafe yaml_parser_t()
        guard unsafe yaml_parser_initialize(&parser) == 1 else {
            report(.unreadable, 0, 0, "not enough memory to read YAML")
            return []
        }
        defer { unsafe yaml_parser_delete(&parser) }
        unsafe bytes.withUnsafeBufferPointer { buffer in
            unsafe yaml_parser_set_input_string(&parser, buffer.baseAddress, buffer.count)
            while !stop {
                var event = unsafe yaml_event_t()
                guard unsafe yaml_parser_parse(&parser, &event) == 1 else {
                    unsafe reportSyntax(parser, bytes)
                    break
                }
                let ended = unsafe event.type == YAML_STREAM_END_EVENT
                if !ended { unsafe take(event) }
                unsafe yaml_event_delete(&event)
                if ended { break }
            }
        }
        return documents
    }

    private mutating func report(
        _ code: DiagnosticCode, _ line: Int, _ column: Int, _ message: String, _ excerpt: SourceExcerpt? = nil
    ) {
        guard problems.count < Findings.kept || code == .limitExceeded else {
            omittedProblems += 1
            return
        }
        problems.append(Problem(code: code, line: line, column: column, message: message, excerpt: excerpt))
    }

    private mutating func exceed(_ line: Int, _ column: Int, _ message: String) {
        report(.limitExceeded, line, column, message)
        stop = true
    }

    private mutating func reportSyntax(_ parser: yaml_parser_t, _ bytes: [UInt8]) {
        var line = unsafe Int(clamping: parser.problem_mark.line)
        var column = unsafe Int(clamping: parser.problem_mark.column)
        if unsafe parser.error == YAML_READER_ERROR {
            let offset = unsafe min(Int(clamping: parser.problem_offset), bytes.count)
            let before = bytes[..<offset]
            line = before.count { $0 == 0x0a }
            column = before.count - ((before.lastIndex(of: 0x0a) ?? -1) + 1)
        }
        let context = unsafe text(parser.context)
        let beginning = unsafe (line: Int(clamping: parser.context_mark.line) &+ 1, column: Int(clamping: parser.context_mark.column) &+ 1)
        let error = unsafe YAMLSyntaxError(
            problem: text(parser.problem) ?? "not YAML", context: context, line: line &+ 1, column: column &+ 1,
            beginning: context == nil ? nil : beginning, in: bytes)
        report(.syntax, error.line, error.column, error.message, SourceExcerpt(bytes, line: error.line, column: error.column))
    }

    private func text(_ pointer: UnsafePointer<CChar>?) -> String? {
        guard let pointer = unsafe pointer else { return nil }
        return unsafe String(cString: pointer)
    }

    private func name(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        guard let pointer = unsafe pointer else { return nil }
        return unsafe String(cString: UnsafePointer(pointer))
    }

    private mutating func take(_ event: yaml_event_t) {
        let line = unsafe Int(clamping: event.start_mark.line) &+ 1
        let column = unsafe Int(clamping: event.start_mark.column) &+ 1
        switch unsafe event.type {
        case YAML_DOCUMENT_START_EVENT:
            anchors.removeAll(keepingCapacity: true)
            aliases = 0
            documentNodes = 0
            documentText = 0
        case YAML_SCALAR_EVENT:
            let scalar = unsafe event.data.scalar
            let length = unsafe Int(clamping: scalar.length)
            guard length <= limits.scalarBytes else {
                exceed(line, column, "a value has \(length) bytes; at most \(limits.scalarBytes) are read")
                return
            }
            guard charge(1, text: length, line, column) else { return }
            let value = unsafe String(decoding: UnsafeBufferPointer(start: scalar.value, count: length), as: UTF8.self)
            let tag = unsafe name(scalar.tag)
            let plain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE && scalar.quoted_implicit == 0 || tag != nil
            let isPlain = unsafe plain && tag != "tag:yaml.org,2002:str" && scalar.plain_implicit != 0
            let node = YAMLNode(content: .scalar(YAMLScalar(text: value, isPlain: isPlain)), line: line, column: column)
            let measured = Measured(node: node, nodes: 1, text: length, height: 0)
            if let anchor = unsafe name(scalar.anchor) { anchors[anchor] = measured }
            add(measured, isPlainText: isPlain)
        case YAML_ALIAS_EVENT:
            follow(unsafe name(event.data.alias.anchor) ?? "", line, column)
        case YAML_SEQUENCE_START_EVENT:
            open(isMapping: false, unsafe name(event.data.sequence_start.anchor), line, column)
        case YAML_MAPPING_START_EVENT:
            open(isMapping: true, unsafe name(event.data.mapping_start.anchor), line, column)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
            close()
        default:
            break
        }
    }

    private mutating func charge(_ nodes: Int, text: Int, _ line: Int, _ column: Int) -> Bool {
        documentText = documentText.addingReportingOverflow(text).partialValue
        guard documentText <= limits.textBytesPerDocument else {
            exceed(line, column, "the document has more than \(limits.textBytesPerDocument) bytes of text once aliases are expanded")
            return false
        }
        documentNodes = documentNodes.addingReportingOverflow(nodes).partialValue
        fileNodes = fileNodes.addingReportingOverflow(nodes).partialValue
        guard documentNodes <= limits.nodesPerDocument else {
            exceed(line, column, "the document has more than \(limits.nodesPerDocument) values once aliases are expanded")
            return false
        }
        guard fileNodes <= limits.nodesPerFile else {
            exceed(line, column, "the file has more than \(limits.nodesPerFile) values once aliases are expanded. Split it.")
            return false
        }
        return true
    }

    private mutating func follow(_ anchor: String, _ line: Int, _ column: Int) {
        aliases += 1
        guard aliases <= limits.aliasesPerDocument else {
            exceed(line, column, "more than \(limits.aliasesPerDocument) aliases (*\(anchor)) in one document")
            return
        }
        guard var target = anchors[anchor] else {
            report(
                .syntax, line, column,
                "alias *\(anchor) has no anchor &\(anchor) before it in this document (one that contains itself has none either)")
            add(
                Measured(
                    node: YAMLNode(content: .scalar(YAMLScalar(text: "", isPlain: true)), line: line, column: column), nodes: 1, text: 0,
                    height: 0), isPlainText: false)
            return
        }
        guard frames.count + target.height <= limits.nestingDepth else {
            exceed(line, column, "values are nested deeper than \(limits.nestingDepth) once *\(anchor) is expanded")
            return
        }
        guard charge(target.nodes, text: target.text, line, column) else { return }
        target.node.line = line
        target.node.column = column
        add(target, isPlainText: false)
    }

    private mutating func open(isMapping: Bool, _ anchor: String?, _ line: Int, _ column: Int) {
        guard frames.count < limits.nestingDepth else {
            exceed(line, column, "values are nested deeper than \(limits.nestingDepth)")
            return
        }
        guard charge(1, text: 0, line, column) else { return }
        frames.append(Frame(isMapping: isMapping, line: line, column: column, anchor: anchor))
    }

    private mutating func close() {
        guard let frame = frames.popLast() else { return }
        let content: YAMLNode.Content =
            frame.isMapping ? .mapping(merged(frame)) : .sequence(frame.items)
        let node = YAMLNode(content: content, line: frame.line, column: frame.column)
        let measured = Measured(node: node, nodes: frame.nodes, text: frame.text, height: frame.height + 1)
        if let anchor = frame.anchor { anchors[anchor] = measured }
        add(measured, isPlainText: false)
    }

    /// YAML 1.1 merge keys: own keys win, then earlier merges. Merged pairs were charged when their alias was followed.
    private func merged(_ frame: Frame) -> [YAMLPair] {
        guard !frame.merges.isEmpty else { return frame.pairs }
        var pairs = frame.pairs
        var known = Set(pairs.map(\.key))
        for source in frame.merges {
            for pair in source.pairs ?? [] where known.insert(pair.key).inserted { pairs.append(pair) }
        }
        return pairs
    }

    private mutating func add(_ measured: Measured, isPlainText: Bool) {
        guard !frames.isEmpty else {
            if documents.count >= limits.documentsPerFile {
                exceed(
                    measured.node.line, measured.node.column,
                    "more than \(limits.documentsPerFile) documents in one file. Split it.")
            } else {
                documents.append(measured.node)
            }
            return
        }
        let top = frames.count - 1
        frames[top].nodes += measured.nodes
        frames[top].text += measured.text
        frames[top].height = max(frames[top].height, measured.height)
        guard frames[top].isMapping else {
            frames[top].items.append(measured.node)
            return
        }
        if let key = frames[top].pendingKey {
            frames[top].pendingKey = nil
            addValue(measured.node, for: key, to: top)
        } else {
            frames[top].pendingKey = pendingKey(measured.node, isPlainText: isPlainText, in: top)
        }
    }

    private mutating func pendingKey(_ node: YAMLNode, isPlainText: Bool, in top: Int) -> PendingKey {
        guard let scalar = node.scalar else {
            report(.syntax, node.line, node.column, "a key must be text, not \(node.described)")
            return PendingKey(name: nil, isMerge: false, line: node.line, column: node.column)
        }
        if isPlainText, scalar.text == "<<" {
            return PendingKey(name: nil, isMerge: true, line: node.line, column: node.column)
        }
        if let first = frames[top].seen[scalar.text] {
            report(
                .duplicateKey, node.line, node.column,
                "key \"\(scalar.shortened)\" is here a second time in one mapping; it was first at line \(first.line), column "
                    + "\(first.column). Keep one of them.")
            return PendingKey(name: nil, isMerge: false, line: node.line, column: node.column)
        }
        frames[top].seen[scalar.text] = (node.line, node.column)
        return PendingKey(name: scalar.text, isMerge: false, line: node.line, column: node.column)
    }

    private mutating func addValue(_ node: YAMLNode, for key: PendingKey, to top: Int) {
        if let name = key.name {
            frames[top].pairs.append(YAMLPair(key: name, keyLine: key.line, keyColumn: key.column, value: node))
        } else if key.isMerge {
            let sources = node.items ?? [node]
            if sources.allSatisfy({ $0.pairs != nil }) {
                frames[top].merges += sources
            } else {
                report(.syntax, key.line, key.column, "<< takes an alias of a mapping, or a list of them, not \(node.described)")
            }
        }
    }
}
