internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct TopCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "top",
        abstract: "Show success rates, requests a second and latencies, live.",
        discussion: """
            Asks the running Skein's store (or any server with Prometheus' API that has the mesh's metrics) what happened within the last
            window. What is wrong stands first. On a terminal it goes on until q; elsewhere, with --once or -o it looks once.

            \(TopHelp.rule.joined(separator: "\n"))

            KEYS
              arrows, PgUp, PgDn, Home, End   move      /   filter       s   sort by the next column
              Enter   by code and flags                 b   other rows   p   pause      ?   help      q   quit

            EXAMPLES
              skein top
              skein top --by edge --window 5m
              skein top -o json | jq '.rows[] | select(.success_rate < 0.99) | .name'
              skein top --by family            which metrics have most series, and which label makes them so many
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case table, json
    }

    @Option(help: "What the rows are: service, route, edge, endpoint or family (metrics by their number of series).")
    var by = TopDimension.service

    @Option(help: "First rows: wrong (most failures), name, success, requests, p50, p95 or p99.")
    var sort = TopOrder.wrong

    @Option(help: "Of the last …, e.g. 30s, 5m. At least twice as long as metrics are apart.")
    var window = "1m"

    @Option(help: "Ask again every …, e.g. 2s.")
    var interval = "2s"

    @Flag(help: "Look once, also on a terminal.")
    var once = false

    @Option(name: .shortAndLong, help: "Look once, and print a table or json.")
    var output: Format?

    @OptionGroup var server: ServerOptions

    /// A question costs the server something.
    private static let intervalSecondsMin = 0.5

    func run() throws {
        guard let length = TracesCommand.microseconds(window), length >= 1_000_000 else {
            throw ValidationError("--window \(window): write 30s, 5m or 1h, at least 1s")
        }
        guard let pause = TracesCommand.microseconds(interval).map({ Double($0) / 1e6 }), pause >= Self.intervalSecondsMin else {
            throw ValidationError("--interval \(interval): write 2s or 1m, at least \(Self.intervalSecondsMin)s")
        }
        let client = try server.client(defaultPort: Environment.port("QUERY_PORT") ?? 9411)
        let reader = TopReader(client: client, window: "\(length / 1000)ms")
        guard !once, output == nil, TerminalSession.isAvailable else { return try printOnce(reader) }
        var live = TopLive(
            reader, server: "\(client.endpoint)", window: window, intervalSeconds: pause, TopState(dimension: by, order: sort))
        let signal: Int32?
        do {
            signal = try live.run()
        } catch {
            complain("skein: \(error)")
            throw ExitStatus.system
        }
        if let signal { throw ExitCode(128 + signal) }
    }

    private func printOnce(_ reader: TopReader) throws {
        let picture: TopPicture
        do throws(TopProblem) {
            picture = try reader.picture(by)
        } catch {
            let advice = error.isUnavailable ? "; is `skein run` running there? (--server ADDRESS:PORT)" : ""
            complain("skein: \(SafeText.clean(error.text))\(advice)")
            throw error.isUnavailable ? ExitStatus.unavailable : ExitStatus.badInput
        }
        for note in picture.notes { complain("skein: \(SafeText.clean(note))") }
        let text = TopText(picture: picture, order: sort, window: window)
        switch output ?? .table {
        case .json: print(try text.json())
        case .table: for line in text.table(style: .standardOutput) { print(line) }
        }
    }
}
