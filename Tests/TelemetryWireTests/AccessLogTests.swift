import Primitives
import TelemetryModel
@testable import TelemetryWire
import Testing

@Suite struct AccessLogTests {
    func line(_ format: AccessLogFormat, _ record: RequestRecord = exampleRecord(), _ texts: [[UInt8]?]? = nil) throws -> String {
        let entry = recordBytes(record, texts ?? exampleTexts.map { $0.map { Array($0.utf8) } })
        let span = unsafe entry.span.bytes
        var bytes: [UInt8] = []
        if let view = RequestRecordView(span) {
            format.program(capture: format.headers).append(
                view, names: exampleNames, emitUnixNanoseconds: 1_460_751_420_999_000_000, to: &bytes)
        } else {
            Issue.record("the entry is not a record")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    func text(_ format: String) throws -> String { String(try line(.text(format)).dropLast()) }

    @Test func istioTextLine() throws {
        #expect(
            try line(.text(AccessLogFormat.istioText))
                == "[2016-04-15T20:17:00.310Z] \"GET /reviews/1?x=1 HTTP/1.1\" 200 - via_upstream - \"-\" 5 295 13 9 \"-\" \"curl/8\" "
                    + "\"id-1\" "
                + "\"reviews:9080\" \"10.0.0.3:9080\" outbound|9080||reviews.default.svc.cluster.local [2001:db8::1]:55000 10.0.0.2:9080 "
                + "10.0.0.1:41234 - default\n")
    }

    @Test func envoyTextLine() throws {
        #expect(
            try line(.text(AccessLogFormat.envoyText))
                == "[2016-04-15T20:17:00.310Z] \"GET /reviews/1?x=1 HTTP/1.1\" 200 - 5 295 13 9 \"-\" \"curl/8\" \"id-1\" \"reviews:9080\" "
                + "\"10.0.0.3:9080\"\n")
    }

