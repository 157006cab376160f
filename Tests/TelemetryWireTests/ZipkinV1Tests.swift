import TelemetryModel
import TelemetryWire
import Testing

/// Zipkin's first JSON: what its V1SpanConverter makes of a span, case by case.
@Suite struct ZipkinV1Tests {
    func decode(_ bytes: [UInt8], into batch: inout SpanBatch) throws -> ZipkinDecodeOutcome {
        try unsafe bytes.withUnsafeBytes { unsafe try ZipkinJSONDecoder.decode($0, version: .v1, into: &batch) }
    }

    static let frontend = #"{"serviceName":"frontend","ipv4":"127.0.0.1"}"#
    static let backend = #"{"serviceName":"Backend","ipv4":"192.168.99.101","port":9000}"#

    /// The v2 spans of one v1 span, without the ids that all of them have.
    func convert(_ fields: String, annotations: [(UInt64, String, String?)] = [], binary: [String] = []) throws -> [String] {
        let events = annotations.map { #"{"timestamp":\#($0.0),"value":"\#($0.1)"\#($0.2.map { #","endpoint":\#($0)"# } ?? "")}"# }
        let text =
            #"[{"traceId":"1","parentId":"2","id":"3","name":"GET"\#(fields),"annotations":[\#(events.joined(separator: ","))],"#
                + #""binaryAnnotations":[\#(binary.joined(separator: ","))]}]"#
        var batch = SpanBatch()
        let outcome = try decode(Array(text.utf8), into: &batch)
        #expect(outcome.refusedSpans == 0, "\(outcome.message)")
        let prefix = #"{"traceId":"0000000000000001","parentId":"0000000000000002","id":"0000000000000003","#
        return batch.spans.map { row in
            var bytes: [UInt8] = []
            ZipkinJSONEncoder.append(row, of: batch, to: &bytes)
            let span = String(decoding: bytes, as: UTF8.self)
            #expect(span.hasPrefix(prefix))
            return String(span.dropFirst(prefix.count).dropLast())
        }
    }
    let front = #""localEndpoint":{"serviceName":"frontend","ipv4":"127.0.0.1"}"#
    let back = #""localEndpoint":{"serviceName":"backend","ipv4":"192.168.99.101","port":9000}"#
    let remoteBack = #""remoteEndpoint":{"serviceName":"backend","ipv4":"192.168.99.101","port":9000}"#
    let remoteFront = #""remoteEndpoint":{"serviceName":"frontend","ipv4":"127.0.0.1"}"#

    @Test func clientSpan() throws {
        let spans = try convert(
            #","timestamp":50,"duration":100"#,
            annotations: [(50, "cs", Self.frontend), (60, "foo", Self.frontend), (150, "cr", Self.frontend)],
            binary: [
                #"{"key":"http.path","value":"/api","endpoint":\#(Self.frontend)}"#,
                #"{"key":"sa","value":true,"endpoint":\#(Self.backend)}"#,
            ])
        #expect(
            spans == [
                #""kind":"CLIENT","name":"get","timestamp":50,"duration":100,\#(front),\#(remoteBack),"annotations":[{"timestamp":60,"#
                    + #""value":"foo"}],"tags":{"http.path":"/api"}"#
            ])
    }

