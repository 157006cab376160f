@testable import Collector
import Primitives
import TelemetryModel
import Testing

/// What dashboards ask for: calls, errors and latency by service, operation, kind and status.
@Suite struct SpanMetricsTests {
    @Test func spansAreCountedByServiceOperationKindAndStatus() throws {
        var bench = SpanMetricsBench()
        bench.observe(
            .server(1, "web").with { $0.name = "get /" }, .server(2, "web").with { $0.name = "get /" },
            .server(3, "web", ("error", "")).with { $0.name = "get /" },
            .client(4, "web", ("otel.status_code", "OK")).with { $0.name = "select" }, SpanSketch(id: 5, service: "web", name: "work"))
        #expect(try bench.lines("traces_spanmetrics_calls_total") == [
            "traces_spanmetrics_calls_total{service=web,span_kind=SPAN_KIND_CLIENT,span_name=select,status_code=STATUS_CODE_OK} 1",
            "traces_spanmetrics_calls_total{service=web,span_kind=SPAN_KIND_INTERNAL,span_name=work,status_code=STATUS_CODE_UNSET} 1",
            "traces_spanmetrics_calls_total{service=web,span_kind=SPAN_KIND_SERVER,span_name=get /,status_code=STATUS_CODE_ERROR} 1",
            "traces_spanmetrics_calls_total{service=web,span_kind=SPAN_KIND_SERVER,span_name=get /,status_code=STATUS_CODE_UNSET} 2",
        ])
    }

    @Test func aBoundBelongsToItsBucket() throws {
        var bench = SpanMetricsBench()
        for (id, duration) in [UInt64(1), 2000, 2001, 16_384_000, 16_384_001].enumerated() {
            bench.observe(SpanSketch(id: UInt64(id + 1), service: "a", duration: duration))
        }
        let buckets = "2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1"
        #expect(try bench.lines("traces_spanmetrics_latency") == [
            "traces_spanmetrics_latency{service=a,span_kind=SPAN_KIND_INTERNAL,span_name=op,status_code=STATUS_CODE_UNSET} "
                + "[\(buckets), 5, 32.772003]"
        ])
    }

    /// Zero would pull every average down.
    @Test func anUnknownDurationIsACallWithoutLatency() throws {
        var bench = SpanMetricsBench()
        bench.observe(SpanSketch(id: 1, service: "a", duration: 0))
        #expect(try bench.lines("traces_spanmetrics_calls").first?.hasSuffix(" 1") == true)
        #expect(try bench.lines("traces_spanmetrics_latency").first?.hasSuffix("0, 0]") == true)
    }

    @Test func openTelemetrysNamesAreASwitch() throws {
        var bench = SpanMetricsBench(.otel)
        bench.observe(.server(1, "web").with { $0.duration = 1400_000 })
        let labels = "{service_name=web,span_kind=SPAN_KIND_SERVER,span_name=op,status_code=STATUS_CODE_UNSET}"
        #expect(try bench.lines("traces_span") == [
            "traces_span_metrics_calls_total\(labels) 1",
            "traces_span_metrics_duration_milliseconds\(labels) [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1400]",
        ])
        bench.now += 10
        #expect(try bench.edges() == ["user>web/virtual_node 1"])
    }

    @Test func totalsGrowFromOneRecordingToTheNext() throws {
        var bench = SpanMetricsBench()
        bench.observe(SpanSketch(id: 1, service: "a"))
        #expect(try bench.lines("traces_spanmetrics_calls").map { $0.suffix(2) } == [" 1"])
        bench.now += 10
        bench.observe(SpanSketch(id: 2, service: "a"), SpanSketch(id: 3, service: "a"))
        #expect(try bench.lines("traces_spanmetrics_calls").map { $0.suffix(2) } == [" 3"])
    }

    /// The first spans of a series are an increase: the store is told since when it counts.
    @Test func aSeriesSaysSinceWhenItCounts() throws {
        var bench = SpanMetricsBench()
        bench.observe(SpanSketch(id: 1, service: "a"))
        let begun = bench.moment.unixMilliseconds
        bench.now += 7
        var batch = SeriesBatch()
        bench.metrics.record(into: &batch, at: bench.moment)
        #expect(batch.points.map(\.created) == [begun, begun])
        #expect(batch.points.map(\.time) == [begun + 7000, begun + 7000])
    }

    // MARK: Weights

    @Test(arguments: [
        ("ot=th:8", 2.0), ("ot=th:c", 4.0), ("ot=th:0", 1.0), ("ot=th:fffff", 1_048_576.0), ("ot=rv:abc;th:e", 8.0),
        ("vendor=1, ot=th:8 ,x=y", 2.0), ("ot=p:1", 1.0), ("", 1.0), ("xot=th:8", 1.0), ("ot=", 1.0),
    ])
    func aSpanCountsForThoseThatItsSenderLeftOut(_ state: String, _ weight: Double) throws {
        var bench = SpanMetricsBench { $0.weightMax = 2_000_000 }
        bench.observe(.server(1, "a", ("w3c.tracestate", state)))
        #expect(try bench.lines("traces_spanmetrics_calls").first?.split(separator: " ").last == "\(Int(weight))")
        #expect(try bench.lines("traces_spanmetrics_latency").first?.contains(" [\(Int(weight)), 0") == true)
        #expect(bench.metrics.counters.weightsRefused == 0)
    }

    /// One span must not be able to count for more than a day's calls.
    @Test(arguments: ["ot=th:ffffffffffffff", "ot=th:fffffffffffffff", "ot=th:", "ot=th:xyz", "ot=th:8 8", "ot=th:FF", "ot=th:-1"])
    func aHostileThresholdCountsOnce(_ state: String) throws {
        var bench = SpanMetricsBench()
        bench.observe(.server(1, "a", ("w3c.tracestate", state)))
        #expect(try bench.lines("traces_spanmetrics_calls").first?.hasSuffix(" 1") == true)
        #expect(bench.metrics.counters.weightsRefused == 1)
    }

    @Test func anEdgeHasTheLargerWeightOfItsSides() throws {
        var bench = SpanMetricsBench()
        bench.observe(.client(1, "a", ("w3c.tracestate", "ot=th:8")), .server(2, "b", under: 1, ("w3c.tracestate", "ot=th:c")))
        #expect(try bench.edges() == ["a>b 4"])
    }

    // MARK: Bounds

    @Test func whatIsAboveTheBoundIsSummedUp() throws {
        var bench = SpanMetricsBench { $0.operationsMax = 2 }
        for id in 1...5 { bench.observe(.server(UInt64(id), "a").with { $0.name = "op\(id)" }) }
        bench.observe(.server(6, "a", ("error", "")).with { $0.name = "op9" })
        #expect(try bench.lines("traces_spanmetrics_calls").map { $0.dropFirst(30) } == [
            "{service=a,span_kind=SPAN_KIND_SERVER,span_name=op1,status_code=STATUS_CODE_UNSET} 1",
            "{service=a,span_kind=SPAN_KIND_SERVER,span_name=op2,status_code=STATUS_CODE_UNSET} 1",
            "{skein_overflow=span_metrics,span_kind=SPAN_KIND_SERVER,status_code=STATUS_CODE_ERROR} 1",
            "{skein_overflow=span_metrics,span_kind=SPAN_KIND_SERVER,status_code=STATUS_CODE_UNSET} 3",
        ])
        #expect(bench.metrics.counters.overflowed == 4)
    }

    @Test func edgesAboveTheBoundAreSummedUp() throws {
        var bench = SpanMetricsBench { $0.edgesMax = 1 }
        for id in 1...3 {
            bench.observe(.client(UInt64(id), "a"), .server(UInt64(id) + 10, "b\(id)", under: UInt64(id)))
        }
        #expect(try bench.edges() == ["> 2", "a>b1 1"])
    }

    @Test func textsThatDoNotFitAreSummedUpAndComeBackWhenOthersEnd() throws {
        var bench = SpanMetricsBench { $0.textsMax = 4 }
        bench.observe(SpanSketch(id: 1, service: "a", name: "x"), SpanSketch(id: 2, service: "b", name: "y"))
        #expect(bench.metrics.counters.overflowed == 1)
        #expect(try bench.lines("traces_spanmetrics_calls").count == 2)
        // The series of `a` end; so their texts are free, and another service has room.
        bench.now += 16 * 60
        _ = try bench.lines()
        bench.observe(SpanSketch(id: 3, service: "c", name: "x"))
        #expect(bench.metrics.counters.overflowed == 1)
        let lines = try bench.lines("traces_spanmetrics_calls")
        #expect(lines.contains { $0.contains("service=c,") })
    }

    @Test func aLongNameIsCutBetweenCharacters() throws {
        var bench = SpanMetricsBench { $0.textBytesMax = 6 }
        bench.observe(SpanSketch(id: 1, service: "abcdeéf"), SpanSketch(id: 2, service: "abcdeéx"))
        #expect(try bench.lines("traces_spanmetrics_calls").map { $0.dropFirst(30) } == [
            "{service=abcde,span_kind=SPAN_KIND_INTERNAL,span_name=op,status_code=STATUS_CODE_UNSET} 2"
        ])
    }

    @Test func seriesThatAreIdleEndAndBeginAnew() throws {
        var bench = SpanMetricsBench()
        bench.observe(SpanSketch(id: 1, service: "a"), SpanSketch(id: 2, service: "b"))
        _ = try bench.lines()
        bench.now += 10 * 60
        bench.observe(SpanSketch(id: 3, service: "b"))
        bench.now += 6 * 60
        let ends = try bench.lines("traces_spanmetrics_calls").filter { $0.contains("service=a,") }
        #expect(ends.count == 1 && ends[0].hasSuffix(" ends"))
        #expect(try bench.lines("traces_spanmetrics_calls").map { $0.dropFirst(30).prefix(10) } == ["{service=b"])
        bench.observe(SpanSketch(id: 4, service: "a"))
        #expect(try bench.lines("traces_spanmetrics_calls").map { $0.suffix(2) } == [" 1", " 2"])
    }

    /// A span without any text, whose numbers are as large as they get.
    @Test func extremeSpansAreCounted() throws {
        var bench = SpanMetricsBench()
        var batch = SpanBatch()
        var row = SpanRow(traceID: TraceID(high: .max, low: .max), id: SpanID(.max))
        row.duration = .max
        row.timestamp = .max
        row.parentID = SpanID(.max)
        for kind in [SpanKind.unspecified, .client, .server, .producer, .consumer] {
            row.kind = kind
            batch.spans.append(row)
        }
        bench.observe(batch)
        bench.now += 11
        #expect(try bench.lines("traces_spanmetrics_calls").count == 5)
        #expect(try bench.edges() == ["> 1", ">/messaging_system 1"])
    }
}
