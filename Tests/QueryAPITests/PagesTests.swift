import HTTPService
import Primitives
import QueryAPI
import Synchronization
import TelemetryModel
import Testing

/// The pages for people. Their data is written by strangers, so most of this is about what must not come through.
struct PagesTests {
    /// A span with markup in every field that reaches a page.
    static func hostile() throws -> MemoryTraceStore {
        let evil = #"</td><script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp;\u202e"#
        let json = """
            [{"traceId":"a","id":"a","name":"\(evil)","timestamp":1789999000000000,"duration":120000,"kind":"SERVER",
            "localEndpoint":{"serviceName":"\(evil)"},"remoteEndpoint":{"serviceName":"\(evil)"},
            "annotations":[{"timestamp":1789999000000001,"value":"\(evil)"}],"tags":{"\(evil)":"\(evil)","error":"\(evil)"}}]
            """
        return MemoryTraceStore(try spans(Array(json.utf8)), services: ["</a><script>alert(3)</script>", "a\"b'&%"])
    }

    static func expectHarmless(_ page: String) {
        for bad in ["<script>alert", "<img src=x", "onerror=\"", "</td><script", "\u{202E}", "&amp;amp;lt;"] {
            #expect(!page.contains(bad), "\(bad)")
        }
        #expect(page.contains("&lt;script&gt;alert("))
    }

    @Test func escapesEverything() throws {
        let server = try TestServer(Self.hostile(), hints: [EndpointHint(title: "<b>", command: "curl '<script>alert(4)</script>'")])
        let overview = try server.get("/")
        #expect(overview.status == 200)
        #expect(overview.header("content-type") == "text/html; charset=utf-8")
        let policy = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
        #expect(overview.header("content-security-policy") == policy)
        // The policy forbids what stands inside the document, so nothing may.
        for page in [overview.text, try server.get("/zipkin/traces/a").text] {
            #expect(!page.contains("style=\"") && !page.contains("<style") && !page.contains("<script>"))
        }
        Self.expectHarmless(overview.text)
        #expect(overview.text.contains("serviceName=a%22b%27%26%25\""))
        let trace = try server.get("/zipkin/traces/a")
        #expect(trace.status == 200)
        Self.expectHarmless(trace.text)
        let missing = try server.get("/zipkin/traces/%3Cscript%3Ealert(1)")
        #expect(missing.status == 400)
        Self.expectHarmless(missing.text)
        #expect(try server.get("/zipkin/traces/77").status == 404)
        #expect(try server.get("/zipkin/traces/").status == 400)
    }

    @Test func sendsPeopleToThePage() throws {
        let server = try TestServer(Self.hostile())
        let redirect = try server.get("/zipkin")
        #expect(redirect.status == 302)
        #expect(redirect.header("location") == "zipkin/")
        #expect(try server.get("/zipkin/").text == server.get("/").text.replacing("./zipkin/traces/", with: "./traces/"))
        #expect(try server.send("DELETE", "/").status == 405)
        #expect(try server.send("HEAD", "/zipkin/").status == 200)
        #expect(try server.get("/favicon.ico").status == 404)
    }

