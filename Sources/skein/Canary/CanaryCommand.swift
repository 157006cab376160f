internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct CanaryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "canary",
        abstract: "Judge whether a route's canary is as good as its stable version.",
        discussion: """
            Asks the running Skein's store how requests to both went: share of errors, and latency. Looking again and again does not
            make the verdict less certain. Nothing is changed: weights stay as they are configured.

            Of two destinations the one with the smaller weight is the canary, unless --canary or --stable names one: a subset, a host
            or, with --service, a version. A VirtualService is found in the configuration of the process that is asked; where that has
            none, name the route as its metrics do (`default` when it has no name) with --host.

            EXAMPLES
              skein canary --route default/reviews
              skein canary --route default/reviews --watch --confidence 0.99 && echo promote
              skein canary --route default --host reviews --canary v2 --since 30m
              skein canary --service reviews.default.svc.cluster.local --stable v1 --canary v2 -o json

            EXIT CODES
              0  promote   2  rollback   3  wait, or no data   64  wrong usage   65  what is asked for is not clear   69  no answer
            """)

    @Option(help: "NAMESPACE/VIRTUALSERVICE[/ROUTE], or the name of a route in the metrics.")
    var route: String?

    @Option(help: "With the name of a route: only its clusters of this host.")
    var host: String?

    @Option(help: "Instead of a route: a service, whose versions are compared wherever its requests come from.")
    var service: String?

    @Option(help: "The canary: a subset, host or version.")
    var canary: String?

    @Option(help: "The stable version: a subset, host or version.")
    var stable: String?

    @Option(help: "Look back so far, e.g. 30m; at most 24h. Default: as far as --max.")
    var since: String?

    @Option(help: "Look at what came after this time (RFC 3339 or Unix seconds), instead of --since.")
    var start: String?

    @Option(help: "How certain a verdict is, 0.5 to 0.9999. Default: 0.95.")
    var confidence: String?

    @Option(help: "Tolerated: so many more failed requests. Default: 0.5%.")
    var errorMargin: String?

    @Option(help: "Tolerated: so much slower. Default: 25%.")
    var latencyMargin: String?

    @Option(help: "Tolerated in any case: so many more slow requests. Default: 1%.")
    var slowMargin: String?

    @Option(help: "Requests that each of both needs before the canary is promoted. Default: 200.")
    var minRequests: UInt64?

    @Option(help: "A canary is judged so long; later requests change nothing. Default: 1h.")
    var max: String?

    @Option(help: "Requests are compared in steps of this length, 1s to 5m: at least as long as metrics are apart. Default: 10s.")
    var step: String?

    @Flag(help: "Look again every ten seconds until there is a verdict or the time is over.")
    var watch = false

    @Option(name: .shortAndLong, help: "Output format: text or json.")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    /// Between two looks of --watch, seconds.
    private static let pauseSeconds = 10.0

    func validate() throws {
        if (route == nil) == (service == nil) { throw ValidationError("write either --route or --service") }
        if host != nil, route == nil { throw ValidationError("--host goes with --route") }
        if since != nil, start != nil { throw ValidationError("write either --since or --start") }
    }

    func run() throws {
        let client = try server.client(defaultPort: Environment.port("QUERY_PORT") ?? 9411)
        var (body, picture) = try look(client, start: start)
        // Every look of a watch begins at the same time: only then they are looks at one canary.
        let first = Double(picture.startUnixMilliseconds) / 1000
        while watch, !picture.isFinal {
            complain(picture.line)
            Thread.sleep(forTimeInterval: Self.pauseSeconds)
            (body, picture) = try look(client, start: "\(first)")
        }
        switch output {
        case .json: print(SafeText.escaped(json: String(decoding: body, as: UTF8.self)))
        case .text: for line in picture.lines(style: .standardOutput) { print(line) }
        }
        switch picture.verdict {
        case "promote": return
        case "rollback": throw ExitStatus.rollback
        default: throw ExitStatus.undecided
        }
    }

    private func look(_ client: HTTPClient, start: String?) throws -> (body: [UInt8], picture: CanaryPicture) {
        let response = try calling(client) { try $0.send("GET", "/v1/canary?\(query(start: start))") }
        if response.status == 200, let picture = try? JSONDecoder().decode(CanaryPicture.self, from: Data(response.body)) {
            return (response.body, picture)
        }
        let answer = (try? JSONDecoder().decode(CanaryRefusal.self, from: Data(response.body)))?.error
        let text = answer ?? "no answer of a Skein with a store: " + String(decoding: response.body.prefix(200), as: UTF8.self)
        complain("skein: \(SafeText.clean(text))")
        throw answer != nil && response.status < 500 ? ExitStatus.badInput : ExitStatus.unavailable
    }

    private func query(start: String?) -> String {
        let parameters = [
            ("route", route), ("host", host), ("service", service), ("canary", canary), ("stable", stable),
            ("since", start == nil ? since : nil), ("start", start), ("confidence", confidence), ("error_margin", errorMargin),
            ("latency_margin", latencyMargin), ("slow_margin", slowMargin), ("min_requests", minRequests.map { "\($0)" }), ("max", max),
            ("step", step),
        ]
        return parameters.compactMap { name, value in value.map { "\(name)=\(TracesCommand.encode($0))" } }.joined(separator: "&")
    }
}

private struct CanaryRefusal: Decodable {
    var error: String
}
