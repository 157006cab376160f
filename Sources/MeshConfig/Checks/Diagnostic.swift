/// One thing to tell the person who wrote the configuration.
///
/// `code` is stable: Istio's own (`IST0106`...) where `istioctl analyze` has one for the same finding, else `SKN0...`
/// (listed in `DiagnosticCode`).
public struct Diagnostic: Sendable, Hashable {
    /// `error` refuses the whole configuration; `warning` is honoured but should change; `notice` is for information.
    public enum Severity: String, Sendable, Hashable, Comparable {
        case error, warning, notice

        private var rank: Int { self == .error ? 2 : self == .warning ? 1 : 0 }
        public static func < (left: Severity, right: Severity) -> Bool { left.rank < right.rank }
    }

    public var severity: Severity
    public var code: String
    public var position: SourcePosition
    /// Nil when the text could not be read as a resource at all.
    public var resource: ResourceID?
    /// Where in the resource, `spec.http[0].timeout`; empty for the resource as a whole.
    public var field: String
    /// What is wrong, what would have been accepted, what to do.
    public var message: String
    /// The line of the text, where seeing it helps more than its number.
    public var excerpt: SourceExcerpt?

    public init(
        severity: Severity, code: String, position: SourcePosition, resource: ResourceID?, field: String, message: String
    ) {
        self.severity = severity
        self.code = code
        self.position = position
        self.resource = resource
        self.field = Diagnostic.bounded(field, Diagnostic.fieldBytes)
        self.message = Diagnostic.bounded(message, Diagnostic.messageBytes)
    }

    /// Messages quote the input; the input may be a megabyte long.
    static let messageBytes = 2048
    static let fieldBytes = 512

    static func bounded(_ text: String, _ limit: Int) -> String {
        text.utf8.count <= limit ? text : String(text.unicodeScalars.prefix(limit - 3)) + "..."
    }

    /// One line of text, without a line break whatever the input held:
    /// `a.yaml:7:3: error [SKN0101] VirtualService production/reviews spec.http[0].rout: unknown field...`
    public var text: String { text(severity: severity.rawValue) }

    /// The same, and below it the excerpt.
    public var lines: [String] { [text] + excerptLines }

    public var excerptLines: [String] { excerpt?.lines(number: position.line) ?? [] }

    func text(severity: String) -> String {
        var line = "\(position): \(severity) [\(code)]"
        if let resource { line += " \(resource)" }
        if !field.isEmpty { line += " \(field)" }
        line += ": \(message)"
        return Diagnostic.printable(line)
    }

    /// One JSON object on one line, keys in fixed order.
    public var json: String { json(severity: severity.rawValue) }

    /// `more`: further text fields at the end.
    func json(severity: String, more: [(name: String, value: String)] = []) -> String {
        var fields: [(String, String)] = [
            ("severity", quoted(severity)), ("code", quoted(code)), ("file", quoted(position.file)),
            ("line", String(position.line)), ("column", String(position.column)),
        ]
        if let resource {
            fields.append(("kind", quoted(resource.kind)))
            fields.append(("namespace", quoted(resource.namespace)))
            fields.append(("name", quoted(resource.name)))
        }
        if !field.isEmpty { fields.append(("field", quoted(field))) }
        fields.append(("message", quoted(message)))
        if let excerpt { fields.append(("excerpt", quoted(excerpt.text))) }
        for field in more { fields.append((field.name, quoted(field.value))) }
        return "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default:
                if scalar.value < 0x20 || scalar.value == 0x7f {
                    let hex = String(scalar.value, radix: 16)
                    result += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    result.unicodeScalars.append(scalar)
                }
            }
        }
        return result + "\""
    }

    /// Control characters come from the input; a terminal must not obey them.
    static func printable(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            result.append(isControl ? " " : scalar)
        }
        return String(result)
    }
}

/// The diagnostics of one load, in the order of files and lines, at most `ConfigLimits.diagnostics` of them.
///
/// Errors are never pushed out by notices: when full, the earliest notice (then warning) makes room.
public struct DiagnosticList: Sendable {
    public private(set) var items: [Diagnostic] = []
    /// Found but not kept, because the list was full.
    public private(set) var omitted = 0
    public private(set) var errorCount = 0
    public private(set) var warningCount = 0
    public private(set) var noticeCount = 0
    let limit: Int

    public init(limit: Int = ConfigLimits.standard.diagnostics) { self.limit = max(1, limit) }

    /// True when the configuration must not be used.
    public var hasErrors: Bool { errorCount > 0 }

    public mutating func append(_ diagnostic: Diagnostic) {
        switch diagnostic.severity {
        case .error: errorCount += 1
        case .warning: warningCount += 1
        case .notice: noticeCount += 1
        }
        if items.count < limit {
            items.append(diagnostic)
            return
        }
        omitted += 1
        guard let room = leastImportant(below: diagnostic.severity) else { return }
        items.remove(at: room)
        items.append(diagnostic)
    }

    /// Counts what was found but not even described.
    mutating func countOmitted(_ severity: Diagnostic.Severity, _ count: Int) {
        omitted += count
        switch severity {
        case .error: errorCount += count
        case .warning: warningCount += count
        case .notice: noticeCount += count
        }
    }

    /// Text lines, the last one counting what was left out.
    public var lines: [String] {
        items.flatMap(\.lines) + (omitted > 0 ? ["... and \(omitted) more (at most \(limit) are shown)"] : [])
    }

    private func leastImportant(below severity: Diagnostic.Severity) -> Int? {
        if severity > .notice, let index = items.firstIndex(where: { $0.severity == .notice }) { return index }
        if severity > .warning, let index = items.firstIndex(where: { $0.severity == .warning }) { return index }
        return nil
    }
}
