internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// What a request leaves behind: the trace context that it came with and goes on with, and the texts of its record.
extension ProxyWorker {
    /// Reads the incoming context and decides for this hop: an incoming decision always wins (semantics 2.10).
    mutating func decideTrace(_ exchange: UnsafeMutablePointer<Exchange>) {
        let side = unsafe exchange.pointee.record.side == .outbound ? plan.outbound : plan.inbound
        let state = unsafe joinedTracestate() ?? head.value(of: .tracestate)
        let incoming = unsafe Self.context(of: head, plan.option, tracestate: state)
        var context = incoming
        if !context.hasIdentifiers {
            context.traceID = TraceID(high: plan.uses128BitTraceIDs ? identifierDraw.next() : 0, low: identifierDraw.next() | 1)
            context.spanID = .none
            context.keepsTracestate = false
        }
        if context.decision == .none {
            context.decision = (sampleDraw.next() >> 32) < side.samplingThreshold ? .accept : .reject
        }
        traceContext = context.child(SpanID(identifierDraw.next() | 1))
        unsafe exchange.pointee.record.traceID = traceContext.traceID
        unsafe exchange.pointee.record.spanID = traceContext.spanID
        unsafe exchange.pointee.record.parentSpanID = traceContext.parentSpanID
        unsafe exchange.pointee.record.isSampled = side.isTraced && (context.decision == .accept || context.decision == .debug)
        unsafe exchange.pointee.record.isDebug = context.decision == .debug
    }

    /// All lines of `tracestate` as the one list they are (RFC 9110 5.3); nil = there is one line or none.
    private mutating func joinedTracestate() -> UnsafeRawBufferPointer? {
        guard head.has(.tracestate), head.isRepeated(.tracestate) else { return nil }
        valueScratch.clear()
        for index in 0..<head.fieldCount where unsafe head.field(index).name == .tracestate {
            if !valueScratch.isEmpty { valueScratch.append(",") }
            unsafe valueScratch.append(head.value(at: index))
        }
        return unsafe valueScratch.readable
    }

    private static func context(
        of head: borrowing MessageHead, _ option: TraceContextOption, tracestate: UnsafeRawBufferPointer?
    ) -> TraceContext {
        // The common request carries none of them, and that is one comparison each.
        guard head.has(.b3TraceID) || head.has(.b3) || head.has(.b3Sampled) || head.has(.b3Flags) || head.has(.traceparent) else {
            return TraceContext()
        }
        return TraceContext.extract(
            option: option, b3: span(head, .b3), b3TraceID: span(head, .b3TraceID), b3SpanID: span(head, .b3SpanID),
            b3ParentSpanID: span(head, .b3ParentSpanID), b3Sampled: span(head, .b3Sampled), b3Flags: span(head, .b3Flags),
            traceparent: head.isRepeated(.traceparent) ? nil : span(head, .traceparent), tracestate: unsafe span(head, tracestate))
    }

    @_lifetime(borrow head)
    private static func span(_ head: borrowing MessageHead, _ name: HeaderName) -> RawSpan? {
        unsafe span(head, head.value(of: name))
    }

    @_lifetime(borrow head)
    private static func span(_ head: borrowing MessageHead, _ value: UnsafeRawBufferPointer?) -> RawSpan? {
        guard let value = unsafe value else { return nil }
        return unsafe _overrideLifetime(RawSpan(_unsafeBytes: value), borrowing: head)
    }

    mutating func appendTrace(_ exchange: UnsafeMutablePointer<Exchange>) {
        for header in TraceHeader.b3TraceID.rawValue...TraceHeader.traceparent.rawValue {
            guard let header = TraceHeader(rawValue: header), traceContext.sends(header, option: plan.option) else { continue }
            unsafe exchange.pointee.requestHead.append(header.name)
            unsafe exchange.pointee.requestHead.append(": ")
            let room = unsafe exchange.pointee.requestHead.reserve(TraceHeader.valueBytesMax)
            let count = unsafe traceContext.write(header, into: UnsafeMutableRawBufferPointer(start: room, count: TraceHeader.valueBytesMax))
            unsafe exchange.pointee.requestHead.commit(count)
            unsafe exchange.pointee.requestHead.append("\r\n")
        }
    }

