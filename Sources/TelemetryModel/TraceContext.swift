public import Primitives

/// Where a request stands in its trace: what the incoming headers said, or what the outgoing headers shall say.
///
/// A small value without heap storage; extraction and injection work on bytes and never allocate (semantics 2.10, B3
/// propagation, W3C Trace Context level 2).
public struct TraceContext: Hashable, Sendable, BitwiseCopyable {
    /// `.none` when the headers carried no usable identifiers: the caller starts a new trace.
    public var traceID = TraceID.none
    /// The span that the headers name. On extraction that is the caller's span, hence the parent of ours.
    public var spanID = SpanID.none
    public var parentSpanID = SpanID.none
    /// Kept even when the identifiers were unusable: `b3: 0` alone is a decision.
    public var decision = SamplingDecision.none
    public var source = TraceContextSource.none
    /// The incoming `tracestate` is well formed and belongs to this trace: forward it as it is. Otherwise drop it whole.
    public var keepsTracestate = false
    /// W3C flag bit 1: the trace id has random low bits. Must be passed on unchanged.
    public var isRandom = false

    @inlinable
    public init() {}

    @inlinable public var hasIdentifiers: Bool { !traceID.isNone }

    /// The context to inject for `spanID`, a new span below this one.
    @inlinable
    public func child(_ spanID: SpanID) -> TraceContext {
        var child = self
        child.parentSpanID = self.spanID
        child.spanID = spanID
        return child
    }
}

/// What the caller has decided about recording the trace. An incoming decision always wins over ours.
public enum SamplingDecision: UInt8, Sendable, BitwiseCopyable {
    /// Nothing said: we decide.
    case none
    case accept
    case reject
    /// Recorded whatever any sampler says.
    case debug
}

public enum TraceContextSource: UInt8, Sendable, BitwiseCopyable {
    case none, b3Single, b3Multi, w3c
}

/// Istio's `zipkin.traceContextOption`.
public enum TraceContextOption: UInt8, Sendable, BitwiseCopyable {
    /// Only B3 is read and written (the default).
    case useB3
    /// B3 is read first, then `traceparent`; both are written.
    case useB3WithW3CPropagation
}

// MARK: - Extraction

extension TraceContext {
    /// Reads the first value of each header; nil = the request has none.
    ///
    /// The single-header B3 form beats the multi-header form; when it is malformed the multi form is read instead. With
    /// `useB3WithW3CPropagation` a request without B3 identifiers is read from `traceparent`, so that a trace goes on whichever of the
    /// two an application hands on; with both, B3 names the parent. Where B3 has 64 bits of `traceparent`'s 128 they are one trace, and
    /// all of them are kept. B3 identifiers may be short or in capitals, those of `traceparent` may not. Others (longer, no digits, all
    /// zero) count as absent, so the trace is restarted; a decision beside them is kept. `traceparent` is nil when there are several (W3C
    /// Trace Context 3.2: none can be trusted), `tracestate` is one value: the caller joins repeated headers with commas (3.3.1).
    ///
    /// Any thread; cost is linear in the bytes of the values.
    public static func extract(
        option: TraceContextOption, b3: RawSpan? = nil, b3TraceID: RawSpan? = nil, b3SpanID: RawSpan? = nil,
        b3ParentSpanID: RawSpan? = nil, b3Sampled: RawSpan? = nil, b3Flags: RawSpan? = nil,
        traceparent: RawSpan? = nil, tracestate: RawSpan? = nil
    ) -> TraceContext {
        var context = TraceContext()
        if let b3, let single = parseB3Single(b3) { context = single }
        if context.source == .none {
            context = parseB3Multi(
                traceID: b3TraceID, spanID: b3SpanID, parentSpanID: b3ParentSpanID, sampled: b3Sampled, flags: b3Flags)
        }
        guard option == .useB3WithW3CPropagation, let traceparent, let w3c = parseTraceparent(traceparent) else { return context }
        if !context.hasIdentifiers {
            // A B3 decision without identifiers (`b3: 0`) still wins.
            let decision = context.decision == .none ? w3c.decision : context.decision
            context = w3c
            context.decision = decision
        }
        if context.traceID.high == 0, context.traceID.low == w3c.traceID.low { context.traceID = w3c.traceID }
        if context.traceID == w3c.traceID {
            context.isRandom = w3c.isRandom
            if let tracestate { context.keepsTracestate = isValidTracestate(tracestate) }
        }
        return context
    }

