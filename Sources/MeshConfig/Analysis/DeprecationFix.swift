/// Rewrites deprecated fields of one file in their modern form, in the text: comments, order, indentation and everything else stay
/// byte for byte.
///
/// The result is read again before it is used: it must say the same (`ConfigurationFingerprint`) with no error that was not there
/// before, or the file is left as it is.
public struct DeprecationFix: Sendable {
    /// Something rewritten, or something that could not be.
    public struct Note: Sendable, Hashable {
        public var position: SourcePosition
        /// `consecutiveErrors rewritten as consecutiveGatewayErrors`, or why not.
        public var text: String

        public var line: String { Diagnostic.printable("\(position): \(text)") }
    }

    public private(set) var file: String
    public private(set) var before: [UInt8]
    /// Equal to `before` when nothing was rewritten.
    public private(set) var after: [UInt8]
    public private(set) var rewritten: [Note] = []
    /// Deprecated, and left as it is; each with the reason.
    public private(set) var left: [Note] = []

    public var hasChanges: Bool { before != after }
    public var diff: String { UnifiedDiff.text(name: file, before: before, after: after) }

    public init(file: String, bytes: [UInt8]) {
        self.file = file
        before = bytes
        after = bytes
        let (configuration, diagnostics) = MeshConfiguration.load(bytes: [(name: file, bytes: bytes)], limits: MeshAnalysis.limits)
        let deprecated = diagnostics.items.filter { $0.code == DiagnosticCode.deprecated.rawValue }
        guard !deprecated.isEmpty else { return }
        guard !diagnostics.items.contains(where: { MeshAnalysis.unreadableCodes.contains($0.code) || $0.code == DiagnosticCode.duplicateKey.rawValue }),
            let tree = SourceTree(bytes)
        else {
            left = deprecated.map { Note(position: $0.position, text: "not rewritten: correct the YAML of the file first") }
            return
        }
        var walk = DeprecationWalk(file: file, bytes: bytes)
        for document in tree.documents { walk.document(document) }
        left = walk.left
        guard !walk.rewritten.isEmpty else {
            addUnvisited(deprecated)
            return
        }
        guard let text = walk.edits.applied(to: bytes) else {
            left += walk.rewritten.map { Note(position: $0.position, text: "not rewritten: two changes meet in one place") }
            return
        }
        let (again, found) = MeshConfiguration.load(bytes: [(name: file, bytes: text)], limits: MeshAnalysis.limits)
        guard found.errorCount <= diagnostics.errorCount, again.resourceCounts == configuration.resourceCounts,
            ConfigurationFingerprint.of(again) == ConfigurationFingerprint.of(configuration)
        else {
            left += walk.rewritten.map { Note(position: $0.position, text: "not rewritten: the file would not say the same any more") }
            return
        }
        after = text
        rewritten = walk.rewritten
        addUnvisited(found.items.filter { $0.code == DiagnosticCode.deprecated.rawValue })
    }

    /// Writes the result in the file's place, whole or not at all. Nil when it is written, or nothing was to write; else why not. Blocks.
    public func write() -> String? {
        guard hasChanges else { return nil }
        // Somebody may have saved it since; that text was not looked at.
        guard case .success(let now) = ConfigFiles.read(file, limit: MeshAnalysis.limits.fileBytes), now == before else {
            return "\(file): cannot be written: it changed in the meantime; run again"
        }
        switch ConfigFiles.replace(file, by: after) {
        case .success: return nil
        case .failure(let problem): return "\(file): \(problem.message)"
        }
    }

    /// What is still deprecated in places that the walk did not come to: behind an alias or a merge. Lines are those of both texts.
    private mutating func addUnvisited(_ remaining: [Diagnostic]) {
        let known = Set(left.map(\.position.line))
        for item in remaining where !known.contains(item.position.line) {
            left.append(Note(position: item.position, text: "not rewritten: it is written elsewhere, behind an anchor. \(item.message)"))
        }
        left.sort { ($0.position.line, $0.position.column) < ($1.position.line, $1.position.column) }
    }
}

/// Goes through the documents of a file beside the schema, and collects what to replace.
private struct DeprecationWalk {
    let file: String
    let bytes: [UInt8]
    let schema = Schema.istio
    var edits = TextEdits()
    var rewritten: [DeprecationFix.Note] = []
    var left: [DeprecationFix.Note] = []

    init(file: String, bytes: [UInt8]) {
        self.file = file
        self.bytes = bytes
    }

    mutating func document(_ node: SourceNode) {
        guard node.pairs != nil, let kind = node.value("kind")?.scalar?.text else { return }
        if let items = node.value("items")?.items, kind.hasSuffix("List") {
            for item in items { document(item) }
        } else if let known = Schema.kinds[kind], let spec = node.value("spec") {
            message(spec, known.message)
        }
    }

