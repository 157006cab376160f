import TelemetryModel

/// One pass over one OTLP request. What it does not enter itself, or does not enter to the end, goes through `OTLPDepthCheck`, so that a
/// request is refused for its form no matter where in it the fault lies.
///
/// Its methods are `mutating`, also those that change nothing: a borrowed walker would be copied, its pending rows included, for each attribute.
@safe
struct OTLPTraceWalker {
    private let body: ProtobufReader
    /// Where the copy of the body begins in the batch's arena.
    private var bodyStart = 0
    /// Tags of the span being read that are not in the batch yet: appended together, because each append to an array checks its owner.
    private var pending = InlineArray<32, TagRow>(repeating: TagRow(key: .empty, value: .empty))
    private var pendingCount = 0
    private(set) var outcome = OTLPDecodeOutcome()
    private var resource = ResourceRows()
    private var rowsLeft: Int
    /// Scratch for attribute values of the peer, found while the attributes of a span are read.
    private var peer = PeerAttributes()

    /// What the spans of one resource share; texts are in the batch's arena.
    private struct ResourceRows {
        var tags: [TagRow] = []
        var localEndpoint = EndpointRow.absent
        var isTextValid = true
    }

    /// Candidates for the remote endpoint, in the specification's order of preference.
    private struct PeerAttributes {
        var service = TextRef.empty
        var serverAddress = TextRef.empty
        var networkPeerAddress = TextRef.empty
        var serverPort = TextRef.empty
        var networkPeerPort = TextRef.empty
    }

    init(_ buffer: UnsafeRawBufferPointer) {
        body = unsafe ProtobufReader(buffer)
        rowsLeft = max(buffer.count * OTLPTraceDecoder.tagRowsPerBodyByte, 1024)
    }

    /// Depths of messages, counted from the request.
    private enum Depth { static let span = 3, resourceAttribute = 3, spanAttribute = 4, scopeAttribute = 4, event = 4, link = 4 }

    mutating func request(into batch: inout SpanBatch) throws(ProtobufError) {
        bodyStart = batch.text.count
        unsafe batch.text.append(contentsOf: body.bytes(body.at..<body.end))
        var reader = body
        while try reader.next() {
            guard reader.field == 1 else {
                try reader.skipField()
                continue
            }
            try resourceSpans(try reader.bytesField(), &batch)
        }
    }

