import Foundation
import HTTPService
import Primitives
import QueryAPI
import Synchronization
import TelemetryModel
import Testing

/// The Zipkin v2 query API over a real server, as its clients see it.
struct ZipkinAPITests {
    static let traceOne = """
        {"traceId":"000000000000000a","id":"000000000000000a","name":"get /","timestamp":1789999000000000,"duration":120000,\
        "kind":"SERVER","localEndpoint":{"serviceName":"frontend","ipv4":"10.0.0.1"},"tags":{"http.path":"/","http.method":"GET"}},\
        {"traceId":"000000000000000a","parentId":"000000000000000a","id":"000000000000000b","name":"select","timestamp":1789999000010000,\
        "duration":50000,"kind":"CLIENT","localEndpoint":{"serviceName":"frontend"},"remoteEndpoint":{"serviceName":"db","port":5432},\
        "annotations":[{"timestamp":1789999000020000,"value":"retry"}],"tags":{"error":"timeout \\u2028 <b>"}}
        """
    static let traceTwo = """
        {"traceId":"463ac35c9f6413ad48485a3953bb6124","id":"48485a3953bb6124","name":"post /pay","timestamp":1789998000000000,"duration":7,\
        "localEndpoint":{"serviceName":"payments"}}
        """

    static func store() throws -> MemoryTraceStore {
        MemoryTraceStore(try spans(Array("[\(traceOne),\(traceTwo)]".utf8)), services: ["db", "frontend", "payments"])
    }

    @Test func listsNamesUnderBothRoots() throws {
        let server = try TestServer(Self.store())
        for root in ["/api/v2", "/zipkin/api/v2"] {
            let services = try server.get(root + "/services")
            #expect(services.status == 200)
            #expect(services.text == #"["db","frontend","payments"]"#)
            #expect(services.header("content-type") == "application/json")
            #expect(services.header("access-control-allow-origin") == "*")
            #expect(try server.get(root + "/spans?serviceName=FrontEnd").text == #"["get /frontend","post"]"#)
            #expect(try server.get(root + "/remoteServices?serviceName=frontend").text == #"["db"]"#)
            #expect(try server.get(root + "/remoteServices?serviceName=nobody").text == "[]")
        }
    }

    /// A newcomer's first services must not be hidden for five minutes by a browser's cache.
    @Test func namesAreCachedOnlyWithMoreThanThreeServices() throws {
        let store = try Self.store()
        let server = try TestServer(store)
        #expect(try server.get("/api/v2/services").header("cache-control") == nil)
        #expect(try server.get("/api/v2/spans?serviceName=db").header("cache-control") == nil)
        store.state.withLock { $0.names.append("shipping") }
        #expect(try server.get("/api/v2/services").header("cache-control") == "max-age=300, must-revalidate")
        #expect(try server.get("/api/v2/spans?serviceName=db").header("cache-control") == "max-age=300, must-revalidate")
        #expect(try server.get("/api/v2/remoteServices?serviceName=db").header("cache-control") == "max-age=300, must-revalidate")
    }

