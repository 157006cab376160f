import Foundation
import TelemetryModel
import TelemetryWire
import Testing

/// OpenTelemetry's "OpenTelemetry to Zipkin Transformation" and "Transformation to non-OTLP Formats", rule by rule, in both encodings.
@Suite struct OTLPMappingTests {
    struct Mapped {
        var tags: [String: String]
        var remote: String
        var annotations: [String]
        var row: SpanRow
    }

    /// The span of `message`, and the one that the same request in JSON gives when there is one.
    func map(_ span: Message, resource: Message = Message(), scope: Message = Message(), json: String? = nil) throws -> Mapped {
        var batch = SpanBatch()
        let bytes = Message.request([span], resource: resource, scope: scope).bytes
        let outcome = try unsafe bytes.withUnsafeBytes { unsafe try OTLPTraceDecoder.decode($0, into: &batch) }
        #expect(outcome.acceptedSpans == 1 && outcome.message.isEmpty)
        if let json {
            var again = SpanBatch()
            let text = Array(json.utf8)
            _ = try unsafe text.withUnsafeBytes { unsafe try OTLPTraceDecoder.decodeJSON($0, into: &again) }
            #expect(encodeZipkin(again) == encodeZipkin(batch))
        }
        let row = batch.spans[0]
        let rows = batch.tags[Int(row.tagStart)..<Int(row.tagStart) + Int(row.tagCount)]
        let json = encodeZipkin(batch)
        let remote = json.range(of: "\"remoteEndpoint\":").map { String(json[$0.upperBound...].prefix { $0 != "}" }) + "}" } ?? ""
        return Mapped(
            tags: Dictionary(uniqueKeysWithValues: rows.map { (batch.string($0.key), batch.string($0.value)) }), remote: remote,
            annotations: batch.annotations.map { batch.string($0.value) }, row: row)
    }
    func client(_ attributes: (String, String)...) -> Message {
        attributes.reduce(Message.span().int(6, 3)) { $0.message(9, .attribute($1.0, $1.1)) }
    }

    // MARK: Remote endpoint

    @Test(arguments: [
        "peer.service", "server.address", "net.peer.name", "network.peer.address", "server.socket.domain", "server.socket.address",
        "net.sock.peer.name",
        "net.sock.peer.addr", "peer.hostname", "peer.address", "db.name",
    ])
    func eachPeerAttributeNamesThePeer(_ key: String) throws {
        #expect(try map(client((key, "Backend"))).remote == #"{"serviceName":"backend"}"#)
        // Producers have a peer as well; nobody else has.
        #expect(try map(Message.span().int(6, 4).message(9, .attribute(key, "Backend"))).remote == #"{"serviceName":"backend"}"#)
        for kind in [0, 1, 2, 5] as [UInt64] {
            #expect(try map(Message.span().int(6, kind).message(9, .attribute(key, "Backend"))).remote.isEmpty)
        }
    }

    /// The order decides whatever the order on the wire.
    @Test func higherRanksWin() throws {
        let ranks = [
            "peer.service", "server.address", "net.peer.name", "network.peer.address", "server.socket.domain", "server.socket.address",
            "net.sock.peer.name",
            "net.sock.peer.addr", "peer.hostname", "peer.address", "db.name",
        ]
        for first in ranks.indices {
            for second in ranks.indices where second > first {
                for pair in [[(ranks[first], "high"), (ranks[second], "low")], [(ranks[second], "low"), (ranks[first], "high")]] {
                    #expect(try map(client(pair[0], pair[1])).remote == #"{"serviceName":"high"}"#, "\(pair)")
                }
            }
        }
    }

