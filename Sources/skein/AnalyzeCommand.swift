internal import ArgumentParser
internal import Foundation
internal import MeshConfig
internal import MeshRuntime

struct AnalyzeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "analyze",
        abstract: "Find what does not fit together, and rewrite what is deprecated.",
        discussion: """
            Reports all that validate says and looks further, across resources: names that nothing defines, rules that no request reaches,
            retries that the timeout has no room for, weights, mirrors, ports, subsets, Gateways. Each finding has a stable code (Istio's
            where Istio has one), its place and a hint. docs/analysis.md explains the codes; so does --list.

            Exits 0 when nothing is found at or above the failure threshold (warning, unless told; istioctl's own default is error), 79
            when something is, 65 when a file cannot be read to its end. Findings can be suppressed here, or by the annotation
            galley.istio.io/analyze-suppress: "CODE,CODE" on the resource.

            EXAMPLES
              skein analyze mesh/
              skein analyze -R deploy/                subdirectories as well
              skein analyze -o json mesh/ | jq -r '.findings[] | "\\(.file):\\(.line) \\(.code)"'
              skein analyze --fix --dry-run mesh/     what would be rewritten, as a diff
              skein analyze --fix mesh/               rewrite deprecated fields in place
              skein analyze --suppress "IST0101=VirtualService reviews.*" mesh/
              kubectl get virtualservice,destinationrule -A -o yaml | skein analyze -
            """)

    enum Level: String, ExpressibleByArgument, CaseIterable {
        case error, warning, info

        init?(argument: String) { self.init(rawValue: argument.lowercased()) }

        var severity: Diagnostic.Severity { self == .error ? .error : self == .warning ? .warning : .notice }
    }

    @Argument(help: "Files and directories of YAML; - for standard input.", completion: .file(extensions: ["yaml", "yml"]))
    var paths: [String] = []

    @OptionGroup var sourceOptions: SourceOptions

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @Option(help: "Least severity that makes the exit code 79: error, warning or info.")
    var failureThreshold = Level.warning

    @Option(help: "Least severity that is shown.")
    var outputThreshold = Level.info

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Leave a code out for some resources; may be repeated. * stands for any text.", valueName: "CODE=KIND NAME.NAMESPACE"))
    var suppress: [String] = []

    @Flag(help: "Rewrite deprecated fields in the files, leaving everything else as it is, and analyze the result.")
    var fix = false

    @Flag(help: "With --fix: print what would be rewritten as a diff, and write nothing. Exits 79 when there is something.")
    var dryRun = false

    @Flag(name: .shortAndLong, help: "List every code with its severity and meaning.")
    var list = false

    func validate() throws {
        if !list, paths.isEmpty { throw ValidationError("name files or directories, or - for standard input") }
        try SourceOptions.checkStandardInput(paths)
        if dryRun, !fix { throw ValidationError("--dry-run goes with --fix") }
        if fix, !dryRun, paths.contains("-") { throw ValidationError("--fix cannot write standard input; add --dry-run to see the diff") }
        for text in suppress where Suppression(text) == nil {
            throw ValidationError("--suppress '\(text)': write 'CODE=KIND NAME.NAMESPACE'")
        }
    }

    func run() throws {
        if list {
            printCodes()
            return
        }
        let source = sourceOptions.source(paths)
        func analyze() -> MeshAnalysis {
            ConfigurationCheck.analyze(
                from: source, allowsUnenforced: sourceOptions.allowUnenforced, hasIdentity: sourceOptions.withIdentity)
        }
        var analysis = analyze()
        var fixes: [DeprecationFix] = []
        var unwritten: Set<Int> = []
        if fix {
            fixes = analysis.deprecationFixes()
            if dryRun {
                try showDifferences(fixes, analysis)
                return
            }
            for (index, fix) in fixes.enumerated() {
                guard let problem = fix.write() else { continue }
                complain("skein: \(problem)")
                unwritten.insert(index)
            }
            fixes = fixes.enumerated().filter { !unwritten.contains($0.offset) }.map(\.element)
            if fixes.contains(where: \.hasChanges) { analysis = analyze() }
        }
        analysis.suppress(suppress.compactMap(Suppression.init))
        switch output {
        case .text: printText(analysis, fixes)
        case .json: printJSON(analysis, fixes)
        }
        if !unwritten.isEmpty { throw ExitStatus.system }
        if analysis.isIncomplete { throw ExitStatus.badInput }
        if analysis.fails(at: failureThreshold.severity) { throw ExitStatus.findings }
    }

    private func showDifferences(_ fixes: [DeprecationFix], _ analysis: MeshAnalysis) throws {
        switch output {
        case .text:
            for fix in fixes { print(fix.diff, terminator: "") }
            for note in fixes.flatMap(\.left) { complain("skein: \(note.line)") }
        case .json: print("{\"diff\":\(JSONText.quote(fixes.map(\.diff).joined())),\(notes(fixes))}")
        }
        if analysis.isIncomplete { throw ExitStatus.badInput }
        if fixes.contains(where: \.hasChanges) { throw ExitStatus.findings }
    }

    private func shown(_ analysis: MeshAnalysis) -> [Finding] { analysis.findings.filter { $0.severity >= outputThreshold.severity } }

    private func printText(_ analysis: MeshAnalysis, _ fixes: [DeprecationFix]) {
        let style = TerminalStyle.standardOutput
        for fix in fixes {
            for note in fix.rewritten { print(style.paint(note.line, TerminalStyle.green)) }
            for note in fix.left { print(style.paint(note.line, TerminalStyle.yellow)) }
        }
        for finding in shown(analysis) {
            let color =
                finding.severity == .error ? TerminalStyle.red : finding.severity == .warning ? TerminalStyle.yellow : TerminalStyle.dim
            print(style.paint(finding.text, color))
            for line in finding.diagnostic.excerptLines { print(line) }
            if !finding.hint.isEmpty { print("    " + style.paint("hint: \(finding.hint)", TerminalStyle.dim)) }
        }
        print(summary(analysis))
    }

    /// `12 resources: 0 errors, 1 warning, 3 infos`.
    private func summary(_ analysis: MeshAnalysis) -> String {
        func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }
        let total = analysis.configuration.resourceCounts.values.reduce(0, +)
        var text = "\(count(total, "resource")): "
        if analysis.findings.isEmpty, analysis.omitted == 0 {
            text += "nothing found"
        } else {
            text +=
                "\(count(analysis.count(.error), "error")), \(count(analysis.count(.warning), "warning")), "
                    + "\(count(analysis.count(.notice), "info"))"
        }
        if analysis.omitted > 0 { text += "; \(analysis.omitted) more were found and not kept" }
        if analysis.suppressedCount > 0 { text += "; \(analysis.suppressedCount) suppressed" }
        return text
    }

    /// What was rewritten and what was left, as two JSON fields.
    private func notes(_ fixes: [DeprecationFix]) -> String {
        func note(_ note: DeprecationFix.Note) -> String {
            "{\"file\":\(JSONText.quote(note.position.file)),\"line\":\(note.position.line),\"column\":\(note.position.column),"
                + "\"message\":\(JSONText.quote(note.text))}"
        }
        let rewritten = fixes.flatMap(\.rewritten).map(note).joined(separator: ",")
        let left = fixes.flatMap(\.left).map(note).joined(separator: ",")
        return "\"rewritten\":[\(rewritten)],\"left\":[\(left)]"
    }

    private func printJSON(_ analysis: MeshAnalysis, _ fixes: [DeprecationFix]) {
        var text = "{\"findings\":[\(shown(analysis).map(\.json).joined(separator: ","))],\"errors\":\(analysis.count(.error)),"
        text += "\"warnings\":\(analysis.count(.warning)),\"infos\":\(analysis.count(.notice)),"
        text += "\"omitted\":\(analysis.omitted),\"suppressed\":\(analysis.suppressedCount)"
        if fix { text += ",\(notes(fixes))" }
        print(text + "}")
    }

    private func printCodes() {
        switch output {
        case .text:
            for code in AnalysisCode.all {
                let level = code.level + String(repeating: " ", count: 7 - code.level.count)
                print("\(code.code)  \(level)  \(code.name)\n    \(code.meaning)")
            }
        case .json:
            let items = AnalysisCode.all.map { code in
                "{\"code\":\(JSONText.quote(code.code)),\"severity\":\"\(code.level)\",\"name\":\(JSONText.quote(code.name)),"
                    + "\"meaning\":\(JSONText.quote(code.meaning)),\"hint\":\(JSONText.quote(code.hint))}"
            }
            print("{\"codes\":[\(items.joined(separator: ","))]}")
        }
    }
}
