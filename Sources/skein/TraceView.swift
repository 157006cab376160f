internal import Foundation

/// A trace as a person reads it: one row of a list, or a tree with a time line.
struct TraceView {
    struct Span: Decodable {
        struct Endpoint: Decodable { var serviceName: String? }
        var traceId: String
        var id: String
        var parentId: String?
        var name: String?
        var kind: String?
        var timestamp: UInt64?
        var duration: UInt64?
        var localEndpoint: Endpoint?
        var tags: [String: String]?
        var shared: Bool?

        var service: String { localEndpoint?.serviceName ?? "-" }
        var isError: Bool { tags?["error"] != nil }

        /// `GET /reviews/1 200`, as far as its tags say (names of Zipkin's and OpenTelemetry's conventions); empty for what is no HTTP.
        var request: String {
            func tag(_ names: String...) -> String? { names.lazy.compactMap { tags?[$0] }.first { !$0.isEmpty } }
            let target = tag("http.path", "url.path", "http.target") ?? tag("http.url", "url.full").map(Self.path) ?? tag("http.route")
            return [tag("http.method", "http.request.method"), target, tag("http.status_code", "http.response.status_code")].compactMap(
                \.self
            ).joined(separator: " ")
        }

        /// Of a URL: what follows the authority.
        private static func path(_ url: String) -> String {
            guard let scheme = url.range(of: "://") else { return url }
            return url[scheme.upperBound...].firstIndex(of: "/").map { String(url[$0...]) } ?? "/"
        }
    }

    let spans: [Span]

    private var start: UInt64 { spans.compactMap(\.timestamp).min() ?? 0 }
    private var end: UInt64 { spans.map { ($0.timestamp ?? 0) &+ ($0.duration ?? 0) }.max() ?? 0 }
    private var root: Span? { spans.first { $0.parentId == nil } ?? spans.min { ($0.timestamp ?? .max) < ($1.timestamp ?? .max) } }

    /// Aligned columns with a heading.
    static func table(_ traces: [TraceView], style: TerminalStyle) -> [String] {
        if traces.isEmpty { return ["no traces match"] }
        var rows: [[String]] = [["WHEN", "TRACE", "DURATION", "SPANS", "SERVICES", "ROOT", "REQUEST"]]
        for trace in traces {
            let services = Set(trace.spans.map(\.service)).count
            let root = trace.root.map { "\($0.service) \($0.name ?? "-")" } ?? "-"
            rows.append([
                when(trace.start), trace.spans.first?.traceId ?? "-", duration(trace.end &- trace.start), String(trace.spans.count),
                String(services), root, (trace.root?.request ?? "") + (trace.spans.contains(where: \.isError) ? "  error" : ""),
            ])
        }
        // Names are strangers': nothing that a terminal acts upon gets there.
        rows = rows.map { $0.map(SafeText.clean) }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.enumerated().map { index, row in
            let line = row.indices.map { column in
                column == row.count - 1 ? row[column] : row[column].padding(toLength: widths[column], withPad: " ", startingAt: 0)
            }.joined(separator: "  ")
            return index == 0
                ? style.paint(line, TerminalStyle.bold) : line.hasSuffix("  error") ? style.paint(line, TerminalStyle.red) : line
        }
    }

    /// Spans below their parents, each with its place in time.
    func tree(style: TerminalStyle) -> [String] {
        let identifiers = Set(spans.map(\.id))
        var children: [String: [Int]] = [:]
        var roots: [Int] = []
        for (index, span) in spans.enumerated() {
            let parent = span.shared == true ? span.id : span.parentId
            if let parent, identifiers.contains(parent), span.shared == true || parent != span.id {
                children[parent, default: []].append(index)
            } else {
                roots.append(index)
            }
        }
        var lines: [(String, Span)] = []
        var seen: Set<Int> = []
        // Iterative, and each span once: a cycle in hostile data ends.
        var stack = roots.sorted { (spans[$0].timestamp ?? 0) > (spans[$1].timestamp ?? 0) }.map { ($0, 0) }
        while let (index, depth) = stack.popLast() {
            guard seen.insert(index).inserted else { continue }
            let span = spans[index]
            let label =
                String(repeating: "  ", count: Swift.min(depth, 20)) + SafeText.clean("\(span.service) \(span.name ?? "-")")
                + (span.kind.map { " [\($0.lowercased())]" } ?? "")
            lines.append((label, span))
            if span.shared != true || depth == 0 {
                for child in (children[span.id] ?? []).sorted(by: { (spans[$0].timestamp ?? 0) > (spans[$1].timestamp ?? 0) }) {
                    stack.append((child, depth + 1))
                }
            }
        }
        let width = Swift.min(60, lines.map { $0.0.count }.max() ?? 0)
        let total = Swift.max(1, end &- start)
        var out = [
            "trace \(spans.first?.traceId ?? "-")  \(Self.when(start))  \(Self.duration(end &- start))  \(spans.count) "
                + "span\(spans.count == 1 ? "" : "s")"
        ]
        for (label, span) in lines {
            // Times of clocks that are far off lie outside of what `total` says.
            let offset = Int(Swift.min(39, Double((span.timestamp ?? start) &- start) / Double(total) * 40))
            let length = Int(Swift.min(40, Swift.max(1, Double(span.duration ?? 0) / Double(total) * 40)))
            let from = Swift.min(39, Swift.max(0, offset))
            let bar = String(repeating: " ", count: from) + String(repeating: "█", count: Swift.min(length, 40 - from))
            let status = span.tags?["http.status_code"].map { " \(SafeText.clean($0))" } ?? ""
            let line =
                label.prefix(60).padding(toLength: width, withPad: " ", startingAt: 0) + "  |"
                + bar.padding(toLength: 40, withPad: " ", startingAt: 0)
                + "| " + Self.duration(span.duration ?? 0) + status
            out.append(span.isError ? style.paint(line + " error", TerminalStyle.red) : line)
        }
        return out
    }

    static func duration(_ microseconds: UInt64) -> String {
        if microseconds < 1000 { return "\(microseconds)us" }
        if microseconds < 1_000_000 { return String(format: "%.1fms", Double(microseconds) / 1e3) }
        return String(format: "%.2fs", Double(microseconds) / 1e6)
    }

    static func when(_ microseconds: UInt64) -> String {
        let formatter = DateFormatter()
        formatter.dateFormat = "yyyy-MM-dd HH:mm:ss.SSS"
        return formatter.string(from: Date(timeIntervalSince1970: Double(microseconds) / 1e6))
    }
}
