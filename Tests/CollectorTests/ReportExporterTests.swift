@testable import Collector
import Primitives
import Synchronization
import TelemetryModel
import Testing

/// Says something of endpoints each time.
private final class Endpoints: OutlierReporting {
    let asked = Atomic<Int>(0)

    func nextReport() -> [UInt8] {
        asked.wrappingAdd(1, ordering: .relaxed)
        var random = RandomSource(seed: 1)
        return (0..<2000).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    }

    func readAnswer(_ body: [UInt8]) {}
}

@Suite struct ReportExporterTests {
    private func batch(_ sequence: UInt64) -> SeriesBatch {
        var batch = SeriesBatch()
        let series = batch.append(LabelSet([LabelSet.Label("__name__", "up")]), .gauge)
        batch.append(series, time: 1000, value: 1)
        batch.report = SeriesBatch.Report(sender: "s", sequence: sequence)
        return batch
    }

    /// A collector that knows no parts refuses a report that has some (400).
    @Test func anOlderCollectorGetsTheMetricsAlone() throws {
        let full = ReportEncoding(outliers: Endpoints())
        var body: [UInt8] = []
        full.append([batch(1)], to: &body)
        let most = body.count
        let server = try TinyServer { number, body in
            body.utf8.count >= 1000
                ? .answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno")
                : .answer("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        }
        #expect(most >= 1000)
        let endpoints = Endpoints()
        var settings = ExporterSettings(name: "collector", host: "127.0.0.1", port: server.endpoint.port)
        settings.itemsPerRequestMax = 1
        let statistics = CollectorStatistics()
        let said = Said()
        let exporter = try Exporter(settings: settings, encoding: ReportEncoding(outliers: endpoints), statistics: statistics, seed: 1) {
            said.add($0)
        }
        let count = ReportEncoding.plainerReports + 3
        for sequence in 1...count { exporter.offer(batch(UInt64(sequence))) }
        // Each of them arrives; the first is sent twice, and so is the one that tries again.
        eventually("reports are missing") { server.bodies.count >= count + 2 }
        exporter.stop()
        server.stop()
        #expect(server.bodies.filter { $0.utf8.count < 1000 }.count == count)
        #expect(endpoints.asked.load(ordering: .relaxed) == 2)
        #expect(statistics.total("skein_exporter_requests_total", ["outcome": "rejected"]) == 0)
        #expect(said.all.count == 1 && said.all[0].contains("older"))
    }
}
