internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct TracesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "traces",
        abstract: "List recent traces, or show one.",
        discussion: """
            EXAMPLES
              skein traces                                  the ten newest
              skein traces --service reviews --min 100ms    slow ones through a service
              skein traces --query 'error and http.status_code=503'
              skein traces --status 5xx --tag region=eu     failed ones with a tag
              skein traces --where '{ kind = server && duration > 1s } && { .db.system = "mysql" }'
              skein traces 463ac35c9f6413ad48485a3953bb6124 one, as a tree with a time line
            """)

    @Argument(help: "A trace id: show that trace.")
    var trace: String?

    @Option(name: .shortAndLong, help: "Spans of this service.")
    var service: String?

    @Option(help: "Span name.")
    var span: String?

    @Option(name: .shortAndLong, help: "Zipkin annotation query: `key=value`, `key` or annotation, joined by ` and `.")
    var query: String?

    @Option(help: "Shortest duration, e.g. 100ms, 1.5s.")
    var min: String?

    @Option(help: "Longest duration of a span that matches, e.g. 2s.")
    var max: String?

    @Option(help: "A tag that a span has, `key=value` or `key`; may be repeated, and one span has all of them.")
    var tag: [String] = []

    @Option(help: "How a span ended: error, ok, a status code (503) or a class of them (5xx).")
    var status: String?

    @Option(help: "Which traces, in TraceQL: selectors such as `{ status = error }`, joined by && and ||.")
    var `where`: String?

    @Option(help: "How far back, e.g. 15m, 1h, 2d.")
    var lookback = "1d"

    @Option(name: .shortAndLong, help: "How many traces.")
    var limit = 10

    @Option(name: .shortAndLong, help: "Output format: text or json (Zipkin v2).")
    var output = OutputFormat.text

    @OptionGroup var server: ServerOptions

    func run() throws {
        let client = try server.client(defaultPort: Environment.port("QUERY_PORT") ?? 9411)
        let target: String
        if trace == nil, let selector = try selector() {
            guard let found = try search(selector, client) else { return printNothing() }
            target = found
        } else {
            target = try self.target()
        }
        let response = try calling(client) { try $0.send("GET", target) }
        guard response.status == 200 else {
            complain("skein: \(String(decoding: response.body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))")
            throw response.status == 404 || response.status == 400 ? ExitStatus.badInput : ExitStatus.unavailable
        }
        if trace == nil, let service { try noteUnknown(service, Self.isEmptyList(response.body), client) }
        if output == .json {
            print(String(decoding: response.body, as: UTF8.self))
            return
        }
        let decoder = JSONDecoder()
        if trace != nil {
            let spans = try decoder.decode([TraceView.Span].self, from: Data(response.body))
            for line in TraceView(spans: spans).tree(style: .standardOutput) { print(line) }
        } else {
            // One trace that was looked up by its id comes alone.
            let traces =
                if let list = try? decoder.decode([[TraceView.Span]].self, from: Data(response.body)) { list } else {
                    [try decoder.decode([TraceView.Span].self, from: Data(response.body))]
                }
            for line in TraceView.table(traces.map { TraceView(spans: $0) }, style: .standardOutput) { print(line) }
        }
    }

    // MARK: By TraceQL

    /// What these options ask for in TraceQL; nil = Zipkin's parameters can say all of it, and any Zipkin server be asked.
    private func selector() throws -> String? {
        guard max != nil || !tag.isEmpty || status != nil || `where` != nil else { return nil }
        if query != nil { throw ValidationError("--query does not go together with --tag, --status, --max and --where") }
        var options = TraceSelector()
        options.service = service
        options.span = span
        options.tags = tag
        options.status = status
        options.min = min
        options.max = max
        options.selector = `where`
        do throws(TraceSelector.Problem) { return try options.text() } catch { throw ValidationError(error.text) }
    }

    private struct Found: Decodable {
        struct Trace: Decodable { var traceID: String }
        var traces: [Trace]
    }

    /// Where the traces that Tempo's API finds are to be had from Zipkin's; nil = there are none.
    private func search(_ selector: String, _ client: HTTPClient) throws -> String? {
        guard let back = Self.microseconds(lookback) else { throw ValidationError("--lookback \(lookback): write 15m, 1h or 2d") }
        let end = UInt64(Swift.max(0, Date().timeIntervalSince1970)) + 1
        let start = end > back / 1_000_000 ? end - back / 1_000_000 : 1
        let target = "/tempo/api/search?q=\(Self.encode(selector))&limit=\(limit)&start=\(start)&end=\(end)"
        let response = try calling(client) { try $0.send("GET", target) }
        guard response.status == 200, let found = try? JSONDecoder().decode(Found.self, from: Data(response.body)) else {
            complain("skein: \(SafeText.clean(String(decoding: response.body.prefix(400), as: UTF8.self)))")
            throw response.status == 400 ? ExitStatus.badInput : ExitStatus.unavailable
        }
        if let warning = response.header("warning") { complain("skein: \(SafeText.clean(warning))") }
        let ids = found.traces.map(\.traceID)
        if ids.isEmpty { return nil }
        return ids.count == 1 ? "/api/v2/trace/" + ids[0] : "/api/v2/traceMany?traceIds=" + ids.joined(separator: ",")
    }

    private func printNothing() { print(output == .json ? "[]" : "no traces match") }

    /// A service that nobody has spans of is mostly a name mistyped: says which there are.
    private func noteUnknown(_ service: String, _ foundNothing: Bool, _ client: HTTPClient) throws {
        guard foundNothing else { return }
        let response = try calling(client) { try $0.send("GET", "/api/v2/services") }
        guard response.status == 200, let known = try? JSONDecoder().decode([String].self, from: Data(response.body)) else { return }
        if let note = Self.unknownServiceNote(service, among: known) { complain("skein: \(note)") }
    }

    /// Names told at most.
    static let servicesShownMax = 30

    /// nil when the service is known, so that what does not fit is something else. Names are lower-case in Zipkin.
    static func unknownServiceNote(_ service: String, among known: [String]) -> String? {
        if known.contains(service.lowercased()) { return nil }
        guard !known.isEmpty else { return "no service \(service): no spans have been stored" }
        let rest = known.count > servicesShownMax ? " and \(known.count - servicesShownMax) more" : ""
        return "no service \(service); there are \(known.prefix(servicesShownMax).joined(separator: ", "))\(rest)"
    }

    private static func isEmptyList(_ body: [UInt8]) -> Bool { body.filter { $0 > 0x20 } == Array("[]".utf8) }

    private func target() throws -> String {
        if let trace { return "/api/v2/trace/" + Self.encode(trace) }
        var parameters: [(String, String)] = [("limit", String(limit))]
        guard let back = Self.microseconds(lookback) else { throw ValidationError("--lookback \(lookback): write 15m, 1h or 2d") }
        parameters.append(("lookback", String(back / 1000)))
        if let service { parameters.append(("serviceName", service)) }
        if let span { parameters.append(("spanName", span)) }
        if let query { parameters.append(("annotationQuery", query)) }
        if let min {
            guard let least = Self.microseconds(min) else { throw ValidationError("--min \(min): write 100ms or 1.5s") }
            parameters.append(("minDuration", String(least)))
        }
        return "/api/v2/traces?" + parameters.map { "\($0.0)=\(Self.encode($0.1))" }.joined(separator: "&")
    }

    static func encode(_ text: String) -> String {
        text.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    }

    /// `250us`, `100ms`, `1.5s`, `15m`, `1h`, `2d`; nil for anything else or beyond a century.
    static func microseconds(_ text: String) -> UInt64? {
        let units: [(String, Double)] = [("us", 1), ("ms", 1e3), ("s", 1e6), ("m", 6e7), ("h", 3.6e9), ("d", 8.64e10)]
        for (suffix, factor) in units where text.hasSuffix(suffix) {
            guard let number = Double(text.dropLast(suffix.count)), number >= 0, number * factor < 3.2e15 else { continue }
            return UInt64(number * factor)
        }
        return nil
    }
}
