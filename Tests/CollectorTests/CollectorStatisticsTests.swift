@testable import Collector
import TelemetryModel
import TelemetryWire
import Testing

@Suite struct CollectorStatisticsTests {
    /// An exposition writes HELP and TYPE once for a family, so its samples must stand together.
    @Test func samplesOfAFamilyStandTogether() {
        let statistics = CollectorStatistics()
        statistics.counter(.logLines, [("path", "/a")]).add(3)
        statistics.counter(.records).add(1)
        statistics.counter(.logLines, [("path", "/b")]).add(4)
        statistics.counter(.logLines, [("path", "/a")]).add(1)
        let samples = statistics.samples()
        #expect(samples.map(\.family.name) == ["skein_access_log_lines_total", "skein_records_total"])
        #expect(samples.map { $0.samples.map(\.value) } == [[4, 4], [1]])
        #expect(statistics.total("skein_access_log_lines_total") == 8)
        #expect(statistics.total("skein_access_log_lines_total", ["path": "/b"]) == 4)
    }

    /// A thousand reloads, each with a new file name, may not grow the exposition for ever; nothing is lost from the sum.
    @Test func seriesAreBounded() {
        let statistics = CollectorStatistics()
        for index in 0..<CollectorStatistics.seriesMax + 500 { statistics.counter(.logLines, [("path", "/\(index)")]).add(1) }
        #expect(statistics.samples().reduce(0) { $0 + $1.samples.count } <= CollectorStatistics.seriesMax + 1)
        #expect(statistics.total("skein_access_log_lines_total") == UInt64(CollectorStatistics.seriesMax + 500))
    }

    @Test func namesFollowPrometheusConventions() {
        let statistics = CollectorStatistics()
        _ = Receivers(sink: FakeSink(), statistics: statistics)
        _ = SpanReportCounters(statistics)
        _ = ExporterCounters("x", .spans, statistics)
        _ = AccessLogFile(path: "/dev/null", limits: CollectorLimits(), statistics: statistics)
        for sample in statistics.samples() {
            #expect(sample.family.name.hasPrefix("skein_") && !sample.family.help.isEmpty)
            #expect((sample.family.kind == .counter) == sample.family.name.hasSuffix("_total"))
        }
    }
}
