internal import ArgumentParser
internal import MeshConfig
internal import MeshRuntime

struct ValidateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Check Istio resources without starting anything.",
        discussion: """
            Prints every error, warning and notice with its place, and a count at the end. Exits 0 when the configuration would be adopted,
            65 when it has errors. What does not fit together (a Gateway or host that nothing defines, a rule that no request reaches) is
            adopted all the same: the last line says when `skein analyze` finds such things.

            EXAMPLES
              skein validate mesh/ extra.yaml
              skein validate -R mesh/                      subdirectories as well
              skein validate -o json mesh/ | jq .diagnostics
              kubectl get virtualservice -A -o yaml | skein validate -
            """)

    @Argument(help: "Files and directories of YAML; - for standard input.", completion: .file(extensions: ["yaml", "yml"]))
    var paths: [String]

    @OptionGroup var sourceOptions: SourceOptions

    @Option(help: "Check as the proxy of this WorkloadEntry would see it.")
    var node: String?

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    func validate() throws { try SourceOptions.checkStandardInput(paths) }

    func run() throws {
        let source = sourceOptions.source(paths)
        let result = ConfigurationCheck.run(
            from: source, node: node, allowsUnenforced: sourceOptions.allowUnenforced, hasIdentity: sourceOptions.withIdentity)
        switch output {
        case .text:
            let style = TerminalStyle.standardOutput
            for diagnostic in result.diagnostics {
                let color =
                    diagnostic.severity == .error
                    ? TerminalStyle.red : diagnostic.severity == .warning ? TerminalStyle.yellow : TerminalStyle.dim
                print(style.paint(diagnostic.text, color))
                for line in diagnostic.excerptLines { print(line) }
            }
            for line in result.otherErrors { print(style.paint("error: \(line)", TerminalStyle.red)) }
            if result.omitted > 0 { print("... and \(result.omitted) more") }
            print(result.summary)
            let further = result.furtherFindings(from: source)
            if further > 0 {
                let noun = further == 1 ? "thing that does" : "things that do"
                print(
                    style.paint(
                        "skein analyze finds \(further) \(noun) not fit together: skein analyze "
                            + "\(paths.map(ShellText.quoted).joined(separator: " "))",
                        TerminalStyle.yellow))
            }
        case .json:
            let items =
                result.diagnostics.map(\.json) + result.otherErrors.map { "{\"severity\":\"error\",\"message\":\(JSONText.quote($0))}" }
            print(
                "{\"valid\":\(result.isValid),\"errors\":\(result.errors),\"warnings\":\(result.warnings),\"notices\":\(result.notices),"
                    + "\"omitted\":\(result.omitted),\"diagnostics\":[\(items.joined(separator: ","))]}")
        }
        if !result.isValid { throw ExitStatus.badInput }
    }
}
