import TelemetryModel

/// One pass over one body of either version.
@safe
struct ZipkinJSONPass {
    var reader: ZipkinJSONReader
    private let version: ZipkinJSONDecoder.Version
    var field = ZipkinField.none
    var spanIndex = -1
    var outcome = ZipkinDecodeOutcome()

    init(_ body: UnsafeRawBufferPointer, _ version: ZipkinJSONDecoder.Version) {
        reader = unsafe ZipkinJSONReader(body)
        self.version = version
    }

    mutating func list(into batch: inout SpanBatch) throws(JSONScanError) {
        try reader.scanner.expectEndOrContinue()
        if reader.scanner.isAtEnd { return }
        guard try reader.scanner.peek() == UInt8(ascii: "[") else {
            throw reader.scanner.error(version == .v2 ? .expectedList : .expectedListV1)
        }
        if try reader.scanner.openArray() {
            repeat {
                spanIndex += 1
                let start = reader.scanner.at
                let mark = BatchMark(batch)
                do throws(JSONScanError) {
                    switch version {
                    case .v2: try span(into: &batch)
                    case .v1: try spanOfVersion1(into: &batch)
                    }
                } catch {
                    try refuse(error, from: start, mark, &batch)
                }
            } while try reader.scanner.hasNextElement()
        }
        field = .none
        try reader.scanner.expectEnd()
    }

    private mutating func span(into batch: inout SpanBatch) throws(JSONScanError) {
        var row = SpanRow(traceID: .none, id: .none)
        row.tagStart = UInt32(truncatingIfNeeded: batch.tags.count)
        row.annotationStart = UInt32(truncatingIfNeeded: batch.annotations.count)
        field = .none
        if try reader.scanner.openObject() {
            repeat {
                field = .none
                let key = try reader.scanner.key()
                let known = try reader.field(of: key, version)
                if try reader.scanner.takeNull() { continue }
                field = known
                try value(known, &row, &batch)
            } while try reader.scanner.hasNextMember()
        }
        guard !row.traceID.isNone else { throw missing(.traceID, .missingTraceID) }
        guard !row.id.isNone else { throw missing(.id, .missingID) }
        field = .none
        if row.parentID == row.id { row.parentID = .none }
        if row.kind == .client { row.flags.remove(.shared) }
        SpanRows.finish(&row, &batch)
        batch.spans.append(row)
    }

    /// A span of version 1, which may become several.
    private mutating func spanOfVersion1(into batch: inout SpanBatch) throws(JSONScanError) {
        var source = ZipkinV1Span()
        field = .none
        if try reader.scanner.openObject() {
            repeat {
                field = .none
                let known = try reader.field(of: try reader.scanner.key(), version)
                if try reader.scanner.takeNull() { continue }
                field = known
                switch known {
                case .annotations: try source.readAnnotations(&reader, &batch)
                case .binaryAnnotations: try source.readBinaryAnnotations(&reader, &batch)
                case .kind, .shared: try reader.scanner.skipValue()
                default: try value(known, &source.row, &batch)
                }
            } while try reader.scanner.hasNextMember()
        }
        guard !source.row.traceID.isNone else { throw missing(.traceID, .missingTraceID) }
        guard !source.row.id.isNone else { throw missing(.id, .missingID) }
        field = .none
        source.convert(into: &batch)
    }

    private mutating func missing(_ field: ZipkinField, _ fault: WireFault) -> JSONScanError {
        self.field = field
        return reader.scanner.error(fault)
    }

