internal import TelemetryModel

/// Writes the header of a finished segment, as `SegmentHeader` reads it (docs/formats/segment.md).
enum SegmentHeaderWriter {
    static func write(
        _ tables: borrowing SegmentTables, _ directory: [SegmentHeader.BlockEntry], _ links: borrowing LinkTable, plainNames: Set<[String]>,
        autocomplete: [UInt32: Set<String>], columnValues: [ColumnValues], _ zstd: borrowing ZstdCodec
    ) -> [UInt8] {
        var plain = ByteWriter(capacity: 16 << 10)
        tables.strings.write(to: &plain)
        plain.append(varint: UInt64(tables.shapes.count))
        for shape in tables.shapes {
            plain.append(shape.kind)
            plain.append(shape.flags)
            plain.append(varint: UInt64(shape.name))
            plain.append(varint: UInt64(shape.localService))
            plain.append(varint: UInt64(shape.remoteService))
            plain.append(varint: UInt64(shape.payloads.count))
            for payload in shape.payloads { plain.append(varint: UInt64(payload.key) << 4 | UInt64(payload.kind.rawValue)) }
        }
        plain.append(varint: UInt64(tables.columnKeys.count))
        for code in tables.columnKeys { plain.append(varint: UInt64(code)) }
        plain.append(varint: UInt64(directory.count))
        for entry in directory {
            plain.append(varint: UInt64(entry.traceCount))
            plain.append(varint: UInt64(entry.spanCount))
            plain.append(entry.timestampMin)
            plain.append(entry.timestampMax)
            plain.append(entry.durationMax)
        }
        plain.append(varint: UInt64(links.entries.count))
        for number in 0..<links.entries.count {
            let link = links.entries[number]
            plain.append(varint: link.bucket)
            plain.append(varint: UInt64(link.parent))
            plain.append(varint: UInt64(link.child))
            plain.append(varint: link.calls)
            plain.append(varint: link.errors)
        }
        plain.append(varint: UInt64(plainNames.count))
        for names in plainNames { for name in names { plain.append(string: name) } }
        plain.append(varint: UInt64(autocomplete.count))
        for (key, values) in autocomplete {
            unsafe tables.strings.withText(Int(key - PayloadKey.firstString)) { text in
                plain.append(varint: UInt64(text.count))
                unsafe plain.append(bytes: text)
            }
            plain.append(varint: UInt64(values.count))
            for value in values { plain.append(string: value) }
        }
        plain.append(varint: UInt64(columnValues.count))
        for values in columnValues { values.write(to: &plain) }
        var packed = ByteWriter(capacity: plain.count / 2)
        packed.append(SegmentHeader.version)
        unsafe plain.withBytes { unsafe zstd.write($0, to: &packed) }
        packed.append(unsafe packed.withBytes { unsafe Mixing.hash($0) })
        return packed.array()
    }
}
