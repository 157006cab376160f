import TelemetryModel

/// Events and links of a span as the texts that a Zipkin span has room for. Both say whether all of it was written: false when a value lay
/// too deep.
enum OTLPPartText {
    /// `name`, or `"name": {attributes}` when it has any, as the specification's mapping writes it.
    static func appendEvent(
        _ body: ProtobufReader, _ range: Range<Int>, _ text: ProtobufText, _ batch: inout SpanBatch
    ) throws(ProtobufError) -> Bool {
        var nanoseconds: UInt64 = 0
        var name = 0..<0
        var hasAttributes = false
        var dropped: UInt64 = 0
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: nanoseconds = try reader.fixed64Field()
            case 2: name = try reader.bytesField()
            case 3:
                _ = try reader.bytesField()
                hasAttributes = true
            case 4: dropped = min(try reader.varintField(), UInt64(UInt32.max))
            default: try reader.skipField()
            }
        }
        guard hasAttributes || dropped > 0 else {
            let value = text.reference(to: name, &batch)
            batch.annotations.append(AnnotationRow(timestamp: nanoseconds / 1000, value: value))
            return true
        }
        let offset = batch.text.count
        batch.text.append(UInt8(ascii: "\""))
        unsafe batch.text.append(jsonEscaping: body.bytes(name))
        batch.text.append(ascii: "\": {")
        let isWhole = try OTLPValueText.append(attributes: 3, body, range, to: &batch.text)
        if dropped > 0 {
            if hasAttributes { batch.text.append(UInt8(ascii: ",")) }
            batch.text.append(ascii: "\"otel.dropped_attributes_count\":")
            batch.text.append(decimal: dropped)
        }
        batch.text.append(UInt8(ascii: "}"))
        batch.annotations.append(AnnotationRow(timestamp: nanoseconds / 1000, value: ProtobufText.reference(from: offset, batch)))
        return isWhole
    }

    /// `otlp.link.N`: trace id, span id, trace state, attributes and dropped count between bars.
    static func appendLink(
        _ body: ProtobufReader, _ range: Range<Int>, number: Int, _ batch: inout SpanBatch
    ) throws(ProtobufError) -> Bool {
        var trace = 0..<0
        var span = 0..<0
        var state = 0..<0
        var dropped: UInt64 = 0
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: trace = try reader.bytesField()
            case 2: span = try reader.bytesField()
            case 3: state = try reader.bytesField()
            case 4: _ = try reader.bytesField()
            case 5: dropped = min(try reader.varintField(), UInt64(UInt32.max))
            default: try reader.skipField()
            }
        }
        var offset = batch.text.count
        batch.text.append(ascii: "otlp.link.")
        batch.text.append(decimal: UInt64(number))
        let key = ProtobufText.reference(from: offset, batch)
        offset = batch.text.count
        for id in [trace, span] {
            // Ids of another length are no ids; a long one would only be long.
            for offset in id.prefix(16) { batch.text.append(hexByte: body.byte(offset)) }
            batch.text.append(UInt8(ascii: "|"))
        }
        unsafe UTF8Text.append(body.bytes(state), to: &batch.text)
        batch.text.append(ascii: "|{")
        let isWhole = try OTLPValueText.append(attributes: 4, body, range, to: &batch.text)
        batch.text.append(ascii: "}|")
        batch.text.append(decimal: dropped)
        batch.tags.append(TagRow(key: key, value: ProtobufText.reference(from: offset, batch)))
        return isWhole
    }
}
