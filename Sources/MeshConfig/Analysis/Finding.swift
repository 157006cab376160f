/// One finding of `skein analyze`: what is wrong and where, and apart from it what to do.
public struct Finding: Sendable, Hashable {
    public var diagnostic: Diagnostic
    /// What to do; one sentence or two.
    public var hint: String

    public init(_ diagnostic: Diagnostic, hint: String) {
        self.diagnostic = diagnostic
        self.hint = Diagnostic.printable(Diagnostic.bounded(hint, Diagnostic.messageBytes))
    }

    /// A finding of loading or compiling, whose message may hold what to do as well: that becomes the hint.
    init(taking diagnostic: Diagnostic) {
        let general = AnalysisCode.hint(for: diagnostic.code)
        var rest = diagnostic
        func split(at words: String) -> String? {
            guard let range = rest.message.ranges(of: words).last else { return nil }
            let hint = String(rest.message[range.upperBound...])
            rest.message = String(rest.message[..<range.lowerBound])
            return hint
        }
        if diagnostic.code == DiagnosticCode.deprecated.rawValue, let modern = split(at: ". Write ") {
            let isGone = modern.hasPrefix("no replacement")
            self.init(rest, hint: isGone ? "Delete it: there is \(modern)." : "Write \(modern). (skein analyze --fix)")
        } else if let meant = split(at: ". Did you mean ") {
            self.init(rest, hint: "Did you mean \(meant)")
        } else {
            if !general.isEmpty, diagnostic.message.hasSuffix(" " + general) { _ = split(at: " " + general) }
            self.init(rest, hint: general)
        }
    }

    public var code: String { diagnostic.code }
    public var severity: Diagnostic.Severity { diagnostic.severity }

    /// `KIND NAME.NAMESPACE`, as `--suppress` names it (istioctl's form); empty for what is no resource.
    public var subject: String {
        guard let resource = diagnostic.resource else { return "" }
        return "\(resource.kind) \(resource.name).\(resource.namespace)"
    }

    /// The finding on one line; the hint is another.
    public var text: String {
        severity == .notice ? diagnostic.text(severity: "info") : diagnostic.text
    }

    /// One JSON object on one line, keys in fixed order; severities are istioctl's: error, warning, info.
    public var json: String {
        diagnostic.json(severity: severity == .notice ? "info" : severity.rawValue, more: [("hint", hint)])
    }
}

/// Findings not to report: one code on the resources whose `KIND NAME.NAMESPACE` fits a pattern with `*` (istioctl's `--suppress`).
public struct Suppression: Sendable, Hashable {
    var code: String
    var pattern: String

    /// Nil unless `CODE=KIND NAME.NAMESPACE`, where either side may hold `*`.
    public init?(_ text: String) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty, parts[1] == "*" || parts[1].contains(" ") else { return nil }
        code = parts[0]
        pattern = parts[1]
    }

    init(code: String, pattern: String) {
        self.code = code
        self.pattern = pattern
    }

    func covers(_ finding: Finding) -> Bool {
        Suppression.fits(code, finding.code) && Suppression.fits(pattern, finding.subject)
    }

    /// Whether a text fits a pattern whose `*` stands for any text. Costs the product of the lengths at most.
    static func fits(_ pattern: String, _ text: String) -> Bool {
        let pattern = Array(pattern.utf8)
        let text = Array(text.utf8)
        var place = 0
        var star: Int?
        var resume = 0
        var index = 0
        while index < text.count {
            if place < pattern.count, pattern[place] == UInt8(ascii: "*") {
                star = place
                resume = index
                place += 1
            } else if place < pattern.count, pattern[place] == text[index] {
                place += 1
                index += 1
            } else if let star {
                resume += 1
                index = resume
                place = star + 1
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
