import Foundation
import Primitives
@testable import QueryAPI
import TelemetryModel
import Testing

/// TraceQL's selectors against a model that reads them off plain spans, over a store that keeps Zipkin's rules.
struct TraceQLTests {
    /// A span as the model sees it.
    struct PlainSpan {
        var service: String
        var name: String
        var kind: SpanKind
        var duration: UInt64
        var isRoot: Bool
        var tags: [String: String]

        var status: String { tags["error"] != nil ? "error" : tags["otel.status_code"] == "OK" ? "ok" : "unset" }
    }

    /// A condition and how TraceQL writes it.
    indirect enum Model {
        case leaf(String, (PlainSpan) -> Bool)
        case and(Model, Model), or(Model, Model)

        var text: String {
            switch self {
            case .leaf(let text, _): text
            case .and(let left, let right): "(\(left.text)) && (\(right.text))"
            case .or(let left, let right): "(\(left.text)) || (\(right.text))"
            }
        }

        func holds(_ span: PlainSpan) -> Bool {
            switch self {
            case .leaf(_, let test): test(span)
            case .and(let left, let right): left.holds(span) && right.holds(span)
            case .or(let left, let right): left.holds(span) || right.holds(span)
            }
        }
    }

    static let services = ["web", "api", "db"]
    static let names = ["get /", "select", "get /slow"]
    static let values = ["1", "2", "10", "x", "true", "2.0"]
    static let kinds: [(SpanKind, String)] = [(.unspecified, "internal"), (.client, "client"), (.server, "server")]

    private func pick<Element>(_ list: [Element], _ random: inout RandomSource) -> Element { list[Int(random.below(UInt32(list.count)))] }

    private func leaf(_ random: inout RandomSource) -> Model {
        let value = pick(Self.values, &random)
        switch random.below(12) {
        case 0:
            let service = pick(Self.services, &random)
            return .leaf("resource.service.name = \"\(service.uppercased())\"") { $0.service == service }
        case 1:
            let name = pick(Self.names, &random)
            return .leaf("name = \"\(name)\"") { $0.name == name }
        case 2: return .leaf("name =~ \"GET.*\"") { $0.name.hasPrefix("get") }
        case 3:
            let kind = pick(Self.kinds, &random)
            return .leaf("kind = \(kind.1)") { $0.kind == kind.0 }
        case 4:
            let status = pick(["ok", "error", "unset"], &random)
            return .leaf("status != \(status)") { $0.status != status }
        case 5:
            let status = pick(["ok", "error", "unset"], &random)
            return .leaf("status = \(status)") { $0.status == status }
        case 6:
            let least = UInt64(random.below(100))
            return .leaf("duration >= \(least)us") { $0.duration >= least }
        case 7:
            let most = UInt64(random.below(100))
            return .leaf("duration < \(most)us") { $0.duration < most }
        case 8: return .leaf(".t = \"\(value)\"") { $0.tags["t"] == value }
        case 9: return .leaf("span.t != \"\(value)\"") { $0.tags["t"] != nil && $0.tags["t"] != value }
        case 10:
            let number = Double(random.below(12))
            return .leaf("span.t >= \(Int(number))") { Double($0.tags["t"] ?? "x").map { $0 >= number } ?? false }
        default: return .leaf("nestedSetParent < 0") { $0.isRoot }
        }
    }

    private func model(_ random: inout RandomSource, depth: Int) -> Model {
        guard depth > 0, random.below(3) > 0 else { return leaf(&random) }
        let left = model(&random, depth: depth - 1)
        let right = model(&random, depth: depth - 1)
        return random.below(2) == 0 ? .and(left, right) : .or(left, right)
    }

    private func trace(_ number: Int, _ spans: [PlainSpan], timestamp: UInt64) -> SpanBatch {
        var batch = SpanBatch()
        for (index, plain) in spans.enumerated() {
            var row = SpanRow(traceID: TraceID(high: 0, low: UInt64(number + 1)), id: SpanID(UInt64(index + 1)))
            row.parentID = plain.isRoot ? .none : SpanID(1)
            row.timestamp = timestamp + UInt64(index)
            row.duration = plain.duration
            row.kind = plain.kind
            row.name = batch.append(text: plain.name)
            row.localEndpoint = UInt32(batch.endpoints.count)
            batch.endpoints.append(EndpointRow(serviceName: batch.append(text: plain.service)))
            row.tagStart = UInt32(batch.tags.count)
            for (key, value) in plain.tags.sorted(by: { $0.key < $1.key }) {
                batch.tags.append(TagRow(key: batch.append(text: key), value: batch.append(text: value)))
            }
            row.tagCount = UInt32(batch.tags.count) - row.tagStart
            batch.spans.append(row)
        }
        return batch
    }

    private func span(_ random: inout RandomSource, isRoot: Bool) -> PlainSpan {
        var tags: [String: String] = [:]
        if random.below(2) == 0 { tags["t"] = pick(Self.values, &random) }
        if random.below(3) == 0 { tags["error"] = pick(["true", "", "timeout"], &random) }
        if random.below(3) == 0 { tags["otel.status_code"] = "OK" }
        return PlainSpan(
            service: pick(Self.services, &random), name: pick(Self.names, &random), kind: pick(Self.kinds, &random).0,
            duration: UInt64(random.below(100)), isRoot: isRoot, tags: tags)
    }