    private mutating func message(_ node: SourceNode, _ name: String) {
        guard let message = schema.messages[name], let pairs = node.pairs else { return }
        for (key, value) in pairs {
            guard let keyScalar = key.scalar, let field = message.field(named: FieldName.canonical(keyScalar.text)) else { continue }
            if Deprecations.fields["\(name).\(field.name)"] != nil {
                // The schema passes over empty fields, so they are no finding.
                if let scalar = value.scalar, scalar.isPlain, YAMLScalar(text: scalar.text, isPlain: true).value == .null { continue }
                rewrite(keyScalar, value, "\(name).\(field.name)", in: node)
            }
            values(value, field.type)
        }
    }

    private mutating func values(_ node: SourceNode, _ type: Schema.FieldType) {
        switch type {
        case .message(let name): message(node, name)
        case .list(let element): for item in node.items ?? [] { values(item, element) }
        case .map(let element), .portMap(let element): for (_, value) in node.pairs ?? [] { values(value, element) }
        case .enumeration(let name):
            guard let scalar = node.scalar, let modern = Deprecations.enumValues["\(name).\(scalar.text)"] else { return }
            replaceName(scalar, by: modern)
        default: break
        }
    }

    private func position(_ scalar: SourceNode.Scalar) -> SourcePosition { SourcePosition(file: file, line: scalar.line, column: scalar.column) }

    private mutating func leave(_ scalar: SourceNode.Scalar, _ why: String) {
        left.append(DeprecationFix.Note(position: position(scalar), text: "\(scalar.text.prefix(64)) not rewritten: \(why)"))
    }

    private mutating func done(_ scalar: SourceNode.Scalar, _ modern: String, _ changes: TextEdits) {
        edits.add(changes)
        rewritten.append(DeprecationFix.Note(position: position(scalar), text: "\(scalar.text) rewritten as \(modern)"))
    }

    /// The name of an enum: only the word, so that quotes, anchor and tag stay.
    private mutating func replaceName(_ scalar: SourceNode.Scalar, by modern: String) {
        let word = Array(scalar.text.utf8)
        let inside = bytes[scalar.range]
        guard let first = inside.indices.last(where: { inside[$0...].starts(with: word) }) else {
            leave(scalar, "it is written in an unusual way; write \(modern)")
            return
        }
        var changes = TextEdits()
        changes.replace(first..<first + word.count, by: modern)
        done(scalar, modern, changes)
    }

    /// How a field is rewritten.
    private enum Form {
        /// Another name for the same value.
        case renamed(String)
        /// The value one or two mappings further in: `percentage: {value: N}`.
        case wrapped(String, [String])
        /// `allowOrigin`'s texts as string matches.
        case matches(String)
        /// One mapping as the only item of a list.
        case listed(String)
    }

    private static let forms: [String: Form] = [
        "HTTPRoute.mirrorPercent": .wrapped("mirrorPercentage", ["value"]),
        "FaultDelay.percent": .wrapped("percentage", ["value"]),
        "FaultDelay.exponentialDelay": .renamed("fixedDelay"),
        "CorsPolicy.allowOrigin": .matches("allowOrigins"),
        "LoadBalancerSettings.warmupDurationSecs": .wrapped("warmup", ["duration"]),
        "ConsistentHashLB.minimumRingSize": .wrapped("ringHash", ["minimumRingSize"]),
        "OutlierDetection.consecutiveErrors": .renamed("consecutiveGatewayErrors"),
        "JWTRule.jwksUrl": .renamed("jwksUri"),
        "MeshProxyConfig.zipkinAddress": .wrapped("tracing", ["zipkin", "address"]),
        "MeshProxyConfig.parentShutdownDuration": .renamed("terminationDrainDuration"),
        "AuthorizationPolicy.targetRef": .listed("targetRefs"),
        "RequestAuthentication.targetRef": .listed("targetRefs"),
        "Telemetry.targetRef": .listed("targetRefs"),
        "ExtAuthzHTTP.includeHeadersInCheck": .renamed("includeRequestHeadersInCheck"),
    ]

    /// Siblings besides the modern field itself that rule the modern form out.
    private static let rivals: [String: [String]] = ["ConsistentHashLB.minimumRingSize": ["maglev"], "JWTRule.jwksUrl": ["jwks"]]

    private mutating func rewrite(_ key: SourceNode.Scalar, _ value: SourceNode, _ field: String, in parent: SourceNode) {
        guard let form = DeprecationWalk.forms[field] else {
            leave(key, (Deprecations.fields[field] ?? "it has no modern form") + ". Delete it.")
            return
        }
        let modern: String
        switch form {
        case .renamed(let name), .wrapped(let name, _), .matches(let name), .listed(let name): modern = name
        }
        if let rival = ([modern] + (DeprecationWalk.rivals[field] ?? [])).first(where: { parent.value($0) != nil }) {
            leave(key, "\(rival) is there as well. Keep one of them.")
            return
        }
        guard key.isSimple else {
            leave(key, "its name is written in an unusual way; write \(modern)")
            return
        }
        var changes = TextEdits()
        changes.replace(key.range, by: quoted(modern, like: key))
        switch form {
        case .renamed: done(key, modern, changes)
        case .wrapped(_, let names): wrap(key, value, modern, names, changes)
        case .matches: matches(key, value, modern, changes)
        case .listed: list(key, value, modern, changes)
        }
    }

