public import TelemetryModel

/// Why an OTLP body could not be read at all; answered with 400 (HTTP) or INVALID_ARGUMENT (gRPC).
public struct OTLPDecodeError: Error, Equatable, Sendable, CustomStringConvertible {
    public var fault: WireFault
    public var byteOffset: Int

    public var description: String { "\(fault.text) at byte \(byteOffset) reading ExportTraceServiceRequest" }
}

/// What became of the spans of a request (OTLP specification, partial success; semantics 2.12).
public struct OTLPDecodeOutcome: Equatable, Sendable {
    public var acceptedSpans = 0
    public var rejectedSpans = 0
    /// The first reason a span was rejected, for the response's `error_message`; nil when none was.
    public var firstReason: OTLPSpanRejection?
    /// The same of a span whose JSON could not be read as a span; its place is in the request's text.
    public var firstFault: OTLPDecodeError?

    public init() {}

    /// Empty when nothing was rejected.
    public var message: String {
        guard rejectedSpans > 0 else { return "" }
        let count = "\(rejectedSpans) of \(rejectedSpans + acceptedSpans) spans rejected"
        if let firstFault { return "\(count); at byte \(firstFault.byteOffset): \(firstFault.fault.text)" }
        guard let firstReason else { return count }
        return "\(count); the first because \(firstReason.text)"
    }

    mutating func reject(_ reason: OTLPSpanRejection) {
        rejectedSpans += 1
        if firstReason == nil { firstReason = reason }
    }
}

/// Why one span of a readable request was not kept.
public enum OTLPSpanRejection: UInt8, Sendable, CaseIterable {
    case traceIDLength, spanIDLength, parentIDLength, traceIDZero, spanIDZero, invalidText, tooManyAttributes

    public var text: String {
        switch self {
        case .traceIDLength: "its trace_id is not 16 bytes"
        case .spanIDLength: "its span_id is not 8 bytes"
        case .parentIDLength: "its parent_span_id is neither empty nor 8 bytes"
        case .traceIDZero: "its trace_id is all zeros"
        case .spanIDZero: "its span_id is all zeros"
        case .invalidText: "one of its texts is not valid UTF-8"
        case .tooManyAttributes: "it has more than \(OTLPTraceDecoder.attributesPerSpanMax) attributes, its resource's included"
        }
    }
}

/// OTLP trace requests (protobuf) to spans in Zipkin's terms, in one pass over the wire bytes.
///
/// The mapping is the OpenTelemetry specification's "OpenTelemetry to Zipkin Transformation": kind (INTERNAL has none), status to
/// `otel.status_code` and `error`, events to annotations, scope to `otel.scope.name` and `otel.scope.version`, `service.name` to the
/// local endpoint (`unknown_service` without one), the peer's attributes to the remote endpoint. Resource attributes become tags;
/// a span's own attribute of the same key wins. Numbers and booleans are written as text, arrays and maps as JSON, bytes as base64.
///
/// A field walker and not protobuf-c's unpacker is on this path: no tree is built only to be copied out of (docs/measurements.md has both
/// beside each other). protobuf-c reads the same bytes in the tests and has to agree. The only recursion is into lists and maps, whose
/// nesting `OTLPDepthCheck` has bounded by `nestingDepthMax` without recursion before; what the walker skips it has looked at, too.
///
/// The body is copied into the batch's arena once and texts are references into that copy.
public enum OTLPTraceDecoder {
    /// Messages inside messages, counted from the request; an ordinary attribute lies at depth 5.
    public static let nestingDepthMax = 32
    /// Attributes of one span and its resource together; more and the span is rejected.
    public static let attributesPerSpanMax = 4096
    /// A resource's attributes are copied as tag rows into each of its spans. Their rows may not outweigh the body this many times.
    static let tagRowsPerBodyByte = 1

