internal import Primitives

/// Drives one load: files to documents to resources, then the checks across resources.
struct ConfigurationLoader {
    private let limits: ConfigLimits
    private var configuration = MeshConfiguration()
    private var diagnostics: DiagnosticList
    private var seen: [ResourceID: SourcePosition] = [:]
    private var files = 0
    private var bytes = 0
    /// Of the file being read.
    private var ignored = IgnoredKinds()
    private let keepsSources: Bool
    /// Everything read, as written; empty unless asked for.
    private(set) var sources: [SourceFile] = []
    private(set) var resources: [LoadedResource] = []

    init(limits: ConfigLimits, keepsSources: Bool = false) {
        self.limits = limits
        self.keepsSources = keepsSources
        diagnostics = DiagnosticList(limit: limits.diagnostics)
    }

    mutating func add(_ source: ConfigurationSource) {
        for path in source.paths {
            if path == "-" { add(name: "<stdin>", bytes: source.standardInput) } else { add(path: path, isRecursive: source.isRecursive) }
        }
    }

    private mutating func add(path: String, isRecursive: Bool) {
        var places: [DirectoryWalk.Place] = []
        var walk = DirectoryWalk(isRecursive: isRecursive)
        walk.visit(path) { places.append($0) }
        // With subdirectories it is enough that one of them has something.
        let hasFiles = places.contains { if case .file = $0 { true } else { false } }
        for place in places {
            switch place {
            case .unreadable(let path, let problem): report(.error, .unreadable, path, problem.message)
            case .file(let path): addFile(path)
            case .directory(let name, files: 0) where !isRecursive || !hasFiles && name == path:
                report(.warning, .nothingRead, name, "the directory has no *.yaml or *.yml file")
            case .directory: break
            case .skipped(let path, let reason): report(.notice, .nothingRead, path, reason)
            }
        }
    }

    private mutating func addFile(_ path: String) {
        switch ConfigFiles.read(path, limit: limits.fileBytes) {
        case .failure(let problem): report(.error, problem.isLimit ? .limitExceeded : .unreadable, path, problem.message)
        case .success(let bytes): add(name: path, bytes: bytes)
        }
    }

    mutating func add(name: String, bytes content: [UInt8]) {
        files += 1
        bytes += content.count
        guard files <= limits.files else {
            if files == limits.files + 1 { report(.error, .limitExceeded, name, "more than \(limits.files) files in one load") }
            return
        }
        guard bytes <= limits.totalBytes else {
            report(.error, .limitExceeded, name, "more than \(limits.totalBytes) bytes in one load")
            return
        }
        if keepsSources { sources.append(SourceFile(name: name, bytes: content)) }
        var loader = YAMLLoader(limits: limits)
        let documents = loader.load(content)
        for problem in loader.problems {
            var diagnostic = Diagnostic(
                severity: .error, code: problem.code.rawValue,
                position: SourcePosition(file: name, line: problem.line, column: problem.column), resource: nil, field: "",
                message: problem.message)
            diagnostic.excerpt = problem.excerpt
            diagnostics.append(diagnostic)
        }
        diagnostics.countOmitted(.error, loader.omittedProblems)
        var count = 0
        ignored = IgnoredKinds()
        for document in documents { take(document, file: name, count: &count) }
        configuration.resourcesByFile[name] = count
        if count == 0, loader.problems.isEmpty {
            report(
                .warning, .nothingRead, name,
                content.isEmpty ? "the file is empty" : "the file has no resource, only blank lines and comments")
        }
        if let first = ignored.first {
            report(
                .notice, .ignoredKind, name, line: first.position.line, column: first.position.column, resource: first.only,
                ignored.message)
        }
    }

    mutating func finish() -> (MeshConfiguration, DiagnosticList) {
        var checks = CrossResourceChecks(configuration)
        checks.run()
        for item in checks.items { diagnostics.append(item) }
        diagnostics.countOmitted(.warning, checks.omittedWarnings)
        return (configuration, diagnostics)
    }

    private mutating func report(
        _ severity: Diagnostic.Severity, _ code: DiagnosticCode, _ file: String, line: Int = 0, column: Int = 0,
        resource: ResourceID? = nil, _ message: String
    ) {
        diagnostics.append(
            Diagnostic(
                severity: severity, code: code.rawValue, position: SourcePosition(file: file, line: line, column: column),
                resource: resource, field: "", message: message))
    }

