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
    private let outliers: (any OutlierReporting)?

    /// `outliers`: nil = reports say nothing of endpoints, and answers are not read.
    public init(outliers: (any OutlierReporting)? = nil) { self.outliers = outliers }

    public var readsAnswers: Bool { outliers != nil }
    public func readAnswer(_ body: [UInt8]) { outliers?.readAnswer(body) }

    /// What was seen of endpoints is asked for now and not when the metrics were read: a report that waited says how things are.
    public func append(_ batches: [SeriesBatch], to body: inout [UInt8]) {
        var plain: [UInt8] = []
        for var batch in batches {
            if let outliers { batch.report?.outliers = outliers.nextReport() }
            MetricsReport.append(batch, to: &plain)
        }
        body += Snappy.encode(plain)
    }
}

/// Who knows what this process saw of endpoints, and takes the collector's word. Called on the exporter's thread.
public protocol OutlierReporting: Sendable {
    /// What was seen since the last call (`OutlierReportCoding`).
    func nextReport() -> [UInt8]
    /// The answer to a report that was accepted (`OutlierAnswerCoding`); of an older collector something else.
    func readAnswer(_ body: [UInt8])
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
