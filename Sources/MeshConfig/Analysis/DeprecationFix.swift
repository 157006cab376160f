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
        guard
            !diagnostics.items.contains(where: {
                MeshAnalysis.unreadableCodes.contains($0.code) || $0.code == DiagnosticCode.duplicateKey.rawValue
            }),
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