    /// Leaves out the span that starts at `start` and could not be read because of `error`. Throws when the reason is none of the
    /// span's own: the text is not JSON, or it is of the other version.
    @inline(never)
    private mutating func refuse(
        _ error: JSONScanError, from start: Int, _ mark: BatchMark, _ batch: inout SpanBatch
    ) throws(JSONScanError) {
        if error.fault == .receivedV1 || error.fault == .receivedV2 { throw error }
        let refused = field
        // What only misses a field has been read to its end.
        if error.fault != .missingTraceID && error.fault != .missingID {
            reader.scanner.at = start
            do throws(JSONScanError) {
                try skipSpan()
            } catch let broken {
                guard broken.offset == error.offset else { throw broken }
                // The same place: what was expected there says more than that it is not JSON.
                field = refused
                throw error
            }
        }
        // What is no object has left nothing; two bytes make one, so this is where a hostile body would be dear.
        if error.fault != .expectedObject || refused != .none {
            mark.restore(&batch)
            reader.forgetEndpoints(from: mark.endpoints)
        }
        outcome.refuse(
            ZipkinDecodeError(fault: error.fault, encoding: .json, field: refused, spanIndex: spanIndex, byteOffset: error.offset))
    }

    /// Takes the span at the cursor whatever its fields hold, as long as it is JSON.
    private mutating func skipSpan() throws(JSONScanError) {
        field = .none
        guard try reader.scanner.peek() == UInt8(ascii: "{") else { return try reader.scanner.skipValue() }
        guard try reader.scanner.openObject() else { return }
        repeat {
            field = .none
            let key = try reader.scanner.key()
            field = try reader.field(of: key, version)
            try reader.scanner.skipValue()
        } while try reader.scanner.hasNextMember()
    }

    private mutating func value(_ known: ZipkinField, _ row: inout SpanRow, _ batch: inout SpanBatch) throws(JSONScanError) {
        switch known {
        case .traceID: row.traceID = try reader.traceID()
        case .id: row.id = try reader.spanID()
        case .parentID: row.parentID = try reader.parentID()
        case .kind: row.kind = try kind()
        case .name: row.name = try reader.lowercasedText(&batch)
        case .timestamp: row.timestamp = UInt64(max(try reader.scanner.integer(), 0))
        case .duration: row.duration = UInt64(max(try reader.scanner.integer(), 0))
        case .localEndpoint: row.localEndpoint = try reader.endpoint(isLocal: true, &batch)
        case .remoteEndpoint: row.remoteEndpoint = try reader.endpoint(isLocal: false, &batch)
        case .annotations: try annotations(&batch)
        case .tags: try tags(&batch)
        case .debug: if try reader.scanner.boolean() { row.flags.insert(.debug) }
        case .shared: if try reader.scanner.boolean() { row.flags.insert(.shared) }
        case .binaryAnnotations, .none: try reader.scanner.skipValue()
        }
    }

    private mutating func kind() throws(JSONScanError) -> SpanKind {
        let start = try reader.stringStart()
        let text = try reader.scanner.string()
        if !text.needsDecoding {
            if reader.scanner.equals(text, "SERVER") { return .server }
            if reader.scanner.equals(text, "CLIENT") { return .client }
            if reader.scanner.equals(text, "PRODUCER") { return .producer }
            if reader.scanner.equals(text, "CONSUMER") { return .consumer }
        }
        throw JSONScanError(fault: .unknownKind, offset: start)
    }

    // MARK: Tags and annotations

    private mutating func tags(_ batch: inout SpanBatch) throws(JSONScanError) {
        guard try reader.scanner.openObject() else { return }
        repeat {
            let key = reader.store(try reader.scanner.key(), &batch)
            if let value = try reader.value(&batch) { batch.tags.append(TagRow(key: key, value: value)) }
        } while try reader.scanner.hasNextMember()
    }

    private mutating func annotations(_ batch: inout SpanBatch) throws(JSONScanError) {
        guard try reader.scanner.openArray() else { return }
        repeat {
            if try reader.scanner.takeNull() { continue }
            let annotation = try reader.annotation(hasEndpoint: false, &batch)
            batch.annotations.append(AnnotationRow(timestamp: annotation.timestamp, value: annotation.value))
        } while try reader.scanner.hasNextElement()
    }
}
