import TelemetryModel
import TelemetryWire
import Testing

func decodeZipkinProtobuf(_ bytes: [UInt8], into batch: inout SpanBatch) throws -> ZipkinDecodeOutcome {
    try unsafe bytes.withUnsafeBytes { unsafe try ZipkinProtobufDecoder.decode($0, into: &batch) }
}

@Suite struct ZipkinProtobufTests {
    static func span(trace: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 10], id: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 11]) -> Message {
        Message().data(1, trace).data(3, id)
    }
    static func list(_ spans: Message...) -> [UInt8] { spans.reduce(Message()) { $0.message(1, $1) }.bytes }

    /// The span of Zipkin's own tests, which in JSON is `ZipkinJSONTests.golden`.
    static let golden = list(
        Message().data(1, [0x71, 0x80, 0xC2, 0x78, 0xB6, 0x2E, 0x8F, 0x6A, 0x21, 0x6A, 0x2A, 0xEA, 0x45, 0xD0, 0x8F, 0xC9])
            .data(2, [0x6B, 0x22, 0x1D, 0x5B, 0xC9, 0xE6, 0x49, 0x6C]).data(3, [0x5B, 0x41, 0x85, 0x66, 0x6D, 0x50, 0xF6, 0x8B]).int(4, 1)
            .text(5, "GET")
            .fixed(6, 1_472_470_996_199_000).int(7, 207_000).message(8, Message().text(1, "Frontend").data(2, [127, 0, 0, 1]))
            .message(
                9,
                Message().text(1, "backend").data(2, [192, 168, 99, 101]).data(
                    3, [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xC0, 0x01]
                ).int(4, 9000))
            .message(10, Message().fixed(1, 1_472_470_996_403_000).text(2, "bar")).message(
                10, Message().fixed(1, 1_472_470_996_238_000).text(2, "foo"))
            .message(11, Message().text(1, "http.path").text(2, "/api")).message(
                11, Message().text(1, "clnt/finagle.version").text(2, "6.45.0")
            ).int(12, 1))

    @Test func goldenSpanIsThatOfJSON() throws {
        var batch = SpanBatch()
        let outcome = try decodeZipkinProtobuf(Self.golden, into: &batch)
        #expect(outcome.acceptedSpans == 1 && outcome.refusedSpans == 0)
        #expect(encodeZipkin(batch) == ZipkinJSONTests.golden)
    }

    @Test func normalisesAsJSONDoes() throws {
        var batch = SpanBatch()
        let body = Self.list(
            Self.span().data(2, [0, 0, 0, 0, 0, 0, 0, 11]).int(4, 1).int(13, 1).fixed(6, UInt64.max).int(7, UInt64.max),
            Self.span(trace: [1], id: [2]).int(4, 9).message(11, Message().text(1, "k").text(2, "first")).message(
                11, Message().text(1, "k")),
            Self.span(trace: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]).message(10, Message().text(2, "no time")).message(
                10, Message().fixed(1, 5)
            ).message(8, Message().int(4, UInt64(bitPattern: -1)))
                .message(9, Message().data(2, [1, 2]).data(3, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 1, 2, 3, 4])))
        #expect(try decodeZipkinProtobuf(body, into: &batch).acceptedSpans == 3)
        #expect(
            encodeZipkin(batch)
                == #"[{"traceId":"000000000000000a","id":"000000000000000b","kind":"CLIENT"},"#
                    + #"{"traceId":"0000000000000001","id":"0000000000000002","tags":{"k":""}},"#
                    + #"{"traceId":"000000000000000a","id":"000000000000000b","remoteEndpoint":{"ipv4":"1.2.3.4"}}]"#
        )
    }

    /// The length in front of a span frames it: what is wrong inside costs it alone.
    @Test func aBadSpanCostsItself() throws {
        let good = Self.span().text(5, "good")
        let bad: [(Message, WireFault)] = [
            (Message().data(3, [1]), .missingTraceID), (Message().data(1, [1]), .missingID), (Self.span(trace: []), .emptyIdentifier),
            (Self.span(id: [UInt8](repeating: 0, count: 8)), .identifierAllZeros),
            (Self.span(trace: [UInt8](repeating: 1, count: 17)), .identifierTooLong),
            (Self.span(id: [UInt8](repeating: 1, count: 9)), .identifierTooLong),
            (Self.span().message(8, Message().int(4, 65536)), .portOutOfRange),
            (Message(bytes: Self.span().bytes + [0x2A, 100]), .lengthOutOfRange), (Message(bytes: Self.span().bytes + [0]), .invalidTag),
            (Self.span().message(10, Message(bytes: [0x12, 9])), .lengthOutOfRange),
        ]
        for (message, fault) in bad {
            var batch = SpanBatch()
            let outcome = try decodeZipkinProtobuf(Self.list(good, message, good), into: &batch)
            #expect(outcome.acceptedSpans == 2 && outcome.refusedSpans == 1 && outcome.reasons.first?.fault == fault, "\(outcome)")
            #expect(outcome.reasons.first?.spanIndex == 1 && batch.spans.map { batch.string($0.name) } == ["good", "good"])
            #expect(batch.tags.isEmpty && batch.endpoints.isEmpty && batch.annotations.isEmpty)
        }
    }

    @Test func errorsSayWhatWasExpected() {
        func message(_ bytes: [UInt8]) -> String {
            var batch = SpanBatch()
            do { return "accepted \(try decodeZipkinProtobuf(bytes, into: &batch))" } catch { return "\(error)" }
        }
        #expect(message(Array("[{}]".utf8)) == "Expected a PROTO3 encoded list")
        #expect(message([0x0A, 5, 1]) == "a length points past the end of the message at byte 2 reading List<Span> from proto3")
    }

    @Test func corpusIsAcceptedOrRefusedAsNamed() throws {
        let corpus = try Fixtures.corpus("ZipkinProtobuf")
        #expect(corpus.count > 10)
        for (name, bytes) in corpus {
            var batch = SpanBatch()
            do {
                let outcome = try decodeZipkinProtobuf(bytes, into: &batch)
                #expect(name.hasPrefix(outcome.refusedSpans == 0 ? "y_" : "r_"), "\(name): \(outcome)")
                #expect(outcome.acceptedSpans == batch.spans.count)
            } catch {
                #expect(name.hasPrefix("n_") && batch.text.isEmpty, "\(name): \(error)")
            }
        }
    }

    @Test func mutatedListsNeverTrapAndWhatIsAcceptedCanBeWritten() throws {
        let seed: UInt64 = 0xF0CACC1A
        var random = SeededRandom(state: seed)
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = Self.golden + Self.list(Self.span())
            for _ in 0...random.next(4) { bytes[random.next(bytes.count)] = UInt8(random.next(256)) }
            bytes.removeLast(random.next(8) == 0 ? random.next(bytes.count) : 0)
            var batch = SpanBatch()
            guard let outcome = try? decodeZipkinProtobuf(bytes, into: &batch) else {
                #expect(batch.text.isEmpty && batch.spans.isEmpty, "seed \(seed)")
                continue
            }
            accepted += outcome.acceptedSpans
            #expect(outcome.acceptedSpans == batch.spans.count, "seed \(seed)")
            let text = encodeZipkin(batch)
            #expect(encodeZipkin(try decodeZipkin(text)) == text, "seed \(seed)")
        }
        #expect(accepted > 10_000)
    }
}
