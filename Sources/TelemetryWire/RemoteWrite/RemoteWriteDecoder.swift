internal import Primitives
public import TelemetryModel

/// Decodes bodies of Prometheus' remote write, after snappy: `prometheus.WriteRequest` of 1.0 and `io.prometheus.write.v2.Request`
/// (prometheus.io/docs/specs/prw/remote_write_spec and …_2_0). Pure; a body is taken whole or not at all.
public enum RemoteWriteDecoder {
    public enum Version: Sendable { case v1, v2 }

    /// What a body held: for the answer's `X-Prometheus-Remote-Write-*-Written`.
    public struct Counts: Sendable, Equatable {
        public var samples = 0
        public var histograms = 0
        /// Given to the series.
        public var exemplars = 0
        /// Left out: they name no trace, or are too many.
        public var droppedExemplars = 0

        public init() {}
    }

    /// Labels of one series at most.
    public static let labelsMax = 256
    /// Bytes of a label's name or value at most.
    public static let labelBytesMax = 64 * 1024
    /// Entries of the table of symbols (2.0) at most: a short symbol takes more memory than its two bytes in the body.
    public static let symbolsMax = 1 << 20
    /// Families that one body describes (1.0) at most.
    public static let familiesMax = 1 << 17

    /// Exemplars of one series at most.
    public static let exemplarsMax = 1024

    /// Calls `take` for each point, in the order of the body; exemplars of a series come behind its points, in one without a value.
    @unsafe
    public static func decode(
        _ body: UnsafeRawBufferPointer, _ version: Version, _ take: (MetricPoint) -> Void
    ) throws(RemoteWriteFault) -> Counts {
        var request = RemoteWriteRequest(unsafe ProtobufReader(body))
        do throws(ProtobufError) {
            switch version {
            case .v1: try request.readKinds()
            case .v2: try request.readSymbols()
            }
            return try request.readSeries(version, take)
        } catch {
            throw RemoteWriteFault(reason: "at byte \(error.offset): \(error.fault.text)")
        }
    }
}

/// Why a body is refused: 400, and the sender does not send it again.
public struct RemoteWriteFault: Error, Hashable, Sendable, CustomStringConvertible {
    public var reason: String

    public var description: String { reason }
}

/// A body that is read in two passes: what its series refer to, then the series.
private struct RemoteWriteRequest {
    private let body: ProtobufReader
    private var symbols: [String] = []
    /// By the family's name (1.0 only).
    private var kinds: [String: MetricPoint.Kind] = [:]

    init(_ body: ProtobufReader) { self.body = body }

    // MARK: What is referred to

    mutating func readSymbols() throws(ProtobufError) {
        var reader = body
        while try reader.next() {
            guard reader.field == 4 else {
                try reader.skipField()
                continue
            }
            guard symbols.count < RemoteWriteDecoder.symbolsMax else { throw reader.error(.tooMany) }
            symbols.append(try text(&reader))
        }
    }

    mutating func readKinds() throws(ProtobufError) {
        var reader = body
        while try reader.next() {
            guard reader.field == 3 else {
                try reader.skipField()
                continue
            }
            var metadata = ProtobufReader(body, try reader.bytesField())
            var kind = MetricPoint.Kind.unknown
            var name = ""
            while try metadata.next() {
                switch metadata.field {
                case 1: kind = Self.kind(try metadata.varintField())
                case 2: name = try text(&metadata)
                default: try metadata.skipField()
                }
            }
            guard kinds.count < RemoteWriteDecoder.familiesMax else { throw reader.error(.tooMany) }
            kinds[name] = kind
        }
    }

    // MARK: Series

