import Foundation
import HTTPService
import QueryAPI
import Synchronization
import TelemetryModel
import Testing

/// `/skein/traces`: what the page's list of traces is made of.
struct TraceListTests {
    private struct Answer: Decodable {
        struct Trace: Decodable {
            var id: String
            var spans: Int
            var errors: Int
            var service: String?
            var method: String?
            var path: String?
            var status: String?
            var services: [String]
        }
        var examined: Int
        var isCut: Bool
        var limit: Int
        var traces: [Trace]
    }

    private static func store() throws -> MemoryTraceStore {
        let json = #"""
            [{"traceId":"a","id":"1","name":"get /shop","timestamp":1789999000000000,"duration":9000,
            "localEndpoint":{"serviceName":"edge"},"tags":{"http.method":"GET","http.url":"http://shop:80/cart?x=1",
            "http.status_code":"200"}},
            {"traceId":"a","id":"2","parentId":"1","name":"charge","timestamp":1789999000001000,"duration":4000,
            "localEndpoint":{"serviceName":"pay"},"tags":{"http.status_code":"503","error":"Card REFUSED"}},
            {"traceId":"b","id":"3","name":"get /","timestamp":1789999000000000,"duration":9,"localEndpoint":{"serviceName":"edge"},
            "tags":{"http.request.method":"PUT","url.path":"/q","http.response.status_code":"404"},
            "annotations":[{"timestamp":1789999000000001,"value":"cache miss"}]}]
            """#
        return MemoryTraceStore(try spans(Array(json.utf8)), services: ["edge", "pay"])
    }

    private static func ask(_ query: String) throws -> Answer {
        let answer = try TestServer(store()).get("/skein/traces" + query)
        #expect(answer.status == 200, "\(answer.text)")
        return try JSONDecoder().decode(Answer.self, from: Data(answer.body))
    }

    @Test func summarises() throws {
        let answer = try Self.ask("")
        #expect(answer.traces.map(\.id) == ["000000000000000a", "000000000000000b"])
        let first = answer.traces[0]
        #expect(first.service == "edge" && first.method == "GET" && first.path == "/cart?x=1" && first.status == "200")
        #expect(first.spans == 2 && first.errors == 1 && first.services == ["edge", "pay"])
        #expect(answer.traces[1].method == "PUT" && answer.traces[1].path == "/q" && answer.traces[1].status == "404")
        #expect(!answer.isCut && answer.examined == 2)
    }

    @Test(arguments: [
        ("?status=503", "a"), ("?status=4xx", "b"), ("?status=400-499", "b"), ("?status=2xx", "a"), ("?status=5XX", "a"),
        ("?text=refused", "a"), ("?text=MISS", "b"), ("?text=pay", "a"), ("?text=edge", "ab"), ("?text=nothing", ""),
        ("?text=%3Cscript", ""),
        ("?errors=true", "a"), ("?errors=false", "ab"), ("?errors=true&status=404", ""),
    ])
    func filters(query: String, expected: String) throws {
        #expect(try Self.ask(query).traces.compactMap(\.id.last).map(String.init).joined() == expected)
    }

    /// A list that ends for a reason says so.
    @Test func saysWhatItCut() throws {
        #expect(try Self.ask("?limit=1").isCut)
        #expect(try Self.ask("?limit=99999999").limit == TraceListAPI.limitMax)
        let store = try Self.store()
        let server = try TestServer(store)
        _ = try server.get("/zipkin/skein/traces?text=x&limit=3")
        let asked = try #require(store.state.withLock { $0.queries.last })
        #expect(asked.limit == 3 && asked.readMax == TraceListAPI.examinedMax && asked.traits == [.text([UInt8(ascii: "x")])])
    }

    @Test func refusesWhatItCannotRead() throws {
        let server = try TestServer(Self.store())
        let long = "text=" + String(repeating: "x", count: 257)
        for query in ["status=9-1", "status=abc", "status=", "errors=yes", "limit=0", "maxDuration=1", long] {
            let answer = try server.get("/skein/traces?" + query)
            #expect(answer.status == (query == "status=" ? 200 : 400), "\(query): \(answer.text)")
        }
        #expect(try server.send("POST", "/skein/traces").status == 405)
        server.store.state.withLock { $0.failure = .unavailable(reason: "being opened") }
        let busy = try server.get("/skein/traces")
        #expect(busy.status == 503 && busy.header("retry-after") == "1" && busy.header("access-control-allow-origin") == nil)
    }

    @Test func boundsWhatStrangersWrote() throws {
        let long = String(repeating: "é", count: 20_000)
        let json = "[{\"traceId\":\"a\",\"id\":\"1\",\"name\":\"\(long)\",\"timestamp\":1,\"localEndpoint\":{\"serviceName\":\"\(long)\"}}]"
        let answer = try TestServer(MemoryTraceStore(spans(Array(json.utf8)))).get("/skein/traces")
        #expect(answer.status == 200 && answer.body.count < 5000)
    }

    /// A tab that nobody touches asks again and again: while nothing changes, nothing is searched. All that could change the answer does.
    @Test func theSameAnswerIsNotMadeTwice() throws {
        let store = try Self.store()
        let server = try TestServer(store)
        let path = "/skein/traces?lookback=2000000"
        let first = try server.get(path)
        let tag = try #require(first.header("etag"))
        #expect(first.header("cache-control") == "no-cache")
        func ask(_ tag: String, _ path: String = path) throws -> (status: UInt16, searches: Int) {
            let before = store.state.withLock { $0.queries.count }
            let status = try server.send("GET", path, headers: [("If-None-Match", tag)]).status
            return (status, store.state.withLock { $0.queries.count } - before)
        }
        #expect(try ask(tag) == (304, 0))
        #expect(try ask("\"other\", \(tag)") == (304, 0))
        #expect(try ask(String(tag.dropFirst(2))) == (304, 0), "compared weakly")
        #expect(try ask(tag, "/skein/traces?lookback=999000") == (200, 1), "the oldest has left the range")
        for bad in ["*", "", "\"", "W/", "\"\"", tag.replacing("-", with: "--"), String(tag.dropLast(3)) + "\"", "\"1-2-3-4-5-6\""] {
            #expect(try ask(bad) == (200, 1), "\(bad)")
        }
        store.state.withLock { $0.statistics.spansAccepted += 1 }
        #expect(try ask(tag) == (200, 1), "a span has come")
        let second = try #require(try server.get(path).header("etag"))
        store.state.withLock { $0.statistics.spansExpired += 1 }
        #expect(try ask(second) == (200, 1), "spans have gone")
        store.state.withLock { $0.failure = .unavailable(reason: "gone"); $0.statistics.problem = "gone" }
        #expect(try ask(second).status == 503, "a store that is gone is said")
    }
}
