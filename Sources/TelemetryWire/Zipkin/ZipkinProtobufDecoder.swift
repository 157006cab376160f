public import TelemetryModel

/// Zipkin's protobuf to spans: `zipkin.proto3.ListOfSpans` of zipkin-api, in one pass over the wire bytes.
///
/// Normalises as `ZipkinJSONDecoder` does. Fields that are unknown, or of another wire type than theirs, are skipped, and an annotation
/// without a time or a value is left out, as Zipkin's own reader does. Ids are 1 to 16 bytes of a trace and 1 to 8 of a span; texts that
/// are not UTF-8 are repaired. A span is framed by its length, so one that cannot be read costs itself; a list whose frames are broken is
/// refused.
///
/// The body is copied into the batch's arena once and texts are references into that copy. Any thread; keeps nothing.
public enum ZipkinProtobufDecoder {
    /// Appends the good spans of `body` to `batch` and says how many they were and why others were not. An empty body has none.
    ///
    /// Throws when the body is no list of spans. The batch then is as it was before.
    @discardableResult
    public static func decode(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(ZipkinDecodeError) -> ZipkinDecodeOutcome
    {
        let mark = BatchMark(batch)
        let reader = unsafe ProtobufReader(body)
        do throws(ProtobufError) {
            // Beside the body itself, names can be there once more in lower case, and each byte that is no UTF-8 becomes three.
            guard UInt64(batch.text.count) + 8 * UInt64(body.count) < UInt64(UInt32.max) else { throw reader.error(.bodyTooLarge) }
            if body.count > 0, unsafe body[0] == UInt8(ascii: "[") { throw reader.error(.expectedListProtobuf) }
            var pass = ZipkinProtobufPass(reader, &batch)
            try pass.list(into: &batch)
            pass.outcome.acceptedSpans = batch.spans.count - mark.spans
            return pass.outcome
        } catch {
            mark.restore(&batch)
            throw ZipkinDecodeError(fault: error.fault, encoding: .protobuf, field: .none, spanIndex: nil, byteOffset: error.offset)
        }
    }
}

/// One pass over one body.
private struct ZipkinProtobufPass {
    private let body: ProtobufReader
    private let text: ProtobufText
    private var field = ZipkinField.none
    private var spanIndex = -1
    var outcome = ZipkinDecodeOutcome()

    init(_ body: ProtobufReader, _ batch: inout SpanBatch) {
        self.body = body
        text = ProtobufText(body, &batch)
    }

    mutating func list(into batch: inout SpanBatch) throws(ProtobufError) {
        var reader = body
        while try reader.next() {
            guard reader.field == 1, reader.wireType == 2 else {
                try reader.skipField()
                continue
            }
            let range = try reader.bytesField()
            spanIndex += 1
            let mark = BatchMark(batch)
            do throws(ProtobufError) {
                try span(range, &batch)
            } catch {
                mark.restore(&batch)
                outcome.refuse(
                    ZipkinDecodeError(fault: error.fault, encoding: .protobuf, field: field, spanIndex: spanIndex, byteOffset: error.offset)
                )
            }
        }
    }

    private mutating func span(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        var row = SpanRow(traceID: .none, id: .none)
        row.tagStart = UInt32(truncatingIfNeeded: batch.tags.count)
        row.annotationStart = UInt32(truncatingIfNeeded: batch.annotations.count)
        var reader = ProtobufReader(body, range)
        field = .none
        while try reader.next() {
            switch (reader.field, reader.wireType) {
            case (1, 2):
                let id = try identifier(.traceID, &reader, bytesMax: 16)
                row.traceID = TraceID(high: id.high, low: id.low)
            case (2, 2): row.parentID = SpanID(try identifier(.parentID, &reader, bytesMax: 8).low)
            case (3, 2): row.id = SpanID(try identifier(.id, &reader, bytesMax: 8).low)
            // Zipkin takes a kind that it does not know for none.
            case (4, 0): row.kind = SpanKind(rawValue: UInt8(clamping: try reader.varint())) ?? .unspecified
            case (5, 2):
                let name = text.reference(to: try reader.bytesField(), &batch)
                row.name = ProtobufText.lowercased(name, &batch)
            case (6, 1): row.timestamp = Self.time(try reader.fixed64Field())
            case (7, 0): row.duration = Self.time(try reader.varint())
            case (8, 2): row.localEndpoint = try endpoint(.localEndpoint, &reader, &batch)
            case (9, 2): row.remoteEndpoint = try endpoint(.remoteEndpoint, &reader, &batch)
            case (10, 2): try annotation(try reader.bytesField(), &batch)
            case (11, 2): try tag(try reader.bytesField(), &batch)
            case (12, 0): if try reader.varint() != 0 { row.flags.insert(.debug) }
            case (13, 0): if try reader.varint() != 0 { row.flags.insert(.shared) }
            default: try reader.skipField()
            }
        }
        guard !row.traceID.isNone else { throw missing(.traceID, .missingTraceID, reader) }
        guard !row.id.isNone else { throw missing(.id, .missingID, reader) }
        if row.parentID == row.id { row.parentID = .none }
        if row.kind == .client { row.flags.remove(.shared) }
        SpanRows.finish(&row, &batch)
        batch.spans.append(row)
    }