    @Test func answersTracesAsZipkinWritesThem() throws {
        let server = try TestServer(Self.store())
        let one = try server.get("/api/v2/trace/a")
        #expect(one.status == 200)
        try Fixtures.expectGolden("trace.json", one.body)
        try Fixtures.expectGolden("traces.json", try server.get("/api/v2/traces").body)
        // Ids are normalised: padded, and leading zeros of a 128-bit id dropped.
        #expect(try server.get("/api/v2/trace/0000000000000000000000000000000a").body == one.body)
        #expect(try server.get("/zipkin/api/v2/trace/%20a").body == one.body)
        #expect(
            try server.get("/api/v2/trace/a/").body == one.body
                && server.get("/api/v2/services/").body == server.get("/api/v2/services").body)
        #expect(
            try server.get("/api/v2/traceMany?traceIds=a,463ac35c9f6413ad48485a3953bb6124,77").text == server.get("/api/v2/traces").text)
        #expect(try server.get("/api/v2/traceMany?traceIds=77,78").text == "[]")
    }

    @Test(arguments: [
        ("/api/v2/trace/77", 404, "0000000000000077 not found"),
        ("/api/v2/trace/463ac35c9f6413ad48485a3953bb61240", 400, "traceId.length > 32"),
        ("/api/v2/trace/0e8b46e1-81b", 400, "0e8b46e1-81b should be lower-hex encoded with no prefix"),
        ("/api/v2/trace/ABCD", 400, "ABCD should be lower-hex encoded with no prefix"),
        ("/api/v2/trace/0", 400, "traceId is all zeros"), ("/api/v2/trace/", 400, "traceId is empty"),
        ("/api/v2/trace/%FF%00", 400, "\u{FFFD}\0 should be lower-hex encoded with no prefix"),
        ("/api/v2/traceMany?traceIds=", 400, "traceIds parameter is empty"), ("/api/v2/traceMany", 400, "parameter traceIds is required"),
        ("/api/v2/traceMany?traceIds=a", 400, "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace"),
        ("/api/v2/traceMany?traceIds=a,000a", 400, "redundant traceId: 000a"), ("/api/v2/traceMany?traceIds=a,", 400, "traceId is empty"),
        ("/api/v2/traceMany?traceIds=a,zz", 400, "zz should be lower-hex encoded with no prefix"),
        ("/api/v2/spans", 400, "parameter serviceName is required"), ("/api/v2/autocompleteValues", 400, "parameter key is required"),
        ("/api/v2/autocompleteValues?key=", 400, "key was empty"), ("/api/v2/autocompleteValues?key", 400, "key was empty"),
        ("/api/v2/dependencies", 400, "parameter endTs is required"), ("/api/v2/dependencies?endTs=0", 400, "endTs <= 0"),
        ("/api/v2/dependencies?endTs=1&lookback=-5", 400, "lookback <= 0"), ("/api/v2/traces?endTs=-1", 400, "endTs <= 0"),
        ("/api/v2/traces?limit=0", 400, "limit <= 0"), ("/api/v2/traces?lookback=0", 400, "lookback <= 0"),
        ("/api/v2/traces?maxDuration=5", 400, "maxDuration is only valid with minDuration"),
        ("/api/v2/traces?minDuration=6&maxDuration=5", 400, "maxDuration < minDuration"),
        ("/api/v2/traces?minDuration=-6", 400, "minDuration <= 0"),
        ("/api/v2/traces?limit=ten", 400, "limit should be a whole number of at most 19 digits, not \"ten\""),
        (
            "/api/v2/traces?limit=99999999999999999999999", 400,
            "limit should be a whole number of at most 19 digits, not \"99999999999999999999999\""),
        ("/api/v2/traces?endTs=1.5", 400, "endTs should be a whole number of at most 19 digits, not \"1.5\""),
        ("/api/v2/traces?endTs=%zz", 400, "endTs should be a whole number of at most 19 digits, not \"%zz\""),
        ("/api/v2/nothing", 404, "no such path in the Zipkin v2 API: /api/v2/nothing"),
        ("/api/v2", 404, "no such path in the Zipkin v2 API: /api/v2"),
        ("/api/v2/trace/a/b", 404, "no such path in the Zipkin v2 API: /api/v2/trace/a/b"),
        ("/zipkin/zipkin/api/v2/services", 404, "nobody's path\n"), ("/api/v1/services", 404, "nobody's path\n"),
    ])
    func refusesWithAReason(_ target: String, _ status: UInt16, _ text: String) throws {
        let answer = try TestServer(Self.store()).get(target)
        #expect(answer.status == status)
        #expect(answer.text == text)
        #expect(answer.header("content-type") == "text/plain; charset=utf-8")
    }

    static func expected(_ change: (inout TraceQuery) -> Void) -> TraceQuery {
        var query = TraceQuery(endTimestamp: TestServer.nowMilliseconds)
        change(&query)
        return query
    }

    /// Every parameter reaches the store with Zipkin's defaults, cases and bounds.
    @Test(arguments: [
        ("", expected { _ in }),
        ("?serviceName=FrontEnd&remoteServiceName=DB&spanName=GET+/", expected {
            $0.serviceName = "frontend"
            $0.remoteServiceName = "db"
            $0.spanName = "get /"
        }),
        ("?serviceName=&spanName=all&limit=&endTs=", expected { _ in }), ("?spanName=ALL", expected { _ in }),
        ("?limit=3&limit=900&endTs=5000&lookback=7", expected {
            $0.limit = 3
            $0.endTimestamp = 5000
            $0.lookback = 7
        }),
        ("?limit=9223372036854775807&endTs=9223372036854775807&lookback=9223372036854775807", expected {
            $0.limit = ZipkinLimits.tracesMax
            $0.endTimestamp = UInt64(Int64.max)
            $0.lookback = UInt64(Int64.max)
        }),
        ("?minDuration=100&maxDuration=100", expected {
            $0.durationMin = 100
            $0.durationMax = 100
        }),
        ("?annotationQuery=http.method%3DGET%20and%20error%20and%20a=b=c", expected {
            $0.terms = [.tag(key: "http.method", value: "GET"), .annotationOrKey("error"), .tag(key: "a", value: "b=c")]
        }),
        // The last tag of a key wins; a bare word does not displace a tag; spaces are trimmed, empty parts ignored.
        ("?annotationQuery=a=1+and+a=2+and+a+and++b+=+x++and+and+%3D5+and++and+=6+and+c%3D", expected {
            $0.terms = [.tag(key: "a", value: "2"), .tag(key: "b", value: "x"), .tag(key: "and", value: "5"), .annotationOrKey("c")]
        }),
        ("?annotationQuery=%FF%FE=%00", expected { $0.terms = [.annotationOrKey("\u{FFFD}\u{FFFD}")] }),
        ("?&&==&%&=&unknown=5", expected { _ in }),
    ] as [(String, TraceQuery)])
    func parsesParameters(_ query: String, _ expected: TraceQuery) throws {
        let store = try Self.store()
        let answer = try TestServer(store).get("/api/v2/traces" + query)
        #expect(answer.status == 200, "\(answer.text)")
        #expect(store.state.withLock { $0.queries } == [expected])
    }

    @Test func boundsAnnotationTermsAndTraceIDs() throws {
        let server = try TestServer(Self.store())
        let terms = (0...ZipkinLimits.termsMax).map { "t\($0)=1" }.joined(separator: "+and+")
        #expect(try server.get("/api/v2/traces?annotationQuery=" + terms).status == 400)
        let ids = (1...ZipkinLimits.traceIDsMax + 1).map { String($0, radix: 16) }
        #expect(try server.get("/api/v2/traceMany?traceIds=" + ids.joined(separator: ",")).status == 400)
        #expect(try server.get("/api/v2/traceMany?traceIds=" + ids.dropLast().joined(separator: ",")).status == 200)
    }

    @Test func answersDependencies() throws {
        let store = try Self.store()
        store.state.withLock {
            $0.links = [
                DependencyLink(parent: "a", child: "b\"", callCount: 3, errorCount: 0),
                DependencyLink(parent: "b", child: "c", callCount: .max, errorCount: 1),
            ]
        }
        let server = try TestServer(store)
        #expect(
            try server.get("/api/v2/dependencies?endTs=18446744073709551615").status == 400, "beyond 63 bits is no Zipkin number")
        #expect(
            try server.get("/api/v2/dependencies?endTs=1790000000000").text
                == #"[{"parent":"a","child":"b\"","callCount":3},{"parent":"b","child":"c","callCount":18446744073709551615,"#
                    + #""errorCount":1}]"#
        )
        _ = try server.get("/api/v2/dependencies?endTs=5&lookback=9")
        #expect(store.state.withLock { $0.dependencyCalls } == [[1_790_000_000_000, 86_400_000], [5, 9]])
    }

    @Test func answersAutocompletion() throws {
        let store = try Self.store()
        store.state.withLock { $0.values = ["env": ["dev", "prod"], "region": ["a", "b", "c", "d"]] }
        let server = try TestServer(store)
        let keys = try server.get("/api/v2/autocompleteKeys")
        #expect(keys.text == #"["env","region"]"#)
        #expect(keys.header("cache-control") == "max-age=300, must-revalidate")
        let values = try server.get("/api/v2/autocompleteValues?key=env")
        #expect(values.text == #"["dev","prod"]"#)
        #expect(values.header("cache-control") == nil)
        #expect(try server.get("/api/v2/autocompleteValues?key=region").header("cache-control") != nil)
    }

    @Test func tellsHealthAndConfiguration() throws {
        let store = try Self.store()
        let server = try TestServer(store)
        #expect(
            try server.get("/health").text
                == #"{"status":"UP","zipkin":{"status":"UP","details":{"SkeinStore":{"status":"UP"}}}}"#)
        store.state.withLock { $0.statistics.problem = "the disk is \"full\"" }
        let sick = try server.get("/health")
        #expect(sick.status == 503)
        #expect(
            sick.text
                == #"{"status":"DOWN","zipkin":{"status":"DOWN","details":{"SkeinStore":{"status":"DOWN","#
                    + #""details":{"error":"the disk is \"full\""}}}}}"#
        )
        // Nothing is refused, but something is lost: told, and no reason to restart.
        store.state.withLock {
            $0.statistics.problem = nil
            $0.statistics.damage = [StoreDamage(kind: .journalRow, what: "2 rows \"lost\"", spans: 2, command: "x")]
        }
        let hurt = try server.get("/health")
        #expect(hurt.status == 200)
        #expect(
            hurt.text
                == #"{"status":"DEGRADED","zipkin":{"status":"DEGRADED","details":{"SkeinStore":{"status":"DEGRADED","#
                    + #""details":{"damage":["2 rows \"lost\"; not readable: 2 spans; to look into it: x"]}}}}}"#
        )
        #expect(try server.get("/info").text == #"{"zipkin":{"version":"1.2.3"},"skein":{"version":"1.2.3"}}"#)
        let configuration = try server.get("/zipkin/config.json")
        #expect(configuration.header("cache-control") == "max-age=600")
        #expect(try server.get("/config.json").body == configuration.body)
        let object = try #require(try JSONSerialization.jsonObject(with: Data(configuration.body)) as? [String: Any])
        #expect(object["defaultLookback"] as? Int == 900_000)
        #expect(object["queryLimit"] as? Int == 10)
        #expect((object["dependency"] as? [String: Any])?["enabled"] as? Bool == true)
    }

    @Test func takesReadingMethodsOnly() throws {
        let server = try TestServer(Self.store())
        let head = try server.send("HEAD", "/api/v2/services")
        #expect(head.status == 200 && head.body.isEmpty)
        let refused = try server.send("DELETE", "/api/v2/traces")
        #expect(refused.status == 405)
        #expect(refused.header("allow") == "GET, HEAD, OPTIONS")
        let preflight = try server.send("OPTIONS", "/api/v2/traces")
        #expect(preflight.status == 204)
        #expect(preflight.header("access-control-allow-origin") == "*")
        #expect(preflight.header("access-control-allow-methods") == "GET, HEAD, OPTIONS")
        // Posting spans is the collector's, whichever of the two is asked first.
        #expect(try server.send("POST", "/api/v2/spans").text == "nobody's path\n")
        #expect(try server.send("PUT", "/api/v2/spans").header("allow") == "GET, HEAD, POST, OPTIONS")
    }

    @Test func storeTroubleIsTheClientsToKnow() throws {
        let store = try Self.store()
        store.state.withLock { $0.failure = .unavailable(reason: "the trace store is closed") }
        let answer = try TestServer(store).get("/api/v2/services")
        #expect(answer.status == 503)
        #expect(answer.text == "the trace store is closed")
        #expect(answer.header("retry-after") == "1")
    }

    /// Past failures and nasty shapes: parsed or refused, within bounds either way.
    @Test func corpusOfQueries() throws {
        let folder = Fixtures.root.deletingLastPathComponent().appending(path: "Corpus/ZipkinQuery")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(files.count > 8)
        for file in files {
            let text = String(decoding: try Data(contentsOf: folder.appending(path: file)), as: UTF8.self)
            do throws(ParameterError) {
                let query = try TraceQuery.parse(text, nowMilliseconds: 1)
                #expect((1...ZipkinLimits.tracesMax).contains(query.limit) && query.terms.count <= ZipkinLimits.termsMax, "\(file)")
                #expect(query.endTimestamp > 0 && query.lookback > 0, "\(file)")
            } catch {
                #expect(!error.text.isEmpty && error.text.utf8.count < 1000, "\(file)")
            }
        }
    }

    /// Whatever stands in a query, the answer is an answer: nothing traps, and what is refused is refused with 400.
    @Test func survivesRandomQueries() throws {
        let server = try TestServer(Self.store())
        let seed: UInt64 = 0x5EED_0012
        var random = RandomSource(seed: seed)
        let names = [
            "serviceName", "spanName", "annotationQuery", "minDuration", "maxDuration", "endTs", "lookback", "limit", "traceIds", "key",
        ]
        let values = [
            "", "0", "-0", "1", "-1", "9223372036854775807", "9223372036854775808", "+5", "%", "%f", "%00", "%F0%9F%92%A9", "a=b+and+",
            "+and+", "a,b", ",", "1e9",
        ]
        let paths = ["services", "spans", "traces", "trace/a", "traceMany", "dependencies", "autocompleteValues"]
        for round in 0..<300 {
            let query = (0..<Int(random.below(6))).map { _ in
                names[Int(random.below(UInt32(names.count)))] + "=" + values[Int(random.below(UInt32(values.count)))]
            }
            let target = "/api/v2/" + paths[Int(random.below(UInt32(paths.count)))] + "?" + query.joined(separator: "&")
            let status = try server.get(target).status
            #expect([200, 400, 404].contains(status), "seed \(seed) round \(round): \(target)")
        }
    }
}
