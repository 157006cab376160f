internal import ArgumentParser
internal import Foundation
internal import Glibc
internal import HTTPService

struct LogsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Show the newest access-log records of a running Skein, and follow them.",
        discussion: """
            Reads the records that the process keeps in memory, whether or not it also writes a log file.

            EXAMPLES
              skein logs
              skein logs -f --status 5xx
              skein logs --path /api --min 250ms -o json | jq .upstream_host
              skein logs --trace 463ac35c9f6413ad48485a3953bb6124
            """)

    @Flag(name: .shortAndLong, help: "Go on as requests finish, until Ctrl-C.")
    var follow = false

    @Option(help: "Response code (503) or class (5xx).")
    var status: String?

    @Option(help: "Response flag, e.g. UF, NR.")
    var flag: String?

    @Option(help: "Request method.")
    var method: String?

    @Option(help: "Beginning of the path.")
    var path: String?

    @Option(help: "Authority of the request.")
    var host: String?

    @Option(help: "Part of the upstream cluster's name.")
    var cluster: String?

    @Option(help: "Shortest duration, e.g. 250ms.")
    var min: String?

    @Option(help: "x-request-id.")
    var requestID: String?

    @Option(help: "Trace id.")
    var trace: String?

    @Option(help: "inbound or outbound.")
    var side: String?

    @Option(name: [.customShort("n"), .long], help: "Newest records to begin with.")
    var limit = 20

    @Option(name: .shortAndLong, help: "Output format: text (Istio's line) or json.")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    func run() throws {
        var client = try server.client(defaultPort: 15000)
        if follow { client.timeoutMilliseconds = -1 }
        var parameters: [(String, String)] = [("limit", String(limit)), ("format", output.rawValue)]
        if follow { parameters.append(("follow", "true")) }
        for (name, value) in [
            ("status", status), ("flag", flag), ("method", method), ("path", path), ("host", host), ("cluster", cluster),
            ("request-id", requestID), ("trace-id", trace), ("side", side),
        ] {
            if let value { parameters.append((name, value)) }
        }
        if let min {
            parameters.append(("min-duration", min))
        }
        let target = "/logs?" + parameters.map { "\($0.0)=\(TracesCommand.encode($0.1))" }.joined(separator: "&")
        let response = try calling(client) { client in
            unsafe try client.stream("GET", target) { bytes in
                unsafe write(STDOUT_FILENO, bytes.baseAddress, bytes.count) == bytes.count
            }
        }
        guard response.status == 200 else {
            complain("skein: \(String(decoding: response.body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))")
            throw response.status == 400 ? ExitStatus.badInput : ExitStatus.unavailable
        }
    }
}
