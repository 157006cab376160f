import Primitives
import TelemetryModel
import Testing

@testable import Collector

@Suite struct ReportersTests {
    private static func at(_ seconds: Double) -> MonotonicInstant { MonotonicInstant(nanoseconds: UInt64(seconds * 1e9)) }

    private static func report(_ process: String, isLast: Bool = false) -> SeriesBatch.Report {
        var report = SeriesBatch.Report(sender: "mesh/ns/shop/sa/web@10.0.0.1:15090/\(process)", sequence: 1)
        report.isLast = isLast
        return report
    }

    /// A table that one process reported to every ten seconds, at 100...160.
    private static func reporting() -> ReporterTable {
        var table = ReporterTable()
        for second in stride(from: 100.0, through: 160, by: 10) { #expect(table.note(report("a"), now: at(second)) == nil) }
        return table
    }

    private static func look(_ table: inout ReporterTable, _ seconds: Double) -> [String] {
        // 2026-01-01 is second 0.
        table.look(now: at(seconds), unixMilliseconds: 1_767_225_600_000 + Int64(seconds * 1000))
    }

    @Test func aLateReporterIsToldOnceAndSoIsItsReturn() {
        var table = Self.reporting()
        #expect(Self.look(&table, 189).isEmpty)
        #expect(
            Self.look(&table, 191) == [
                "10.0.0.1:15090 has sent no report for 31 s (it reports every 10 s): it is down, or cannot reach this collector"
            ])
        #expect(Self.look(&table, 192).isEmpty)
        let counts = table.counts(now: Self.at(195))
        #expect(counts.reporting == 0 && counts.late == 1 && counts.silent.map(\.instance) == ["10.0.0.1:15090"])
        #expect(counts.silent.map(\.seconds) == [35])
        #expect(
            table.note(Self.report("a"), now: Self.at(200)) == "10.0.0.1:15090 reports again: nothing of what it counts is missing")
        #expect(table.counts(now: Self.at(200)) == ReporterCounts(reporting: 1))
    }

    /// Killed and started anew: a gap. Ended in order, also when the next process began before: none.
    @Test(arguments: [false, true])
    func aProcessThatWasKilledLeavesAGap(_ endsInOrder: Bool) {
        var table = Self.reporting()
        #expect(table.note(Self.report("b"), now: Self.at(163)) == nil)
        if endsInOrder { #expect(table.note(Self.report("a", isLast: true), now: Self.at(164)) == nil) }
        var lines: [String] = []
        for second in stride(from: 165.0, through: 300, by: 1) {
            _ = table.note(Self.report("b"), now: Self.at(second))
            lines += Self.look(&table, second)
        }
        let gap =
            "10.0.0.1:15090 began anew without a last report: "
            + "what it counted after 2026-01-01T00:02:40Z, in an interval at most, is missing"
        #expect(lines == (endsInOrder ? [] : [gap]))
        #expect(table.counts(now: Self.at(300)) == ReporterCounts(reporting: 1, gaps: endsInOrder ? 0 : 1))
    }

    @Test func whoNeverReturnsIsGone() {
        var table = Self.reporting()
        #expect(Self.look(&table, 300).count == 1)
        #expect(Self.look(&table, 3700).isEmpty)
        #expect(Self.look(&table, 3800) == [
            "10.0.0.1:15090 is gone without a last report: what it counted after 2026-01-01T00:02:40Z, in an interval at most, is missing"
        ])
        #expect(table.counts(now: Self.at(3800)) == ReporterCounts(gaps: 1))
    }

    /// An outage of the collector does not make a sender look slow for long, nor what waited make it look fast.
    @Test func backlogsDoNotChangeWhenASenderIsLate() {
        var table = Self.reporting()
        // 30 reports at once.
        for step in 0..<30 { _ = table.note(Self.report("a"), now: Self.at(460 + Double(step) / 100)) }
        for second in stride(from: 470.0, through: 900, by: 10) {
            #expect(Self.look(&table, second).isEmpty, "\(second)")
            _ = table.note(Self.report("a"), now: Self.at(second))
        }
        #expect(!Self.look(&table, 935).isEmpty)
    }

    @Test func sendersAreBounded() {
        var table = ReporterTable()
        for number in 0..<ReporterTable.sendersMax + 3 {
            let sender = "10.0.0.1:\(number)/x"
            _ = table.note(SeriesBatch.Report(sender: sender, sequence: 1), now: Self.at(1))
        }
        let counts = table.counts(now: Self.at(1))
        #expect(counts.reporting == ReporterTable.sendersMax && counts.unwatched == 3)
    }
}