    func readSeries(
        _ version: RemoteWriteDecoder.Version, _ take: (MetricPoint) -> Void
    ) throws(ProtobufError) -> RemoteWriteDecoder.Counts {
        var reader = body
        var counts = RemoteWriteDecoder.Counts()
        while try reader.next() {
            guard reader.field == (version == .v1 ? 1 : 5) else {
                try reader.skipField()
                continue
            }
            let range = try reader.bytesField()
            var series = try version == .v1 ? labels1(range) : labels2(range)
            guard !series.labels.isEmpty else { throw reader.error(.seriesWithoutLabels) }
            if version == .v1 { series.kind = kind(of: series.labels) }
            try readPoints(range, version, &series, &counts, take)
        }
        return counts
    }

    private func labels1(_ range: Range<Int>) throws(ProtobufError) -> MetricPoint {
        var reader = ProtobufReader(body, range)
        var labels: [LabelSet.Label] = []
        while try reader.next() {
            guard reader.field == 1 else {
                try reader.skipField()
                continue
            }
            guard labels.count < RemoteWriteDecoder.labelsMax else { throw reader.error(.tooMany) }
            labels.append(try label(ProtobufReader(body, try reader.bytesField())))
        }
        try checkUnique(labels, reader)
        return MetricPoint(labels: LabelSet(labels), kind: .unknown, time: 0, value: .number(0))
    }

    private func labels2(_ range: Range<Int>) throws(ProtobufError) -> MetricPoint {
        var reader = ProtobufReader(body, range)
        var references: [UInt64] = []
        var point = MetricPoint(labels: LabelSet(), kind: .unknown, time: 0, value: .number(0))
        while try reader.next() {
            switch reader.field {
            case 1:
                guard try reader.appendVarints(to: &references, most: 2 * RemoteWriteDecoder.labelsMax) else {
                    throw reader.error(.tooMany)
                }
            case 5: point.kind = try metadataKind(ProtobufReader(body, try reader.bytesField()))
            case 6: point.created = Int64(bitPattern: try reader.varintField())
            default: try reader.skipField()
            }
        }
        guard references.count % 2 == 0 else { throw reader.error(.halfLabel) }
        var labels: [LabelSet.Label] = []
        for pair in stride(from: 0, to: references.count, by: 2) {
            guard let name = symbol(references[pair]), let value = symbol(references[pair + 1]) else {
                throw reader.error(.unknownSymbol)
            }
            labels.append(LabelSet.Label(name, value))
        }
        try checkUnique(labels, reader)
        point.labels = LabelSet(labels)
        if point.created == 0 { point.created = nil }
        return point
    }

    private func metadataKind(_ metadata: ProtobufReader) throws(ProtobufError) -> MetricPoint.Kind {
        var reader = metadata
        var kind = MetricPoint.Kind.unknown
        while try reader.next() {
            if reader.field == 1 { kind = Self.kind(try reader.varintField()) } else { try reader.skipField() }
        }
        return kind
    }