    @Test func addressesAndPortsAreThoseOfThePeer() throws {
        func remote(_ attributes: (String, String)...) throws -> String {
            try map(attributes.reduce(Message.span().int(6, 3)) { $0.message(9, .attribute($1.0, $1.1)) }).remote
        }
        #expect(try remote(("network.peer.address", "10.0.0.9"), ("network.peer.port", "8080")) == #"{"ipv4":"10.0.0.9","port":8080}"#)
        #expect(try remote(("network.peer.address", "10.0.0.9")) == #"{"ipv4":"10.0.0.9"}"#)
        #expect(try remote(("server.address", "::1"), ("server.port", "1")) == #"{"ipv6":"::1","port":1}"#)
        #expect(
            try remote(("net.sock.peer.addr", "10.0.0.9"), ("net.sock.peer.port", "3"), ("peer.service", "DB"))
                == #"{"serviceName":"db","ipv4":"10.0.0.9","port":3}"#)
        #expect(try remote(("net.peer.name", "db"), ("net.peer.port", "5"), ("server.port", "6")) == #"{"serviceName":"db","port":5}"#)
        #expect(try remote(("net.peer.ip", "10.0.0.7"), ("net.peer.port", "5")) == #"{"ipv4":"10.0.0.7","port":5}"#)
        #expect(try remote(("peer.address", "10.0.0.7:443")) == #"{"ipv4":"10.0.0.7","port":443}"#)
        #expect(try remote(("peer.address", "[::1]:443")) == #"{"ipv6":"::1","port":443}"#)
        // A higher rank's address keeps a database's name out, not a host's.
        #expect(try remote(("server.address", "10.0.0.9"), ("db.name", "orders")) == #"{"ipv4":"10.0.0.9"}"#)
        #expect(try remote(("server.address", "10.0.0.9"), ("peer.hostname", "host")) == #"{"serviceName":"host","ipv4":"10.0.0.9"}"#)
        // A service may be called like an address.
        #expect(
            try remote(("peer.service", "10.0.0.1"), ("network.peer.address", "10.0.0.9"))
                == #"{"serviceName":"10.0.0.1","ipv4":"10.0.0.9"}"#)
        for port in ["0", "65536", "-1", "x", "99999999999999999999"] {
            #expect(try remote(("server.address", "a"), ("server.port", port)) == #"{"serviceName":"a"}"#)
        }
        #expect(try remote(("peer.service", "")).isEmpty && remote(("server.port", "80")).isEmpty)
    }

    // MARK: Status

    @Test func statusIsMappedAsTheTableSays() throws {
        func tags(_ code: UInt64?, _ message: String?, _ attribute: (String, Message)? = nil) throws -> [String: String] {
            var span = Message.span()
            if let attribute { span = span.message(9, .attribute(attribute.0, attribute.1)) }
            if let code {
                var status = Message()
                if let message { status = status.text(2, message) }
                span = span.message(15, status.int(3, code))
            }
            return try map(span).tags
        }
        #expect(try tags(nil, nil) == [:])
        #expect(try tags(0, "said") == [:])
        #expect(try tags(1, nil) == ["otel.status_code": "OK"])
        #expect(try tags(2, nil) == ["otel.status_code": "ERROR", "error": ""])
        #expect(try tags(2, "boom") == ["otel.status_code": "ERROR", "otel.status_description": "boom", "error": "boom"])
        #expect(try tags(99, "x") == [:])
        // Zipkin takes any tag `error` for a failure: only the status makes one.
        let values = [
            Message().int(2, 0), Message().int(2, 1), Message().text(1, "false"), Message().text(1, "true"), Message().text(1, ""),
            Message().text(1, "why"),
        ]
        for value in values {
            #expect(try tags(nil, nil, ("error", value)) == [:])
            #expect(try tags(1, nil, ("error", value)) == ["otel.status_code": "OK"])
            #expect(try tags(2, "boom", ("error", value))["error"] == "boom")
        }
        #expect(try tags(2, nil, ("error", Message().int(2, 0)))["error"] == "")
        #expect(try tags(2, nil, ("error", Message().text(1, "why")))["error"] == "why")
        let shared = Message().message(1, .attribute("error", "true"))
        #expect(try map(Message.span(), resource: shared, scope: Message().message(3, .attribute("error", "x"))).tags == [:])
    }

    // MARK: What Zipkin has no field for