    /// `{trace}-{span}[-{0|1|d}[-{parent}]]`, `{trace}-{span}-{parent}`, or a lone `0`, `1`, `d`; nil when malformed.
    static func parseB3Single(_ bytes: RawSpan) -> TraceContext? {
        let value = trimmed(bytes)
        var context = TraceContext()
        context.source = .b3Single
        if value.byteCount == 1 {
            context.decision = singleDecision(byte(value, 0))
            return context.decision == .none ? nil : context
        }
        var at = 0
        guard let traceID = traceID(part(value, &at)), at <= value.byteCount, let spanID = identifier64(part(value, &at)), spanID != 0
        else { return nil }
        context.traceID = traceID
        context.spanID = SpanID(spanID)
        if at > value.byteCount { return context }
        let third = part(value, &at)
        if third.byteCount == 1 {
            context.decision = singleDecision(byte(third, 0))
            guard context.decision != .none else { return nil }
            if at > value.byteCount { return context }
            guard let parent = identifier64(part(value, &at)), at > value.byteCount else { return nil }
            context.parentSpanID = SpanID(parent)
            return context
        }
        guard let parent = identifier64(third), at > value.byteCount else { return nil }
        context.parentSpanID = SpanID(parent)
        return context
    }

    /// The bytes from `at` to the next dash or the end; `at` moves behind them, past the end after the last.
    @_lifetime(copy value)
    private static func part(_ value: RawSpan, _ at: inout Int) -> RawSpan {
        let start = min(at, value.byteCount)
        var end = start
        while end < value.byteCount, byte(value, end) != UInt8(ascii: "-") { end += 1 }
        at = end + 1
        return value.extracting(start..<end)
    }

    static func parseB3Multi(
        traceID: RawSpan?, spanID: RawSpan?, parentSpanID: RawSpan?, sampled: RawSpan?, flags: RawSpan?
    ) -> TraceContext {
        var context = TraceContext()
        if let traceID, let spanID, let identifier = Self.traceID(trimmed(traceID)), let spanIdentifier = identifier64(trimmed(spanID)),
            spanIdentifier != 0
        {
            context.traceID = identifier
            context.spanID = SpanID(spanIdentifier)
            if let parentSpanID, let parent = identifier64(trimmed(parentSpanID)) { context.parentSpanID = SpanID(parent) }
            context.source = .b3Multi
        }
        if let sampled { context.decision = multiDecision(trimmed(sampled)) }
        if let flags {
            let flags = trimmed(flags)
            if flags.byteCount == 1, byte(flags, 0) == UInt8(ascii: "1") { context.decision = .debug }
        }
        if context.decision != .none { context.source = .b3Multi }
        return context
    }

    /// W3C Trace Context section 3.2: `00-{32}-{16}-{2}`; versions above 00 may be followed by `-` and more.
    static func parseTraceparent(_ bytes: RawSpan) -> TraceContext? {
        let value = trimmed(bytes)
        let dash = UInt8(ascii: "-")
        guard value.byteCount >= 55, byte(value, 2) == dash, byte(value, 35) == dash, byte(value, 52) == dash,
            let version = hexByte(value, 0), version != 0xFF, let flags = hexByte(value, 53)
        else { return nil }
        if value.byteCount > 55 {
            guard version != 0, byte(value, 55) == dash else { return nil }
        }
        guard let high = HexCodec.decode16(value, at: 3), let low = HexCodec.decode16(value, at: 19), high | low != 0,
            let spanID = HexCodec.decode16(value, at: 36), spanID != 0
        else { return nil }
        var context = TraceContext()
        context.traceID = TraceID(high: high, low: low)
        context.spanID = SpanID(spanID)
        context.decision = flags & 1 != 0 ? .accept : .reject
        context.isRandom = flags & 2 != 0
        context.source = .w3c
        return context
    }

    /// At most 32 members (W3C Trace Context section 3.3.1.1); a longer list is dropped whole.
    public static let tracestateMembersMax = 32

    /// Whether a `tracestate` may be forwarded: every member is `key=value` in the allowed characters and no key comes twice.
    public static func isValidTracestate(_ bytes: RawSpan) -> Bool {
        // Start and length of each key seen, to find duplicates without allocating.
        var keyStarts = InlineArray<32, Int>(repeating: 0)
        var keyCounts = InlineArray<32, Int>(repeating: 0)
        var members = 0
        var at = 0
        while at <= bytes.byteCount {
            var end = at
            while end < bytes.byteCount, byte(bytes, end) != UInt8(ascii: ",") { end += 1 }
            var start = at
            var last = end
            while start < last, isBlank(byte(bytes, start)) { start += 1 }
            while last > start, isBlank(byte(bytes, last - 1)) { last -= 1 }
            at = end + 1
            if start == last { continue }  // Empty members are allowed.
            guard members < tracestateMembersMax, let keyCount = tracestateKeyCount(bytes, start, last) else { return false }
            for earlier in 0..<members where keyCounts[earlier] == keyCount {
                if equal(bytes, keyStarts[earlier], start, keyCount) { return false }
            }
            keyStarts[members] = start
            keyCounts[members] = keyCount
            members += 1
        }
        return members > 0
    }