    private mutating func resourceSpans(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        // The resource may stand after its spans on the wire: it is read first, whatever the order.
        resource.tags.removeAll(keepingCapacity: true)
        resource.isTextValid = true
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
                guard inner.field == 1 else {
                    try inner.skipField()
                    continue
                }
                let range = try inner.bytesField()
                guard let tag = try attribute(range, depth: Depth.resourceAttribute, &batch) else {
                    try OTLPDepthCheck.check(body, range, .keyValue, depth: Depth.resourceAttribute)
                    resource.isTextValid = false
                    continue
                }
                if isKey(tag.key, "service.name") { serviceName = tag.value } else { batch.tags.append(tag) }
            }
        }
        SpanRows.uniqueTags(from: tagStart, &batch)
        resource.tags.append(contentsOf: batch.tags[tagStart...])
        batch.tags.removeSubrange(tagStart...)
        if serviceName.isEmpty { serviceName = batch.append(text: "unknown_service") } else { serviceName = lowercased(serviceName, &batch) }
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
        let resourceTextWasValid = resource.isTextValid
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            guard reader.field == 1 else {
                try reader.skipField()
                continue
            }
            var inner = ProtobufReader(body, try reader.bytesField())
            while try inner.next() {
                if inner.field == 3, inner.wireType == 2 {
                    // Attributes of scopes have no place in Zipkin's model.
                    try OTLPDepthCheck.check(body, try inner.bytesField(), .keyValue, depth: Depth.scopeAttribute)
                    continue
                }
                guard inner.field == 1 || inner.field == 2 else {
                    try inner.skipField()
                    continue
                }
                let text = try inner.bytesField()
                if text.isEmpty { continue }
                guard let value = reference(to: text) else {
                    resource.isTextValid = false
                    continue
                }
                let key = batch.append(text: inner.field == 1 ? "otel.scope.name" : "otel.scope.version")
                resource.tags.append(TagRow(key: key, value: value))
            }
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
        resource.isTextValid = resourceTextWasValid
    }

    private mutating func span(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) {
        let mark = BatchMark(batch)
        do throws(SpanFailure) {
            try readSpan(range, &batch)
            outcome.acceptedSpans += 1
        } catch {
            mark.restore(&batch)
            pendingCount = 0
            switch error {
            case .rejected(let reason):
                // It may have been left half-way.
                try OTLPDepthCheck.check(body, range, .span, depth: Depth.span)
                outcome.reject(reason)
            case .malformed(let fault): throw fault
            }
        }
    }

    private enum SpanFailure: Error {
        case rejected(OTLPSpanRejection)
        case malformed(ProtobufError)
    }

    private mutating func readSpan(_ range: Range<Int>, _ batch: inout SpanBatch) throws(SpanFailure) {
        var row = SpanRow(traceID: .none, id: .none)
        row.tagStart = UInt32(truncatingIfNeeded: batch.tags.count)
        row.annotationStart = UInt32(truncatingIfNeeded: batch.annotations.count)
        row.localEndpoint = resource.localEndpoint
        guard resource.isTextValid else { throw .rejected(.invalidText) }
        guard resource.tags.count <= rowsLeft else { throw .rejected(.tooManyAttributes) }
        rowsLeft -= resource.tags.count
        if !resource.tags.isEmpty { batch.tags.append(contentsOf: resource.tags) }
        peer = PeerAttributes()
        var rejection: OTLPSpanRejection?
        var startNanoseconds: UInt64 = 0
        var endNanoseconds: UInt64 = 0
        var status = 0..<0
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
                case 4:
                    let bytes = try reader.bytesField()
                    if bytes.count == 8 { row.parentID = SpanID(bigEndian(bytes.lowerBound)) } else if bytes.count > 0 {
                        rejection = rejection ?? .parentIDLength
                    }
                case 5:
                    if let name = reference(to: try reader.bytesField()) { row.name = lowercased(name, &batch) } else {
                        rejection = rejection ?? .invalidText
                    }
                case 6: row.kind = Self.kind(try reader.varintField())
                case 7: startNanoseconds = try reader.fixed64Field()
                case 8: endNanoseconds = try reader.fixed64Field()
                case 9:
                    if let tag = try attribute(try reader.bytesField(), depth: Depth.spanAttribute, &batch) {
                        notePeer(tag)
                        if pendingCount == pending.count { takePending(&batch) }
                        pending[pendingCount] = tag
                        pendingCount &+= 1
                    } else {
                        rejection = rejection ?? .invalidText
                    }
                case 11: if try !event(try reader.bytesField(), &batch) { rejection = rejection ?? .invalidText }
                case 13 where reader.wireType == 2:
                    // Links have no place in Zipkin's model.
                    try OTLPDepthCheck.check(body, try reader.bytesField(), .link, depth: Depth.link)
                case 15: status = try reader.bytesField()
                default: try reader.skipField()
                }
            }
            takePending(&batch)
            if !status.isEmpty, try !self.status(status, &batch) { rejection = rejection ?? .invalidText }
        } catch {
            throw .malformed(error)
        }
        if rejection == nil, row.traceID.isNone { rejection = .traceIDLength }
        if rejection == nil, row.id.isNone { rejection = .spanIDLength }
        if batch.tags.count - Int(row.tagStart) > OTLPTraceDecoder.attributesPerSpanMax { rejection = .tooManyAttributes }
        if let rejection { throw .rejected(rejection) }
        finish(&row, startNanoseconds, endNanoseconds, &batch)
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
        if row.kind == .client || row.kind == .producer { row.remoteEndpoint = remoteEndpoint(&batch) }
        SpanRows.uniqueTags(from: Int(row.tagStart), &batch)
        SpanRows.sortAnnotations(from: Int(row.annotationStart), &batch)
        row.tagCount = UInt32(truncatingIfNeeded: batch.tags.count) &- row.tagStart
        row.annotationCount = UInt32(truncatingIfNeeded: batch.annotations.count) &- row.annotationStart
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

    // MARK: Attributes, events, status

    /// A key and its value as text; nil when a text in it is not UTF-8. `depth` is the attribute's own.
    @inline(__always)
    private mutating func attribute(_ range: Range<Int>, depth: Int, _ batch: inout SpanBatch) throws(ProtobufError) -> TagRow? {
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
                let start = bodyStart &+ range.lowerBound
                return TagRow(
                    key: TextRef(offset: UInt32(truncatingIfNeeded: start &+ 2), count: UInt32(truncatingIfNeeded: keyCount)),
                    value: TextRef(offset: UInt32(truncatingIfNeeded: start &+ keyCount &+ 6), count: UInt32(truncatingIfNeeded: valueCount)))
            }
        }
        return try anyAttribute(range, depth: depth, &batch)
    }

    private mutating func anyAttribute(_ range: Range<Int>, depth: Int, _ batch: inout SpanBatch) throws(ProtobufError) -> TagRow? {
        var key: TextRef? = TextRef.empty
        var value: TextRef? = TextRef.empty
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: key = reference(to: try reader.bytesField())
            case 2:
                let offset = batch.text.count
                let isValid = try OTLPValueText.append(tag: body, try reader.bytesField(), depth: depth + 1, to: &batch.text)
                value = isValid ? reference(from: offset, batch) : nil
            default: try reader.skipField()
            }
        }
        guard let key, let value else { return nil }
        return TagRow(key: key, value: value)
    }

    /// `name`, or `"name": {attributes}` when it has any, as the specification's mapping writes it. False for text that is not UTF-8.
    private mutating func event(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) -> Bool {
        var nanoseconds: UInt64 = 0
        var name = 0..<0
        var hasAttributes = false
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 1: nanoseconds = try reader.fixed64Field()
            case 2: name = try reader.bytesField()
            case 3:
                _ = try reader.bytesField()
                hasAttributes = true
            default: try reader.skipField()
            }
        }
        guard unsafe UTF8Text.isValid(body.bytes(name)) else { return false }
        let offset = batch.text.count
        if hasAttributes {
            try OTLPDepthCheck.check(body, range, .event, depth: Depth.event)
            batch.text.append(UInt8(ascii: "\""))
            unsafe batch.text.append(jsonEscaping: body.bytes(name))
            batch.text.append(ascii: "\": {")
            var isFirst = true
            reader = ProtobufReader(body, range)
            while try reader.next() {
                guard reader.field == 3 else {
                    try reader.skipField()
                    continue
                }
                if !isFirst { batch.text.append(ascii: ",") }
                isFirst = false
                guard try OTLPValueText.appendMember(body, try reader.bytesField(), to: &batch.text) else { return false }
            }
            batch.text.append(UInt8(ascii: "}"))
        } else {
            unsafe batch.text.append(contentsOf: body.bytes(name))
        }
        batch.annotations.append(AnnotationRow(timestamp: nanoseconds / 1000, value: reference(from: offset, batch)))
        return true
    }

    /// OK and ERROR become `otel.status_code`; ERROR also `error` with the description, empty without one.
    private mutating func status(_ range: Range<Int>, _ batch: inout SpanBatch) throws(ProtobufError) -> Bool {
        var code: UInt64 = 0
        var message: TextRef? = TextRef.empty
        var reader = ProtobufReader(body, range)
        while try reader.next() {
            switch reader.field {
            case 2: message = reference(to: try reader.bytesField())
            case 3: code = try reader.varintField()
            default: try reader.skipField()
            }
        }
        guard let message else { return false }
        guard code == 1 || code == 2 else { return true }
        let key = batch.append(text: "otel.status_code")
        batch.tags.append(TagRow(key: key, value: batch.append(text: code == 1 ? "OK" : "ERROR")))
        if code == 2 { batch.tags.append(TagRow(key: batch.append(text: "error"), value: message)) }
        return true
    }

    // MARK: Endpoints

    @inline(__always)
    private mutating func notePeer(_ tag: TagRow) {
        // All of them begin with `net`, `peer` or `server`.
        guard tag.key.count >= 11 else { return }
        switch unsafe body.base.load(fromByteOffset: Int(tag.key.offset) &- bodyStart, as: UInt8.self) {
        case UInt8(ascii: "n"), UInt8(ascii: "p"), UInt8(ascii: "s"): notePeerKey(tag)
        default: break
        }
    }

    private mutating func notePeerKey(_ tag: TagRow) {
        switch tag.key.count {
        case 11: if isKey(tag.key, "server.port") { peer.serverPort = tag.value }
        case 12:
            if isKey(tag.key, "peer.service") {
                peer.service = tag.value
            } else if isKey(tag.key, "peer.address") {
                if peer.networkPeerAddress.isEmpty { peer.networkPeerAddress = tag.value }
            }
        case 13:
            if isKey(tag.key, "net.peer.name") {
                if peer.serverAddress.isEmpty { peer.serverAddress = tag.value }
            } else if isKey(tag.key, "net.peer.port") {
                if peer.networkPeerPort.isEmpty { peer.networkPeerPort = tag.value }
            }
        case 11...20:
            if isKey(tag.key, "server.address") {
                peer.serverAddress = tag.value
            } else if isKey(tag.key, "network.peer.address") {
                peer.networkPeerAddress = tag.value
            } else if isKey(tag.key, "network.peer.port") {
                peer.networkPeerPort = tag.value
            } else if isKey(tag.key, "net.sock.peer.addr"), peer.networkPeerAddress.isEmpty {
                peer.networkPeerAddress = tag.value
            }
        default: if isKey(tag.key, "net.peer.ip"), peer.networkPeerAddress.isEmpty { peer.networkPeerAddress = tag.value }
        }
    }

    /// The peer's name (`peer.service`, else `server.address` when that is a name) and its address and port.
    private mutating func remoteEndpoint(_ batch: inout SpanBatch) -> UInt32 {
        var row = EndpointRow()
        if !peer.service.isEmpty { row.serviceName = lowercased(peer.service, &batch) }
        for candidate in [peer.networkPeerAddress, peer.serverAddress] where !candidate.isEmpty {
            let parsed = unsafe batch.text.withUnsafeBufferPointer {
                unsafe AddressText.parse(
                    UnsafeBufferPointer(rebasing: $0[Int(candidate.offset)..<Int(candidate.offset) + Int(candidate.count)]))
            }
            switch parsed {
            case .ipv4(let address) where !row.hasIPv4 && !row.hasIPv6:
                row.ipv4 = address
                row.hasIPv4 = true
            case .ipv6(let high, let low) where !row.hasIPv4 && !row.hasIPv6:
                row.ipv6High = high
                row.ipv6Low = low
                row.hasIPv6 = true
            case nil where row.serviceName.isEmpty: row.serviceName = lowercased(candidate, &batch)
            default: break
            }
        }
        if row.serviceName.isEmpty, !row.hasIPv4, !row.hasIPv6 { return EndpointRow.absent }
        for candidate in [peer.serverPort, peer.networkPeerPort] where row.port == 0 {
            row.port = UInt16(batch.string(candidate)) ?? 0
        }
        batch.endpoints.append(row)
        return UInt32(truncatingIfNeeded: batch.endpoints.count - 1)
    }

    // MARK: Text

    /// A text of the body, where it lies in the arena; nil when it is not UTF-8.
    @inline(__always)
    private mutating func reference(to range: Range<Int>) -> TextRef? {
        let bytes = unsafe body.bytes(range)
        guard unsafe UTF8Text.isValid(bytes) else { return nil }
        return TextRef(offset: UInt32(truncatingIfNeeded: bodyStart &+ range.lowerBound), count: UInt32(truncatingIfNeeded: range.count))
    }

    private mutating func reference(from offset: Int, _ batch: SpanBatch) -> TextRef {
        TextRef(offset: UInt32(truncatingIfNeeded: offset), count: UInt32(truncatingIfNeeded: batch.text.count - offset))
    }

    /// The text itself when it has no capital letters, else a lower-cased copy.
    private mutating func lowercased(_ text: TextRef, _ batch: inout SpanBatch) -> TextRef {
        let range = Int(text.offset)..<Int(text.offset) + Int(text.count)
        let isASCII = unsafe batch.text.withUnsafeBytes { arena -> Bool? in
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: arena[range])
            guard let base = bytes.baseAddress else { return nil }
            guard unsafe UTF8Text.isASCII(base, bytes.count) else { return false }
            return unsafe UTF8Text.hasCapitals(ascii: bytes) ? true : nil
        }
        guard let isASCII else { return text }
        let offset = batch.text.count
        batch.text.append(contentsOf: Array(batch.text[range]))
        TextCase.lowercase(reference(from: offset, batch), isASCII: isASCII, &batch.text)
        return reference(from: offset, batch)
    }

    /// Whether the key of an attribute, which lies in the body, is `literal`.
    @inline(__always)
    private mutating func isKey(_ key: TextRef, _ literal: StaticString) -> Bool {
        guard Int(key.count) == literal.utf8CodeUnitCount else { return false }
        let base = unsafe body.base + (Int(key.offset) &- bodyStart)
        for index in 0..<Int(key.count) {
            if unsafe base.load(fromByteOffset: index, as: UInt8.self) != literal.utf8Start[index] { return false }
        }
        return true
    }
}
