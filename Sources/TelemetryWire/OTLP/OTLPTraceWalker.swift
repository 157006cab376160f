import TelemetryModel

/// One pass over one OTLP request.
///
/// Its methods are `mutating`, also those that change nothing: a borrowed walker would be copied, its pending rows included, for each
/// attribute.
@safe
struct OTLPTraceWalker {
    private let body: ProtobufReader
    private let text: ProtobufText
    /// Tags of the span being read that are not in the batch yet: appended together, because each append to an array checks its owner.
    private var pending = InlineArray<32, TagRow>(repeating: TagRow(key: .empty, value: .empty))
    private var pendingCount = 0
    private(set) var outcome = OTLPDecodeOutcome()
    private var resource = SharedRows()
    private var rowsLeft: Int
    /// `otel.scope.name`, its old name, `otel.scope.version`, its old name; in the arena once a scope needs them.
    private var scopeKeys = InlineArray<4, TextRef>(repeating: .empty)
    /// Found while the attributes of a span are read.
    private var peer = OTLPPeer()
    /// An attribute `error` of the span, which is no tag: the status says whether the span failed.
    private var errorAttribute = TextRef.empty

    /// What the spans of one resource, and then of one scope in it, share; texts are in the batch's arena.
    private struct SharedRows {
        var tags: [TagRow] = []
        var localEndpoint = EndpointRow.absent
    }

    init(_ body: ProtobufReader, _ batch: inout SpanBatch) {
        self.body = body
        text = ProtobufText(body, &batch)
        rowsLeft = max(body.end * OTLPTraceDecoder.tagRowsPerBodyByte, 1024)
    }

    mutating func request(into batch: inout SpanBatch) throws(ProtobufError) {
        var reader = body
        while try reader.next() {
            guard reader.field == 1 else {
                // JSON begins with what would be a group; skipped, it could pass for a request without spans.
                if reader.wireType == 3 { throw reader.error(.unknownWireType) }
                try reader.skipField()
                continue
            }
            try resourceSpans(try reader.bytesField(), &batch)
        }
    }

    private mutating func resourceSpans(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        // The resource may stand after its spans on the wire: it is read first, whatever the order.
        resource.tags.removeAll(keepingCapacity: true)
        var serviceName = TextRef.empty
        let tagStart = batch.tags.count
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            guard reader.field == 1 else {
                try reader.skipField()
                continue
            }
            var inner = ProtobufReader(body, try reader.bytesField())
            while try inner.next() {
                switch inner.field {
                case 1:
                    let tag = try attribute(try inner.bytesField(), &batch)
                    if isKey(tag.key, "service.name") {
                        serviceName = tag.value
                    } else if !isKey(tag.key, "error") {
                        batch.tags.append(tag)
                    }
                case 2: appendCount("otel.resource.dropped_attributes_count", try inner.varintField(), &batch)
                default: try inner.skipField()
                }
            }
        }
        SpanRows.uniqueTags(from: tagStart, &batch)
        resource.tags.append(contentsOf: batch.tags[tagStart...])
        batch.tags.removeSubrange(tagStart...)
        if serviceName.isEmpty {
            serviceName = batch.append(text: "unknown_service")
        } else {
            serviceName = ProtobufText.lowercased(serviceName, &batch)
        }
        resource.localEndpoint = UInt32(truncatingIfNeeded: batch.endpoints.count)
        batch.endpoints.append(EndpointRow(serviceName: serviceName))

