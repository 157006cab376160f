internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query",
        abstract: "Ask for metrics in PromQL.",
        discussion: """
            Asks the running Skein's store (or any server with Prometheus' API). Without a range the answer is of one moment; with one
            it shows how each series went. Warnings and infos go to stderr. Exits 65 when the query is wrong.

            EXAMPLES
              skein query 'sum by (destination_service) (rate(istio_requests_total[5m]))'
              skein query --range 1h 'histogram_quantile(0.95, rate(istio_request_duration_milliseconds_bucket[5m]))'
              skein query --range 1h --step 1m -o json 'skein_process_resident_memory_bytes'
              skein query --time 2026-11-30T12:00:00Z 'up'
              skein query --server 127.0.0.1:9090 up                     a Prometheus
            """)

    @Argument(help: "The query.")
    var expression: String

    @Option(help: "The moment: seconds since 1970 or RFC 3339; default now.")
    var time: String?

    @Option(help: "The last … before it, e.g. 15m, 1h, 2d.")
    var range: String?

    @Option(help: "Between two points of a range, e.g. 15s; default a sixtieth of it.")
    var step: String?

    @Option(help: "Give up after …, e.g. 10s.")
    var timeout: String?

    @Option(name: .shortAndLong, help: "Output format: text or json (Prometheus' API).")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    /// Points of a range when no step is given.
    static let pointsDefault = 60.0

    func run() throws {
        let client = try server.client(defaultPort: Environment.port("QUERY_PORT") ?? 9411)
        let target = try self.target(now: Date().timeIntervalSince1970)
        let response = try calling(client) { try $0.send("GET", target) }
        guard let answer = try? JSONDecoder().decode(PrometheusAnswer.self, from: Data(response.body)) else {
            complain("skein: no answer of Prometheus' API: \(String(decoding: response.body.prefix(400), as: UTF8.self))")
            throw response.status == 404 ? ExitStatus.badInput : ExitStatus.unavailable
        }
        for note in (answer.warnings ?? []) + (answer.infos ?? []) { complain("skein: \(note)") }
        guard answer.status == "success", let data = answer.data else {
            complain("skein: \(answer.error ?? "the query failed")")
            throw answer.errorType == "bad_data" || answer.errorType == "execution" ? ExitStatus.badInput : ExitStatus.unavailable
        }
        switch output {
        case .json: print(String(decoding: response.body, as: UTF8.self))
        case .text: for line in data.lines(style: .standardOutput) { print(line) }
        }
    }

    /// The request's path and query. `now` in seconds since 1970.
    func target(now: Double) throws -> String {
        var parameters = [("query", expression)]
        if let timeout { parameters.append(("timeout", timeout)) }
        guard let range else {
            if step != nil { throw ValidationError("--step is of a range: give --range as well") }
            if let time { parameters.append(("time", time)) }
            return Self.path("/api/v1/query", parameters)
        }
        guard let length = TracesCommand.microseconds(range).map({ Double($0) / 1e6 }), length > 0 else {
            throw ValidationError("--range \(range): write 15m, 1h or 2d")
        }
        let end = try time.map { try Self.seconds($0) } ?? now
        parameters += [("start", "\(end - length)"), ("end", "\(end)"), ("step", step ?? "\(max(1, length / Self.pointsDefault))")]
        return Self.path("/api/v1/query_range", parameters)
    }

    private static func seconds(_ text: String) throws -> Double {
        if let seconds = Double(text) { return seconds }
        if let date = try? Date(text, strategy: .iso8601) { return date.timeIntervalSince1970 }
        throw ValidationError("--time \(text): write seconds since 1970, or 2026-11-30T12:00:00Z")
    }

    private static func path(_ path: String, _ parameters: [(String, String)]) -> String {
        path + "?" + parameters.map { "\($0.0)=\(TracesCommand.encode($0.1))" }.joined(separator: "&")
    }
}
