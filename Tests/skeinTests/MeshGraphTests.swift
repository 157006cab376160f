import Foundation
@testable import skein
import Testing

/// Edges from Istio's metrics, and what Graphviz gets of them.
struct MeshGraphTests {
    private func series(_ labels: [String: String], _ value: Double) throws -> PrometheusAnswer.Series {
        let json = #"{"metric":\#(String(decoding: try JSONEncoder().encode(labels), as: UTF8.self)),"value":[1,"\#(value)"]}"#
        return try JSONDecoder().decode(PrometheusAnswer.Series.self, from: Data(json.utf8))
    }

    private func labels(_ from: String, _ to: String, _ code: String, _ reporter: String = "source") -> [String: String] {
        [
            "source_workload": from, "destination_workload": to, "destination_service": "svc", "response_code": code, "reporter": reporter,
            "request_protocol": "http",
        ]
    }

    /// Both proxies count a request; it is one request, and the client's proxy has seen all of them.
    @Test func edgesAreCountedOnceAndWorstFirst() throws {
        let graph = MeshGraph.metrics(
            requests: [
                try series(labels("a", "b", "200"), 9), try series(labels("a", "b", "503"), 1), try series(labels("a", "b", "0"), 5),
                try series(labels("a", "b", "200", "destination"), 8), try series(labels("b", "c", "404", "destination"), 3),
                try series(labels("a", "unknown", "200"), 2),
            ],
            durations: [try series(labels("a", "b", ""), 12.5), try series(labels("x", "y", ""), 1)])
        #expect(
            graph.edges == [
                MeshGraph.Edge(from: "a", to: "b", perSecond: 15, errorRate: 0.1, p95: 12.5),
                MeshGraph.Edge(from: "b", to: "c", perSecond: 3, errorRate: 0, p95: nil),
                MeshGraph.Edge(from: "a", to: "svc", perSecond: 2, errorRate: 0, p95: nil),
            ])
    }

    @Test func namesCannotBreakOutOfDot() {
        let graph = MeshGraph(
            source: .traces, edges: [MeshGraph.Edge(from: "a\"];\n", to: "\\", perSecond: 1, errorRate: 0.5, p95: nil)])
        let lines = GraphText(graph: graph, window: "5m").dot()
        #expect(lines.count == 5)
        #expect(lines[3] == "  \"a\\\"];\u{FFFD}\" -> \"\\\\\" [label=\"1.00/s, 50.0 % errors\", color=red];")
    }
}
