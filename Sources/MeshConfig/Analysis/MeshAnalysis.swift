internal import Primitives

/// What `skein analyze` finds in a configuration: everything that loading says about it, and the checks that look further: across
/// resources, and at rules that are each right but not together.
///
/// Pure once the files are read. A check reports only what it can show from the files at hand; where a name could be defined elsewhere,
/// or a condition is beyond what two texts tell, it says nothing. Costs are near-linear in the configuration (`AnalysisLimits`).
public struct MeshAnalysis: Sendable {
    public private(set) var configuration: MeshConfiguration
    /// In the order of files, lines and columns.
    public private(set) var findings: [Finding] = []
    /// Found but not kept (`AnalysisLimits.findings`).
    public private(set) var omitted = 0
    /// Findings that an annotation or an option asked not to see.
    public private(set) var suppressedCount = 0
    /// Every resource and where it begins, in the order in which they were read.
    public private(set) var resources: [(id: ResourceID, position: SourcePosition)] = []
    private(set) var sources: [SourceFile]
    private var omittedWorst: Diagnostic.Severity?
    private var fileOrder: [String: Int] = [:]
    /// Codes that resources ask not to be told of.
    private var annotated: [ResourceID: Set<String>] = [:]

    /// Codes of inputs that could not be read to their end.
    static let unreadableCodes: Set<String> = [
        DiagnosticCode.unreadable.rawValue, DiagnosticCode.syntax.rawValue, DiagnosticCode.limitExceeded.rawValue,
    ]
    /// Said by a check here, in other words and with a hint.
    private static let saidHere: Set<String> = ["SKN0312", "SKN0313"]

    /// The annotation by which a resource asks not to be told of some codes: `IST0130,SKN0362`, or `*` (Istio's own).
    static let suppressAnnotation = "galley.istio.io/analyze-suppress"

    public static func run(from source: ConfigurationSource) -> MeshAnalysis {
        var loader = ConfigurationLoader(limits: limits, keepsSources: true)
        loader.add(source)
        return MeshAnalysis(&loader)
    }

    public static func run(texts: [(name: String, text: String)]) -> MeshAnalysis {
        var loader = ConfigurationLoader(limits: limits, keepsSources: true)
        for (name, text) in texts { loader.add(name: name, bytes: Array(text.utf8)) }
        return MeshAnalysis(&loader)
    }

    static var limits: ConfigLimits {
        var limits = ConfigLimits.standard
        limits.diagnostics = AnalysisLimits.findings
        return limits
    }

    private init(_ loader: inout ConfigurationLoader) {
        let (configuration, diagnostics) = loader.finish()
        self.configuration = configuration
        sources = loader.sources
        for (index, source) in sources.enumerated() where fileOrder[source.name] == nil { fileOrder[source.name] = index }
        omit(diagnostics.omitted, diagnostics.hasErrors ? .error : .warning)
        let context = AnalysisContext(configuration, loader.resources)
        var report = AnalysisReport()
        UnknownReferences.check(context, &report)
        DelegateFindings.check(context, &report)
        GatewayFindings.check(context, &report)
        RouteReachability.check(context, &report)
        RetryTimeoutFit.check(context, &report)
        MirrorLoops.check(context, &report)
        WeightFindings.check(context, &report)
        UpstreamFindings.check(context, &report)
        PortProtocols.check(context, &report)
        SelectorFindings.check(context, &report)
        TransportSecurityFindings.check(context, &report)
        AuthorizationFindings.check(context, &report)
        MeshOutlierFindings.check(context, &report)
        omit(report.omitted, .warning)
        // Loading and a check may see the same thing at the same place; loading's words stay, as `skein validate` has them.
        var seen: Set<Key> = []
        for item in diagnostics.items where seen.insert(Key(item)).inserted { findings.append(Finding(taking: item)) }
        // A value that could not be read counts as absent, so what follows from it may not be so: first the errors, then the rest.
        let broken = Set(diagnostics.items.filter { $0.severity == .error }.compactMap(\.resource))
        for finding in report.findings where seen.insert(Key(finding.diagnostic)).inserted {
            if let resource = finding.diagnostic.resource, broken.contains(resource) { continue }
            findings.append(finding)
        }
        for resource in loader.resources {
            resources.append((resource.id, resource.position))
            guard let text = resource.metadata?.child("annotations")?.string(MeshAnalysis.suppressAnnotation) else { continue }
            annotated[resource.id, default: []].formUnion(text.split(separator: ",").map { $0.filter { !$0.isWhitespace } })
        }
        suppressAnnotated()
        sort()
    }

    private struct Key: Hashable {
        var code: String
        var position: SourcePosition
        var resource: ResourceID?
        var field: String

        init(_ diagnostic: Diagnostic) {
            code = diagnostic.code
            position = diagnostic.position
            resource = diagnostic.resource
            field = diagnostic.field
        }
    }

