internal import HTTP
internal import Primitives
internal import TelemetryModel

/// The trace context that a request came with and goes on with. An incoming decision always wins (semantics 2.10).
enum TraceDeciding {
    @inline(__always)
    static func decide(_ request: inout Request, _ context: inout RequestContext, _ plan: inout CapturePlan) -> TraceContext {
        let side = plan.side(request.origin.side)
        var trace = incoming(request.head, plan.option, &context.value)
        if !trace.hasIdentifiers {
            let high = plan.uses128BitTraceIDs ? context.draws.identifier.next() : 0
            trace.traceID = TraceID(high: high, low: context.draws.identifier.next() | 1)
            trace.spanID = .none
            trace.keepsTracestate = false
        }
        if trace.decision == .none {
            trace.decision = (context.draws.sample.next() >> 32) < side.samplingThreshold ? .accept : .reject
        }
        let ours = trace.child(SpanID(context.draws.identifier.next() | 1))
        request.log.record.traceID = ours.traceID
        request.log.record.spanID = ours.spanID
        request.log.record.parentSpanID = ours.parentSpanID
        request.log.record.isSampled = side.isTraced && (trace.decision == .accept || trace.decision == .debug)
        request.log.record.isDebug = trace.decision == .debug
        return ours
    }

    private static func incoming(_ head: borrowing MessageHead, _ option: TraceContextOption, _ scratch: inout ByteBuffer) -> TraceContext {
        // The common request carries none of them, and that is one comparison each.
        guard head.has(.b3TraceID) || head.has(.b3) || head.has(.b3Sampled) || head.has(.b3Flags) || head.has(.traceparent) else {
            return TraceContext()
        }
        let state = joinedTracestate(head, &scratch) ?? head.bytes(of: .tracestate)
        return TraceContext.extract(
            option: option, b3: span(head, .b3), b3TraceID: span(head, .b3TraceID), b3SpanID: span(head, .b3SpanID),
            b3ParentSpanID: span(head, .b3ParentSpanID), b3Sampled: span(head, .b3Sampled), b3Flags: span(head, .b3Flags),
            traceparent: head.isRepeated(.traceparent) ? nil : span(head, .traceparent), tracestate: span(head, state))
    }

    /// All lines of `tracestate` as the one list they are (RFC 9110 5.3); nil = there is one line or none.
    private static func joinedTracestate(_ head: borrowing MessageHead, _ scratch: inout ByteBuffer) -> LentBytes? {
        guard head.has(.tracestate), head.isRepeated(.tracestate) else { return nil }
        scratch.clear()
        for index in 0..<head.fieldCount where head.fieldName(at: index) == .tracestate {
            if !scratch.isEmpty { scratch.append(",") }
            scratch.append(head.bytes(at: index))
        }
        return scratch.lent
    }

    @_lifetime(borrow head)
    private static func span(_ head: borrowing MessageHead, _ name: HeaderName) -> RawSpan? {
        span(head, head.bytes(of: name))
    }

    @_lifetime(borrow head)
    private static func span(_ head: borrowing MessageHead, _ value: LentBytes?) -> RawSpan? {
        guard let value = value else { return nil }
        return unsafe _overrideLifetime(RawSpan(_unsafeBytes: value.buffer), borrowing: head)
    }
}