    @Test func istioJSONLine() throws {
        #expect(
            try line(.json(AccessLogFormat.istioJSON))
                == #"{"start_time":"2016-04-15T20:17:00.310Z","route_name":"default","method":"GET","path":"/reviews/1?x=1","#
                    + #""protocol":"HTTP/1.1","response_code":200,"response_flags":"-","response_code_details":"via_upstream","#
                    + #""connection_termination_details":null,"bytes_received":5,"bytes_sent":295,"duration":13,"#
                    + #""upstream_service_time":"9","x_forwarded_for":null,"user_agent":"curl/8","request_id":"id-1","#
                    + #""authority":"reviews:9080","upstream_host":"10.0.0.3:9080","#
                    + #""upstream_cluster":"outbound|9080||reviews.default.svc.cluster.local","#
                    + #""upstream_local_address":"[2001:db8::1]:55000","downstream_local_address":"10.0.0.2:9080","#
                    + #""downstream_remote_address":"10.0.0.1:41234","requested_server_name":null,"#
                    + #""upstream_transport_failure_reason":null}"#
                + "\n")
    }

    @Test func stringJSONNeverHasNumbersAndMixedTemplatesAreStrings() throws {
        let format = try AccessLogFormat.json(
            [("a", .template("%RESPONSE_CODE%")), ("b", .template("%TRAILER(x)%")), ("c", .template("%PROTOCOL%/%GRPC_STATUS%\""))],
            typed: false)
        #expect(try line(format) == #"{"a":"200","b":"-","c":"HTTP/1.1/-\""}"# + "\n")
        #expect(try line(.json([("c", .template("%RESPONSE_CODE%ms"))])) == #"{"c":"200ms"}"# + "\n")
    }

    @Test(arguments: [
        ("%REQ(X-MISSING?USER-AGENT):3%", "cur"), ("%REQ(user-agent)%", "curl/8"), ("%REQ_WITHOUT_QUERY(:PATH)%", "/reviews/1"),
        (
            "%START_TIME(%Y/%m/%dT%H:%M:%S%z %s.%3f %6f %9f %j %a %b)%",
            "2016/04/15T20:17:00+0000 1460751420.310 310000 310000000 106 Fri Apr"),
        ("%EMIT_TIME%", "2016-04-15T20:17:00.999Z"), ("%REQUEST_DURATION% %REQUEST_TX_DURATION%", "1 2"),
        ("%RESPONSE_DURATION% %RESPONSE_TX_DURATION%", "11 1"), ("%COMMON_DURATION(US_TX_BEG:US_RX_BEG:us)%", "9900"),
        ("%COMMON_DURATION(US_CX_BEG:US_CX_END:ms)%", "-"),
        ("%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT% %UPSTREAM_LOCAL_PORT%", "2001:db8::1 55000"),
        ("%TRACE_ID% %SPAN_ID%", "0000000000000abc 0000000000000def"), ("100%% %UPSTREAM_REQUEST_ATTEMPT_COUNT%", "100% 1"),
        ("%DYNAMIC_METADATA(a:b)%%FILTER_STATE(x):5%", "--"), ("%RESPONSE_FLAGS_LONG%", "-"),
        ("%STREAM_ID% %DOWNSTREAM_DIRECT_LOCAL_ADDRESS%", "id-1 10.0.0.2:9080"),
    ])
    func operators(_ format: String, _ expected: String) throws {
        #expect(try text(format) == expected)
    }

    /// Numbers, booleans, objects and lists of a format stand in each line (Envoy's `json_format`).
    @Test func nestedJSON() throws {
        let fields: [(key: String, value: AccessLogFormat.Value)] = [
            ("version", .constant("2")), ("http", .object([("code", .template("%RESPONSE_CODE%")), ("route", .template("%UNIQUE_ID%"))])),
            ("tags", .list([.template("a"), .constant("true"), .template("%PROTOCOL%")])), ("empty", .object([])),
        ]
        #expect(
            try line(.json(fields)) == #"{"version":2,"http":{"code":200,"route":null},"tags":["a",true,"HTTP/1.1"],"empty":{}}"# + "\n")
        #expect(try line(.json([("a", .constant("1"))])) == #"{"a":1}"# + "\n")
        let error = #expect(throws: AccessLogFormatError.self) {
            try AccessLogFormat.json([("a", .object([("b", .list([.template("%NOPE%")]))]))])
        }
        #expect(error?.message.hasPrefix("field a.b[0]: ") == true)
    }

    /// Abseil's and strftime's letters, which Envoy hands to `absl::FormatTime`: each line is what GNU date prints for the moment.
    @Test(arguments: [
        ("%c", "Fri Apr 15 20:17:00 2016"), ("%x %X", "04/15/16 20:17:00"), ("%C %g %G %V %u %w %U %W", "20 16 2016 15 5 5 15 15"),
        ("%k|%l|%P|%r", "20| 8|pm|08:17:00 PM"), ("%-d %_m %^a %3d %-e", "15  4 FRI 015 15"),
        ("%Ec %Ey %Od", "Fri Apr 15 20:17:00 2016 16 15"),
        ("%E3S %E*S %E1S %E0S", "00.310 00.31 00.3 00"), ("%E3f %E*f %E9f", "310 31 310000000"),
        ("%E4Y%ET%Ez %E*z %:z %::z", "2016T+00:00 +00:00:00 +00:00 +00:00:00"),
        ("%Y-%m-%dT%H:%M:%E3S%Ez", "2016-04-15T20:17:00.310+00:00"),
    ])
    func timeSpecifiers(_ pattern: String, _ expected: String) throws {
        #expect(try text("%START_TIME(\(pattern))%") == expected)
    }

    /// The buffer for a line is sized by its format: no specifier may write more than was counted.
    @Test func noTimeIsLongerThanItsBound() {
        for letter in UInt8(ascii: "!")...UInt8(ascii: "~") {
            for form in ["%", "%E", "%O", "%E9", "%E*", "%9", "%32", "%^32", "%_9", "%:"] {
                let pattern = Array(form.utf8) + [letter]
                guard AccessLogTime.isValid(pattern) else { continue }
                var out: [UInt8] = []
                AccessLogTime.append(1_234_567_890_987_654_321, pattern: pattern, to: &out)
                #expect(out.count <= AccessLogTime.bytesMax(pattern), "\(String(decoding: pattern, as: UTF8.self))")
            }
        }
        for wrong in ["%", "%Q", "%33d", "%999999999999999999999d", "%E", "%5N", "%:", "%:m", "%-", "%0f"] {
            #expect(!AccessLogTime.isValid(Array(wrong.utf8)), "\(wrong)")
        }
    }

    private func texts(path: String, original: String? = nil) -> [[UInt8]?] {
        var texts: [[UInt8]?] = exampleTexts.map { $0.map { Array($0.utf8) } }
        texts[1] = original.map { Array($0.utf8) }
        texts[2] = Array(path.utf8)
        return texts
    }

    /// Each line is what Envoy 1.40 printed for the same path.
    @Test(arguments: [
        ("%PATH%", "/rw?a=1", "/new?a=1"), ("%PATH()%", "/rw?a=1", "/new?a=1"), ("%PATH(NQ)%", "/rw", "/new"),
        ("%PATH(WQ:ORIG)%", "/rw?a=1", "-"),
        ("%PATH(:ORIG)%", "/rw?a=1", "-"), ("%PATH(NQ:ORIG)%", "/rw", "-"), ("%PATH(NQ:PATH)%", "/new", "/new"),
        ("%PATH(WQ:PATH)%", "/new?a=1", "/new?a=1"),
        ("%PATH(NQ:ORIG_OR_PATH)%", "/rw", "/new"), ("%PATH:3%", "/rw", "/ne"), ("%PATH(WQ:PATH):6%", "/new?a", "/new?a"),
        ("%PATH(WQ:ORIG:X)%", "/rw?a=1", "-"),
    ])
    func pathsInAllForms(_ format: String, _ rewritten: String, _ plain: String) throws {
        #expect(try line(.text(format), exampleRecord(), texts(path: "/new?a=1", original: "/rw?a=1")) == rewritten + "\n")
        #expect(try line(.text(format), exampleRecord(), texts(path: "/new?a=1")) == plain + "\n")
    }

    @Test(arguments: [
        ("/a?a=12345&b=x%20y&b=2&c", ["12345", "12", "x y", "", nil, "a=12345&b=x%20y&b=2&c"]), ("/q?", [nil, nil, nil, nil, nil, ""]),
        ("/q", [nil, nil, nil, nil, nil, nil]),
        ("/q?%61=1&b=%zz%00+x&x=1", ["1", "1", "%zz\u{0}+x", nil, nil, "%61=1&b=%zz%00+x&x=1"]),
        ("/q?&&=v&A=3&a=", ["", "", nil, nil, "3", "&&=v&A=3&a="]),
        ("/y?a=1?b=2%", ["1?b=2%", "1?", nil, nil, nil, "a=1?b=2%"]),
        ("/?b=%2&c=%4g&a=%C3%a9%22", ["é\"", "é", "%2", "%4g", nil, "b=%2&c=%4g&a=%C3%a9%22"]),
    ])
    func queriesAsEnvoyReadsThem(_ path: String, _ expected: [String?]) throws {
        let templates = [
            "%QUERY_PARAM(a)%", "%QUERY_PARAM(a):2%", "%QUERY_PARAM(b)%", "%QUERY_PARAM(c)%", "%QUERY_PARAM(A)%", "%QUERY_PARAMS%",
        ]
        let values = expected.map { value in
            value.map { "\"" + $0.replacing("\"", with: "\\\"").replacing("\u{0}", with: "\\u0000") + "\"" } ?? "null"
        }
        let line = try line(.json(templates.enumerated().map { (String($0), .template($1)) }), exampleRecord(), texts(path: path))
        #expect(line == "{" + values.enumerated().map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}\n")
    }

    /// What a query brings in by `%XX` forges no line either.
    @Test func decodedParametersAreEscaped() throws {
        #expect(try line(.text("%QUERY_PARAM(a)%"), exampleRecord(), texts(path: "/?a=%0d%0a%22%ff")) == #"\x0d\x0a\x22\xff"# + "\n")
    }

    @Test func upstreamProtocolAndTypeOfTheLine() throws {
        let format = try AccessLogFormat.text("%UPSTREAM_PROTOCOL% %ACCESS_LOG_TYPE%")
        var record = exampleRecord()
        #expect(try line(format, record) == "- DownstreamEnd\n")
        record.upstreamProtocol = .http2
        #expect(try line(format, record) == "HTTP/2 DownstreamEnd\n")
        record.protocolVersion = .tcp
        #expect(try line(format, record) == "- TcpConnectionEnd\n")
    }

    @Test func hostnameAndEnvironmentAreConstants() throws {
        let format = try AccessLogFormat.text(
            "%HOSTNAME% %ENVIRONMENT(POD)% %ENVIRONMENT(NONE)%", hostname: "h1", environment: { $0 == "POD" ? "p" : nil })
        #expect(try line(format) == "h1 p -\n")
    }

    @Test(arguments: [
        ("a %RESPONSE_COD%", 3, "RESPONSE_CODE"), ("%REQ%", 1, "header name"), ("%REQ(X)", 1, "closing"), ("%DURATION", 1, "written"),
        ("50%", 3, "written"),
        ("%REQ(X):0%", 1, "above 0"), ("%COMMON_DURATION(A:B:ms)%", 1, "DS_RX_BEG"), ("%START_TIME(%Q)%", 1, "specifier"),
        ("%REQ(A?B?C)%", 1, "two"),
        ("%NONSENSE_ENTIRELY_UNLIKE%", 1, "unknown operator"), ("%GRPC_STATUS(LOUD)%", 1, "SNAKE_STRING"),
        ("%PATH(XX)%", 1, "NQ"), ("-%PATH(WQ:YY)%", 2, "ORIG_OR_PATH"), ("%QUERY_PARAM%", 1, "name"), ("%QUERY_PARAM()%", 1, "name"),
        ("%QUERY_PARAMS(RAW)%", 1, "DECODED"), ("%UPSTREAM_PROTOCOL(x)%", 1, "no argument"), ("%DURATION:3%", 1, "no length"),
        ("%START_TIME(%s):3%", 1, "no length"), ("%QUERY_PARMS%", 1, "QUERY_PARAM"),
        ("%START_TIME_LOCAL(%Q)%", 1, "specifier"), ("%EMIT_TIME_LOCA%", 1, "EMIT_TIME_LOCAL"),
    ])
    func badFormatsSayWhereAndWhat(_ format: String, _ column: Int, _ hint: String) {
        do throws(AccessLogFormatError) {
            _ = try AccessLogFormat.text(format)
            Issue.record("\(format) was accepted")
        } catch {
            #expect(error.column == column && error.message.contains(hint), "\(error)")
        }
    }

    /// A header must not be able to forge a second line or break the quotes of its own.
    @Test func networkBytesCannotForgeALine() throws {
        var texts: [[UInt8]?] = exampleTexts.map { $0.map { Array($0.utf8) } }
        texts[4] = Array("a\r\nb\"c\\d\u{7f}e\u{85}f-é".utf8) + [0xFF, 0xC3]
        #expect(try line(.text("%REQ(USER-AGENT)%"), exampleRecord(), texts) == #"a\x0d\x0ab\x22c\x5cd\x7fe\xc2\x85f-é\xff\xc3"# + "\n")
        #expect(
            try line(.json([("u", .template("%REQ(USER-AGENT)%"))]), exampleRecord(), texts)
                == "{\"u\":\"a\\r\\nb\\\"c\\\\d\u{7f}e\u{85}f-é\u{FFFD}\u{FFFD}\"}\n")
    }

    @Test func flagsAndMissingResponsePrintAsEnvoyDoes() throws {
        var record = exampleRecord()
        record.flags = [.noHealthyUpstream, .upstreamRetryLimitExceeded]
        record.responseCode = 0
        record.protocolVersion = .http2
        #expect(
            try line(.text("%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG% %RESPONSE_CODE% %PROTOCOL%"), record)
                == "UH,URX NoHealthyUpstream,UpstreamRetryLimitExceeded 0 HTTP/2\n")
    }

    /// gRPC's outcome is not the HTTP status: a log without it says 200 to every failed call.
    @Test func grpcStatusHasItsThreeForms() throws {
        let format = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%"
        var record = exampleRecord()
        #expect(try line(.text(format), record) == "- - - -\n")
        record.grpcStatus = 14
        #expect(try line(.text(format), record) == "Unavailable UNAVAILABLE 14 14\n")
        #expect(
            try line(.json([("s", .template("%GRPC_STATUS%")), ("n", .template("%GRPC_STATUS_NUMBER%"))]), record)
                == #"{"s":"Unavailable","n":14}"# + "\n")
        record.grpcStatus = 99
        #expect(try line(.text(format), record) == "99 99 99 99\n")
    }

    @Test func everyEndpointThatWasTriedIsNamedInOrder() throws {
        var record = exampleRecord()
        record.earlierAttempts = 2
        var first = AttemptRecord()
        first.endpoint = SocketEndpoint(ipv4: 0x0A00_0009, port: 1)
        first.ending = .connectFailure
        var second = AttemptRecord()
        second.endpoint = SocketEndpoint(ipv6High: 0x2001_0db8_0000_0000, ipv6Low: 9, port: 2)
        let entry = recordBytes(record, exampleTexts) + [first, second].flatMap { attempt in
            let bytes = unsafe withUnsafeBytes(of: attempt) { unsafe Array($0) }
            return bytes + [UInt8](repeating: 0, count: MemoryLayout<AttemptRecord>.stride - bytes.count)
        }
        let format = try AccessLogFormat.text("%UPSTREAM_HOSTS_ATTEMPTED% %UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT%")
        var bytes: [UInt8] = []
        if let view = unsafe RequestRecordView(entry.span.bytes) {
            format.program(capture: format.headers).append(view, names: exampleNames, emitUnixNanoseconds: 0, to: &bytes)
        }
        #expect(String(decoding: bytes, as: UTF8.self) == "10.0.0.9:1,[2001:db8::9]:2,10.0.0.3:9080 10.0.0.9,2001:db8::9,10.0.0.3\n")
        record = exampleRecord()
        #expect(try line(format, record) == "10.0.0.3:9080 10.0.0.3\n")
        record.upstreamRemote = SocketEndpoint()
        #expect(try line(format, record) == "- -\n")
    }

    @Test func aRefusedConnectionHasItsReason() throws {
        var record = exampleRecord()
        record.details = .connectionRefusedBeforeResponse
        #expect(try line(.text("%UPSTREAM_TRANSPORT_FAILURE_REASON%"), record) == "delayed_connect_error:_Connection_refused\n")
    }

    /// Envoy accepts them; a configuration that names one must not be refused, nor the user left to wonder at the dashes.
    @Test func operatorsNotInEffectAreAcceptedAndNamed() throws {
        let format = try AccessLogFormat.text(
            "%QUERY_PARAMS(DECODED)% %CONNECTION_ID% %CONNECTION_ID% %TLS_JA3_FINGERPRINT% %REQUEST_HEADER(USER-AGENT)%")
        #expect(format.notInEffect == ["QUERY_PARAMS(DECODED)", "CONNECTION_ID", "TLS_JA3_FINGERPRINT"])
        #expect(try line(format) == "- - - - curl/8\n")
        #expect(
            try AccessLogFormat.json([("a", .template("%UNIQUE_ID%")), ("b", .template("%UNIQUE_ID%%DURATION%"))]).notInEffect == [
                "UNIQUE_ID"
            ])
    }

    @Test func headersThatTheFormatNeedsAreCapturedInTheirSlots() throws {
        let format = try AccessLogFormat.text("%REQ(X-A?X-B)% %RESP(X-C)% %REQ(X-A)% %REQ(:METHOD)%")
        #expect(format.headers == HeaderCapture(requestHeaders: ["x-a", "x-b"], responseHeaders: ["x-c"]))
        let texts = exampleTexts.map { $0.map { Array($0.utf8) } } + [nil, Array("b".utf8), Array("c".utf8)]
        #expect(try line(format, exampleRecord(), texts) == "b c - GET\n")
    }

    @Test func datesAgreeWithTheCalendar() throws {
        for (seconds, expected) in [
            (UInt64(0), "1970-01-01T00:00:00.000Z"), (951_782_400, "2000-02-29T00:00:00.000Z"), (4_102_444_799, "2099-12-31T23:59:59.000Z"),
            (4_107_542_399, "2100-02-28T23:59:59.000Z"), (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (18_446_744_073, "2554-07-21T23:34:33.000Z"),
        ] {
            var record = exampleRecord()
            record.startUnixNanoseconds = seconds * 1_000_000_000
            #expect(try line(.text("%START_TIME%"), record) == expected + "\n")
        }
    }

    /// A path is a whole address: no port behind it, and none where a port is asked for.
    @Test func socketsAreTheirPaths() throws {
        var record = exampleRecord()
        record.upstreamRemote = try SocketEndpoint(unixPath: "/run/a \"b\".sock")
        record.downstreamLocal = try SocketEndpoint(unixPath: "@proxy")
        record.downstreamRemote = SocketEndpoint()
        record.upstreamLocal = SocketEndpoint()
        record.details = .unixMissingBeforeResponse
        let format =
            "%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT% %DOWNSTREAM_LOCAL_ADDRESS% "
                + "%DOWNSTREAM_LOCAL_PORT% "
            + "%DOWNSTREAM_REMOTE_ADDRESS% %UPSTREAM_LOCAL_ADDRESS% %UPSTREAM_HOSTS_ATTEMPTED%"
        #expect(
            try line(.text(format), record) == #"/run/a \x22b\x22.sock /run/a \x22b\x22.sock - @proxy - - - /run/a \x22b\x22.sock"# + "\n")
        let json = try line(
            .json([
                ("h", .template("%UPSTREAM_HOST%")), ("p", .template("%UPSTREAM_REMOTE_PORT%")),
                ("d", .template("%RESPONSE_CODE_DETAILS%")), ("f", .template("%UPSTREAM_TRANSPORT_FAILURE_REASON%")),
            ]), record)
        #expect(
            json
                == #"{"h":"/run/a \"b\".sock","p":null,"#
                    + #""d":"upstream_reset_before_response_started{remote_connection_failure|"#
                    + #"immediate_connect_error:_No_such_file_or_directory}","#
                    + #""f":"immediate_connect_error:_No_such_file_or_directory"}"#
                + "\n")
    }

    /// Every address of the longest line there may be is the longest path: what the writer reserves must hold it, or the process ends.
    @Test func theLongestPathsFit() throws {
        let path = "/" + String(repeating: "\"", count: UnixPathTable.pathBytesMax - 1)
        var record = exampleRecord()
        record.upstreamRemote = try SocketEndpoint(unixPath: path)
        record.upstreamLocal = record.upstreamRemote
        record.downstreamLocal = record.upstreamRemote
        record.downstreamRemote = record.upstreamRemote
        let every = "%UPSTREAM_HOST%%UPSTREAM_LOCAL_ADDRESS%%DOWNSTREAM_LOCAL_ADDRESS%%DOWNSTREAM_REMOTE_ADDRESS%%UPSTREAM_HOSTS_ATTEMPTED%"
        #expect(try line(.text(every), record) == String(repeating: "/" + String(repeating: #"\x22"#, count: 106), count: 5) + "\n")
        #expect(
            try line(.json([("k", .template(every))]), record) == "{\"k\":\""
                + String(repeating: "/" + String(repeating: #"\""#, count: 106), count: 5) + "\"}\n")
    }

    /// Zipkin's endpoints are IP addresses; where a request went must be found all the same.
    @Test func aSpanTellsTheSocketByATag() throws {
        var record = exampleRecord()
        record.upstreamRemote = try SocketEndpoint(unixPath: "/run/app.sock")
        record.downstreamRemote = SocketEndpoint()
        let entry = recordBytes(record, exampleTexts)
        var batch = SpanBatch()
        let span = unsafe entry.span.bytes
        if let view = RequestRecordView(span) {
            ProxySpanBuilder(identity: ProxySpanIdentity(serviceName: "p", nodeID: "n", canonicalService: "p")).append(
                view, names: exampleNames, operation: [], to: &batch)
        }
        var bytes: [UInt8] = []
        ZipkinJSONEncoder.appendList(batch, to: &bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(text.contains(#""upstream_address":"/run/app.sock""#))
        #expect(!text.contains("remoteEndpoint") && !text.contains("peer.address"))
    }

    @Test func proxySpanHasEnvoysTags() throws {
        let entry = recordBytes(exampleRecord(), exampleTexts)
        let builder = ProxySpanBuilder(
            identity: ProxySpanIdentity(serviceName: "Productpage.default", nodeID: "sidecar~1", canonicalService: "productpage"))
        var batch = SpanBatch()
        let span = unsafe entry.span.bytes
        if let view = RequestRecordView(span) {
            builder.append(view, names: exampleNames, operation: Array("reviews.default.svc.cluster.local:9080/*".utf8), to: &batch)
        }
        var bytes: [UInt8] = []
        ZipkinJSONEncoder.appendList(batch, to: &bytes)
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"[{"traceId":"0000000000000abc","id":"0000000000000def","kind":"CLIENT","#
                    + #""name":"reviews.default.svc.cluster.local:9080/*","timestamp":1460751420310000,"duration":13700,"#
                    + #""localEndpoint":{"serviceName":"productpage.default","ipv6":"2001:db8::1","port":55000},"#
                    + #""remoteEndpoint":{"ipv4":"10.0.0.3","port":9080},"tags":{"component":"proxy","downstream_cluster":"-","#
                    + #""guid:x-request-id":"id-1","http.method":"GET","http.protocol":"HTTP/1.1","http.status_code":"200","#
                    + #""http.url":"http://reviews:9080/reviews/1?x=1","istio.canonical_service":"productpage","node_id":"sidecar~1","#
                    + #""peer.address":"10.0.0.1","request_size":"5","response_flags":"-","response_size":"295","#
                    + #""upstream_cluster":"outbound|9080||reviews.default.svc.cluster.local","#
                    + #""upstream_cluster.name":"outbound|9080||reviews.default.svc.cluster.local","user_agent":"curl/8"}}]"#
        )
    }
}