    /// What a compilation of the configuration says besides (regexes, addresses of listeners): layers above this one know.
    public mutating func add(compilation diagnostics: [Diagnostic]) {
        var seen = Set(findings.map { Key($0.diagnostic) })
        for item in diagnostics where !MeshAnalysis.saidHere.contains(item.code) && seen.insert(Key(item)).inserted {
            findings.append(Finding(taking: item))
        }
        suppressAnnotated()
        sort()
    }

    public mutating func suppress(_ suppressions: [Suppression]) {
        guard !suppressions.isEmpty else { return }
        let kept = findings.filter { finding in !suppressions.contains { $0.covers(finding) } }
        suppressedCount += findings.count - kept.count
        findings = kept
    }

    /// Whether a file could not be read to its end, so that more may be wrong than is said.
    public var isIncomplete: Bool { findings.contains { MeshAnalysis.unreadableCodes.contains($0.code) } }

    public func count(_ severity: Diagnostic.Severity) -> Int { findings.count { $0.severity == severity } }

    /// Whether there is a finding of this severity or a worse one, kept or not.
    public func fails(at threshold: Diagnostic.Severity) -> Bool {
        findings.contains { $0.severity >= threshold } || omittedWorst.map { $0 >= threshold } ?? false
    }

    /// What `--fix` would do to each file that was read, in their order; files without anything deprecated left out.
    public func deprecationFixes() -> [DeprecationFix] {
        var files = Set(findings.filter { $0.code == DiagnosticCode.deprecated.rawValue }.map(\.diagnostic.position.file))
        // A file that was named twice is one file.
        return sources.filter { files.remove($0.name) != nil }.map { DeprecationFix(file: $0.name, bytes: $0.bytes) }
    }

    private mutating func omit(_ count: Int, _ severity: Diagnostic.Severity) {
        guard count > 0 else { return }
        omitted += count
        omittedWorst = max(omittedWorst ?? .notice, severity)
    }

    /// Leaves out what the annotations of resources ask for.
    private mutating func suppressAnnotated() {
        guard !annotated.isEmpty else { return }
        let kept = findings.filter { finding in
            // What cannot be used at all is told whatever somebody asked.
            guard let resource = finding.diagnostic.resource, finding.severity != .error, let codes = annotated[resource] else {
                return true
            }
            return !codes.contains("*") && !codes.contains(finding.code)
        }
        suppressedCount += findings.count - kept.count
        findings = kept
    }

    private mutating func sort() {
        let order = fileOrder
        func key(_ finding: Finding) -> (Int, Int, Int, String) {
            let position = finding.diagnostic.position
            return (order[position.file] ?? Int.max, position.line, position.column, finding.code)
        }
        let sorted = findings.enumerated().sorted { left, right in
            let a = key(left.element)
            let b = key(right.element)
            return a == b ? left.offset < right.offset : a < b
        }
        findings = sorted.map(\.element)
    }
}

/// Bounds of an analysis; what is beyond them is counted, or said to be cut short.
enum AnalysisLimits {
    /// Findings kept; the rest are counted.
    static let findings = 2_000
    /// Comparisons of two matches that the rules of one VirtualService may cost. A thousand rules with paths of their own need some
    /// thousands; a thousand rules that differ in headers only, half a million.
    static let comparisonsPerVirtualService = 1_000_000
    /// The same over all VirtualServices.
    static let comparisons = 20_000_000
    /// Names among which the one that was probably meant is looked for.
    static let suggestionCandidates = 1_000
    /// Findings for which one is looked for.
    static let suggestions = 100
    /// Gateways with one host at one port that another is compared with.
    static let gatewaysCompared = 100
    /// Pairs of a host and one it is mirrored to.
    static let mirrors = 100_000
}

/// Collects the findings of the checks.
struct AnalysisReport {
    private(set) var findings: [Finding] = []
    private(set) var omitted = 0
    private var suggestionsLeft = AnalysisLimits.suggestions

    /// "Did you mean": one of the names, when one is close and not too many were looked for.
    mutating func suggestion(for name: String, among names: @autoclosure () -> [String]) -> String? {
        guard suggestionsLeft > 0 else { return nil }
        suggestionsLeft -= 1
        return EditDistance.nearest(to: name, among: Array(names().prefix(AnalysisLimits.suggestionCandidates))).map {
            "Did you mean \($0)?"
        }
    }

    /// The severity is the code's own (`AnalysisCode`) unless given; so is the hint.
    mutating func add(
        _ code: DiagnosticCode, _ resource: ResourceID, _ position: SourcePosition, _ field: String, _ message: String, hint: String? = nil,
        severity: Diagnostic.Severity? = nil
    ) {
        guard findings.count < AnalysisLimits.findings else {
            omitted += 1
            return
        }
        let known = AnalysisCode.named(code.rawValue)
        findings.append(
            Finding(
                Diagnostic(
                    severity: severity ?? known?.severity ?? .warning, code: code.rawValue, position: position, resource: resource,
                    field: field,
                    message: message), hint: hint ?? known?.hint ?? ""))
    }
}
