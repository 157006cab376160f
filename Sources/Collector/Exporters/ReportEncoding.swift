internal import Compression
internal import Synchronization
public import TelemetryModel
internal import TelemetryWire

/// One batch of this proxy's metrics as `POST /v1/report` (docs/formats/report.md). A request holds one report: the exporter is to be told
/// so by `ExporterSettings.itemsPerRequestMax` = 1.
public struct ReportEncoding: ExporterEncoding {
    public let name = "report"
    public let path = ReportReceiver.path
    public let fields = [(name: "Content-Type", value: "application/vnd.skein.report"), (name: "Content-Encoding", value: "snappy")]

    public init() {}

    public func append(_ batches: [SeriesBatch], to body: inout [UInt8]) {
        var plain: [UInt8] = []
        for batch in batches { MetricsReport.append(batch, to: &plain) }
        body += Snappy.encode(plain)
    }
}

/// Numbers this process' batches and gives them to an exporter. Any thread.
public final class ReportSink: BatchSink {
    private let exporter: Exporter<SeriesBatch>
    private let sender: String
    private let sequence = Atomic<UInt64>(0)

    /// `sender`: another name each time the process starts.
    public init(_ exporter: Exporter<SeriesBatch>, sender: String) {
        self.exporter = exporter
        self.sender = sender
    }

    /// The exporter has the batch; what it cannot deliver it counts.
    public func submit(_ batch: consuming SeriesBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        batch.report = SeriesBatch.Report(sender: sender, sequence: sequence.add(1, ordering: .relaxed).newValue)
        exporter.offer(batch)
        completion(.success(()))
    }
}