    /// The key's length when `start ..< end` is one valid member.
    private static func tracestateKeyCount(_ bytes: RawSpan, _ start: Int, _ end: Int) -> Int? {
        var at = start
        while at < end, byte(bytes, at) != UInt8(ascii: "=") {
            guard isTracestateKeyByte(byte(bytes, at), isFirst: at == start) else { return nil }
            at += 1
        }
        let keyCount = at - start
        guard at < end, keyCount > 0, keyCount <= 256, end - at - 1 > 0, end - at - 1 <= 256 else { return nil }
        for index in at + 1..<end {
            let value = byte(bytes, index)
            guard value >= 0x20, value <= 0x7E, value != UInt8(ascii: "="), value != UInt8(ascii: ",") else { return nil }
        }
        return keyCount
    }

    private static func isTracestateKeyByte(_ byte: UInt8, isFirst: Bool) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "/"), UInt8(ascii: "@"): !isFirst
        default: false
        }
    }

    private static func singleDecision(_ byte: UInt8) -> SamplingDecision {
        switch byte {
        case UInt8(ascii: "1"): .accept
        case UInt8(ascii: "0"): .reject
        case UInt8(ascii: "d"): .debug
        default: .none
        }
    }

    /// `1`, `0` and, from older libraries, `true` and `false` in any case; also `d`.
    private static func multiDecision(_ value: RawSpan) -> SamplingDecision {
        if value.byteCount == 1 { return singleDecision(byte(value, 0) | 0x20 == UInt8(ascii: "d") ? UInt8(ascii: "d") : byte(value, 0)) }
        if equalsLowercased(value, "true") { return .accept }
        if equalsLowercased(value, "false") { return .reject }
        return .none
    }

    /// A B3 trace id: 1 to 32 digits, as if the missing ones were zeros in front. As Envoy reads them, and Zipkin stores them (semantics
    /// 2.11): there are clients that print a number as it is, and some in capitals.
    private static func traceID(_ value: RawSpan) -> TraceID? {
        let count = value.byteCount
        guard count <= 32 else { return nil }
        guard count > 16 else {
            guard let low = identifier64(value), low != 0 else { return nil }
            return TraceID(high: 0, low: low)
        }
        guard let high = identifier64(value.extracting(0..<count - 16)), let low = identifier64(value.extracting(count - 16..<count)),
            high | low != 0
        else { return nil }
        return TraceID(high: high, low: low)
    }

    /// A B3 span id: 1 to 16 digits.
    private static func identifier64(_ value: RawSpan) -> UInt64? {
        let count = value.byteCount
        guard count >= 1, count <= 16 else { return nil }
        if count == 16, let usual = HexCodec.decode16(value, at: 0) { return usual }
        var identifier: UInt64 = 0
        for index in 0..<count {
            let digit = byte(value, index)
            let isCapital = digit >= UInt8(ascii: "A") && digit <= UInt8(ascii: "F")
            guard let number = hexDigit(isCapital ? digit | 0x20 : digit) else { return nil }
            identifier = identifier << 4 | UInt64(number)
        }
        return identifier
    }

    private static func hexByte(_ bytes: RawSpan, _ at: Int) -> UInt8? {
        guard let high = hexDigit(byte(bytes, at)), let low = hexDigit(byte(bytes, at + 1)) else { return nil }
        return high << 4 | low
    }

    private static func hexDigit(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit &- UInt8(ascii: "a") &+ 10
        default: nil
        }
    }

    @inline(__always)
    private static func byte(_ bytes: RawSpan, _ at: Int) -> UInt8 {
        unsafe bytes.unsafeLoad(fromByteOffset: at, as: UInt8.self)
    }

    private static func equal(_ bytes: RawSpan, _ first: Int, _ second: Int, _ count: Int) -> Bool {
        for index in 0..<count where byte(bytes, first + index) != byte(bytes, second + index) { return false }
        return true
    }

    private static func equalsLowercased(_ bytes: RawSpan, _ text: StaticString) -> Bool {
        guard bytes.byteCount == text.utf8CodeUnitCount else { return false }
        for index in 0..<bytes.byteCount {
            let expected = unsafe text.utf8Start[index]
            if byte(bytes, index) | 0x20 != expected { return false }
        }
        return true
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// Without the optional white space that HTTP allows around a value.
    @_lifetime(copy bytes)
    private static func trimmed(_ bytes: RawSpan) -> RawSpan {
        var start = 0
        var end = bytes.byteCount
        while start < end, isBlank(byte(bytes, start)) { start += 1 }
        while end > start, isBlank(byte(bytes, end - 1)) { end -= 1 }
        return bytes.extracting(start..<end)
    }
}

// MARK: - Injection