    /// The first page a newcomer sees must come up, whatever the store says.
    @Test func showsThePageWithoutAStore() throws {
        let store = MemoryTraceStore()
        #expect(try TestServer(store).get("/").text.contains("None yet"))
        store.state.withLock {
            $0.failure = .unavailable(reason: "closed <now>")
            $0.statistics.problem = "disk & full"
        }
        let server = try TestServer(store)
        let page = try server.get("/")
        #expect(page.status == 200)
        #expect(
            page.text.contains("traces cannot be read") && page.text.contains("closed &lt;now&gt;") && page.text.contains("disk &amp; full")
        )
        #expect(try server.get("/zipkin/traces/a").status == 503)
    }

    /// A page that says all is well while rows are missing is worse than none.
    @Test func saysWhatWasLost() throws {
        let store = MemoryTraceStore()
        #expect(try TestServer(store).get("/").text.contains("store is well"))
        store.state.withLock { 
            $0.statistics.damage = [
                StoreDamage(kind: .journalRow, what: "2 rows <lost>", spans: 7, command: "sqlite3 'x'"),
                StoreDamage(kind: .segment, what: "segment 7", spans: nil, command: "sqlite3 'y'"),
            ]
        }
        let page = try TestServer(store).get("/").text
        #expect(!page.contains("store is well"))
        #expect(page.contains("2 rows &lt;lost&gt;; not readable: 7 spans; to look into it: sqlite3") && page.contains("segment 7"))
    }

    @Test func summarisesTraces() throws {
        let page = try TestServer(ZipkinAPITests.store()).get("/").text
        #expect(page.contains("<a href=\"./zipkin/traces/000000000000000a\"><b>frontend</b> get /</a>"))
        #expect(page.contains("2026-09-21 13:56:40 UTC"))
        #expect(page.contains(">120 ms<"))
        #expect(page.contains(">7 µs<"))
        #expect(page.contains("<span class=\"bad\">error</span></td><td class=\"wide\"><a href=\"./api/v2/trace/000000000000000a\">"))
    }

    /// Cycles, orphans, shared ids, extreme times, thousands of spans: each span is drawn once, and nothing traps or runs away.
    @Test func drawsBrokenTraces() throws {
        let seed: UInt64 = 0x5EED_0041
        var random = RandomSource(seed: seed)
        for round in 0..<40 {
            var batch = SpanBatch()
            let count = round == 0 ? 5000 : 1 + Int(random.below(60))
            for _ in 0..<count {
                var span = SpanRow(traceID: TraceID(high: 0, low: 10), id: SpanID(UInt64(1 + random.below(40))))
                span.parentID = SpanID(UInt64(random.below(40)))
                span.timestamp = [0, 1, 1_789_999_000_000_000, UInt64.max][Int(random.below(4))]
                span.duration = [0, 1, 5000, UInt64.max][Int(random.below(4))]
                if random.below(5) == 0 { span.flags = .shared }
                batch.spans.append(span)
            }
            let server = try TestServer(MemoryTraceStore([batch]))
            let page = try server.get("/zipkin/traces/a")
            #expect(page.status == 200)
            let rows = page.text.split(separator: "class=\"lane\"").count - 1
            #expect(rows == min(count, 2000), "seed \(seed) round \(round)")
            #expect(try server.get("/").status == 200)
        }
    }

    @Test func drawsChildrenUnderTheirParents() throws {
        let json = """
            [{"traceId":"a","id":"4","parentId":"2","name":"grandchild","timestamp":400,"duration":10},
            {"traceId":"a","id":"3","parentId":"1","name":"second","timestamp":300,"duration":10},
            {"traceId":"a","id":"2","parentId":"1","name":"first-client","timestamp":200,"duration":10,"kind":"CLIENT"},
            {"traceId":"a","id":"2","parentId":"1","name":"first-server","timestamp":210,"duration":10,"kind":"SERVER","shared":true},
            {"traceId":"a","id":"1","name":"root","timestamp":100,"duration":1000},
            {"traceId":"a","id":"9","parentId":"8","name":"orphan","timestamp":150,"duration":10}]
            """
        let page = try TestServer(MemoryTraceStore(try spans(Array(json.utf8)))).get("/zipkin/traces/a").text
        var rows: [String] = []
        for part in page.components("<div class=\"name d").dropFirst() {
            let depth = part.prefix { $0 != "\"" }
            let name = part.components("</b> ")[1].prefix { $0 != " " && $0 != "<" }
            rows.append("\(depth) \(name)")
        }
        #expect(rows == ["0 root", "1 first-client", "2 first-server", "3 grandchild", "1 second", "0 orphan"])
    }
}

extension String {
    func components(_ separator: String) -> [String] {
        var parts: [String] = []
        var rest = Substring(self)
        while let range = rest.firstRange(of: separator) {
            parts.append(String(rest[..<range.lowerBound]))
            rest = rest[range.upperBound...]
        }
        return parts + [String(rest)]
    }
}
