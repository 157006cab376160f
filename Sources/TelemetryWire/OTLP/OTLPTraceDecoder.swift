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
    /// What accepted spans had to leave behind.
    public var dropped = OTLPDroppedParts()

    public init() {}

    /// For the sender; empty when everything was taken. With no span rejected it is the warning that a partial success may carry.
    public var message: String {
        var parts: [String] = []
        if rejectedSpans > 0 { parts.append(rejection) }
        if !dropped.isEmpty { parts.append(dropped.text) }
        return parts.joined(separator: "; ")
    }

    private var rejection: String {
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

/// Parts of spans that were not kept although their spans were: what goes beyond a bound of `OTLPTraceDecoder`, and in JSON what is no
/// attribute, event or link.
public struct OTLPDroppedParts: Equatable, Sendable {
    public var attributes = 0
    public var events = 0
    public var links = 0
    /// Values of which a part lay too deep, and parts of JSON (a scope, a resource, a status) that were not what they should be.
    public var values = 0
    /// Where the first part of a JSON text was wrong.
    public var firstFault: OTLPDecodeError?

    public var isEmpty: Bool { attributes | events | links | values == 0 }

    var text: String {
        let counts = [("attributes", attributes), ("events", events), ("links", links), ("values", values)]
        let list = counts.filter { $0.1 > 0 }.map { "\($0.1) \($0.0)" }.joined(separator: ", ")
        guard let firstFault else { return "left out of the spans that were kept: \(list)" }
        return "left out of the spans that were kept: \(list); at byte \(firstFault.byteOffset): \(firstFault.fault.text)"
    }

    static func += (sum: inout OTLPDroppedParts, other: OTLPDroppedParts) {
        sum.attributes += other.attributes
        sum.events += other.events
        sum.links += other.links
        sum.values += other.values
        if sum.firstFault == nil { sum.firstFault = other.firstFault }
    }
}

/// Why one span of a readable request was not kept.
public enum OTLPSpanRejection: UInt8, Sendable, CaseIterable {
    case traceIDLength, spanIDLength, parentIDLength, traceIDZero, spanIDZero

    public var text: String {
        switch self {
        case .traceIDLength: "its trace_id is not 16 bytes"
        case .spanIDLength: "its span_id is not 8 bytes"
        case .parentIDLength: "its parent_span_id is neither empty nor 8 bytes"
        case .traceIDZero: "its trace_id is all zeros"
        case .spanIDZero: "its span_id is all zeros"
        }
    }
}

/// OTLP trace requests (protobuf) to spans in Zipkin's terms, in one pass over the wire bytes.
///
/// The mapping is the OpenTelemetry specification's "OpenTelemetry to Zipkin Transformation" and, for what that leaves open, its
/// "Transformation to non-OTLP Formats": kind (INTERNAL has none), status to `otel.status_code` and `error`, its text also to
/// `otel.status_description`, events to annotations, scope to `otel.scope.name` and `otel.scope.version` with their old names
/// `otel.library.*`, dropped counts to `otel.dropped_*_count`, `service.name` to the local endpoint (`unknown_service` without one), the
/// peer's attributes to the remote endpoint (`OTLPPeer`). Attributes of a resource and a scope become tags of each span; a span's own
/// attribute of the same key wins. Numbers and booleans are written as text, arrays and maps as JSON, bytes as base64.
///
/// An attribute `error` never becomes the tag of that name, which would make the span a failed one: the status says whether it failed.
/// What both texts leave open is kept as the collector's Zipkin exporter keeps it: the trace state as `w3c.tracestate`, a link as
/// `otlp.link.N` with its ids, trace state, attributes and dropped count between bars. Flags and schema URLs are not kept.
///
/// A field walker and not protobuf-c's unpacker is on this path: no tree is built only to be copied out of (docs/measurements.md has both
/// beside each other). protobuf-c reads the same bytes in the tests and has to agree. Nothing recurses.
///
/// The body is copied into the batch's arena once and texts are references into that copy; a text that is not UTF-8 is repaired.
public enum OTLPTraceDecoder {
    /// Messages inside the value of one attribute; what lies deeper is left out. Protobuf's own bound for a whole message.
    public static let valueDepthMax = 100
    /// Attributes of one span, its resource's and scope's included; what is more is left out and counted in
    /// `otel.dropped_attributes_count`.
    public static let attributesPerSpanMax = 4096
    /// Events and links of one span; the same.
    public static let eventsPerSpanMax = 4096
    public static let linksPerSpanMax = 1024
    /// A resource's attributes are copied as tag rows into each of its spans. Their rows may not outweigh the body this many times; a span
    /// for which there is no room left goes without them.
    static let tagRowsPerBodyByte = 1

    /// Appends the valid spans of `body` to `batch`.
    ///
    /// A body that is no protobuf message throws and leaves the batch as it was. Spans that break OTLP's rules are counted in
    /// the outcome and the rest are kept. Any thread; keeps nothing; cost is linear in the body.
    public static func decode(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(OTLPDecodeError) -> OTLPDecodeOutcome {
        let mark = BatchMark(batch)
        do throws(ProtobufError) {
            // Beside the body itself: text can grow by base64 and by JSON escapes, at most six times, and two bytes of an empty
            // message can ask for fifteen of a default name.
            guard UInt64(batch.text.count) + 16 * UInt64(body.count) < UInt64(UInt32.max) else {
                throw ProtobufError(fault: .bodyTooLarge, offset: 0)
            }
            var walker = OTLPTraceWalker(unsafe ProtobufReader(body), &batch)
            try walker.request(into: &batch)
            return walker.outcome
        } catch {
            mark.restore(&batch)
            throw OTLPDecodeError(fault: error.fault, byteOffset: error.offset)
        }
    }

    /// The same for a request in OTLP's JSON (semantics 2.12); the spans are those of the same request in protobuf.
    ///
    /// A body that is no JSON object throws and leaves the batch as it was; a span that is JSON and no span (an id that is not hex, a text
    /// where a number belongs) is rejected alone, and an attribute, event or link that is none is left out of its span. Offsets in errors
    /// are of the JSON text.
    public static func decodeJSON(_ body: UnsafeRawBufferPointer, into batch: inout SpanBatch) throws(OTLPDecodeError) -> OTLPDecodeOutcome
    {
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
        outcome.dropped += transcoder.dropped
        return outcome
    }

    public static func decode(_ body: RawSpan, into batch: inout SpanBatch) throws(OTLPDecodeError) -> OTLPDecodeOutcome {
        let result = unsafe body.withUnsafeBytes { buffer -> Result<OTLPDecodeOutcome, OTLPDecodeError> in
            do throws(OTLPDecodeError) { return .success(unsafe try decode(buffer, into: &batch)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