    /// One document, or one item of a list. Nesting of lists is bounded by `ConfigLimits.nestingDepth`.
    private mutating func take(_ node: YAMLNode, file: String, count: inout Int) {
        if node.isNull { return }
        count += 1
        guard count <= limits.documentsPerFile else {
            if count == limits.documentsPerFile + 1 {
                report(
                    .error, .limitExceeded, file, line: node.line, column: node.column,
                    "more than \(limits.documentsPerFile) resources in one file")
            }
            return
        }
        let reader = NodeReader(node: node, file: file, path: "")
        guard node.pairs != nil, let kind = reader.string("kind"), let version = reader.string("apiVersion") else {
            report(
                .error, .notAResource, file, line: node.line, column: node.column,
                "not a resource: expected a mapping with apiVersion, kind, metadata and spec, got "
                    + "\(node.pairs == nil ? node.described : "one without \(reader.string("apiVersion") == nil ? "apiVersion" : "kind")")")
            return
        }
        if kind == "List" || kind.hasSuffix("List") && reader.has("items") {
            for item in reader.node("items")?.items ?? [] { take(item, file: file, count: &count) }
            return
        }
        takeResource(reader, kind: kind, version: version)
    }

    private mutating func takeResource(_ reader: NodeReader, kind: String, version: String) {
        let file = reader.file
        let metadata = reader.child("metadata")
        // Longer names are refused below; until then messages must not repeat a megabyte.
        let namespace = String((metadata?.string("namespace") ?? "default").prefix(253))
        let id = ResourceID(
            kind: String(kind.prefix(64)), namespace: namespace.isEmpty ? "default" : namespace,
            name: String((metadata?.string("name") ?? "").prefix(253)))
        let parts = version.split(separator: "/", maxSplits: 1).map(String.init)
        let group = parts.count == 2 ? parts[0] : ""
        let at = reader.position("kind")
        guard let known = Schema.kinds[kind], group == known.group else {
            refuse(kind: kind, version: version, group: group, id: id, at: at, versionAt: reader.position("apiVersion"))
            return
        }
        guard parts.count == 2, known.versions.contains(parts[1]) else {
            let place = reader.position("apiVersion")
            report(
                .error, .unknownVersion, file, line: place.line, column: place.column, resource: id,
                "apiVersion \"\(version.prefix(64))\" is not accepted for \(kind); one of "
                    + "\(known.versions.map { "\(known.group)/\($0)" }.joined(separator: ", "))")
            return
        }
        let findings = Findings(resource: id)
        checkEnvelope(reader, metadata, findings)
        var found = findings.items
        count(findings)
        let spec: NodeReader
        if let node = reader.node("spec") {
            var validator = SchemaValidator(resource: id, file: file)
            validator.validate(spec: node, message: known.message)
            spec = NodeReader(node: node, file: file, path: "spec")
            let unread = kind == "EnvoyFilter" ? RateLimit.unread(ofEnvoyFilter: spec) : nil
            found += validator.findings.items.filter { unread == nil || $0.code != DiagnosticCode.notYetInEffect.rawValue }
            count(validator.findings)
            for (field, position) in unread?.prefix(Findings.kept) ?? [] {
                found.append(
                    Diagnostic(
                        severity: .notice, code: DiagnosticCode.notYetInEffect.rawValue, position: position, resource: id, field: field,
                        message: "accepted, not yet in effect; the rest of this EnvoyFilter acts as a rate limit"))
            }
        } else {
            spec = NodeReader(node: YAMLNode(content: .mapping([]), line: at.line, column: at.column), file: file, path: "spec")
        }
        let checked = ResourceChecks.findings(of: kind, id, spec)
        // A number beyond its type is beyond what the field accepts as well: the narrower range says it.
        let outside = Set(checked.items.filter { $0.code == DiagnosticCode.outOfRange.rawValue }.map(\.position))
        if !outside.isEmpty { found.removeAll { $0.code == DiagnosticCode.outOfRange.rawValue && outside.contains($0.position) } }
        let broken = BrokenFields(found)
        found += checked.items.filter { !broken.explains($0) }
        count(checked)
        let place = SourcePosition(file: file, line: at.line, column: at.column)
        if let first = seen[id] {
            found.append(
                Diagnostic(
                    severity: .error, code: DiagnosticCode.duplicateResource.rawValue, position: place, resource: id,
                    field: "metadata.name",
                    message: "\(id) is defined twice; first at \(first). Keep one, or rename one."))
        } else {
            seen[id] = place
        }
        for item in found.enumerated().sorted(by: { Self.order($0, $1) }) { diagnostics.append(item.element) }
        store(kind, id, spec, metadata, at: place)
    }

