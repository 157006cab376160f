internal import ArgumentParser

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    func run() {
        switch output {
        case .text: print(Version.text)
        case .json: print("{\"name\":\"skein\",\"version\":\"\(Version.number)\"}")
        }
    }
}