extension TraceContext {
    /// Whether `header` is to be sent for this context: no Sampled beside Flags, no parent at the root, no identifiers without a trace.
    @inlinable public func sends(_ header: TraceHeader, option: TraceContextOption) -> Bool {
        switch header {
        case .b3TraceID, .b3SpanID: hasIdentifiers
        case .b3ParentSpanID: hasIdentifiers && !parentSpanID.isNone
        case .b3Sampled: decision == .accept || decision == .reject
        case .b3Flags: decision == .debug
        // Istio writes the multi-header form; the single form only replaces one that came in.
        case .b3Single: source == .b3Single && (hasIdentifiers || decision != .none)
        case .traceparent: option == .useB3WithW3CPropagation && hasIdentifiers
        }
    }

    /// Writes the value of `header` at the start of `buffer` and returns its length in bytes.
    ///
    /// `buffer` must hold `TraceHeader.valueBytesMax` bytes. Ask `sends(_:option:)` first; a value that is not to be sent is still
    /// written in full, with zero digits.
    @discardableResult @inlinable
    public func write(_ header: TraceHeader, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        precondition(buffer.count >= TraceHeader.valueBytesMax, "the buffer must hold the longest value")
        switch header {
        case .b3TraceID:
            return unsafe writeTraceID(into: buffer)
        case .b3SpanID:
            unsafe HexCodec.encode16(spanID.rawValue, into: buffer, at: 0)
            return 16
        case .b3ParentSpanID:
            unsafe HexCodec.encode16(parentSpanID.rawValue, into: buffer, at: 0)
            return 16
        case .b3Sampled:
            unsafe buffer[0] = decision == .reject ? UInt8(ascii: "0") : UInt8(ascii: "1")
            return 1
        case .b3Flags:
            unsafe buffer[0] = UInt8(ascii: "1")
            return 1
        case .b3Single:
            return unsafe writeB3Single(into: buffer)
        case .traceparent:
            return unsafe writeTraceparent(into: buffer)
        }
    }

    /// Writes the value of `header`; there must be room for `TraceHeader.valueBytesMax`.
    @inlinable @inline(__always)
    public func write(_ header: TraceHeader, into output: inout FixedOutput) {
        let count = unsafe write(header, into: output.rest)
        output.commit(count)
    }

    /// Appends the value of `header`; for callers that build messages in arrays.
    public func append(_ header: TraceHeader, to bytes: inout [UInt8]) {
        var scratch = InlineArray<68, UInt8>(repeating: 0)
        var span = scratch.mutableSpan
        unsafe span.withUnsafeMutableBytes { buffer in
            let count = unsafe write(header, into: buffer)
            unsafe bytes.append(contentsOf: buffer[..<count])
        }
    }

    @usableFromInline func writeTraceID(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        if traceID.high == 0 {
            unsafe HexCodec.encode16(traceID.low, into: buffer, at: 0)
            return 16
        }
        unsafe HexCodec.encode16(traceID.high, into: buffer, at: 0)
        unsafe HexCodec.encode16(traceID.low, into: buffer, at: 16)
        return 32
    }

    @usableFromInline func writeB3Single(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let dash = UInt8(ascii: "-")
        let state =
            switch decision {
            case .none, .accept: UInt8(ascii: "1")
            case .reject: UInt8(ascii: "0")
            case .debug: UInt8(ascii: "d")
            }
        guard hasIdentifiers else {
            unsafe buffer[0] = state
            return 1
        }
        var at = unsafe writeTraceID(into: buffer)
        unsafe buffer[at] = dash
        unsafe HexCodec.encode16(spanID.rawValue, into: buffer, at: at + 1)
        at += 17
        guard decision != .none else { return at }
        unsafe buffer[at] = dash
        unsafe buffer[at + 1] = state
        at += 2
        guard !parentSpanID.isNone else { return at }
        unsafe buffer[at] = dash
        unsafe HexCodec.encode16(parentSpanID.rawValue, into: buffer, at: at + 1)
        return at + 17
    }

    @usableFromInline func writeTraceparent(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let dash = UInt8(ascii: "-")
        unsafe buffer[0] = UInt8(ascii: "0")
        unsafe buffer[1] = UInt8(ascii: "0")
        unsafe buffer[2] = dash
        unsafe HexCodec.encode16(traceID.high, into: buffer, at: 3)
        unsafe HexCodec.encode16(traceID.low, into: buffer, at: 19)
        unsafe buffer[35] = dash
        unsafe HexCodec.encode16(spanID.rawValue, into: buffer, at: 36)
        unsafe buffer[52] = dash
        unsafe buffer[53] = UInt8(ascii: "0")
        let isSampled = decision == .accept || decision == .debug
        unsafe buffer[54] = UInt8(ascii: "0") + (isSampled ? 1 : 0) + (isRandom ? 2 : 0)
        return 55
    }
}
