import TelemetryModel
import TelemetryWire
import Testing

/// OTLP metrics requests: what they become, and that no body ends the process.
@Suite struct OTLPMetricsTests {
    // MARK: Values

    @Test func numbersAreTheSenders() throws {
        let integer = Message.point(start: 40, time: 100).fixed(6, UInt64(bitPattern: -7))
        let decoded = try DecodedMetrics(
            .metrics([.gauge("g", 0.5), .sum("c", [.number(3, start: 40)]), .sum("u", [integer], isMonotonic: false)]))
        #expect(decoded.series == ["g", "c_total", "u"])
        #expect(decoded.points.map(\.kind) == [.gauge, .counter, .gauge])
        #expect(decoded.points.map(\.created) == [nil, 40_000, nil])
        #expect(decoded.points.allSatisfy { $0.time == 100_000 && !$0.isIncrease && !$0.isStale })
        let values = decoded.points.map { if case .number(let number) = $0.value { number } else { Double.nan } }
        #expect(values == [0.5, 3, -7])
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity, -0.0, .greatestFiniteMagnitude])
    func oddNumbersStayAsTheyAre(_ value: Double) throws {
        let point = try DecodedMetrics(.metrics([.gauge("g", value)])).points[0]
        guard case .number(let number) = point.value else { return #expect(Bool(false)) }
        #expect(number.bitPattern == value.bitPattern)
    }

    @Test func increasesAreMarked() throws {
        let decoded = try DecodedMetrics(
            .metrics([
                .sum("c", [.number(3, start: 40)], temporality: 1), .sum("u", [.number(-3, start: 40)], temporality: 1, isMonotonic: false),
                .metric("h", 9, [.histogram([1, 2], [5], start: 40)], temporality: 1),
                .metric("e", 10, [.exponential(scale: 0, positive: (0, [1]), start: 40)], temporality: 1),
            ]))
        #expect(decoded.points.map(\.isIncrease) == [true, true, true, true])
        #expect(decoded.points.map(\.created) == [40_000, 40_000, 40_000, 40_000])
    }

    @Test(arguments: [0, 3, UInt64.max]) func aTemporalityThatIsNoneIsRejected(_ temporality: UInt64) throws {
        let decoded = try DecodedMetrics(.metrics([.sum("c", [.number(1), .number(2)], temporality: temporality), .gauge("g", 1)]))
        #expect(decoded.series == ["g"] && decoded.outcome.rejectedPoints == 2)
        #expect(decoded.outcome.message.contains("c has no aggregation temporality: expected delta (1) or cumulative (2)"))
    }

    @Test func aHistogramIsOnePoint() throws {
        let classic = try DecodedMetrics(.metrics([.metric("h", 9, [.histogram([1, 2, 3], [5, 10], sum: 40)])]))
        #expect(classic.classic == ClassicHistogram(bounds: [5, 10], buckets: [1, 2, 3], count: 6, sum: 40))
        #expect(classic.outcome.acceptedPoints == 1)
        let bare = try DecodedMetrics(.metrics([.metric("h", 9, [.histogram([], [], count: 7, sum: nil)])])).classic
        #expect(bare == ClassicHistogram(bounds: [], buckets: [7], count: 7, sum: nil))
        let infinite = try DecodedMetrics(.metrics([.metric("h", 9, [.histogram([1, 2, 3], [5, .infinity])])])).classic
        #expect(infinite == ClassicHistogram(bounds: [5], buckets: [1, 5], count: 6, sum: 1))
    }

    @Test(arguments: [
        ([1, 2], [5, 10], "expected one more than bounds"), ([1, 2, 3], [10, 5], "do not ascend"), ([1, 2, 3], [5, 5], "do not ascend"),
        ([1, 2], [Double.nan], "not finite"), ([1, 2], [-.infinity], "not finite"),
    ] as [([UInt64], [Double], String)])
    func aHistogramThatIsNoneIsRejectedAlone(_ buckets: [UInt64], _ bounds: [Double], _ reason: String) throws {
        let decoded = try DecodedMetrics(.metrics([.metric("h", 9, [.histogram(buckets, bounds), .histogram([1], [])])]))
        #expect(decoded.outcome.rejectedPoints == 1 && decoded.outcome.acceptedPoints == 1)
        #expect(decoded.outcome.message.contains(reason), "\(decoded.outcome.message)")
    }

    @Test func aSummaryIsItsQuantilesSumAndCount() throws {
        let quantile = Message().fixed(1, 0.99.bitPattern).fixed(2, 4.0.bitPattern)
        let point = Message.point().fixed(4, 3).fixed(5, 7.5.bitPattern).message(6, quantile)
        let decoded = try DecodedMetrics(.metrics([.metric("s", 11, [point])]))
        #expect(decoded.series == ["s_sum", "s_count", #"s{quantile="0.99"}"#] && decoded.outcome.acceptedPoints == 1)
    }

    /// OTLP bucket i covers base^i … base^(i+1), Prometheus' covers base^(i−1) … base^i.
    @Test func anExponentialHistogramIsANativeOne() throws {
        let point = Message.exponential(scale: 3, positive: (-2, [1, 0, 4]), negative: (5, [2]), zero: 6, sum: -3)
        let native = try DecodedMetrics(.metrics([.metric("e", 10, [point])])).native
        #expect(
            native
                == NativeHistogram(
                    schema: 3, zeroThreshold: 1e-128, zeroCount: 6, count: 13, sum: -3, positiveSpans: [.init(offset: -1, length: 3)],
                    positiveCounts: [1, 0, 4], negativeSpans: [.init(offset: 6, length: 1)], negativeCounts: [2]))
    }

    /// A finer scale than Prometheus has is merged without loss: at scale 9 two neighbours are one bucket of scale 8.
    @Test(arguments: [9, 20, 21, 100, Int32.max]) func finerScalesAreMerged(_ scale: Int32) throws {
        let point = Message.exponential(scale: scale, positive: (-3, [1, 2, 3, 4, 5, 6]))
        let native = try #require(try DecodedMetrics(.metrics([.metric("e", 10, [point])])).native)
        #expect(native.schema == 8 && native.count == 21 && native.positiveCounts.reduce(0, +) == 21)
        // −3, −2 −1, 0 1, 2 at scale 9; all below 0 and all from 0 on at scales that are far finer.
        #expect(native.positiveCounts == (scale == 9 ? [1, 5, 9, 6] : [6, 15]))
        #expect(native.positiveSpans == [.init(offset: scale == 9 ? -1 : 0, length: scale == 9 ? 4 : 2)])
    }

    @Test(arguments: [-5, -20, Int32.min]) func coarserScalesAreRejected(_ scale: Int32) throws {
        let decoded = try DecodedMetrics(.metrics([.metric("e", 10, [.exponential(scale: scale, positive: (0, [1]))])]))
        #expect(decoded.points.isEmpty && decoded.outcome.message.contains("e has scale \(scale)"))
    }

    @Test(arguments: [Int32.max, Int32.max - 1, Int32.min, Int32.min + 1])
    func offsetsAtTheEndsOfTheirRangeDoNotTrap(_ offset: Int32) throws {
        for scale in [-4, 0, 8, 9, 20] as [Int32] {
            let point = Message.exponential(scale: scale, positive: (offset, [1, 2, 3]), negative: (offset, [4]))
            let decoded = try DecodedMetrics(.metrics([.metric("e", 10, [point])]))
            #expect(decoded.outcome.acceptedPoints + decoded.outcome.rejectedPoints == 1)
            if let native = decoded.native { #expect(native.isValid && native.count == 10) }
        }
    }

    @Test func listsWithAMillionEntriesAreRejectedWithTheirPointAlone() throws {
        let million = [UInt64](repeating: 1, count: 1_000_000)
        let many = (0..<100_000).map { Double($0) }
        let decoded = try DecodedMetrics(
            .metrics([
                .metric("e", 10, [.exponential(scale: 0, positive: (0, million))]), .metric("h", 9, [.histogram(million, [])]),
                .metric("b", 9, [.histogram([], many)]), .gauge("g", 1),
            ]))
        #expect(decoded.series == ["g"] && decoded.outcome.rejectedPoints == 3)
        #expect(decoded.outcome.message.contains("e has more than 4096 buckets"))
    }

    @Test func aPointWithTooManyAttributesIsRejectedAlone() throws {
        let crowded = (0...OTLPMetricsDecoder.attributesMax).reduce(Message.number(1)) { $0.message(7, .attribute("a\($1)", "x")) }
        let decoded = try DecodedMetrics(.metrics([.metric("m", 5, [crowded, .number(1)])]))
        #expect(decoded.outcome.rejectedPoints == 1 && decoded.series == ["m"] && decoded.outcome.message.contains("256 attributes"))
        let resource = (0...OTLPMetricsDecoder.attributesMax).reduce(Message()) { $0.message(1, .attribute("a\($1)", "x")) }
        #expect(try DecodedMetrics(.metrics([.gauge("m", 1)], resource: resource)).outcome.message.contains("its resource has more than"))
    }

    @Test func aPointWithoutAValueEndsItsSeries() throws {
        let points = try DecodedMetrics(
            .metrics([
                .metric("g", 5, [Message.point().int(8, 1)]), .sum("c", [Message.point(start: 4).int(8, 1)], temporality: 1),
                .metric("h", 9, [Message.histogram([0, 0], [1]).int(10, 1)]), .metric("e", 10, [Message.exponential(scale: 0).int(10, 1)]),
            ])).points
        #expect(points.count == 4 && points.allSatisfy { $0.isStale && !$0.isIncrease })
    }

    /// Those that name a trace; the others are counted.
    @Test func exemplarsComeWithTheirPoints() throws {
        let trace = [UInt8](0..<16)
        let exemplar = Message().fixed(2, 5 * Message.second).fixed(3, 1.5.bitPattern)
            .data(4, [UInt8](repeating: 1, count: 8)).data(5, trace)
        let nameless = Message().fixed(3, 1.0.bitPattern).data(5, [1, 2, 3])
        let decoded = try DecodedMetrics(
            .metrics([
                .sum("c", [Message.number(1).message(5, exemplar).message(5, nameless)]),
                .metric("h", 9, [Message.histogram([1], []).message(8, exemplar)]),
                .metric("e", 10, [Message.exponential(scale: 0, positive: (0, [1])).message(11, exemplar)]),
            ]))
        #expect(decoded.outcome.exemplars == 1)
        let expected = SeriesExemplar(
            time: 5000, value: 1.5, traceID: TraceID(high: 0x0001_0203_0405_0607, low: 0x0809_0A0B_0C0D_0E0F),
            spanID: SpanID(0x0101_0101_0101_0101))
        #expect(decoded.points.count == 3 && decoded.points.allSatisfy { $0.exemplars == [expected] })
    }

    /// Both encodings of a request are the same series.
    @Test func jsonIsTheSame() throws {
        let json = #"""
            {"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
            "scopeMetrics":[{"schemaUrl":"s",
            "metrics":[{"name":"c","unit":"By","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[
            {"startTimeUnixNano":"40000000000","timeUnixNano":"100000000000","asInt":"3","exemplars":[{"asDouble":1}]}]}},
            {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":"100000000000","count":"6","sum":40,
            "bucketCounts":["1","2","3"],"explicitBounds":[5,10]}]}},
            {"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[
            {"timeUnixNano":"100000000000","count":"3","sum":2,"scale":-1,
            "zeroCount":1,"positive":{"offset":-2,"bucketCounts":["2"]},"flags":0}]}}]}]}]}
            """#
        let decoded = try DecodedMetrics(json: json)
        let resource = Message().message(1, .attribute("service.name", "shop"))
        let counted = Message.point(start: 40).fixed(6, 3).message(5, Message())
        let same = try DecodedMetrics(
            .metrics(
                [
                    .sum("c", [counted], unit: "By", temporality: 1), .metric("h", 9, [.histogram([1, 2, 3], [5, 10], sum: 40)]),
                    .metric("e", 10, [.exponential(scale: -1, positive: (-2, [2]), zero: 1, sum: 2)]),
                ], resource: resource))
        #expect(decoded.points.map { "\($0)" } == same.points.map { "\($0)" })
        #expect(decoded.outcome == same.outcome && decoded.outcome.exemplars == 1)
    }

    // MARK: Bytes

    static let whole = Message.metrics(
        [
            .gauge("g", 1, unit: "By/s"), .sum("c", [Message.number(3, start: 4).message(7, .attribute("k", "v"))], temporality: 1),
            .metric("h", 9, [.histogram([1, 2], [5])]),
            .metric("e", 10, [.exponential(scale: 9, positive: (-3, [1, 2, 3]), negative: (1, [1]))]),
            .metric("s", 11, [Message.point().fixed(4, 3).message(6, Message().fixed(1, 0.5.bitPattern))]),
        ], resource: OTLPTranslationTests.resource, scope: Message().text(1, "lib").message(3, .attribute("a", "b")), schema: "x")

    /// A request that breaks off is an error or, between two of its fields, a shorter request; never a trap.
    @Test func aRequestMayBreakOffAnywhere() throws {
        let bytes = Self.whole.bytes
        #expect(try DecodedMetrics(Self.whole).outcome.acceptedPoints == 5)
        for count in 1..<bytes.count {
            #expect(throws: OTLPDecodeError.self, "\(count) bytes") { try DecodedMetrics(Message(bytes: Array(bytes[..<count]))) }
        }
    }

    /// Whatever a byte is turned into, there is an answer, and every point is counted once.
    @Test func anyByteMayBeWrong() throws {
        var translation = OTLPTranslation()
        translation.promotion = .allBut([])
        translation.promotesScope = true
        translation.convertsHistograms = true
        for place in Self.whole.bytes.indices {
            for value in [0, 1, 0x7F, 0x80, 0xFF, Self.whole.bytes[place] ^ 1, Self.whole.bytes[place] &+ 8] as [UInt8] {
                var bytes = Self.whole.bytes
                bytes[place] = value
                guard let decoded = try? DecodedMetrics(Message(bytes: bytes), translation) else { continue }
                #expect(decoded.outcome.rejectedPoints >= 0 && decoded.outcome.acceptedPoints <= decoded.points.count)
                for point in decoded.points { if case .histogram(let native) = point.value { #expect(native.isValid) } }
            }
        }
    }

    /// Values inside values are text whose nesting has a bound; a message inside a message is another reader, not another call.
    @Test func nestingHasABound() throws {
        var value = Message().text(1, "x")
        for _ in 0..<2000 { value = Message().message(5, Message().message(1, value)) }
        let point = Message.number(1).message(7, .attribute("k", value))
        let decoded = try? DecodedMetrics(.metrics([.metric("m", 5, [point])]))
        #expect((decoded?.points.count ?? 0) <= 1)
        let groups = Message(bytes: [UInt8](repeating: 0x0B, count: 100_000))
        #expect(throws: OTLPDecodeError.self) { try DecodedMetrics(groups) }
    }

    @Test func whatIsNotMetricsIsAnError() throws {
        for bytes in [Array("hello".utf8), [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], [0x08, 0x01, 0xFF]] as [[UInt8]] {
            #expect(throws: OTLPDecodeError.self) { try DecodedMetrics(Message(bytes: bytes)) }
        }
        #expect(try DecodedMetrics(Message()).outcome == OTLPMetricsOutcome(), "an empty request is a success (OTLP specification)")
    }
}
