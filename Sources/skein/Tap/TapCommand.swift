internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct TapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tap",
        abstract: "Show requests as they pass: from, to, method, path, status, time, flags, and why one did not end well.",
        discussion: """
            Asks a proxy's admin port, and goes on until Ctrl-C or --count. Nothing is sampled and nothing need be logged; lines that the
            server had no room for are said. -o json prints a line for each request, with the keys of Istio's JSON log and both ends.

            EXAMPLES
              skein tap
              skein tap --status 5xx --to reviews
              skein tap --slower 100ms --path /api
              skein tap --flags UF,URX --count 10 -o json | jq .upstream_host
              skein tap --server 127.0.1.1:15000
            """)

    @Option(help: "Response code (503), class (5xx) or range (400-499).")
    var status: String?

    @Option(help: "Beginning of the path.")
    var path: String?

    @Option(help: "Request method.")
    var method: String?

    @Option(help: "Whole name of the route.")
    var route: String?

    @Option(help: "Part of the name of the service or cluster that was asked for.")
    var service: String?

    @Option(help: "Response flags, e.g. UF,NR: requests with one of them.")
    var flags: String?

    @Option(help: "Only requests that took this long or longer, e.g. 100ms.")
    var slower: String?

    @Option(help: "Part of the name or address of who sent it.")
    var from: String?

    @Option(help: "Part of the name or address of whom it was for.")
    var to: String?

    @Option(help: "End after so many requests.")
    var count: Int?

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count \(count): write a number from 1") }
    }

    func run() throws {
        var client = try server.client(defaultPort: 15000)
        // The next request may be long in coming.
        client.timeoutMilliseconds = -1
        var printer = TapPrinter(
            table: TapTable(columns: TapTable.terminalColumns, style: .standardOutput), isJSON: output == .json, left: count,
            service: service, from: from, to: to)
        printer.begin()
        let response = try calling(client) { client in
            unsafe try client.stream("GET", target()) { bytes in printer.take(unsafe Array(bytes)) }
        }
        guard response.status == 200 else {
            let text = String(decoding: response.body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            complain("skein: \(SafeText.clean(text))")
            throw response.status == 400 ? ExitStatus.badInput : ExitStatus.unavailable
        }
        guard !printer.isDone else { return }
        complain("skein: the server ended the stream: it stops, this reader was too slow, or too many watch already")
        throw ExitStatus.unavailable
    }

    private func target() -> String {
        var parameters: [(String, String)] = [("limit", "0"), ("format", "tap"), ("follow", "true")]
        for (name, value) in [("status", status), ("path", path), ("method", method), ("route", route), ("min-duration", slower)] {
            if let value { parameters.append((name, value)) }
        }
        for flag in (flags ?? "").split(separator: ",") { parameters.append(("flag", String(flag))) }
        return "/logs?" + parameters.map { "\($0.0)=\(TracesCommand.encode($0.1))" }.joined(separator: "&")
    }
}