    /// A name in the quotes that another has, so that JSON stays JSON.
    private func quoted(_ name: String, like key: SourceNode.Scalar) -> String {
        guard !key.isPlain, let mark = bytes[key.range].first else { return name }
        return "\(Character(Unicode.Scalar(mark)))\(name)\(Character(Unicode.Scalar(mark)))"
    }

    private mutating func wrap(_ key: SourceNode.Scalar, _ value: SourceNode, _ modern: String, _ names: [String], _ changes: TextEdits) {
        var changes = changes
        // In braces a plain text may hold less than outside them.
        guard let scalar = value.scalar, scalar.isSimple, !scalar.range.isEmpty, !scalar.isPlain || !scalar.text.utf8.contains(where: ",[]{}".utf8.contains) else {
            leave(key, "its value is written in an unusual way; write \(modern): {\(names.joined(separator: ": {")): ...}")
            return
        }
        changes.insert(names.map { "{\(quoted($0, like: key)): " }.joined(), at: scalar.range.lowerBound)
        changes.insert(String(repeating: "}", count: names.count), at: scalar.range.upperBound)
        done(key, "\(modern): {\(names.joined(separator: ": {")): \(scalar.text)\(String(repeating: "}", count: names.count))", changes)
    }

    private mutating func matches(_ key: SourceNode.Scalar, _ value: SourceNode, _ modern: String, _ changes: TextEdits) {
        var changes = changes
        guard case .sequence(let items, _, let isFlow) = value, items.allSatisfy({ $0.scalar?.isSimple ?? false }) else {
            leave(key, "its list is written in an unusual way; write \(modern): [{exact: ORIGIN}]")
            return
        }
        for scalar in items.compactMap(\.scalar) {
            let isAny = scalar.text == "*"
            changes.insert((isFlow ? "{" : "") + quoted(isAny ? "regex" : "exact", like: key) + ": ", at: scalar.range.lowerBound)
            if isAny { changes.replace(scalar.range, by: "\".*\"") }
            if isFlow { changes.insert("}", at: scalar.range.upperBound) }
        }
        done(key, modern, changes)
    }

    private mutating func list(_ key: SourceNode.Scalar, _ value: SourceNode, _ modern: String, _ changes: TextEdits) {
        var changes = changes
        guard case .mapping(let pairs, let range, let isFlow) = value, let first = pairs.first?.key.scalar else {
            leave(key, "its value is written in an unusual way; write \(modern): [...]")
            return
        }
        if isFlow {
            changes.insert("[", at: range.lowerBound)
            changes.insert("]", at: range.upperBound)
        } else {
            // The two spaces before the first field become the dash of the list's only item; the other fields stand right already.
            let start = first.range.lowerBound
            guard first.isSimple, first.line > key.line, first.column >= key.column + 2, start >= 2, bytes[start - 2..<start].elementsEqual("  ".utf8) else {
                leave(key, "its indentation has no room for a dash; write \(modern): [...]")
                return
            }
            changes.replace(start - 2..<start, by: "- ")
        }
        done(key, modern, changes)
    }
}

/// What a configuration says, without where it says it: equal for two texts that mean the same.
enum ConfigurationFingerprint {
    static func of(_ configuration: MeshConfiguration) -> String {
        var text = ""
        write(configuration, &text)
        return text
    }

    /// Depth is that of the typed model, which does not nest.
    private static func write(_ value: Any, _ text: inout String) {
        switch value {
        case is SourcePosition: return
        // Its field is a path in the text.
        case let match as StringMatch:
            write(match.condition, &text)
            return
        case let value as String:
            text += value.debugDescription
            return
        default: break
        }
        let mirror = Mirror(reflecting: value)
        if mirror.displayStyle == .dictionary || mirror.displayStyle == .set {
            var items: [String] = []
            for child in mirror.children {
                var item = ""
                write(child.value, &item)
                items.append(item)
            }
            text += "{\(items.sorted().joined(separator: ","))}"
            return
        }
        if mirror.children.isEmpty {
            text += "\(value)"
            return
        }
        text += "("
        if mirror.displayStyle == .enum { text += "\(mirror.children.first?.label ?? "")=" }
        for child in mirror.children {
            if mirror.displayStyle != .collection { text += "\(child.label ?? ""):" }
            write(child.value, &text)
            text += ","
        }
        text += ")"
    }
}