    // MARK: Text of the record

    mutating func recordHeadText(
        _ exchange: UnsafeMutablePointer<Exchange>, targetEnd: Int, original: Range<Int>?, query: UnsafeRawBufferPointer,
        authority: UnsafeRawBufferPointer, requestID: Range<Int>?, forwarded: Range<Int>, isHTTPS: Bool
    ) {
        guard unsafe needsRecord(exchange) else { return }
        let written = unsafe exchange.pointee.requestHead.readable
        let identifier = unsafe requestID.map { unsafe UnsafeRawBufferPointer(rebasing: written[$0]) } ?? head.value(of: .requestID)
        // Path and query stand next to each other in the head just written.
        let target = unsafe UnsafeRawBufferPointer(rebasing: written[head.method.count + 1..<targetEnd])
        unsafe recordText(
            exchange, original: original.map { unsafe UnsafeRawBufferPointer(rebasing: written[$0]) }, path: target, authority: authority, requestID: identifier,
            forwardedFor: UnsafeRawBufferPointer(rebasing: written[forwarded]), isHTTPS: isHTTPS)
    }

    /// As `recordHeadText` where the configuration has edited the lines from `start` on: the record has what was sent, as Envoy's log.
    mutating func recordEditedHeadText(
        _ exchange: UnsafeMutablePointer<Exchange>, targetEnd: Int, from start: Int, authority: UnsafeRawBufferPointer, isHTTPS: Bool
    ) {
        guard unsafe needsRecord(exchange) else { return }
        let written = unsafe exchange.pointee.requestHead.readable
        unsafe recordText(
            exchange, original: FieldLines.value(of: "x-envoy-original-path", in: written, from: start),
            path: UnsafeRawBufferPointer(rebasing: written[head.method.count + 1..<targetEnd]), authority: authority,
            requestID: FieldLines.value(of: "x-request-id", in: written, from: start),
            forwardedFor: FieldLines.value(of: "x-forwarded-for", in: written, from: start), isHTTPS: isHTTPS)
    }

    mutating func needsRecord(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let side = unsafe exchange.pointee.record.side == .outbound ? plan.outbound : plan.inbound
        return unsafe side.isRecorded || exchange.pointee.record.isSampled
    }

    /// The eight standard slots in the order of `RequestText`, then the captured request headers.
    mutating func recordText(
        _ exchange: UnsafeMutablePointer<Exchange>, original: UnsafeRawBufferPointer? = nil, path: UnsafeRawBufferPointer,
        authority: UnsafeRawBufferPointer?,
        requestID: UnsafeRawBufferPointer?, forwardedFor: UnsafeRawBufferPointer?, isHTTPS: Bool
    ) {
        let scheme: StaticString = isHTTPS ? "https" : "http"
        unsafe exchange.pointee.append(text: head.method, upTo: limits.recordTextBytesMax)
        // As Envoy: the original path is recorded only where a rewrite changed it.
        unsafe exchange.pointee.append(text: original, upTo: limits.recordTextBytesMax)
        unsafe exchange.pointee.append(text: path, upTo: limits.recordTextBytesMax)
        unsafe exchange.pointee.append(text: authority, upTo: limits.recordTextBytesMax)
        unsafe exchange.pointee.append(text: head.value(of: .userAgent), upTo: limits.recordTextBytesMax)
        unsafe exchange.pointee.append(text: requestID, upTo: limits.recordTextBytesMax)
        unsafe exchange.pointee.append(text: forwardedFor, upTo: limits.recordTextBytesMax)
        unsafe exchange.pointee.append(text: UnsafeRawBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount), upTo: limits.recordTextBytesMax)
        for index in plan.requestHeaders.indices {
            unsafe plan.requestHeaders[index].withUnsafeBytes { name in
                unsafe exchange.pointee.append(text: head.value(named: name), upTo: limits.recordTextBytesMax)
            }
        }
    }
}
