import TelemetryModel

/// Events and links back from the texts that `OTLPPartText` writes of them. What is no such text is an event of that name, and no link.
enum OTLPPartParser {
    /// Attributes of one event or link; the rest counts as dropped.
    static let attributesMax = 128

    static func event(_ text: String, time: UInt64) -> OTLPSpan.Event {
        let plain = OTLPSpan.Event(time: time, name: text)
        guard text.utf8.first == UInt8(ascii: "\""), text.utf8.last == UInt8(ascii: "}") else { return plain }
        do throws(JSONScanError) {
            return try JSONScanner.reading(Array(text.utf8)) { scanner throws(JSONScanError) in
                var event = OTLPSpan.Event(time: time, name: string(try scanner.key(), scanner))
                try attributes(&scanner, &event.attributes, &event.droppedAttributes)
                try scanner.expectEnd()
                return event
            }
        } catch {
            return plain
        }
    }

    /// `trace|span|state|{attributes}|dropped`.
    static func link(_ text: String) -> OTLPSpan.Link? {
        let bytes = Array(text.utf8)
        let bar = UInt8(ascii: "|")
        func number(at start: Int) -> UInt64? { unsafe HexCodec.decode16(bytes.span.bytes, at: start) }
        guard bytes.count > 50, bytes[32] == bar, bytes[49] == bar, let last = bytes.lastIndex(of: bar), last > 49,
            let high = number(at: 0), let low = number(at: 16), let span = number(at: 33),
            let open = (49..<last).first(where: { bytes[$0] == bar && bytes[$0 + 1] == UInt8(ascii: "{") })
        else { return nil }
        var link = OTLPSpan.Link(traceID: TraceID(high: high, low: low), spanID: SpanID(span))
        link.traceState = String(decoding: bytes[50..<max(50, open)], as: UTF8.self)
        link.droppedAttributes = UInt64(String(decoding: bytes[(last + 1)...], as: UTF8.self)) ?? 0
        // An object that cannot be read leaves the link with what was read of it.
        try? JSONScanner.reading(Array(bytes[(open + 1)..<last])) { scanner throws(JSONScanError) in
            try attributes(&scanner, &link.attributes, &link.droppedAttributes)
        }
        return link
    }

    private static func attributes(
        _ scanner: inout JSONScanner, _ attributes: inout [OTLPAttribute], _ dropped: inout UInt64
    ) throws(JSONScanError) {
        guard try scanner.openObject() else { return }
        repeat {
            let key = string(try scanner.key(), scanner)
            let value = try value(&scanner)
            if key == "otel.dropped_attributes_count", case .integer(let count) = value {
                dropped = UInt64(clamping: count)
            } else if attributes.count < attributesMax {
                attributes.append(OTLPAttribute(key, value))
            } else {
                dropped = dropped.addingReportingOverflow(1).partialValue
            }
        } while try scanner.hasNextMember()
    }

    /// Lists and objects stay the JSON that they are.
    private static func value(_ scanner: inout JSONScanner) throws(JSONScanError) -> OTLPValue {
        switch try scanner.peek() {
        case UInt8(ascii: "\""): return .text(string(try scanner.string(), scanner))
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .boolean(try scanner.boolean())
        default:
            let start = scanner.at
            try scanner.skipValue()
            let text = string(JSONString(start: start, count: scanner.at - start, needsDecoding: false, isASCII: false), scanner)
            if let number = Int64(text) { return .integer(number) }
            if text.utf8.first.map({ JSONScanner.isDigit($0) || $0 == UInt8(ascii: "-") }) == true, let number = Double(text) {
                return .double(number)
            }
            return .text(text)
        }
    }

    private static func string(_ text: JSONString, _ scanner: JSONScanner) -> String {
        var bytes: [UInt8] = []
        scanner.append(text, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
