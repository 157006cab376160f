internal import ArgumentParser
internal import Foundation
internal import HTTPService
internal import MeshConfig
internal import MeshRuntime
internal import Primitives

struct ProxyStatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "proxy-status",
        abstract: "Show version, state and configuration of running proxies.",
        discussion: """
            Asks the admin port of each proxy named; with -c, of the proxy beside each WorkloadEntry of a configuration. Exits 69 when one
            of them does not answer, 65 when one goes on with an old configuration because it refused the newest.

            EXAMPLES
              skein proxy-status
              skein proxy-status 127.0.1.1:15000 127.0.1.2:15000
              skein proxy-status -c mesh/ -o json
            """, aliases: ["ps"])

    @Argument(help: "Admin addresses, https:// before them for TLS; default 127.0.0.1:15000.")
    var servers: [String] = []

    @Option(
        name: [.short, .customLong("config")], parsing: .singleValue, help: "Files or directories whose WorkloadEntries name the proxies.",
        completion: .file())
    var config: [String] = []

    @Option(help: "Admin port of the proxies that -c names.")
    var adminPort: UInt16 = 15000

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @OptionGroup(title: "TLS OF THE SERVERS") var tls: ServerTLSOptions

    private struct Answer {
        var server: String
        var status: AdminDocuments.Server?
        var body: [UInt8]
        var problem: String
    }

    func run() throws {
        let answers = try addresses().map(ask)
        switch output {
        case .text: show(answers)
        case .json:
            let items = answers.map { answer in
                let status =
                    answer.status == nil
                    ? "null" : String(decoding: answer.body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
                return "{\"server\":\(JSONText.quote(answer.server)),\"problem\":\(JSONText.quote(answer.problem)),\"status\":\(status)}"
            }
            print("{\"proxies\":[\(items.joined(separator: ","))]}")
        }
        if answers.contains(where: { $0.status == nil }) { throw ExitStatus.unavailable }
        if answers.contains(where: { $0.status?.configuration.last_error.isEmpty == false }) { throw ExitStatus.badInput }
    }

    private func addresses() throws -> [String] {
        guard !config.isEmpty else { return servers.isEmpty ? ["127.0.0.1:\(adminPort)"] : servers }
        let (mesh, list) = MeshConfiguration.load(from: ConfigurationSource(config))
        guard !list.hasErrors else {
            for line in list.items.filter({ $0.severity == .error }).flatMap(\.lines) { complain("skein: \(line)") }
            throw ExitStatus.badInput
        }
        let found = Set(mesh.workloadEntries.map(\.endpoint.address).filter { SocketEndpoint(address: $0, port: adminPort) != nil })
        return servers + found.sorted().map { $0.contains(":") ? "[\($0)]:\(adminPort)" : "\($0):\(adminPort)" }
    }

    private func ask(_ server: String) throws -> Answer {
        let client = try tls.client(of: server, defaultPort: adminPort)
        do throws(HTTPClientError) {
            let response = try client.send("GET", "/server_info")
            let status = try? JSONDecoder().decode(AdminDocuments.Server.self, from: Data(response.body))
            return Answer(
                server: server, status: status, body: response.body,
                problem: status == nil ? "is no Skein: it answered \(response.status)" : "")
        } catch {
            return Answer(server: server, status: nil, body: [], problem: "\(error)")
        }
    }

    private func show(_ answers: [Answer]) {
        var table = TextTable(["SERVER", "NODE", "VERSION", "STATE", "UP", "CONFIGURATION", "NOT ENFORCED"])
        for answer in answers {
            guard let status = answer.status else {
                table.add([answer.server, "-", "-", answer.problem])
                continue
            }
            let configuration = status.configuration
            let adopted =
                configuration.last_error.isEmpty ? "\(configuration.generation)" : "\(configuration.generation), the newest was refused"
            table.add([
                answer.server, status.node.id.isEmpty ? "-" : status.node.id, status.version, status.state, status.uptime_current_epoch,
                adopted,
                configuration.not_enforced.isEmpty ? "-" : "\(configuration.not_enforced.count)",
            ])
        }
        let lines = table.lines(style: .standardOutput) { row, column in
            guard column == 3 || column == 5 else { return nil }
            guard let status = answers[row].status else { return TerminalStyle.red }
            return column == 5 && !status.configuration.last_error.isEmpty ? TerminalStyle.red : nil
        }
        for line in lines { print(line) }
        for answer in answers {
            for line in answer.status?.configuration.last_error ?? [] { complain("\(answer.server): \(line)") }
        }
    }
}