    /// Appends the valid spans of `body` to `batch`.
    ///
    /// A body that is no protobuf message throws and leaves the batch as it was. Spans that break OTLP's rules are counted in
    /// the outcome and the rest are kept. Any thread; keeps nothing; cost is linear in the body.
    public static func decode(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(OTLPDecodeError) -> OTLPDecodeOutcome {
        let mark = BatchMark(batch)
        var walker = unsafe OTLPTraceWalker(body)
        do throws(ProtobufError) {
            // Beside the body itself: text can grow by base64 and by JSON escapes, at most six times, and two bytes of an empty
            // message can ask for fifteen of a default name.
            guard UInt64(batch.text.count) + 16 * UInt64(body.count) < UInt64(UInt32.max) else {
                throw ProtobufError(fault: .bodyTooLarge, offset: 0)
            }
            try walker.request(into: &batch)
            return walker.outcome
        } catch {
            mark.restore(&batch)
            throw OTLPDecodeError(fault: error.fault, byteOffset: error.offset)
        }
    }

    /// Refuses a body that is no protobuf message or nests deeper than `nestingDepthMax`, without recursion: what has to come before an
    /// unpacker that follows nesting by itself, as protobuf-c's does. `decode` needs no such pass of its own.
    public static func checkNesting(_ body: UnsafeRawBufferPointer) throws(OTLPDecodeError) {
        do throws(ProtobufError) {
            unsafe try OTLPDepthCheck.check(body)
        } catch {
            throw OTLPDecodeError(fault: error.fault, byteOffset: error.offset)
        }
    }

    /// The same for a request in OTLP's JSON (semantics 2.12); the spans are those of the same request in protobuf.
    ///
    /// A body that is no JSON object throws and leaves the batch as it was; a span that is JSON and no span (an id that is not hex, a text
    /// where a number belongs) is rejected alone. Offsets in errors are of the JSON text.
    public static func decodeJSON(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(OTLPDecodeError) -> OTLPDecodeOutcome {
        var transcoder = unsafe OTLPJSONTranscoder(body)
        do throws(JSONScanError) {
            try transcoder.request()
        } catch {
            throw OTLPDecodeError(fault: error.fault, byteOffset: error.offset)
        }
        let result = unsafe transcoder.bytes.withUnsafeBytes { buffer -> Result<OTLPDecodeOutcome, OTLPDecodeError> in
            do throws(OTLPDecodeError) { return .success(unsafe try decode(buffer, into: &batch)) } catch { return .failure(error) }
        }
        var outcome = try result.get()
        outcome.rejectedSpans += transcoder.rejectedSpans
        outcome.firstFault = transcoder.firstFault.map { OTLPDecodeError(fault: $0.fault, byteOffset: $0.offset) }
        return outcome
    }

    public static func decode(_ body: RawSpan, into batch: inout SpanBatch) throws(OTLPDecodeError) -> OTLPDecodeOutcome {
        let result = unsafe body.withUnsafeBytes { buffer -> Result<OTLPDecodeOutcome, OTLPDecodeError> in
            do throws(OTLPDecodeError) { return .success(unsafe try decode(buffer, into: &batch)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}

/// Bounds the nesting of a request, or of a message in one, without recursion.
///
/// Only fields that are messages by the schema are entered. Whatever else is length-delimited is text or bytes, and entering it
/// would refuse good messages whose text happens to look like protobuf.
enum OTLPDepthCheck {
    enum Kind: UInt8, BitwiseCopyable { case request, resourceSpans, resource, scopeSpans, scope, span, event, link, keyValue, anyValue, list, map }

    private static func child(_ kind: Kind, _ field: UInt32) -> Kind? {
        switch (kind, field) {
        case (.request, 1): .resourceSpans
        case (.resourceSpans, 1): .resource
        case (.resourceSpans, 2): .scopeSpans
        case (.scopeSpans, 1): .scope
        case (.scopeSpans, 2): .span
        case (.resource, 1), (.scope, 3), (.span, 9), (.event, 3), (.link, 4), (.map, 1): .keyValue
        case (.span, 11): .event
        case (.span, 13): .link
        case (.keyValue, 2), (.list, 1): .anyValue
        case (.anyValue, 5): .list
        case (.anyValue, 6): .map
        default: nil
        }
    }

    static func check(_ body: UnsafeRawBufferPointer) throws(ProtobufError) {
        try check(unsafe ProtobufReader(body), 0..<body.count, .request, depth: 0)
    }

    /// Checks the message of `kind` in `range`, which lies `start` messages deep in its request.
    static func check(_ body: ProtobufReader, _ range: Range<Int>, _ kind: Kind, depth start: Int) throws(ProtobufError) {
        var ends = InlineArray<32, Int>(repeating: 0)
        var kinds = InlineArray<32, Kind>(repeating: .request)
        guard start >= 0, start < OTLPTraceDecoder.nestingDepthMax else { throw ProtobufError(fault: .tooDeep, offset: range.lowerBound) }
        var depth = start
        ends[depth] = range.upperBound
        kinds[depth] = kind
        var at = range.lowerBound
        while true {
            var reader = ProtobufReader(body, at..<ends[depth])
            var entered = false
            while try reader.next() {
                guard reader.wireType == 2, let kind = child(kinds[depth], reader.field) else {
                    try reader.skipField()
                    continue
                }
                let range = try reader.bytesField()
                if kind == .anyValue { guard try holdsMessage(reader, range) else { continue } }
                guard depth + 1 < OTLPTraceDecoder.nestingDepthMax else { throw ProtobufError(fault: .tooDeep, offset: range.lowerBound) }
                depth += 1
                kinds[depth] = kind
                ends[depth] = range.upperBound
                at = range.lowerBound
                entered = true
                break
            }
            if entered { continue }
            if depth == start { return }
            at = ends[depth]
            depth -= 1
        }
    }

    /// A value that starts with a scalar field is left to the walker; only lists and maps can nest. A value with a list after a
    /// scalar is entered all the same.
    private static func holdsMessage(_ reader: ProtobufReader, _ range: Range<Int>) throws(ProtobufError) -> Bool {
        var inner = ProtobufReader(reader, range)
        while try inner.next() {
            if inner.wireType == 2, inner.field == 5 || inner.field == 6 { return true }
            try inner.skipField()
        }
        return false
    }
}