    @Test func scopeIsReportedUnderBothNamesAndWithItsAttributes() throws {
        let scope = Message().text(1, "lib").text(2, "1.0").message(3, .attribute("k", "scope")).message(3, .attribute("only", "scope"))
            .int(4, 3)
        let mapped = try map(
            Message.span().message(9, .attribute("k", "span")),
            resource: Message().message(1, .attribute("k", "resource")).message(1, .attribute("r", "x")).int(2, 4), scope: scope)
        #expect(mapped.tags == [
            "otel.scope.name": "lib", "otel.library.name": "lib", "otel.scope.version": "1.0", "otel.library.version": "1.0",
            "k": "span", "only": "scope", "r": "x",
            "otel.scope.dropped_attributes_count": "3", "otel.resource.dropped_attributes_count": "4",
        ])
        // The next scope of the same resource has nothing of it.
        var batch = SpanBatch()
        let two = Message().message(
            1, Message().message(2, Message().message(1, scope).message(2, .span())).message(2, Message().message(2, .span()))
        ).bytes
        _ = try unsafe two.withUnsafeBytes { unsafe try OTLPTraceDecoder.decode($0, into: &batch) }
        #expect(batch.spans[0].tagCount == 7 && batch.spans[1].tagCount == 0)
    }

    @Test func linksStateAndDroppedCountsAreKept() throws {
        let link = Message().data(1, (1...16).map { $0 }).data(2, (1...8).map { $0 }).text(3, "rojo=1").message(4, .attribute("k", "v"))
            .message(4, .attribute("n", Message().int(3, 5))).int(5, 2)
        let span = Message.span().text(3, "a=1,b=2").int(10, 3).int(12, 4).int(14, 5).message(13, link).message(
            13, Message().data(1, [0xAB]))
        .message(11, Message().fixed(1, 1_000_000).text(2, "dropped").int(4, 7)).message(
            11, Message().fixed(1, 2_000_000).text(2, "both").message(3, .attribute("a", "1")).int(4, 8))
        let json = #"""
            {"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101","spanId":"0202020202020202"
            ,"traceState":"a=1,b=2","droppedAttributesCount":3,"droppedEventsCount":"4","droppedLinksCount":5,
            "links":[{"traceId":"0102030405060708090a0b0c0d0e0f10",
            "spanId":"0102030405060708","traceState":"rojo=1",
            "attributes":[{"key":"k","value":{"stringValue":"v"}},{"key":"n","value":{"intValue":"5"}}],
            "droppedAttributesCount":2},{"traceId":"AB"}],
            "events":[{"timeUnixNano":"1000000","name":"dropped","droppedAttributesCount":7},
            {"timeUnixNano":"2000000","name":"both","attributes":[{"key":"a","value":{"stringValue":"1"}}],
            "droppedAttributesCount":8}]}]}]}]}
            """#
        let mapped = try map(span, json: json)
        #expect(mapped.tags == [
            "w3c.tracestate": "a=1,b=2", "otel.dropped_attributes_count": "3", "otel.dropped_events_count": "4",
            "otel.dropped_links_count": "5",
            "otlp.link.0": #"0102030405060708090a0b0c0d0e0f10|0102030405060708|rojo=1|{"k":"v","n":5}|2"#, "otlp.link.1": "ab|||{}|0",
        ])
        #expect(
            mapped.annotations == [
                #""dropped": {"otel.dropped_attributes_count":7}"#, #""both": {"a":"1","otel.dropped_attributes_count":8}"#,
            ])
        // Zero is not reported, and a count of 64 bits is none.
        #expect(try map(Message.span().int(10, 0).int(12, 0).int(14, 0)).tags == [:])
        #expect(try map(Message.span().int(10, UInt64.max)).tags == ["otel.dropped_attributes_count": "4294967295"])
    }

    @Test func kindsAndTimes() throws {
        let kinds: [(UInt64, SpanKind)] = [
            (0, .unspecified), (1, .unspecified), (2, .server), (3, .client), (4, .producer), (5, .consumer), (6, .unspecified),
        ]
        for (sent, kind) in kinds { #expect(try map(Message.span().int(6, sent)).row.kind == kind) }
        func times(_ start: UInt64, _ end: UInt64) throws -> [UInt64] {
            let row = try map(Message.span().fixed(7, start).fixed(8, end)).row
            return [row.timestamp, row.duration]
        }
        #expect(
            try times(1_000_000, 1_001_234) == [1000, 1] && times(1_000_000, 1_000_100) == [1000, 1]
                && times(1_999_999, 3_999_999) == [1999, 2000])
        #expect(try times(0, 5000) == [0, 0] && times(5000, 0) == [5, 0] && times(5000, 4000) == [5, 0])
    }
}
