import TelemetryModel
import TelemetryWire
import Testing

/// Bodies of Prometheus' remote write, both versions: what they become, and that no body ends the process.
@Suite struct RemoteWriteTests {
    struct Decoded {
        var points: [MetricPoint] = []
        var counts = RemoteWriteDecoder.Counts()

        var series: [String] { points.map { DecodedMetrics.text($0.labels) } }
        var values: [Double] { points.map { if case .number(let number) = $0.value { number } else { .nan } } }
    }

    func decode(_ bytes: [UInt8], _ version: RemoteWriteDecoder.Version) throws -> Decoded {
        var decoded = Decoded()
        decoded.counts = try unsafe bytes.withUnsafeBytes {
            unsafe try RemoteWriteDecoder.decode($0, version) { decoded.points.append($0) }
        }
        return decoded
    }

    // MARK: 1.0

    static func labels(_ pairs: [(String, String)]) -> Message {
        pairs.reduce(Message()) { $0.message(1, Message().text(1, $1.0).text(2, $1.1)) }
    }

    static func sample(_ value: Double, at time: Int64, start: Int64 = 0) -> Message {
        let sample = Message().fixed(1, value.bitPattern).int(2, UInt64(bitPattern: time))
        return start == 0 ? sample : sample.int(3, UInt64(bitPattern: start))
    }

    /// Whole counts: the first bucket's, then the change from each to the next.
    static func histogram(
        _ deltas: [Int64], at time: Int64, schema: Int32 = 2, count: UInt64 = 9, spans: [(Int32, UInt64)]? = nil
    ) -> Message {
        var message = Message().int(1, count).fixed(3, 2.5.bitPattern).zigzag(4, schema).fixed(5, 0.001.bitPattern).int(6, 1)
        for span in spans ?? [(3, UInt64(deltas.count))] { message = message.message(11, Message().zigzag(1, span.0).int(2, span.1)) }
        return message.varints(12, deltas.map { UInt64(bitPattern: $0 << 1 ^ $0 >> 63) }).int(15, UInt64(bitPattern: time))
    }

    static let first = Message()
        .message(
            1,
            labels([("__name__", "up"), ("job", "a")]).message(2, sample(1, at: 5)).message(2, sample(0, at: 6))
                .message(3, Message().fixed(2, 1.0.bitPattern).int(3, 5))
        )
        .message(1, labels([("__name__", "c_total")]).message(2, sample(7, at: -1)))
        .message(1, labels([("__name__", "h")]).message(4, histogram([3, -1, 2], at: 8)))
        .message(3, Message().int(1, 1).text(2, "c").text(4, "help")).message(3, Message().int(1, 2).text(2, "up"))

    @Test func samplesOfVersionOne() throws {
        let decoded = try decode(Self.first.bytes, .v1)
        #expect(decoded.series == [#"up{job="a"}"#, #"up{job="a"}"#, "c_total", "h"])
        #expect(decoded.points.map(\.time) == [5, 6, -1, 8] && decoded.values.prefix(3) == [1, 0, 7])
        // Metadata stands behind the series and names the family.
        #expect(decoded.points.map(\.kind) == [.gauge, .gauge, .counter, .unknown])
        #expect(decoded.counts.samples == 3 && decoded.counts.histograms == 1 && decoded.counts.droppedExemplars == 1)
        guard case .histogram(let native) = decoded.points[3].value else { return #expect(Bool(false)) }
        #expect(
            native
                == NativeHistogram(
                    schema: 2, zeroThreshold: 0.001, zeroCount: 1, count: 9, sum: 2.5, positiveSpans: [.init(offset: 3, length: 3)],
                    positiveCounts: [3, 2, 4]))
    }

    /// As Prometheus sends them: series of their own, without a sample.
    @Test func exemplarsOfBothVersions() throws {
        let trace = "0123456789abcdef0123456789abcdef"
        let exemplar = Self.labels([("trace_id", trace), ("user", "x")]).fixed(2, 0.25.bitPattern).int(3, 77)
        let first = try decode(Message().message(1, Self.labels([("__name__", "b")]).message(3, exemplar)).bytes, .v1)
        var body = Message()
        for symbol in ["", "__name__", "b", "trace_id", trace] { body = body.text(4, symbol) }
        let references = Message().varints(1, [3, 4]).fixed(2, 0.25.bitPattern).int(3, 77)
        let second = try decode(body.message(5, Message().varints(1, [1, 2]).message(4, references)).bytes, .v2)
        let half: UInt64 = 0x0123_4567_89AB_CDEF
        let expected = SeriesExemplar(time: 77, value: 0.25, traceID: TraceID(high: half, low: half), spanID: .none)
        for decoded in [first, second] {
            #expect(decoded.series == ["b"] && decoded.points[0].exemplars == [expected] && !decoded.points[0].hasValue)
            #expect(decoded.counts.exemplars == 1 && decoded.counts.samples == 0 && decoded.counts.droppedExemplars == 0)
        }
    }

    @Test func aStaleMarkerKeepsItsBits() throws {
        let body = Message().message(1, Self.labels([("__name__", "up")]).message(2, Self.sample(SeriesSamples.staleMarker, at: 5)))
        #expect(SeriesSamples.isStale(try decode(body.bytes, .v1).values[0]))
    }

    // MARK: 2.0

    static let symbols = ["", "__name__", "up", "job", "a", "h", "help"]

    static func second(
        _ references: [UInt64] = [1, 2, 3, 4], _ more: (Message) -> Message = { $0.message(2, sample(1, at: 5)) }
    ) -> Message {
        symbols.reduce(Message()) { $0.text(4, $1) }.message(5, more(Message().varints(1, references)))
    }