    private static func order(_ left: (offset: Int, element: Diagnostic), _ right: (offset: Int, element: Diagnostic)) -> Bool {
        let a = left.element.position
        let b = right.element.position
        return (a.line, a.column, left.offset) < (b.line, b.column, right.offset)
    }

    /// A kind that is not ours: Kubernetes' own are skipped and said so; a slip in ours is an error.
    private mutating func refuse(
        kind: String, version: String, group: String, id: ResourceID, at: SourcePosition, versionAt: SourcePosition
    ) {
        let shown = String(kind.prefix(64))
        if group.hasSuffix("istio.io") {
            var text = "\(shown) is not a kind of \(group)"
            let candidates = Schema.kinds.keys.sorted()
            if let home = Schema.kinds[kind] {
                text += "; write apiVersion: \(home.group)/\(home.versions.last ?? "v1")"
            } else if let nearest = EditDistance.nearest(to: kind, among: candidates) {
                text += "; did you mean \(nearest)?"
            } else {
                text += "; accepted kinds: \(candidates.joined(separator: ", "))"
            }
            report(.error, .unknownKind, at.file, line: at.line, column: at.column, resource: id, text)
        } else if let home = Schema.kinds[kind], kind != "Gateway" {
            report(
                .error, .unknownVersion, at.file, line: versionAt.line, column: versionAt.column, resource: id,
                "apiVersion \"\(version.prefix(64))\" is not accepted for \(shown); one of "
                    + "\(home.versions.map { "\(home.group)/\($0)" }.joined(separator: ", "))")
        } else {
            ignored.add(kind: shown, group: String(group.prefix(64)), id: id, at: at)
        }
    }

    private func checkEnvelope(_ reader: NodeReader, _ metadata: NodeReader?, _ findings: Findings) {
        for pair in reader.node.pairs ?? [] where !["apiVersion", "kind", "metadata", "spec", "status"].contains(pair.key) {
            var text = "unknown field \"\(pair.key.prefix(64))\"; a resource has apiVersion, kind, metadata and spec"
            if Schema.kinds[reader.string("kind") ?? ""].flatMap({
                Schema.istio.messages[$0.message]?.field(named: FieldName.canonical(pair.key))
            }) != nil {
                text += ". (\"\(pair.key)\" is a field of \"spec\": check the indentation.)"
            }
            findings.error(
                SourcePosition(file: reader.file, line: pair.keyLine, column: pair.keyColumn), String(pair.key.prefix(64)), text,
                code: .unknownField)
        }
        // The mesh's own settings are one object, and istioctl takes them without a name.
        let isNamed = reader.string("kind") != "IstioOperator"
        guard let metadata else {
            guard isNamed else { return }
            findings.error(reader.position("metadata"), "metadata", "metadata is required: {name: NAME}")
            return
        }
        for name in ["name", "namespace"] {
            guard let node = metadata.node(name) else {
                if name == "name", isNamed { findings.error(metadata.position, "metadata.name", "name is required") }
                continue
            }
            let position = SourcePosition(file: reader.file, line: node.line, column: node.column)
            guard let text = metadata.string(name) else {
                let hint = node.scalar.map { ". Quote it: \"\($0.shortened)\"." } ?? ""
                findings.error(position, "metadata.\(name)", "expected a string, got \(node.described)\(hint)", code: .wrongType)
                continue
            }
            if let problem = HostName.problem(text, wildcard: false) {
                findings.error(position, "metadata.\(name)", "\(name) \"\(text.prefix(64))\" \(problem)")
            }
        }
        checkDryRun(reader, metadata, findings)
        for name in ["labels", "annotations"] {
            for (key, value) in metadata.entries(name) where value.node.scalar?.value != .string && !value.node.isNull {
                let hint = value.node.scalar.map { ". Quote it: \"\($0.shortened)\"." } ?? ""
                findings.error(
                    value.position, "metadata.\(name)[\(key)]", "expected a string, got \(value.node.described)\(hint)", code: .wrongType)
            }
        }
    }

