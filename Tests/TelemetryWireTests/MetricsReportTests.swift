import Primitives
import TelemetryModel
import Testing

@testable import TelemetryWire

/// What proxies tell collectors. Bytes come from the network: whatever they are, they end in a batch or in a fault.
@Suite struct MetricsReportTests {
    static func sample() -> SeriesBatch {
        var batch = SeriesBatch()
        batch.report = SeriesBatch.Report(sender: "10.0.0.1:15090/ab", sequence: 300)
        let counter = batch.append(LabelSet("requests_total", ["code": "200", "path": "/é"]), .counter)
        let histogram = batch.append(LabelSet("ms"), .classicHistogram, bounds: [0.5, 1])
        batch.append(counter, time: 1_796_000_000_000, value: 12.5, created: 1_795_000_000_000)
        batch.append(histogram, time: 1_796_000_000_000, buckets: [1, 2, 3], count: 6, sum: 7.25)
        batch.append(counter, time: 1_795_999_999_000, value: -.infinity)
        batch.appendStale(histogram, time: -5)
        for (identity, value) in [(counter, 1.5), (histogram, 0.75)] {
            let trace = TraceID(high: UInt64.max, low: 1)
            batch.append(identity, SeriesExemplar(time: 1_796_000_000_000, value: value, traceID: trace, spanID: SpanID(7)))
        }
        return batch
    }

    static func encode(_ batch: SeriesBatch) -> [UInt8] {
        var bytes: [UInt8] = []
        MetricsReport.append(batch, to: &bytes)
        return bytes
    }

    @Test func comesBackAsItWas() throws {
        let sent = Self.sample()
        var read = SeriesBatch()
        try MetricsReport.decode(Self.encode(sent), into: &read)
        #expect(read.report == sent.report && read.identityBytes == sent.identityBytes && read.points.count == 4)
        #expect(Self.encode(read) == Self.encode(sent), "bit by bit, the end of a series too")
        #expect(read.exemplars.map(\.exemplar) == sent.exemplars.map(\.exemplar) && read.exemplars.map(\.identity) == [0, 1])
    }

    /// The first reports had no exemplars, and no count of them.
    @Test func everyCutIsRefused() throws {
        let whole = Self.encode(Self.sample())
        let points = whole.count - 1 - 2 * (1 + 6 + 8 + 24)
        var read = SeriesBatch()
        try MetricsReport.decode(Array(whole[..<points]), into: &read)
        #expect(read.points.count == 4 && read.exemplars.isEmpty)
        for length in 0..<whole.count where length != points {
            var read = SeriesBatch()
            #expect(throws: ReportFault.self, "cut at \(length)") { try MetricsReport.decode(Array(whole[..<length]), into: &read) }
        }
        read = SeriesBatch()
        #expect(throws: ReportFault.self) { try MetricsReport.decode(whole + [0], into: &read) }
    }

    /// What is said of endpoints stands behind all that older readers know; parts of newer senders are passed over.
    @Test func partsComeBackOrArePassedOver() throws {
        var sent = Self.sample()
        sent.report?.outliers = [1, 2, 3]
        let bytes = Self.encode(sent)
        var read = SeriesBatch()
        try MetricsReport.decode(bytes, into: &read)
        #expect(read.report?.outliers == [1, 2, 3] && read.points.count == 4)
        let plain = Self.encode(Self.sample())
        for length in plain.count + 1..<bytes.count {
            var read = SeriesBatch()
            #expect(throws: ReportFault.self, "cut at \(length)") { try MetricsReport.decode(Array(bytes[..<length]), into: &read) }
        }
        read = SeriesBatch()
        try MetricsReport.decode(plain + [2, 99, 1, 0xFF, 1, 1, 7], into: &read)
        #expect(read.report?.outliers == [7])
    }

    @Test func saysWhatIsWrong() {
        var read = SeriesBatch()
        let error = #expect(throws: ReportFault.self) { try MetricsReport.decode(Array("{\"a\":1}".utf8), into: &read) }
        #expect(error?.description == "no report of this version at byte 0")
    }

    /// Counts that are larger than the report must not cost memory.
    @Test func countsAreHeldAgainstTheBytes() {
        let start = Array("SKR1".utf8) + [1, 0x61, 1]
        for count in [[0xFF, 0xFF, 0xFF, 0xFF, 0x0F], [5]] as [[UInt8]] {
            var read = SeriesBatch()
            #expect(throws: ReportFault.self) { try MetricsReport.decode(start + count, into: &read) }
        }
    }

    @Test func anyBytesEnd() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var draw = RandomSource(seed: seed)
        let whole = Self.encode(Self.sample())
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...draw.next() % 3 { bytes[4 + Int(draw.next() % UInt64(bytes.count - 4))] = UInt8(truncatingIfNeeded: draw.next()) }
            var read = SeriesBatch()
            _ = try? MetricsReport.decode(bytes, into: &read)
        }
    }
}
