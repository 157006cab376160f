import TelemetryModel

/// A span's shape and payloads with every string in place: what a segment does with spans that its tables have no room for.
enum PlainSpan {
    static func write(_ row: SpanRow, _ local: EndpointRow, _ remote: EndpointRow, _ batch: SpanBatch, to writer: inout ByteWriter) {
        writer.append(row.kind.rawValue)
        writer.append(row.flags.rawValue)
        append(row.name, batch, &writer)
        for endpoint in [local, remote] {
            append(endpoint.serviceName, batch, &writer)
            writer.append(UInt8((endpoint.hasIPv4 ? 1 : 0) | (endpoint.hasIPv6 ? 2 : 0)))
            writer.append(endpoint.ipv4)
            writer.append(endpoint.ipv6High)
            writer.append(endpoint.ipv6Low)
            writer.append(varint: UInt64(endpoint.port))
        }
        writer.append(varint: UInt64(row.tagCount))
        for index in 0..<Int(row.tagCount) {
            append(batch.tags[Int(row.tagStart) + index].key, batch, &writer)
            append(batch.tags[Int(row.tagStart) + index].value, batch, &writer)
        }
        writer.append(varint: UInt64(row.annotationCount))
        for index in 0..<Int(row.annotationCount) {
            writer.append(batch.annotations[Int(row.annotationStart) + index].timestamp)
            append(batch.annotations[Int(row.annotationStart) + index].value, batch, &writer)
        }
    }

    private static func append(_ reference: TextRef, _ batch: SpanBatch, _ writer: inout ByteWriter) {
        writer.append(varint: UInt64(reference.count))
        let start = Int(reference.offset)
        unsafe batch.text.withUnsafeBytes {
            unsafe writer.append(bytes: UnsafeRawBufferPointer(rebasing: $0[start..<start + Int(reference.count)]))
        }
    }

    static func read(_ reader: inout ByteReader, _ assembler: inout SpanAssembler, into batch: inout SpanBatch) {
        assembler.row.kind = SpanKind(rawValue: reader.byte()) ?? .unspecified
        assembler.row.flags = SpanFlags(rawValue: reader.byte() & 3)
        assembler.row.name = text(&reader, &batch)
        assembler.local = readEndpoint(&reader, &batch)
        assembler.remote = readEndpoint(&reader, &batch)
        for _ in 0..<reader.count(bytesEach: 2) {
            let key = text(&reader, &batch)
            batch.tags.append(TagRow(key: key, value: text(&reader, &batch)))
        }
        for _ in 0..<reader.count(bytesEach: 9) {
            let timestamp = reader.uint64()
            batch.annotations.append(AnnotationRow(timestamp: timestamp, value: text(&reader, &batch)))
        }
    }

    private static func readEndpoint(_ reader: inout ByteReader, _ batch: inout SpanBatch) -> EndpointRow {
        var endpoint = EndpointRow(serviceName: text(&reader, &batch))
        let flags = reader.byte()
        endpoint.hasIPv4 = flags & 1 != 0
        endpoint.hasIPv6 = flags & 2 != 0
        endpoint.ipv4 = reader.uint32()
        endpoint.ipv6High = reader.uint64()
        endpoint.ipv6Low = reader.uint64()
        endpoint.port = UInt16(truncatingIfNeeded: reader.varint())
        return endpoint
    }

    private static func text(_ reader: inout ByteReader, _ batch: inout SpanBatch) -> TextRef {
        let start = batch.text.count
        unsafe batch.text.append(contentsOf: reader.bytes(reader.count()))
        return TextRef(from: start, to: batch.text.count)
    }
}
