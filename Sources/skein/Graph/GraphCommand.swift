internal import ArgumentParser
internal import Foundation
internal import HTTPService

struct GraphCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "graph",
        abstract: "Show who calls whom: requests a second, errors and p95 of each edge.",
        discussion: """
            Asks the running Skein's store (or any server with Prometheus' API that has the mesh's metrics). Where it has none, the edges
            are the dependency links of traces: their rates count what was sampled.

            EXAMPLES
              skein graph
              skein graph --window 1h
              skein graph -o dot | dot -Tsvg > mesh.svg
              skein graph -o json | jq '.edges[] | select(.error_rate > 0.01)'
              skein graph --of traces --window 1d
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text, json, dot
    }

    enum Origin: String, ExpressibleByArgument, CaseIterable {
        case metrics, traces
    }

    @Option(help: "Of the last …, e.g. 5m, 1h. At least twice as long as metrics are apart.")
    var window = "5m"

    @Option(help: "What the edges are made of: metrics or traces; default: metrics, and traces where there are none.")
    var of: Origin?

    @Option(name: .shortAndLong, help: "Output format: text, json or dot (Graphviz).")
    var output = Format.text

    @OptionGroup var server: ServerOptions

    func run() throws {
        guard let length = TracesCommand.microseconds(window), length >= 1_000_000 else {
            throw ValidationError("--window \(window): write 30s, 5m or 1h, at least 1s")
        }
        let client = try server.client(defaultPort: Environment.port("QUERY_PORT") ?? 9411)
        var graph = MeshGraph(source: .metrics)
        if of != .traces { graph = try metrics(client, "\(length / 1000)ms") }
        if of == .traces || (of == nil && graph.edges.isEmpty) { graph = try traces(client, milliseconds: length / 1000) }
        if of == nil, graph.source == .traces, !graph.edges.isEmpty {
            complain("skein: no metrics of requests in the last \(window): these are links of traces, of sampled requests alone")
        }
        let text = GraphText(graph: graph, window: window)
        switch output {
        case .text: for line in text.table(style: .standardOutput) { print(line) }
        case .dot: for line in text.dot() { print(line) }
        case .json: print(try text.json())
        }
    }

    private func metrics(_ client: HTTPClient, _ window: String) throws -> MeshGraph {
        func vector(_ query: String) throws -> [PrometheusAnswer.Series] {
            let answer = try decoded(PrometheusAnswer.self, client, "/api/v1/query?query=\(TracesCommand.encode(query))")
            guard case .vector(let series)? = answer.data else {
                complain("skein: \(SafeText.clean(answer.error ?? "no answer of Prometheus' API"))")
                throw ExitStatus.unavailable
            }
            for warning in answer.warnings ?? [] { complain("skein: \(SafeText.clean(warning))") }
            return series
        }
        return MeshGraph.metrics(
            requests: try vector(MeshGraph.requestsQuery(window: window)), durations: try vector(MeshGraph.durationQuery(window: window)))
    }

    private struct Link: Decodable {
        var parent, child: String
        var callCount: UInt64
        var errorCount: UInt64?
    }

    private func traces(_ client: HTTPClient, milliseconds: UInt64) throws -> MeshGraph {
        let now = UInt64(max(0, Date().timeIntervalSince1970 * 1000))
        let links = try decoded([Link].self, client, "/api/v2/dependencies?endTs=\(now)&lookback=\(milliseconds)")
        return MeshGraph.traces(
            links.map { ($0.parent, $0.child, $0.callCount, $0.errorCount ?? 0) }, seconds: Double(milliseconds) / 1000)
    }

    private func decoded<Answer: Decodable>(_ type: Answer.Type, _ client: HTTPClient, _ target: String) throws -> Answer {
        let response = try calling(client) { try $0.send("GET", target) }
        guard let answer = try? JSONDecoder().decode(type, from: Data(response.body)) else {
            complain("skein: HTTP \(response.status): \(SafeText.clean(String(decoding: response.body.prefix(300), as: UTF8.self)))")
            throw ExitStatus.unavailable
        }
        return answer
    }
}
