public import TelemetryModel

/// Why bytes are no report.
public struct ReportFault: Error, Hashable, Sendable, CustomStringConvertible {
    public var reason: String
    public var offset: Int

    public var description: String { "\(reason) at byte \(offset)" }
}

/// What a proxy tells a collector of its metrics: one batch of series with its sender and number (docs/formats/report.md). Pure.
public enum MetricsReport {
    static let magic = Array("SKR1".utf8)
    /// Identities and points of one report.
    public static let identitiesMax = 1_000_000
    public static let pointsMax = 4_000_000
    public static let exemplarsMax = 1_000_000
    /// Parts behind the exemplars, and their bytes.
    static let partsMax = 16
    public static let partBytesMax = 16 << 20
    static let outliersPart: UInt64 = 1
    static let lastPart: UInt64 = 2

    /// Appends the report. The batch has a `report`, and no native histograms: no proxy makes them.
    public static func append(_ batch: SeriesBatch, to bytes: inout [UInt8]) {
        guard let report = batch.report else { return assertionFailure("a report without its number") }
        bytes += magic
        append(Array(report.sender.utf8)[...], to: &bytes)
        append(varint: report.sequence, to: &bytes)
        append(varint: UInt64(batch.identities.count), to: &bytes)
        for one in batch.identities {
            append(batch.identityBytes[Int(one.offset)..<Int(one.offset) + Int(one.count)], to: &bytes)
        }
        append(varint: UInt64(batch.points.count), to: &bytes)
        var time: Int64 = 0
        for point in batch.points {
            append(varint: UInt64(point.identity), to: &bytes)
            append(varint: zigzag(point.time &- time), to: &bytes)
            append(varint: UInt64(bitPattern: point.created), to: &bytes)
            time = point.time
            let one = batch.identities[Int(point.identity)]
            if one.kind == .classicHistogram {
                for number in batch.numbers[Int(point.payload)..<Int(point.payload) + Int(one.columns)] { append(number, to: &bytes) }
            } else {
                append(point.value, to: &bytes)
            }
        }
        appendExemplars(of: batch, to: &bytes)
        var parts: [(number: UInt64, bytes: [UInt8])] = []
        if !report.outliers.isEmpty { parts.append((outliersPart, report.outliers)) }
        if report.isLast { parts.append((lastPart, [])) }
        if parts.isEmpty { return }
        append(varint: UInt64(parts.count), to: &bytes)
        for part in parts {
            append(varint: part.number, to: &bytes)
            append(part.bytes[...], to: &bytes)
        }
    }

    private static func appendExemplars(of batch: SeriesBatch, to bytes: inout [UInt8]) {
        append(varint: UInt64(batch.exemplars.count), to: &bytes)
        for (identity, exemplar) in batch.exemplars {
            append(varint: UInt64(identity), to: &bytes)
            append(varint: zigzag(exemplar.time), to: &bytes)
            append(exemplar.value, to: &bytes)
            for word in [exemplar.traceID.high, exemplar.traceID.low, exemplar.spanID.rawValue] { append(word: word, to: &bytes) }
        }
    }

    /// Reads a report into an empty batch. A body with a fault leaves nothing that may be used.
    public static func decode(_ bytes: [UInt8], into batch: inout SeriesBatch) throws(ReportFault) {
        var reader = ReportReader(bytes)
        try reader.expect(magic)
        let sender = try reader.text(most: SeriesBatch.Report.senderBytesMax)
        let sequence = try reader.varint()
        guard sequence > 0 else { throw reader.fault("a report's number is 1 at least") }
        batch.report = SeriesBatch.Report(sender: sender, sequence: sequence)
        for _ in 0..<(try reader.count(most: identitiesMax)) {
            let identity = try reader.blob(most: SeriesIdentity.bytesMax)
            do throws(SeriesIdentity.Problem) {
                let known = try SeriesIdentityReader(Array(identity))
                _ = try known.labels()
                _ = batch.append(identity: identity, known.kind, bounds: known.bounds.count)
            } catch {
                throw reader.fault("an identity that is none (\(error))")
            }
        }
        try readPoints(&reader, into: &batch)
        // The first reports ended here.
        if !reader.isAtEnd { try readExemplars(&reader, into: &batch) }
        if !reader.isAtEnd { try readParts(&reader, into: &batch) }
        guard reader.isAtEnd else { throw reader.fault("bytes behind the last part") }
    }

    /// Parts with a number that is not known are passed over: a newer sender has them.
    private static func readParts(_ reader: inout ReportReader, into batch: inout SeriesBatch) throws(ReportFault) {
        let count = try reader.count(most: partsMax)
        guard count > 0 else { throw reader.fault("bytes behind the last exemplar, and no part") }
        for _ in 0..<count {
            let number = try reader.varint()
            let bytes = try reader.blob(most: partBytesMax)
            switch number {
            case outliersPart: batch.report?.outliers = Array(bytes)
            case lastPart: batch.report?.isLast = true
            default: break
            }
        }
    }

    private static func readExemplars(_ reader: inout ReportReader, into batch: inout SeriesBatch) throws(ReportFault) {
        for _ in 0..<(try reader.count(most: exemplarsMax)) {
            let identity = try reader.varint()
            guard identity < UInt64(batch.identities.count) else { throw reader.fault("an exemplar of an identity that is not there") }
            let time = unzigzag(try reader.varint())
            let value = try reader.double()
            let trace = TraceID(high: try reader.word(), low: try reader.word())
            let span = SpanID(try reader.word())
            guard !trace.isNone else { throw reader.fault("an exemplar without a trace") }
            batch.append(UInt32(identity), SeriesExemplar(time: time, value: value, traceID: trace, spanID: span))
        }
    }

    private static func readPoints(_ reader: inout ReportReader, into batch: inout SeriesBatch) throws(ReportFault) {
        var time: Int64 = 0
        for _ in 0..<(try reader.count(most: pointsMax)) {
            let identity = try reader.varint()
            guard identity < UInt64(batch.identities.count) else { throw reader.fault("a point of an identity that is not there") }
            time = time &+ unzigzag(try reader.varint())
            let created = Int64(bitPattern: try reader.varint())
            let one = batch.identities[Int(identity)]
            switch one.kind {
            case .nativeHistogram: throw reader.fault("a native histogram, which no report has")
            case .classicHistogram:
                var numbers: [Double] = []
                for _ in 0..<one.columns { numbers.append(try reader.double()) }
                let sum = numbers.removeLast()
                let count = numbers.removeLast()
                batch.append(UInt32(identity), time: time, buckets: numbers, count: count, sum: sum, created: created)
            case .counter, .gauge, .unknown:
                batch.append(UInt32(identity), time: time, value: try reader.double(), created: created)
            }
        }
    }

    // MARK: Pieces

    private static func append(_ blob: ArraySlice<UInt8>, to bytes: inout [UInt8]) { ReportBytes.append(blob, to: &bytes) }
    private static func append(varint value: UInt64, to bytes: inout [UInt8]) { ReportBytes.append(varint: value, to: &bytes) }
    private static func append(_ value: Double, to bytes: inout [UInt8]) { ReportBytes.append(word: value.bitPattern, to: &bytes) }
    private static func append(word: UInt64, to bytes: inout [UInt8]) { ReportBytes.append(word: word, to: &bytes) }

    private static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }
    private static func unzigzag(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
}
