internal import ArgumentParser
internal import CertificateAuthority
internal import MeshRuntime

struct CAListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Show what was issued.",
        discussion: """
            What is valid, the next to expire first; with --all also what is expired or revoked.

            EXAMPLES
              skein ca list
              skein ca list --all -o json | jq '.certificates[] | select(.state == "revoked")'
            """)

    @OptionGroup var options: CAOptions

    @Flag(help: "Expired and revoked ones as well.")
    var all = false

    func run() throws {
        let now = CAOptions.now
        let authority = try CAOptions.explaining { try Authority(openIn: options.directory) }
        let shown = authority.issued.filter { all || $0.state(now: now) == .valid }.sorted { $0.notAfter < $1.notAfter }
        switch options.output {
        case .text:
            var table = TextTable(["SERIAL", "NAMES", "EXPIRES", "LEFT", "STATE"])
            for record in shown {
                let state = record.state(now: now)
                table.add([
                    record.serial, record.names.joined(separator: ","), UnixTime.text(record.notAfter),
                    state == .valid ? UnixTime.span(record.notAfter - now) : "-", state.rawValue,
                ])
            }
            let lines = table.lines(style: .standardOutput) { row, column in
                column == 4 && shown[row].state(now: now) == .revoked ? TerminalStyle.red : nil
            }
            for line in lines { print(line) }
        case .json: print("{\"certificates\":[\(shown.map { $0.json(now: now) }.joined(separator: ","))]}")
        }
    }
}