    @Test func samplesOfVersionTwo() throws {
        let body = Self.second {
            $0.message(2, Self.sample(1, at: 5)).message(2, Self.sample(2, at: 6, start: 4))
                .message(3, Self.histogram([1], at: 7).int(17, 3))
                .message(4, Message().fixed(2, 0)).message(5, Message().int(1, 1).int(3, 6))
        }
        let decoded = try decode(body.bytes, .v2)
        #expect(decoded.series == [String](repeating: #"up{job="a"}"#, count: 3))
        #expect(decoded.points.map(\.kind) == [.counter, .counter, .counter] && decoded.points.map(\.time) == [5, 6, 7])
        #expect(decoded.points.map(\.created) == [nil, 4, 3])
        #expect(decoded.counts.samples == 2 && decoded.counts.histograms == 1 && decoded.counts.droppedExemplars == 1)
        // As drafts had it: of the series.
        #expect(try decode(Self.second { $0.int(6, 2).message(2, Self.sample(1, at: 5)) }.bytes, .v2).points.map(\.created) == [2])
    }

    /// The table may stand behind the series.
    @Test func theOrderOnTheWireIsFree() throws {
        let series = Message().message(5, Message().varints(1, [1, 2]).message(2, Self.sample(1, at: 5)))
        let body = Message(bytes: series.bytes + Self.symbols.reduce(Message()) { $0.text(4, $1) }.bytes)
        #expect(try decode(body.bytes, .v2).series == ["up"])
    }

    @Test(arguments: [
        ([1, 7], "not in the table"), ([99, 1], "not in the table"), ([UInt64.max, 1], "not in the table"), ([1], "not pairs"),
        ([], "no labels"), ([1, 2, 1, 4], "label twice"), ([0, 0], "no labels"),
    ] as [([UInt64], String)])
    func referencesThatAreNoneAreRefused(_ references: [UInt64], _ reason: String) {
        let error = #expect(throws: RemoteWriteFault.self) { try decode(Self.second(references).bytes, .v2) }
        #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
    }

    @Test func theTableOfSymbolsHasABound() {
        let short: [UInt8] = [4 << 3 | 2, 0]
        let body = (0...RemoteWriteDecoder.symbolsMax).reduce(into: [UInt8]()) { bytes, _ in bytes += short }
        let error = #expect(throws: RemoteWriteFault.self) { try decode(body, .v2) }
        #expect(error?.reason.contains("more entries than are taken") == true)
    }

    // MARK: What is not right

    @Test func histogramsThatAreNoneAreRefused() {
        let wrong: [Message] = [
            Self.histogram([1, 2], at: 1, spans: [(0, 3)]), Self.histogram([1, 2], at: 1, spans: [(0, 1), (-1, 1)]),
            Self.histogram([1], at: 1, schema: 9), Self.histogram([1], at: 1, schema: -5), Self.histogram([1], at: 1, schema: .min),
            Self.histogram([1], at: 1, spans: [(.max, 1)]), Self.histogram([1], at: 1, spans: [(0, UInt64(UInt32.max))]),
            Self.histogram([1], at: 1, spans: [(0, UInt64.max)]), Self.histogram([Int64](repeating: 0, count: 5000), at: 1),
            Self.histogram([1], at: 1, schema: NativeHistogram.customSchema),
        ]
        for message in wrong {
            let body = Message().message(1, Self.labels([("__name__", "h")]).message(4, message))
            #expect(throws: RemoteWriteFault.self) { try decode(body.bytes, .v1) }
        }
        // Counts that overflow wrap; they are nobody's, and no trap.
        let wide = Message().message(1, Self.labels([("__name__", "h")]).message(4, Self.histogram([.max, .max, .min], at: 1)))
        #expect((try? decode(wide.bytes, .v1)) != nil)
    }

    @Test(arguments: [
        (Message().message(1, labels([])), "no labels"), (Message().message(1, labels([("a", "1"), ("a", "2")])), "label twice"),
        (Message().message(1, Message().message(1, Message().data(1, [0xFF]).text(2, "x"))), "not UTF-8"),
        (Message().message(1, labels((0...256).map { ("l\($0)", "x") })), "more entries"),
        (Message().message(1, labels([("a", String(repeating: "x", count: 70_000))])), "more entries"),
        (Message(bytes: [0x0A, 0x05, 0x01]), "past the end"),
        (Message(bytes: [0x07]), "field has number zero"),
    ])
    func bodiesThatAreNoneAreRefusedWithTheReason(_ body: Message, _ reason: String) {
        let error = #expect(throws: RemoteWriteFault.self) { try decode(body.bytes, .v1) }
        #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
    }

    @Test func aBodyMayBreakOffAnywhere() throws {
        let second = Self.second {
            $0.message(2, Self.sample(1, at: 5)).message(3, Self.histogram([1, 2], at: 7)).message(5, Message().int(1, 1))
        }
        for (bytes, version) in [(Self.first.bytes, RemoteWriteDecoder.Version.v1), (second.bytes, .v2)] {
            let whole = try decode(bytes, version).points.count
            for count in bytes.indices {
                // Between two fields it is a shorter body.
                if let decoded = try? decode(Array(bytes[..<count]), version) { #expect(decoded.points.count <= whole) }
            }
            for place in bytes.indices {
                for value in [0, 0x7F, 0x80, 0xFF, bytes[place] ^ 1, bytes[place] &+ 8] as [UInt8] {
                    var changed = bytes
                    changed[place] = value
                    guard let decoded = try? decode(changed, version) else { continue }
                    #expect(decoded.counts.samples + decoded.counts.histograms == decoded.points.count)
                    for point in decoded.points { if case .histogram(let native) = point.value { #expect(native.isValid) } }
                }
            }
        }
    }
}
