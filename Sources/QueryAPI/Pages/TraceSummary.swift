internal import TelemetryModel

/// One trace as a list shows it. Pure.
struct TraceSummary {
    var id: TraceID
    /// Microseconds since 1970; 0 = no span has a timestamp.
    var start: UInt64 = 0
    /// Microseconds from the first start to the last end.
    var duration: UInt64 = 0
    var service = ""
    var operation = ""
    /// As far as the root's tags say; empty for what is no HTTP.
    var method = ""
    var path = ""
    var status = ""
    var spanCount = 0
    var services: [String] = []
    /// Spans that have one.
    var errorCount = 0
    var hasError: Bool { errorCount > 0 }
    /// `GET /reviews/1 200`; empty for what is no HTTP.
    var request: String { [method, path, status].filter { !$0.isEmpty }.joined(separator: " ") }

    /// nil for a batch without spans.
    init?(_ batch: SpanBatch) {
        guard let first = batch.spans.first else { return nil }
        id = first.traceID
        spanCount = batch.spans.count
        var end: UInt64 = 0
        var root: SpanRow?
        var names = Set<String>()
        for span in batch.spans {
            if span.timestamp > 0 {
                if start == 0 || span.timestamp < start { start = span.timestamp }
                end = max(end, span.timestamp.addingReportingOverflow(span.duration).partialValue)
            }
            if span.localEndpoint != EndpointRow.absent { names.insert(batch.nameOfService(span.localEndpoint)) }
            if batch.hasError(span) { errorCount += 1 }
            if let known = root {
                let isBetter = span.parentID.isNone && !known.parentID.isNone
                let isEarlier = span.parentID.isNone == known.parentID.isNone && span.timestamp < known.timestamp
                if isBetter || isEarlier { root = span }
            } else {
                root = span
            }
        }
        duration = end > start ? end - start : 0
        services = names.filter { !$0.isEmpty }.sorted()
        if let root {
            service = batch.nameOfService(root.localEndpoint)
            operation = batch.string(root.name)
            method = batch.methodText(root)
            path = batch.pathText(root)
            status = batch.statusText(root)
        }
    }
}

extension SpanBatch {
    /// The name of an endpoint; empty when there is none.
    func nameOfService(_ endpoint: UInt32) -> String {
        guard endpoint != EndpointRow.absent, Int(endpoint) < endpoints.count else { return "" }
        return string(endpoints[Int(endpoint)].serviceName)
    }

    /// The value of the first of these tags that has one.
    private func tagText(of keys: [String], _ span: SpanRow) -> String? {
        keys.lazy.compactMap { key in
            tags(of: span).first { $0.key.count == key.utf8.count && string($0.key) == key }.map { string($0.value) }
        }.first { !$0.isEmpty }
    }

    // Method, path and status by the names of Zipkin's and of OpenTelemetry's conventions; empty where no tag says.

    func methodText(_ span: SpanRow) -> String { tagText(of: ["http.method", "http.request.method"], span) ?? "" }

    func statusText(_ span: SpanRow) -> String { tagText(of: ["http.status_code", "http.response.status_code"], span) ?? "" }

    func pathText(_ span: SpanRow) -> String {
        if let path = tagText(of: ["http.path", "url.path", "http.target"], span) { return path }
        guard let url = tagText(of: ["http.url", "url.full"], span) else { return "" }
        guard let scheme = url.firstRange(of: "://") else { return url }
        return url[scheme.upperBound...].firstIndex(of: "/").map { String(url[$0...]) } ?? "/"
    }

    /// An `error` tag, whatever its value (semantics 2.11).
    func hasError(_ span: SpanRow) -> Bool {
        tags(of: span).contains { tag in
            tag.key.count == 5 && text[Int(tag.key.offset)..<Int(tag.key.offset) + 5].elementsEqual("error".utf8)
        }
    }

    /// Rows in the order of the tree, with their depth: children after their parent, by time; orphans at depth 0. Iterative.
    func treeOrder() -> [(row: Int, depth: Int)] {
        // A shared server span has its client's id: it comes under the client's row, and children prefer it.
        var rowOfID: [SpanID: Int] = [:]
        for (row, span) in spans.enumerated() where !span.flags.contains(.shared) && rowOfID[span.id] == nil { rowOfID[span.id] = row }
        var children: [Int: [Int]] = [:]
        var sharedOfID: [SpanID: Int] = [:]
        var roots: [Int] = []
        for (row, span) in spans.enumerated() where span.flags.contains(.shared) {
            if let client = rowOfID[span.id] { children[client, default: []].append(row) } else { roots.append(row) }
            if sharedOfID[span.id] == nil { sharedOfID[span.id] = row }
        }
        for (row, span) in spans.enumerated() where !span.flags.contains(.shared) {
            if let parent = sharedOfID[span.parentID] ?? rowOfID[span.parentID], parent != row, !span.parentID.isNone {
                children[parent, default: []].append(row)
            } else {
                roots.append(row)
            }
        }
        func later(_ first: Int, _ second: Int) -> Bool { (spans[first].timestamp, first) > (spans[second].timestamp, second) }
        var order: [(row: Int, depth: Int)] = []
        var seen = [Bool](repeating: false, count: spans.count)
        var stack = roots.sorted(by: later).map { (row: $0, depth: 0) }
        func walk() {
            while let next = stack.popLast() {
                guard !seen[next.row] else { continue }
                seen[next.row] = true
                order.append(next)
                for child in (children[next.row] ?? []).sorted(by: later) { stack.append((child, next.depth + 1)) }
            }
        }
        walk()
        // Spans that are their own ancestors hang under nothing; they are shown all the same.
        for row in spans.indices where !seen[row] {
            stack.append((row, 0))
            walk()
        }
        return order
    }
}
