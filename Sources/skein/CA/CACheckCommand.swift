internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime

struct CACheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Look an authority over: rights, keys, ends, and whether what it issues is believed.",
        discussion: """
            A line per check, and a hint where something is to be done. Exits 79 when a check fails; a warning is no failure. Warned is of a
            root with less than 60 days, and of other certificates with less than a third of their time.

            EXAMPLES
              skein ca check
              skein ca check --directory /etc/skein/ca -o json | jq '.checks[] | select(.state != "good")'
            """)

    @OptionGroup var options: CAOptions

    func run() throws {
        let findings = try CAOptions.explaining { AuthorityCheck.findings(of: options.directory, now: CAOptions.now) }
        let failures = findings.filter { $0.state == .failure }.count
        let warnings = findings.filter { $0.state == .warning }.count
        switch options.output {
        case .text:
            let style = TerminalStyle.standardOutput
            for finding in findings {
                let (sign, color) =
                    switch finding.state {
                    case .good: ("√", TerminalStyle.green)
                    case .warning: ("‼", TerminalStyle.yellow)
                    case .failure: ("×", TerminalStyle.red)
                    }
                print("\(style.paint(sign, color)) \(finding.text)")
                if let hint = finding.hint { print("    \(hint)") }
            }
            print("\(findings.count) checks, \(failures) failed, \(warnings) warnings")
        case .json:
            let items = findings.map { finding in
                let hint = finding.hint.map { ",\"hint\":\(JSONText.quote($0))" } ?? ""
                return "{\"state\":\"\(finding.state.rawValue)\",\"check\":\(JSONText.quote(finding.text))\(hint)}"
            }
            print("{\"failed\":\(failures),\"warnings\":\(warnings),\"checks\":[\(items.joined(separator: ","))]}")
        }
        if failures > 0 { throw ExitStatus.findings }
    }
}
