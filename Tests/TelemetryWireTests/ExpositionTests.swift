import TelemetryModel
import TelemetryWire
import Testing

@Suite struct ExpositionTests {
    func exposition(_ format: ExpositionFormat) -> String {
        var writer = ExpositionWriter(format: format)
        var bytes: [UInt8] = []
        var labels: [UInt8] = []
        ExpositionWriter.appendLabel("a", "x\"\\\ny", to: &labels)
        ExpositionWriter.appendLabel("b", "é", to: &labels)
        let trace = TraceID(high: 1, low: 2)
        writer.begin(MetricFamily(name: "istio_requests_total", help: "all\\of\nthem \"here\"", kind: .counter), to: &bytes)
        writer.counter(labels: labels, value: 12, exemplar: Exemplar(traceID: trace, spanID: SpanID(3), value: 1), to: &bytes)
        writer.begin(MetricFamily(name: "skein_load", help: "load", kind: .gauge), to: &bytes)
        writer.gauge(labels: [], value: 0.25, to: &bytes)
        let bounds = HistogramBounds(upperBounds: [0.5, 1, 2500])
        writer.begin(MetricFamily(name: "d_milliseconds", help: "d", kind: .histogram, unit: "milliseconds"), to: &bytes)
        let inside = Exemplar(traceID: trace, spanID: .none, value: 0.75, unixNanoseconds: 1_520_879_607_789_000_000)
        writer.histogram(
            labels: Array("x=\"1\"".utf8), bounds: bounds, bucketCounts: [1, 2, 0, 4], sum: 10_001.5,
            exemplars: [inside, inside, nil, inside], to: &bytes)
        writer.end(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func text004() {
        #expect(
            exposition(.text) == #"""
                # HELP istio_requests_total all\\of\nthem "here"
                # TYPE istio_requests_total counter
                istio_requests_total{a="x\"\\\ny",b="é"} 12
                # HELP skein_load load
                # TYPE skein_load gauge
                skein_load 0.25
                # HELP d_milliseconds d
                # TYPE d_milliseconds histogram
                d_milliseconds_bucket{x="1",le="0.5"} 1
                d_milliseconds_bucket{x="1",le="1"} 3
                d_milliseconds_bucket{x="1",le="2500"} 3
                d_milliseconds_bucket{x="1",le="+Inf"} 7
                d_milliseconds_sum{x="1"} 10001.5
                d_milliseconds_count{x="1"} 7

                """#)
    }

    @Test func openMetrics() {
        #expect(
            exposition(.openMetrics) == #"""
                # HELP istio_requests all\\of\nthem \"here\"
                # TYPE istio_requests counter
                istio_requests_total{a="x\"\\\ny",b="é"} 12 # {trace_id="00000000000000010000000000000002",span_id="0000000000000003"} 1
                # HELP skein_load load
                # TYPE skein_load gauge
                skein_load 0.25
                # HELP d_milliseconds d
                # TYPE d_milliseconds histogram
                # UNIT d_milliseconds milliseconds
                d_milliseconds_bucket{x="1",le="0.5"} 1
                d_milliseconds_bucket{x="1",le="1.0"} 3 # {trace_id="00000000000000010000000000000002"} 0.75 1520879607.789
                d_milliseconds_bucket{x="1",le="2500.0"} 3
                d_milliseconds_bucket{x="1",le="+Inf"} 7
                d_milliseconds_sum{x="1"} 10001.5
                d_milliseconds_count{x="1"} 7
                # EOF

                """#)
    }

    @Test(arguments: [
        (nil, ExpositionFormat.text), ("", .text), ("*/*", .text), ("text/plain", .text), ("application/json", .text),
        ("application/openmetrics-text", .openMetrics), ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", .openMetrics001),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
                + "text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            .openMetrics),
        ("application/openmetrics-text;version=1.0.0;q=0.1, text/plain;version=0.0.4;q=0.9", .text),
        ("application/openmetrics-text;q=0", .text),
        ("application/openmetrics-text;version=2.0.0", .text), ("APPLICATION/OpenMetrics-Text; Version=\"1.0.0\"", .openMetrics),
        (";;,,q=x;=", .text),
    ] as [(String?, ExpositionFormat)])
    func negotiation(_ accept: String?, _ expected: ExpositionFormat) {
        #expect(ExpositionFormat.negotiate(accept: accept) == expected)
    }

    @Test(arguments: [
        (0.0, "0"), (-0.0, "-0"), (1, "1"), (-1.5, "-1.5"), (1e6, "1000000"), (1e21, "1e+21"), (1e16, "1e+16"), (1.5e-7, "1.5e-07"),
        (0.1, "0.1"),
        (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"), (1e100, "1e+100"), (.leastNonzeroMagnitude, "5e-324"),
        (123_456.789, "123456.789"),
    ])
    func floats(_ value: Double, _ expected: String) {
        var bytes: [UInt8] = []
        var writer = ExpositionWriter(format: .text)
        writer.begin(MetricFamily(name: "x", help: "", kind: .gauge), to: &bytes)
        bytes.removeAll()
        writer.gauge(labels: [], value: value, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == "x \(expected)\n")
    }
}
