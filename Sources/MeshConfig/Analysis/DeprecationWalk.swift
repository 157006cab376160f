/// Goes through the documents of a file beside the schema, and collects what to replace.
struct DeprecationWalk {
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
        for pair in pairs {
            let (key, value) = (pair.key, pair.value)
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
        case .map(let element), .portMap(let element): for pair in node.pairs ?? [] { values(pair.value, element) }
        case .enumeration(let name):
            guard let scalar = node.scalar, let modern = Deprecations.enumValues["\(name).\(scalar.text)"] else { return }
            replaceName(scalar, by: modern)
        default: break
        }
    }

    private func position(_ scalar: SourceScalar) -> SourcePosition { SourcePosition(file: file, line: scalar.line, column: scalar.column) }

    private mutating func leave(_ scalar: SourceScalar, _ why: String) {
        left.append(DeprecationFix.Note(position: position(scalar), text: "\(scalar.text.prefix(64)) not rewritten: \(why)"))
    }

    private mutating func done(_ scalar: SourceScalar, _ modern: String, _ changes: TextEdits) {
        edits.add(changes)
        rewritten.append(DeprecationFix.Note(position: position(scalar), text: "\(scalar.text) rewritten as \(modern)"))
    }

    /// The name of an enum: only the word, so that quotes, anchor and tag stay.
    private mutating func replaceName(_ scalar: SourceScalar, by modern: String) {
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

    private mutating func rewrite(_ key: SourceScalar, _ value: SourceNode, _ field: String, in parent: SourceNode) {
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
    private func quoted(_ name: String, like key: SourceScalar) -> String {
        guard !key.isPlain, let mark = bytes[key.range].first else { return name }
        return "\(Character(Unicode.Scalar(mark)))\(name)\(Character(Unicode.Scalar(mark)))"
    }

    private mutating func wrap(_ key: SourceScalar, _ value: SourceNode, _ modern: String, _ names: [String], _ changes: TextEdits) {
        var changes = changes
        // In braces a plain text may hold less than outside them.
        guard let scalar = value.scalar, scalar.isSimple, !scalar.range.isEmpty,
            !scalar.isPlain || !scalar.text.utf8.contains(where: ",[]{}".utf8.contains)
        else {
            leave(key, "its value is written in an unusual way; write \(modern): {\(names.joined(separator: ": {")): ...}")
            return
        }
        changes.insert(names.map { "{\(quoted($0, like: key)): " }.joined(), at: scalar.range.lowerBound)
        changes.insert(String(repeating: "}", count: names.count), at: scalar.range.upperBound)
        done(key, "\(modern): {\(names.joined(separator: ": {")): \(scalar.text)\(String(repeating: "}", count: names.count))", changes)
    }

    private mutating func matches(_ key: SourceScalar, _ value: SourceNode, _ modern: String, _ changes: TextEdits) {
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

    private mutating func list(_ key: SourceScalar, _ value: SourceNode, _ modern: String, _ changes: TextEdits) {
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
            guard first.isSimple, first.line > key.line, first.column >= key.column + 2, start >= 2,
                bytes[start - 2..<start].elementsEqual("  ".utf8)
            else {
                leave(key, "its indentation has no room for a dash; write \(modern): [...]")
                return
            }
            changes.replace(start - 2..<start, by: "- ")
        }
        done(key, modern, changes)
    }
}