        reader = ProtobufReader(body, range)
        while try reader.next() {
            guard reader.field == 2 else {
                try reader.skipField()
                continue
            }
            try scopeSpans(try reader.bytesField(), &batch)
        }
    }

    private mutating func scopeSpans(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        let resourceTagCount = resource.tags.count
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            guard reader.field == 1 else {
                try reader.skipField()
                continue
            }
            try scope(try reader.bytesField(), &batch)
        }
        reader = ProtobufReader(body, range)
        while try reader.next() {
            guard reader.field == 2 else {
                try reader.skipField()
                continue
            }
            try span(try reader.bytesField(), &batch)
        }
        resource.tags.removeSubrange(resourceTagCount...)
    }

    /// Adds the scope's name, version and attributes to what its spans share.
    private mutating func scope(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        let tagStart = batch.tags.count
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1, 2:
                let range = try reader.bytesField()
                if range.isEmpty { continue }
                if scopeKeys[0].isEmpty {
                    scopeKeys[0] = batch.append(text: "otel.scope.name")
                    scopeKeys[1] = batch.append(text: "otel.library.name")
                    scopeKeys[2] = batch.append(text: "otel.scope.version")
                    scopeKeys[3] = batch.append(text: "otel.library.version")
                }
                let value = text.reference(to: range, &batch)
                let first = reader.field == 1 ? 0 : 2
                batch.tags.append(TagRow(key: scopeKeys[first], value: value))
                batch.tags.append(TagRow(key: scopeKeys[first + 1], value: value))
            case 3:
                let tag = try attribute(try reader.bytesField(), &batch)
                if !isKey(tag.key, "error") { batch.tags.append(tag) }
            case 4: appendCount("otel.scope.dropped_attributes_count", try reader.varintField(), &batch)
            default: try reader.skipField()
            }
        }
        resource.tags.append(contentsOf: batch.tags[tagStart...])
        batch.tags.removeSubrange(tagStart...)
    }

    private mutating func span(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        let mark = BatchMark(batch)
        let dropped = outcome.dropped
        do throws(SpanFailure) {
            try readSpan(range, &batch)
            outcome.acceptedSpans += 1
        } catch {
            mark.restore(&batch)
            pendingCount = 0
            switch error {
            case .rejected(let reason):
                outcome.dropped = dropped
                outcome.reject(reason)
            case .malformed(let fault): throw fault
            }
        }
    }

    private enum SpanFailure: Error {
        case rejected(OTLPSpanRejection)
        case malformed(ProtobufError)
    }

    /// What a span says that its sender had dropped, and what is dropped here besides.
    private struct DroppedCounts {
        var attributes: UInt64 = 0
        var events: UInt64 = 0
        var links: UInt64 = 0
    }

    private mutating func readSpan(_ range: Range<Int>, _ batch: inout SpanBatch) throws(SpanFailure) {
        var row = SpanRow(traceID: .none, id: .none)
        row.tagStart = UInt32(truncatingIfNeeded: batch.tags.count)
        row.annotationStart = UInt32(truncatingIfNeeded: batch.annotations.count)
        row.localEndpoint = resource.localEndpoint
        var attributesLeft = OTLPTraceDecoder.attributesPerSpanMax
        let here = appendShared(&attributesLeft, &batch)
        var linkCount = 0
        peer.removeAll()
        errorAttribute = .empty
        var rejection: OTLPSpanRejection?
        var startNanoseconds: UInt64 = 0
        var endNanoseconds: UInt64 = 0
        var status = 0..<0
        // What the sender dropped; what is dropped here is counted in `outcome` as well.
        var sent = DroppedCounts()
        var dropped = DroppedCounts(attributes: UInt64(here))
        do throws(ProtobufError) {
            var reader = ProtobufReader(body, range)
            while try reader.next() {
                switch reader.field {
                case 1:
                    let bytes = try reader.bytesField()
                    if bytes.count == 16 {
                        row.traceID = TraceID(high: bigEndian(bytes.lowerBound), low: bigEndian(bytes.lowerBound + 8))
                        if row.traceID.isNone { rejection = rejection ?? .traceIDZero }
                    } else {
                        rejection = rejection ?? .traceIDLength
                    }
                case 2:
                    let bytes = try reader.bytesField()
                    if bytes.count == 8 {
                        row.id = SpanID(bigEndian(bytes.lowerBound))
                        if row.id.isNone { rejection = rejection ?? .spanIDZero }
                    } else {
                        rejection = rejection ?? .spanIDLength
                    }
                case 3:
                    let state = try reader.bytesField()
                    if !state.isEmpty {
                        let key = batch.append(text: "w3c.tracestate")
                        let value = text.reference(to: state, &batch)
                        batch.tags.append(TagRow(key: key, value: value))
                    }
                case 4:
                    let bytes = try reader.bytesField()
                    if bytes.count == 8 { row.parentID = SpanID(bigEndian(bytes.lowerBound)) } else if bytes.count > 0 {
                        rejection = rejection ?? .parentIDLength
                    }
                case 5:
                    let name = text.reference(to: try reader.bytesField(), &batch)
                    row.name = ProtobufText.lowercased(name, &batch)
                case 6: row.kind = Self.kind(try reader.varintField())
                case 7: startNanoseconds = try reader.fixed64Field()
                case 8: endNanoseconds = try reader.fixed64Field()
                case 9:
                    let range = try reader.bytesField()
                    guard attributesLeft > 0 else {
                        dropped.attributes += 1
                        continue
                    }
                    attributesLeft &-= 1
                    let tag = try attribute(range, &batch)
                    if tag.key.count == 5, isKey(tag.key, "error") {
                        errorAttribute = tag.value
                        continue
                    }
                    notePeer(tag)
                    if pendingCount == pending.count { takePending(&batch) }
                    pending[pendingCount] = tag
                    pendingCount &+= 1
                case 10: sent.attributes = try reader.varintField()
                case 11:
                    let range = try reader.bytesField()
                    if batch.annotations.count &- Int(row.annotationStart) < OTLPTraceDecoder.eventsPerSpanMax {
                        if try !OTLPPartText.appendEvent(body, range, text, &batch) { outcome.dropped.values += 1 }
                    } else {
                        dropped.events += 1
                    }
                case 12: sent.events = try reader.varintField()
                case 13:
                    let range = try reader.bytesField()
                    if linkCount < OTLPTraceDecoder.linksPerSpanMax {
                        if try !OTLPPartText.appendLink(body, range, number: linkCount, &batch) { outcome.dropped.values += 1 }
                        linkCount += 1
                    } else {
                        dropped.links += 1
                    }
                case 14: sent.links = try reader.varintField()
                case 15: status = try reader.bytesField()
                default: try reader.skipField()
                }
            }
            takePending(&batch)
            if !status.isEmpty { try self.status(status, &batch) }
        } catch {
            throw .malformed(error)
        }
        if rejection == nil, row.traceID.isNone { rejection = .traceIDLength }
        if rejection == nil, row.id.isNone { rejection = .spanIDLength }
        if let rejection { throw .rejected(rejection) }
        count(sent, dropped, &batch)
        finish(&row, startNanoseconds, endNanoseconds, &batch)
    }

    /// Appends the tags that the span shares with its neighbours, as far as there is room, and says how many there was none for.
    private mutating func appendShared(_ attributesLeft: inout Int, _ batch: inout SpanBatch) -> Int {
        let shared = resource.tags.count
        let taken = min(shared, rowsLeft, attributesLeft)
        if taken > 0 { batch.tags.append(contentsOf: resource.tags[..<taken]) }
        rowsLeft -= taken
        attributesLeft -= taken
        return shared - taken
    }

    /// The specification's tags for what a span lacks, and what of it is our doing in the outcome.
    private mutating func count(_ sent: DroppedCounts, _ dropped: DroppedCounts, _ batch: inout SpanBatch) {
        if sent.attributes | dropped.attributes | sent.events | dropped.events | sent.links | dropped.links == 0 { return }
        appendCount("otel.dropped_attributes_count", Self.sum(sent.attributes, dropped.attributes), &batch)
        appendCount("otel.dropped_events_count", Self.sum(sent.events, dropped.events), &batch)
        appendCount("otel.dropped_links_count", Self.sum(sent.links, dropped.links), &batch)
        outcome.dropped.attributes += Int(clamping: dropped.attributes)
        outcome.dropped.events += Int(clamping: dropped.events)
        outcome.dropped.links += Int(clamping: dropped.links)
    }

    /// Counts are 32 bits wide on the wire; a hostile one has more.
    private static func sum(_ sent: UInt64, _ dropped: UInt64) -> UInt64 { min(sent, UInt64(UInt32.max)) + dropped }

    private mutating func appendCount(_ key: StaticString, _ value: UInt64, _ batch: inout SpanBatch) {
        guard value > 0 else { return }
        let key = append(ascii: key, &batch)
        let offset = batch.text.count
        batch.text.append(decimal: value)
        batch.tags.append(TagRow(key: key, value: ProtobufText.reference(from: offset, batch)))
    }

    @inline(__always)
    private mutating func takePending(_ batch: inout SpanBatch) {
        let count = pendingCount
        pendingCount = 0
        guard count > 0 else { return }
        unsafe pending.span.withUnsafeBufferPointer { unsafe batch.tags.append(contentsOf: UnsafeBufferPointer(rebasing: $0[..<count])) }
    }

    private mutating func finish(_ row: inout SpanRow, _ start: UInt64, _ end: UInt64, _ batch: inout SpanBatch) {
        if row.parentID == row.id { row.parentID = .none }
        row.timestamp = start / 1000
        // Below a microsecond is rounded up; an end before the start is unknown.
        if end >= start, start != 0 { row.duration = max((end - start) / 1000, 1) }
        if !peer.isEmpty, row.kind == .client || row.kind == .producer, var remote = peer.endpoint(batch) {
            remote.serviceName = ProtobufText.lowercased(remote.serviceName, &batch)
            row.remoteEndpoint = UInt32(truncatingIfNeeded: batch.endpoints.count)
            batch.endpoints.append(remote)
        }
        SpanRows.finish(&row, &batch)
        batch.spans.append(row)
    }

    private static func kind(_ value: UInt64) -> SpanKind {
        switch value {
        case 2: .server
        case 3: .client
        case 4: .producer
        case 5: .consumer
        default: .unspecified
        }
    }

    @inline(__always)
    private mutating func bigEndian(_ offset: Int) -> UInt64 {
        unsafe UInt64(bigEndian: body.base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    // MARK: Attributes and status

    /// A key and its value as text.
    @inline(__always)
    private mutating func attribute(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) -> TagRow {
        // Nearly every attribute is a short key and one short string: 0A length key 12 length 0A length text, and all of it ASCII.
        let count = range.count
        if count >= 6, count < 260 {
            let base = unsafe body.base + range.lowerBound
            let keyCount = Int(unsafe base.load(fromByteOffset: 1, as: UInt8.self))
            let valueCount = count &- keyCount &- 6
            if unsafe base.load(as: UInt8.self) == 0x0A, keyCount < 128, valueCount >= 0, valueCount < 126,
                unsafe base.load(fromByteOffset: keyCount &+ 2, as: UInt8.self) == 0x12,
                Int(unsafe base.load(fromByteOffset: keyCount &+ 3, as: UInt8.self)) == valueCount &+ 2,
                unsafe base.load(fromByteOffset: keyCount &+ 4, as: UInt8.self) == 0x0A,
                Int(unsafe base.load(fromByteOffset: keyCount &+ 5, as: UInt8.self)) == valueCount, unsafe UTF8Text.isASCII(base, count)
            {
                let start = text.start &+ range.lowerBound
                return TagRow(
                    key: TextRef(offset: UInt32(truncatingIfNeeded: start &+ 2), count: UInt32(truncatingIfNeeded: keyCount)),
                    value: TextRef(
                        offset: UInt32(truncatingIfNeeded: start &+ keyCount &+ 6), count: UInt32(truncatingIfNeeded: valueCount)))
            }
        }
        return try anyAttribute(range, &batch)
    }

    private mutating func anyAttribute(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) -> TagRow {
        var key = TextRef.empty
        var value = TextRef.empty
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: key = text.reference(to: try reader.bytesField(), &batch)
            case 2:
                let offset = batch.text.count
                if try !OTLPValueText.append(tag: body, try reader.bytesField(), to: &batch.text) { outcome.dropped.values += 1 }
                value = ProtobufText.reference(from: offset, batch)
            default: try reader.skipField()
            }
        }
        return TagRow(key: key, value: value)
    }

    /// OK and ERROR become `otel.status_code`, with the description; ERROR also `error`, which is the description, empty without one.
    private mutating func status(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        var code: UInt64 = 0
        var message = TextRef.empty
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 2: message = text.reference(to: try reader.bytesField(), &batch)
            case 3: code = try reader.varintField()
            default: try reader.skipField()
            }
        }
        guard code == 1 || code == 2 else { return }
        let key = append(ascii: "otel.status_code", &batch)
        let value = append(ascii: code == 1 ? "OK" : "ERROR", &batch)
        batch.tags.append(TagRow(key: key, value: value))
        if !message.isEmpty {
            let key = append(ascii: "otel.status_description", &batch)
            batch.tags.append(TagRow(key: key, value: message))
        }
        guard code == 2 else { return }
        // An attribute that says more than that there was an error is better than no words at all.
        if message.isEmpty, !["true", "false"].contains(batch.string(errorAttribute)) { message = errorAttribute }
        let error = append(ascii: "error", &batch)
        batch.tags.append(TagRow(key: error, value: message))
    }

    @inline(__always)
    private mutating func notePeer(_ tag: TagRow) {
        guard OTLPPeer.mayName(tag.key.count), let key = unsafe text.bytes(of: tag.key) else { return }
        // All of them begin with `db`, `net`, `peer` or `server`.
        switch unsafe key[0] {
        case UInt8(ascii: "d"), UInt8(ascii: "n"), UInt8(ascii: "p"), UInt8(ascii: "s"): unsafe peer.note(key, tag.value)
        default: break
        }
    }

    // MARK: Text

    private mutating func append(ascii text: StaticString, _ batch: inout SpanBatch) -> TextRef {
        let offset = batch.text.count
        batch.text.append(ascii: text)
        return ProtobufText.reference(from: offset, batch)
    }

    /// Whether the key of an attribute is `literal`.
    @inline(__always)
    private mutating func isKey(_ key: TextRef, _ literal: StaticString) -> Bool {
        guard Int(key.count) == literal.utf8CodeUnitCount, let bytes = unsafe text.bytes(of: key) else { return false }
        for index in 0..<bytes.count {
            if unsafe bytes[index] != literal.utf8Start[index] { return false }
        }
        return true
    }
}
