internal import Foundation

/// A graph for people, for programs and for Graphviz.
struct GraphText {
    let graph: MeshGraph
    let window: String

    func table(style: TerminalStyle) -> [String] {
        guard !graph.edges.isEmpty else { return ["no requests in the last \(window)"] }
        var table = TextTable(["FROM", "TO", "RPS", "ERRORS", "P95"])
        for edge in graph.edges {
            table.add([SafeText.clean(edge.from), SafeText.clean(edge.to), Self.rate(edge), Self.errors(edge), Self.p95(edge)])
        }
        return table.lines(style: style) { row, column in
            guard column == 3, let rate = graph.edges[row].errorRate, rate > 0 else { return nil }
            return rate >= 0.1 ? TerminalStyle.red : TerminalStyle.yellow
        }
    }

    /// Graphviz (graphviz.org/doc/info/lang.html): names are quoted, and quotes and backslashes in them escaped.
    func dot() -> [String] {
        var lines = ["digraph mesh {", "  rankdir=LR;", "  node [shape=box];"]
        for edge in graph.edges {
            let hasErrors = (edge.errorRate ?? 0) > 0
            let parts = [
                Self.rate(edge) + "/s", hasErrors ? Self.errors(edge) + " errors" : "", edge.p95 == nil ? "" : "p95 " + Self.p95(edge),
            ]
            let label = parts.filter { !$0.isEmpty }.joined(separator: ", ")
            let color = hasErrors ? ", color=red" : ""
            lines.append("  \(Self.quoted(edge.from)) -> \(Self.quoted(edge.to)) [label=\(Self.quoted(label))\(color)];")
        }
        return lines + ["}"]
    }

    private struct Document: Encodable {
        /// Members that are not known are null, never absent.
        struct Edge: Encodable {
            var edge: MeshGraph.Edge

            private enum Keys: String, CodingKey { case from, to, requests_per_second, error_rate, p95_ms }

            func encode(to encoder: any Encoder) throws {
                var fields = encoder.container(keyedBy: Keys.self)
                try fields.encode(edge.from, forKey: .from)
                try fields.encode(edge.to, forKey: .to)
                try fields.encode(edge.perSecond, forKey: .requests_per_second)
                try fields.encode(edge.errorRate, forKey: .error_rate)
                try fields.encode(edge.p95, forKey: .p95_ms)
            }
        }

        var source: String
        var window: String
        var edges: [Edge]
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let document = Document(source: graph.source.rawValue, window: window, edges: graph.edges.map { Document.Edge(edge: $0) })
        return SafeText.escaped(json: String(decoding: try encoder.encode(document), as: UTF8.self))
    }

    private static func rate(_ edge: MeshGraph.Edge) -> String { String(format: edge.perSecond < 10 ? "%.2f" : "%.1f", edge.perSecond) }

    private static func errors(_ edge: MeshGraph.Edge) -> String { edge.errorRate.map { String(format: "%.1f %%", $0 * 100) } ?? "-" }

    private static func p95(_ edge: MeshGraph.Edge) -> String {
        edge.p95.map { TraceView.duration(UInt64(exactly: ($0 * 1000).rounded()) ?? 0) } ?? "-"
    }

    private static func quoted(_ text: String) -> String {
        "\"" + SafeText.clean(text).replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }
}
