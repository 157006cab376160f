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
    private let memory = Memory()

    /// Reports without what was seen of endpoints, after a collector that refused it, until it is tried again.
    public static let plainerReports = 30

    private final class Memory: Sendable {
        let plainerLeft = Atomic<Int>(0)
        let hasSaid = Atomic<Bool>(false)
    }

    /// `outliers`: nil = reports say nothing of endpoints, and answers are not read.
    public init(outliers: (any OutlierReporting)? = nil) { self.outliers = outliers }

    public var readsAnswers: Bool { outliers != nil }
    public func readAnswer(_ body: [UInt8]) { outliers?.readAnswer(body) }

    /// What was seen of endpoints is asked for now and not when the metrics were read: a report that waited says how things are.
    public func append(_ batches: [SeriesBatch], to body: inout [UInt8]) {
        let isPlainer = memory.plainerLeft.load(ordering: .relaxed) > 0
        if isPlainer { memory.plainerLeft.subtract(1, ordering: .relaxed) }
        append(batches, isPlainer ? nil : outliers, isPlain: isPlainer, to: &body)
    }

    /// `isPlain`: without parts.
    private func append(_ batches: [SeriesBatch], _ outliers: (any OutlierReporting)?, isPlain: Bool, to body: inout [UInt8]) {
        var plain: [UInt8] = []
        for var batch in batches {
            if isPlain { batch.report?.isLast = false }
            if let outliers { batch.report?.outliers = outliers.nextReport() }
            MetricsReport.append(batch, to: &plain)
        }
        body += Snappy.encode(plain)
    }

    /// A collector of an earlier version knows no parts and refuses a report that has some: it gets the metrics alone.
    public func appendPlainer(_ batches: [SeriesBatch], to body: inout [UInt8]) -> Bool {
        guard outliers != nil || batches.contains(where: { $0.report?.isLast == true }) else { return false }
        append(batches, nil, isPlain: true, to: &body)
        return true
    }

    public func notePlainer() -> String? {
        memory.plainerLeft.store(Self.plainerReports, ordering: .relaxed)
        guard !memory.hasSaid.exchange(true, ordering: .relaxed) else { return nil }
        return "the collector is older and takes no outlier reports: metrics alone are sent, and this proxy goes by its local detection; "
            + "upgrade the collector"
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
    private let isEnding = Atomic<Bool>(false)

    /// `sender`: another name each time the process starts.
    public init(_ exporter: Exporter<SeriesBatch>, sender: String) {
        self.exporter = exporter
        self.sender = sender
    }

    /// The next batch is this process' last one, and says so.
    public func end() { isEnding.store(true, ordering: .relaxed) }

    /// The exporter has the batch; what it cannot deliver it counts.
    public func submit(_ batch: consuming SeriesBatch, completion: @escaping @Sendable (Result<Void, BatchRejection>) -> Void) {
        batch.report = SeriesBatch.Report(sender: sender, sequence: sequence.add(1, ordering: .relaxed).newValue)
        batch.report?.isLast = isEnding.load(ordering: .relaxed)
        exporter.offer(batch)
        completion(.success(()))
    }
}