    /// Parsing, narrowing by the store's own query, paging through it and the exact test, all against the model. Many traces begin in one
    /// millisecond, so pages overlap.
    @Test func searchesFindWhatTheModelFinds() throws {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = RandomSource(seed: seed)
        for _ in 0..<60 {
            var plain: [[PlainSpan]] = []
            var batches: [SpanBatch] = []
            for number in 0..<Int(random.below(300)) {
                let spans = (0...Int(random.below(3))).map { span(&random, isRoot: $0 == 0) }
                plain.append(spans)
                batches.append(trace(number, spans, timestamp: 5_000_000 + UInt64(random.below(3000))))
            }
            let store = SpanStore(batches)
            let selectors = (0...Int(random.below(2))).map { _ in model(&random, depth: 3) }
            let isAnd = random.below(2) == 0
            let query = selectors.map { "{ \($0.text) }" }.joined(separator: isAnd ? " && " : " || ")
            let condition = try TraceQLParser.parse(query)
            var range = TraceQuery(endTimestamp: 6000)
            range.lookback = 6000
            let result = try TraceScan(store: store).run(condition, range, limit: 10_000)
            let found = Set(result.matches.map { $0.trace.spans[0].traceID })
            #expect(found.count == result.matches.count, "seed \(seed): a trace came twice")
            let expected = plain.indices.filter { index in
                let meets = selectors.map { selector in plain[index].contains { selector.holds($0) } }
                return isAnd ? meets.allSatisfy(\.self) : meets.contains(true)
            }
            #expect(found == Set(expected.map { TraceID(high: 0, low: UInt64($0 + 1)) }), "seed \(seed): \(query)")
            #expect(result.cut == nil, "seed \(seed)")
            let times = result.matches.map { SpanStore.timestamp($0.trace) }
            #expect(times == times.sorted(by: >), "seed \(seed): newest first")
            for match in result.matches {
                let number = Int(match.trace.spans[0].traceID.low) - 1
                let rows = plain[number].indices.filter { row in selectors.contains { $0.holds(plain[number][row]) } }
                #expect(match.rows == rows, "seed \(seed): \(query)")
            }
        }
    }

    /// A search that the store cannot narrow down stops at its bound, and says so.
    @Test func aScanIsBoundedAndSaysSo() throws {
        var random = RandomSource(seed: 7)
        let traces = (0..<6_000).map { trace($0, [span(&random, isRoot: true)], timestamp: 5_000_000 + UInt64($0) * 1000) }
        let condition = try TraceQLParser.parse("{ name =~ \"nothing\" }")
        var range = TraceQuery(endTimestamp: 20_000)
        range.lookback = 20_000
        let result = try TraceScan(store: SpanStore(traces)).run(condition, range, limit: 20)
        #expect(result.matches.isEmpty)
        #expect(result.inspectedTraces >= TraceScan.tracesMax && result.inspectedTraces < 6_000)
        #expect(result.cut?.contains("only the newest") == true)
        // Each look at this clock is two seconds later.
        var seconds: UInt64 = 0
        let slow = TraceScan(
            store: SpanStore(traces),
            now: {
                seconds += 2
                return seconds * 1_000_000_000
            })
        let cut = try slow.run(condition, range, limit: 20)
        #expect(cut.inspectedTraces < 1_500 && cut.cut?.contains("only the newest") == true)
    }

    /// `&&` and `||` bind alike, from left to right, as in Tempo's grammar.
    @Test func operatorsBindFromLeftToRight() throws {
        let one = trace(0, [PlainSpan(service: "web", name: "a", kind: .client, duration: 1, isRoot: true, tags: ["x": "1"])], timestamp: 5)
        func holds(_ query: String) throws -> Bool {
            SpanMatcher(one, TraceFacts(one)).matchedRows(try TraceQLParser.parse(query)) != nil
        }
        #expect(try !holds("{ .x = 1 || .x = 1 && .x = 2 }"))
        #expect(try holds("{ .x = 1 || (.x = 1 && .x = 2) }"))
        #expect(try !holds("{ .x = 1 } || { .x = 1 } && { .x = 2 }"))
        #expect(try holds("{ .x = 1 } || ({ .x = 1 } && { .x = 2 })"))
    }

    /// Past failures and nasty shapes: a query or an error with a place, whatever the text.
    @Test func corpusOfTexts() throws {
        let folder = Fixtures.root.deletingLastPathComponent().appending(path: "Corpus/TraceQL")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(files.count > 8)
        for file in files {
            let text = String(decoding: try Data(contentsOf: folder.appending(path: file)), as: UTF8.self)
            guard let problem = TraceQL.problem(text) else { continue }
            #expect((1...text.count + 1).contains(problem.place) && problem.text.utf8.count < 1000, "\(file): \(problem)")
        }
        #expect(TraceQL.problem(String(repeating: "(", count: 20_000))?.text.contains("bytes") == true)
        #expect(TraceQL.problem(String(repeating: "(", count: 1000))?.text.contains("deep") == true)
        #expect(TraceQL.problem("{" + String(repeating: ".a = 1 && ", count: 64) + ".a = 1}")?.text.contains("64 comparisons") == true)
    }

    /// Words of the language in any order neither trap nor hang.
    @Test func survivesAnyOrderOfWords() {
        let seed = UInt64.random(in: 1...UInt64.max)
        var random = RandomSource(seed: seed)
        let words = [
            "{", "}", "(", ")", "&&", "||", "=", "!=", "=~", ">", ">=", "|", ">>", "!", "-", "-5", "1.5", "100ms", "9e9", "\"a\"", "\"",
            "`b`", "`", "\\", ".a", "resource.b", "name", "duration", "status", "error", "kind", "server", "nil", "true", "nestedSetParent",
            "0", " ", "😀", "\u{0}", "span.", ".", "with", "count()",
        ]
        for _ in 0..<3000 {
            let text = (0..<Int(random.below(14))).map { _ in pick(words, &random) }.joined(separator: random.below(2) == 0 ? " " : "")
            guard let problem = TraceQL.problem(text) else { continue }
            #expect((1...text.count + 1).contains(problem.place), "seed \(seed): \(text)")
        }
    }
}