    private func readPoints(
        _ range: Range<Int>, _ version: RemoteWriteDecoder.Version, _ point: inout MetricPoint, _ counts: inout RemoteWriteDecoder.Counts,
        _ take: (MetricPoint) -> Void
    ) throws(ProtobufError) {
        let places: (histograms: UInt32, exemplars: UInt32) = version == .v1 ? (4, 3) : (3, 4)
        // Of the series, as drafts of 2.0 had it; in 2.0 each sample may say it.
        let created = point.created
        var exemplars: [SeriesExemplar] = []
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 2:
                point.created = created
                try readSample(ProtobufReader(body, try reader.bytesField()), &point)
                counts.samples += 1
                take(point)
            case places.histograms:
                let histogram = try RemoteWriteHistogram(ProtobufReader(body, try reader.bytesField()))
                guard let value = histogram.value else { throw reader.error(.invalidHistogram) }
                point.time = histogram.time
                point.created = histogram.created ?? created
                point.value = .histogram(value)
                counts.histograms += 1
                take(point)
            case places.exemplars:
                let found = try exemplar(ProtobufReader(body, try reader.bytesField()), version)
                if let found, exemplars.count < RemoteWriteDecoder.exemplarsMax {
                    exemplars.append(found)
                } else {
                    counts.droppedExemplars += 1
                }
            default: try reader.skipField()
            }
        }
        guard !exemplars.isEmpty else { return }
        counts.exemplars += exemplars.count
        point.hasValue = false
        point.exemplars = exemplars
        take(point)
    }

    /// Nil = it names no trace.
    private func exemplar(
        _ message: ProtobufReader, _ version: RemoteWriteDecoder.Version
    ) throws(ProtobufError) -> SeriesExemplar? {
        var reader = message
        var labels: [LabelSet.Label] = []
        var references: [UInt64] = []
        var (value, time) = (0.0, 0 as Int64)
        while try reader.next() {
            switch (version, reader.field) {
            case (.v1, 1):
                guard labels.count < RemoteWriteDecoder.labelsMax else { throw reader.error(.tooMany) }
                labels.append(try label(ProtobufReader(body, try reader.bytesField())))
            case (.v2, 1):
                guard try reader.appendVarints(to: &references, most: 2 * RemoteWriteDecoder.labelsMax) else {
                    throw reader.error(.tooMany)
                }
            case (_, 2): value = Double(bitPattern: try reader.fixed64Field())
            case (_, 3): time = Int64(bitPattern: try reader.varintField())
            default: try reader.skipField()
            }
        }
        for pair in stride(from: 0, to: references.count - references.count % 2, by: 2) {
            guard let name = symbol(references[pair]), let text = symbol(references[pair + 1]) else { throw reader.error(.unknownSymbol) }
            labels.append(LabelSet.Label(name, text))
        }
        return ExemplarLabels.exemplar(labels, time: time, value: value)
    }

    private func label(_ message: ProtobufReader) throws(ProtobufError) -> LabelSet.Label {
        var label = message
        var one = LabelSet.Label("", "")
        while try label.next() {
            switch label.field {
            case 1: one.name = try text(&label)
            case 2: one.value = try text(&label)
            default: try label.skipField()
            }
        }
        return one
    }

    private func readSample(_ sample: ProtobufReader, _ point: inout MetricPoint) throws(ProtobufError) {
        var reader = sample
        var value = 0.0
        point.time = 0
        while try reader.next() {
            switch reader.field {
            case 1: value = Double(bitPattern: try reader.fixed64Field())
            case 2: point.time = Int64(bitPattern: try reader.varintField())
            case 3:
                let created = Int64(bitPattern: try reader.varintField())
                if created != 0 { point.created = created }
            default: try reader.skipField()
            }
        }
        point.value = .number(value)
    }

    // MARK: Pieces

    private func checkUnique(_ labels: [LabelSet.Label], _ reader: ProtobufReader) throws(ProtobufError) {
        guard Set(labels.map(\.name)).count == labels.count else { throw reader.error(.repeatedLabel) }
    }

    private func symbol(_ reference: UInt64) -> String? { reference < UInt64(symbols.count) ? symbols[Int(reference)] : nil }

    /// The kind that a family's metadata gives a series of it.
    private func kind(of labels: LabelSet) -> MetricPoint.Kind {
        guard !kinds.isEmpty, let name = labels[LabelSet.metricName] else { return .unknown }
        if let kind = kinds[name] { return kind }
        for suffix in ["_bucket", "_count", "_sum", "_total"] where name.hasSuffix(suffix) {
            if let kind = kinds[String(name.dropLast(suffix.utf8.count))] { return kind }
        }
        return .unknown
    }

    private static func kind(_ number: UInt64) -> MetricPoint.Kind {
        switch number {
        case 1: .counter
        case 2, 4: .gauge
        case 3: .histogram
        case 5: .summary
        default: .unknown
        }
    }

    private func text(_ reader: inout ProtobufReader) throws(ProtobufError) -> String {
        let range = try reader.bytesField()
        guard range.count <= RemoteWriteDecoder.labelBytesMax else { throw reader.error(.tooMany) }
        guard let text = unsafe String(validating: body.bytes(range), as: UTF8.self) else { throw reader.error(.invalidUTF8) }
        return text
    }
}