    /// A server span without times of its own shares its client's.
    @Test func serverSpans() throws {
        let events: [(UInt64, String, String?)] = [(50, "sr", Self.backend), (150, "ss", Self.backend)]
        let address = #"{"key":"ca","value":true,"endpoint":\#(Self.frontend)}"#
        #expect(
            try convert("", annotations: events, binary: [address]) == [
                #""kind":"SERVER","name":"get","timestamp":50,"duration":100,\#(back),\#(remoteFront),"shared":true"#
            ])
        #expect(
            try convert(#","timestamp":50,"duration":100"#, annotations: events, binary: [address]) == [
                #""kind":"SERVER","name":"get","timestamp":50,"duration":100,\#(back),\#(remoteFront)"#
            ])
        #expect(
            try convert(#","timestamp":50"#, annotations: events) == [
                #""kind":"SERVER","name":"get","timestamp":50,"duration":100,\#(back),"shared":true"#
            ])
    }

    /// Both sides in one span: one each, the server's shared and with its own times.
    @Test func sharedSpanBecomesTwo() throws {
        let events: [(UInt64, String, String?)] = [
            (50, "cs", Self.frontend), (95, "sr", Self.backend), (100, "ss", Self.backend), (150, "cr", Self.frontend),
        ]
        let client = #""kind":"CLIENT","name":"get","timestamp":50,"duration":100,\#(front)"#
        let server = #""kind":"SERVER","name":"get","timestamp":95,"duration":5,\#(back),"shared":true"#
        #expect(try convert(#","timestamp":50,"duration":100"#, annotations: events) == [client, server])
        #expect(try convert("", annotations: events) == [client, server])
        // Tags go to the host that wrote them, and those of nobody to the first.
        let tagged = try convert(
            "", annotations: events, binary: [#"{"key":"s","value":"1","endpoint":\#(Self.backend)}"#, #"{"key":"n","value":"2"}"#])
        #expect(
            tagged == [
                client + #","tags":{"n":"2"}"#,
                #""kind":"SERVER","name":"get","timestamp":95,"duration":5,\#(back),"tags":{"s":"1"},"shared":true"#,
            ])
        // One way: nobody answered.
        #expect(try convert("", annotations: [(50, "cs", Self.frontend), (95, "sr", Self.backend)])
            == [
                #""kind":"CLIENT","name":"get","timestamp":50,\#(front)"#,
                #""kind":"SERVER","name":"get","timestamp":95,\#(back),"shared":true"#,
            ])
    }

    /// A service that calls itself has both sides under one name.
    @Test func loopbackBecomesTwo() throws {
        let events: [(UInt64, String, String?)] = [
            (50, "cs", Self.frontend), (95, "sr", Self.frontend), (100, "ss", Self.frontend), (150, "cr", Self.frontend),
        ]
        #expect(try convert("", annotations: events)
            == [
                #""kind":"CLIENT","name":"get","timestamp":50,"duration":100,\#(front)"#,
                #""kind":"SERVER","name":"get","timestamp":95,"duration":5,\#(front),"shared":true"#,
            ])
    }

    @Test func halvesOfACallAreKept() throws {
        #expect(try convert("", annotations: [(50, "cs", Self.frontend)]) == [#""kind":"CLIENT","name":"get","timestamp":50,\#(front)"#])
        #expect(
            try convert("", annotations: [(50, "ss", Self.backend)]) == [
                #""kind":"SERVER","name":"get",\#(back),"annotations":[{"timestamp":50,"value":"ss"}]"#
            ])
        #expect(
            try convert("", annotations: [(50, "cr", Self.frontend)]) == [
                #""kind":"CLIENT","name":"get",\#(front),"annotations":[{"timestamp":50,"value":"cr"}]"#
            ])
        // The last event alone, at the end of the span's own times.
        #expect(
            try convert(#","timestamp":10,"duration":40"#, annotations: [(50, "cr", Self.frontend)]) == [
                #""kind":"CLIENT","name":"get","timestamp":10,"duration":40,\#(front)"#
            ])
        #expect(
            try convert(#","timestamp":10,"duration":40"#, annotations: [(50, "ss", Self.backend)]) == [
                #""kind":"SERVER","name":"get","timestamp":10,"duration":40,\#(back)"#
            ])
        // Events of nobody are only events.
        #expect(try convert("", annotations: [(50, "cs", nil)]) == [#""name":"get","annotations":[{"timestamp":50,"value":"cs"}]"#])
    }

    @Test func localSpansAndAddressesWithoutEvents() throws {
        let local = #"{"key":"lc","value":"","endpoint":\#(Self.frontend)}"#
        #expect(
            try convert(#","timestamp":50,"duration":100"#, binary: [local]) == [#""name":"get","timestamp":50,"duration":100,\#(front)"#])
        #expect(
            try convert(#","timestamp":50,"duration":100"#, binary: [#"{"key":"lc","value":"x","endpoint":\#(Self.frontend)}"#]) == [
                #""name":"get","timestamp":50,"duration":100,\#(front),"tags":{"lc":"x"}"#
            ])
        let sa = #"{"key":"sa","value":true,"endpoint":\#(Self.backend)}"#
        let ca = #"{"key":"ca","value":true,"endpoint":\#(Self.frontend)}"#
        #expect(try convert("", binary: [local, sa]) == [#""name":"get",\#(front),\#(remoteBack)"#])
        #expect(try convert("", binary: [ca]) == [#""kind":"SERVER","name":"get",\#(remoteFront)"#])
        #expect(try convert("", binary: [ca, sa]) == [#""name":"get",\#(front),\#(remoteBack)"#])
    }

    /// Finagle writes the client's port with the server's name: kept, the server would call itself.
    @Test func aClientAddressWithTheServersNameLosesIt() throws {
        let ca = #"{"key":"ca","value":true,"endpoint":{"serviceName":"backend","ipv4":"10.0.0.9","port":5}}"#
        #expect(try convert("", annotations: [(50, "sr", Self.backend), (150, "ss", Self.backend)], binary: [ca])
            == [
                #""kind":"SERVER","name":"get","timestamp":50,"duration":100,\#(back),"remoteEndpoint":{"ipv4":"10.0.0.9","port":5},"#
                    + #""shared":true"#
            ])
        let same = #"{"key":"ca","value":true,"endpoint":\#(Self.backend)}"#
        #expect(try convert("", annotations: [(50, "sr", Self.backend), (150, "ss", Self.backend)], binary: [same])
            == [#""kind":"SERVER","name":"get","timestamp":50,"duration":100,\#(back),"shared":true"#])
    }

    @Test func messaging() throws {
        let broker = #"{"key":"ma","value":true,"endpoint":\#(Self.backend)}"#
        #expect(
            try convert("", annotations: [(50, "ms", Self.frontend), (60, "ws", Self.frontend)], binary: [broker]) == [
                #""kind":"PRODUCER","name":"get","timestamp":50,"duration":10,\#(front),\#(remoteBack)"#
            ])
        #expect(
            try convert("", annotations: [(40, "wr", Self.frontend), (50, "mr", Self.frontend)]) == [
                #""kind":"CONSUMER","name":"get","timestamp":40,"duration":10,\#(front)"#
            ])
        #expect(try convert("", annotations: [(50, "mr", Self.frontend)]) == [#""kind":"CONSUMER","name":"get","timestamp":50,\#(front)"#])
        #expect(try convert("", annotations: [(50, "ms", Self.frontend), (90, "mr", Self.backend)])
            == [
                #""kind":"PRODUCER","name":"get","timestamp":50,\#(front)"#,
                #""kind":"CONSUMER","name":"get","timestamp":90,\#(back),"shared":true"#,
            ])
    #expect(
        try convert("", annotations: [(60, "ws", Self.frontend)]) == [
            #""name":"get",\#(front),"annotations":[{"timestamp":60,"value":"ws"}]"#
        ])
    }

    /// Zipkin drops values that are neither texts nor addresses; nothing need be lost.
    @Test func valuesOfAnyTypeAreTags() throws {
        let values = [
            #"{"key":"i","value":5,"type":"I64"}"#, #"{"key":"b","value":true}"#, #"{"key":"sa","value":false}"#,
            #"{"key":"n","value":null}"#, #"{"key":"c","value":"cut\ud83d"}"#,
        ]
        #expect(
            try convert(#","debug":true"#, binary: values) == [
                "\"name\":\"get\",\"tags\":{\"b\":\"true\",\"c\":\"cut\u{FFFD}\",\"i\":\"5\",\"sa\":\"false\"},\"debug\":true"
            ])
    }

    @Test func eachVersionKnowsTheOther() {
        func message(_ text: String) -> String {
            var batch = SpanBatch()
            do { return "accepted \(try decode(Array(text.utf8), into: &batch))" } catch { return "\(error)" }
        }
        for field in [#""localEndpoint":{}"#, #""remoteEndpoint":null"#, #""tags":{}"#] {
            #expect(message(#"[{"traceId":"a","id":"b",\#(field)}]"#) == "Expected a JSON_V1 encoded list, but received: JSON_V2")
        }
        #expect(message("{}") == "Expected a JSON_V1 encoded list")
    }

    /// More hosts than honest spans have cost what they are, not their square.
    @Test func hostsAreBounded() throws {
        let events = (0..<20_000).map { #"{"timestamp":\#($0 + 1),"value":"e","endpoint":{"serviceName":"s\#($0)"}}"# }.joined(
            separator: ",")
        var batch = SpanBatch()
        #expect(try decode(Array(#"[{"traceId":"a","id":"b","annotations":[\#(events)]}]"#.utf8), into: &batch).acceptedSpans == 64)
        #expect(batch.annotations.count == 20_000)
    }

    @Test func corpusIsAcceptedOrRefusedAsNamed() throws {
        let corpus = try Fixtures.corpus("ZipkinJSONV1")
        #expect(corpus.count > 5)
        for (name, bytes) in corpus {
            var batch = SpanBatch()
            do {
                let outcome = try decode(bytes, into: &batch)
                #expect(name.hasPrefix(outcome.refusedSpans == 0 ? "y_" : "r_"), "\(name): \(outcome)")
                #expect(outcome.acceptedSpans == batch.spans.count)
            } catch {
                #expect(name.hasPrefix("n_") && batch.text.isEmpty, "\(name): \(error)")
            }
        }
    }

    @Test func mutatedBodiesNeverTrap() throws {
        let seed: UInt64 = 0x0FF1CE
        var random = SeededRandom(state: seed)
        let original = try #require(try Fixtures.corpus("ZipkinJSONV1").first { $0.name == "y_shared.json" }).bytes
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = original
            for _ in 0...random.next(3) {
                let at = random.next(bytes.count)
                switch random.next(3) {
                case 0: bytes[at] = UInt8(random.next(256))
                case 1: bytes.remove(at: at)
                default: bytes.removeSubrange(at..<min(at + random.next(20), bytes.count))
                }
            }
            var batch = SpanBatch()
            guard let outcome = try? decode(bytes, into: &batch) else {
                #expect(batch.text.isEmpty, "seed \(seed)")
                continue
            }
            accepted += outcome.acceptedSpans
            let text = encodeZipkin(batch)
            #expect(encodeZipkin(try decodeZipkin(text)) == text, "seed \(seed)")
        }
        #expect(accepted > 1000)
    }
}
