@testable import Collector
import Primitives
import TelemetryModel
import Testing

/// From a bucket of a histogram that was made from spans, one gets to a trace of it.
@Suite struct SpanExemplarsTests {
    private static let latency = "traces_spanmetrics_latency"

    private static func span(_ trace: UInt64, _ service: String = "a", milliseconds: UInt64) -> SpanSketch {
        SpanSketch(trace: trace, traceHigh: 7, id: trace + 100, service: service, duration: milliseconds * 1000)
    }

    @Test func eachBucketHasOneOfEachRecording() throws {
        var bench = SpanMetricsBench()
        bench.observe(Self.span(1, milliseconds: 1), Self.span(2, milliseconds: 1), Self.span(3, milliseconds: 60_000))
        bench.observe(Self.span(4, milliseconds: 60_000), Self.span(5, "b", milliseconds: 1))
        #expect(try bench.exemplars(Self.latency) == ["0.001 7:1/101", "60 7:3/103", "0.001 7:5/105"])
        #expect(try bench.exemplars(Self.latency) == [], "each is told once")
        bench.now += 10
        bench.observe(Self.span(6, milliseconds: 2))
        #expect(try bench.exemplars(Self.latency) == ["0.002 7:6/106"])
    }

    /// The store takes those of a series in order of time, by the clock that its samples have.
    @Test func theyHaveTheTimeAtWhichTheyCounted() throws {
        var bench = SpanMetricsBench()
        bench.observe(Self.span(1, milliseconds: 60_000))
        let first = bench.moment.unixMilliseconds
        bench.now += 3
        bench.observe(Self.span(2, milliseconds: 1))
        bench.now += 3
        var batch = SeriesBatch()
        bench.metrics.record(into: &batch, at: bench.moment)
        #expect(batch.exemplars.map(\.exemplar.time) == [first, first + 3000])
        #expect(batch.exemplars.map(\.exemplar.traceID.low) == [1, 2])
    }

    /// A call's exemplar has its whole trace id and the client's span, whoever came first and whether both came.
    @Test func callsHaveThemToo() throws {
        var bench = SpanMetricsBench()
        func of(_ trace: UInt64, _ span: SpanSketch) -> SpanSketch {
            span.with {
                $0.trace = trace
                $0.traceHigh = 9
            }
        }
        bench.observe(
            of(1, .client(1, "a")), of(1, .server(2, "b", under: 1)),
            of(2, .server(2, "c", under: 1)), of(2, .client(1, "a")),
            of(3, .client(1, "a", ("db.system", "redis"))), of(4, .server(5, "web")), of(5, .client(6, "a", remote: "payments")))
        #expect(try bench.exemplars("traces_service_graph_request_server_seconds") == ["0.001 9:1/1", "0.001 9:2/1", "0.001 9:3/1"])
        bench.now += 10
        let alone = try bench.exemplars("traces_service_graph_request_client_seconds")
        #expect(Set(alone) == ["0.001 9:4/5", "0.001 9:5/6"])
    }

    /// With more buckets than may have one in a recording, each has one after as many recordings as it takes.
    @Test func seldomBucketsGetTheirsBesideBusyOnes() throws {
        var bench = SpanMetricsBench { $0.exemplarsMax = 4 }
        var seen: [String: Int] = [:]
        for _ in 0..<3 {
            bench.now += 10
            for trace in 1...12 as ClosedRange<UInt64> { bench.observe(Self.span(trace, "s\(trace)", milliseconds: 1)) }
            let found = try bench.exemplars(Self.latency)
            #expect(found.count == 4)
            for exemplar in found { seen[exemplar, default: 0] += 1 }
        }
        #expect(seen.count == 12 && seen.values.allSatisfy { $0 == 1 })
    }

    /// Rows that end before a recording take nothing of the others with them.
    @Test func theyStayWithTheirSeriesWhenOthersEnd() throws {
        var bench = SpanMetricsBench()
        bench.observe(Self.span(1, "a", milliseconds: 1), Self.span(2, "b", milliseconds: 1))
        _ = try bench.lines()
        bench.now += 16 * 60
        bench.observe(Self.span(3, "b", milliseconds: 5))
        var batch = SeriesBatch()
        bench.metrics.record(into: &batch, at: bench.moment)
        let (number, exemplar) = try #require(batch.exemplars.first)
        #expect(batch.exemplars.count == 1 && exemplar.traceID.low == 3)
        let one = batch.identities[Int(number)]
        let labels = try SeriesIdentityReader(Array(batch.identityBytes[Int(one.offset)..<Int(one.offset + one.count)])).labels()
        #expect(labels["service"] == "b")
    }

    @Test func aSpanWithoutATraceIsNone() throws {
        var bench = SpanMetricsBench()
        bench.observe(SpanSketch(trace: 0, id: 1, service: "a"))
        #expect(try bench.exemplars(Self.latency) == [])
    }
}