    /// Istio's annotation for an AuthorizationPolicy that only reports; elsewhere it would be taken for one that does, so Istio refuses it.
    private func checkDryRun(_ reader: NodeReader, _ metadata: NodeReader, _ findings: Findings) {
        let name = "istio.io/dry-run"
        guard let annotations = metadata.child("annotations"), let value = annotations.string(name) else { return }
        let position = annotations.position(name)
        guard reader.string("kind") == "AuthorizationPolicy" else {
            if reader.string("apiVersion")?.contains("istio.io/") == true {
                findings.error(
                    position, "metadata.annotations[\(name)]", "only an AuthorizationPolicy can be tried out so; delete the annotation")
            }
            return
        }
        let action = reader.child("spec")?.name("action") ?? "ALLOW"
        if action != "ALLOW", action != "DENY" {
            findings.error(position, "metadata.annotations[\(name)]", "goes with action ALLOW or DENY, not \(action.prefix(64))")
        } else if !["1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"].contains(value) {
            findings.error(position, "metadata.annotations[\(name)]", "\"\(value.prefix(64))\" is not accepted; \"true\" or \"false\"")
        }
    }

    private mutating func count(_ findings: Findings) {
        for (severity, count) in findings.uncounted { diagnostics.countOmitted(severity, count) }
    }

    private mutating func store(_ kind: String, _ id: ResourceID, _ spec: NodeReader, _ metadata: NodeReader?, at place: SourcePosition) {
        configuration.resourceCounts[kind, default: 0] += 1
        if let policy = SecurityPolicy(kind: kind, id: id, position: place, spec: spec) {
            configuration.securityPolicies.append(policy)
        }
        configuration.digests.append(ResourceDigest(id: id, position: place, spec: spec, metadata: metadata))
        if keepsSources { resources.append(LoadedResource(id: id, position: place, spec: spec, metadata: metadata)) }
        switch kind {
        case "VirtualService": configuration.virtualServices.append(VirtualService(id: id, position: place, spec: spec))
        case "DestinationRule": configuration.destinationRules.append(DestinationRule(id: id, position: place, spec: spec))
        case "ServiceEntry": configuration.serviceEntries.append(ServiceEntry(id: id, position: place, spec: spec))
        case "WorkloadEntry":
            configuration.workloadEntries.append(
                WorkloadEntry(
                    id: id, position: place, endpoint: WorkloadEndpoint(reader: spec),
                    metadataLabels: metadata?.stringMap("labels") ?? [:]))
        case "UpstreamPolicy": configuration.upstreamPolicies.append(UpstreamPolicy(id: id, position: place, spec: spec))
        case "MeshOutlierDetection":
            configuration.meshOutlierDetections.append(MeshOutlierDetection(id: id, position: place, spec: spec))
        case "RateLimit": configuration.rateLimits.append(RateLimit(id: id, position: place, spec: spec))
        case "EnvoyFilter":
            let limits = RateLimit.limits(ofEnvoyFilter: spec, id: id, position: place)
            configuration.rateLimits += limits
            for text in limits.flatMap(\.silences) {
                report(.warning, .schemaWarning, place.file, line: place.line, column: place.column, resource: id, text)
            }
        case "AuthorizationPolicy":
            configuration.authorizationPolicies.append(AuthorizationPolicy(id: id, position: place, spec: spec, metadata: metadata))
        case "RequestAuthentication":
            configuration.requestAuthentications.append(RequestAuthentication(id: id, position: place, spec: spec))
        case "Gateway": configuration.gateways.append(Gateway(id: id, position: place, spec: spec))
        case "Sidecar": configuration.sidecars.append(Sidecar(id: id, position: place, spec: spec))
        case "Telemetry": configuration.telemetries.append(Telemetry(id: id, position: place, spec: spec))
        case "IstioOperator":
            if let first = configuration.mesh.id, let position = configuration.mesh.position {
                report(
                    .error, .duplicateResource, place.file, line: place.line, column: place.column, resource: id,
                    "a mesh has one IstioOperator; \(first) is at \(position)")
            } else {
                configuration.mesh = MeshSettings(
                    id: id, position: place,
                    meshConfig: spec.child("meshConfig")
                        ?? NodeReader(node: YAMLNode(content: .mapping([]), line: 0, column: 0), file: place.file, path: ""))
            }
        default: break
        }
    }
}

/// One file of a load, as it was read.
struct SourceFile: Sendable {
    var name: String
    var bytes: [UInt8]
}

/// A resource as it was written, for checks that need more than the typed model keeps.
struct LoadedResource {
    var id: ResourceID
    var position: SourcePosition
    var spec: NodeReader
    var metadata: NodeReader?
}