    private mutating func missing(_ field: ZipkinField, _ fault: WireFault, _ reader: ProtobufReader) -> ProtobufError {
        self.field = field
        return reader.error(fault)
    }

    /// Above what a signed number holds is before 1970, which is unknown as zero is.
    private static func time(_ value: UInt64) -> UInt64 { value > UInt64(Int64.max) ? 0 : value }

    private mutating func identifier(
        _ field: ZipkinField, _ reader: inout ProtobufReader, bytesMax: Int
    ) throws(ProtobufError) -> (high: UInt64, low: UInt64) {
        self.field = field
        let range = try reader.bytesField()
        guard range.count <= bytesMax else { throw ProtobufError(fault: .identifierTooLong, offset: range.lowerBound) }
        let (high, low) = body.bigEndian(range)
        if field != .parentID, high | low == 0 {
            throw ProtobufError(fault: range.isEmpty ? .emptyIdentifier : .identifierAllZeros, offset: range.lowerBound)
        }
        self.field = .none
        return (high, low)
    }

    private mutating func endpoint(
        _ field: ZipkinField, _ outer: inout ProtobufReader, _ batch: inout SpanBatch
    ) throws(ProtobufError) -> UInt32 {
        self.field = field
        var row = EndpointRow()
        var reader = ProtobufReader(body, try outer.bytesField())
        while try reader.next() {
            switch (reader.field, reader.wireType) {
            case (1, 2):
                let name = text.reference(to: try reader.bytesField(), &batch)
                row.serviceName = ProtobufText.lowercased(name, &batch)
            case (2, 2), (3, 2): address(try reader.bytesField(), &row)
            case (4, 0):
                // Negative numbers of 32 bits are sent with 64.
                let port = Int64(bitPattern: try reader.varint())
                guard port <= 65535 else { throw reader.error(.portOutOfRange) }
                row.port = UInt16(max(port, 0))
            default: try reader.skipField()
            }
        }
        self.field = .none
        if row.serviceName.isEmpty, !row.hasIPv4, !row.hasIPv6, row.port == 0 { return EndpointRow.absent }
        batch.endpoints.append(row)
        return UInt32(truncatingIfNeeded: batch.endpoints.count - 1)
    }

    /// Four bytes or sixteen; IPv4 inside IPv6 counts as IPv4, anything else is ignored, as in Zipkin.
    private func address(_ range: Range<Int>, _ row: inout EndpointRow) {
        let (high, low) = body.bigEndian(range)
        switch range.count {
        case 4:
            row.ipv4 = UInt32(truncatingIfNeeded: low)
            row.hasIPv4 = true
        case 16 where high == 0 && (low >> 32 == 0xFFFF || (low >> 32 == 0 && low > 1)):
            row.ipv4 = UInt32(truncatingIfNeeded: low)
            row.hasIPv4 = true
        case 16:
            row.ipv6High = high
            row.ipv6Low = low
            row.hasIPv6 = true
        default: break
        }
    }

    private mutating func annotation(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        field = .annotations
        var timestamp: UInt64 = 0
        var value = TextRef.empty
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch (reader.field, reader.wireType) {
            case (1, 1): timestamp = Self.time(try reader.fixed64Field())
            case (2, 2): value = text.reference(to: try reader.bytesField(), &batch)
            default: try reader.skipField()
            }
        }
        field = .none
        if timestamp != 0, !value.isEmpty { batch.annotations.append(AnnotationRow(timestamp: timestamp, value: value)) }
    }

    private mutating func tag(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        field = .tags
        var tag = TagRow(key: .empty, value: .empty)
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch (reader.field, reader.wireType) {
            case (1, 2): tag.key = text.reference(to: try reader.bytesField(), &batch)
            case (2, 2): tag.value = text.reference(to: try reader.bytesField(), &batch)
            default: try reader.skipField()
            }
        }
        field = .none
        batch.tags.append(tag)
    }
}
