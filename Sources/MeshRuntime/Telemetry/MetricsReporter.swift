internal import Collector
internal import EventLoops
internal import HTTPService
internal import Primitives
internal import TelemetryModel

/// Sends this process' metrics to a collector elsewhere, until it has them. Any thread, but for `stop`.
final class MetricsReporter: Sendable {
    let sink: ReportSink
    private let exporter: Exporter<SeriesBatch>

    /// Reports that wait for a collector that is away; further ones are dropped and counted, and the next one that gets through has the
    /// counts, as they only grow.
    private static let queueBytesMax = 64 << 20
    private static let queuePointsMax = 8_000_000

    /// `instance` names this process among others; its sender's name is new each time it starts, because counts begin anew. `tls`: nil =
    /// plaintext. `principal`: who the certificate says that this process is, where it shows one; the report says the same.
    /// `outliers`: nil = reports say nothing of endpoints.
    init(
        to collector: (host: String, port: UInt16), tls: ClientTLS?, principal: String?, instance: String,
        outliers: MeshOutliers?, _ statistics: CollectorStatistics, say: @escaping @Sendable (String) -> Void
    ) throws(SystemError) {
        var settings = ExporterSettings(name: "collector", host: collector.host, port: collector.port)
        settings.tls = tls
        settings.queueItemsMax = Self.queuePointsMax
        settings.queueBytesMax = Self.queueBytesMax
        settings.itemsPerRequestMax = 1
        settings.attemptsMax = Int.max
        exporter = try Exporter(settings: settings, encoding: ReportEncoding(outliers: outliers), statistics: statistics, say: say)
        let number = String(UInt64.random(in: 1...UInt64.max), radix: 16)
        sink = ReportSink(exporter, sender: SeriesBatch.Report.sender(principal: principal, instance: instance, number: number))
    }

    /// Sends what waits, for two seconds at most.
    func stop() { exporter.stop() }
}
