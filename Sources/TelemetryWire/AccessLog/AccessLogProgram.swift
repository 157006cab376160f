internal import Primitives
public import TelemetryModel

/// A compiled access-log format: appends one line for one record.
///
/// Nothing is allocated for a line beyond the growth of the output, which is reserved once from an upper bound. What comes from the
/// network cannot forge a line (`AccessLogEscapes`). Missing values print `-`, or null in typed JSON. Any thread; a value.
public struct AccessLogProgram: Sendable {
    private let code: AccessLogCode

    init(_ code: AccessLogCode) { self.code = code }

    /// Appends one line, line feed included. `emitUnixNanoseconds` is the time of writing, for EMIT_TIME.
    public func append(
        _ view: borrowing RequestRecordView, names: borrowing NameTable, emitUnixNanoseconds: UInt64, to bytes: inout [UInt8]
    ) {
        unsafe view.entry.withUnsafeBytes { entry in
            guard let base = entry.baseAddress else { return }
            // The record is read where it lies: copying it takes longer than formatting most of its values. Ring entries are aligned.
            if UInt(bitPattern: base) % UInt(MemoryLayout<RequestRecord>.alignment) == 0 {
                unsafe append(base.assumingMemoryBound(to: RequestRecord.self), entry, names, emitUnixNanoseconds, to: &bytes)
            } else {
                let record = unsafe base.loadUnaligned(as: RequestRecord.self)
                unsafe withUnsafePointer(to: record) { unsafe append($0, entry, names, emitUnixNanoseconds, to: &bytes) }
            }
        }
    }

    @inline(never)
    private func append(
        _ record: UnsafePointer<RequestRecord>, _ entry: UnsafeRawBufferPointer, _ names: borrowing NameTable, _ emit: UInt64,
        to bytes: inout [UInt8]
    ) {
        let texts = unsafe AccessLogTexts(entry, count: Int(record.pointee.textCount))
        // Each use of each slot, and of the names, at its longest. Text that needs no escapes takes a sixth; the rest stays unused.
        let variable = unsafe texts.byteCount &* code.slotUses &+ names.byteCount(record.pointee.cluster) &* code.clusterUses
            &+ names.byteCount(record.pointee.route) &* code.routeUses &+ names.byteCount(record.pointee.policy) &* code.detailUses
            &+ (code.shadowUses > 0 ? names.byteCount(record.pointee.shadow) &* code.shadowUses : 0)
            // An address that is a path; without paths in the process none is.
            &+ (UnixPathTable.shared.count > 0 ? UnixPathTable.pathBytesMax &* code.endpointUses : 0)
        bytes.append(atMost: code.fixedBytesMax &+ variable &* LineWriter.escapedBytesMax) { writer in
            unsafe write(record, texts, names, emit, &writer)
        }
    }

    @inline(__always)
    private func write(
        _ record: UnsafePointer<RequestRecord>, _ texts: borrowing AccessLogTexts, _ names: borrowing NameTable, _ emit: UInt64,
        _ writer: inout LineWriter
    ) {
        unsafe code.pool.withUnsafeBytes { pool in
            unsafe code.steps.withUnsafeBufferPointer { steps in
                for index in 0..<steps.count {
                    let step = unsafe steps[index]
                    unsafe writer.constant(pool, Int(step.constantStart), Int(step.constantEnd))
                    if step.form == .string { writer.byte(UInt8(ascii: "\"")) }
                    let isThere = unsafe write(step.value, record, texts, names, emit, pool, &writer)
                    switch step.form {
                    case .bare: if !isThere { writer.byte(UInt8(ascii: "-")) }
                    case .number: if !isThere { writer.ascii("null") }
                    case .string: if isThere { writer.byte(UInt8(ascii: "\"")) } else { writer.replaceLast("null") }
                    }
                }
                unsafe writer.constant(pool, code.tail.lowerBound, code.tail.upperBound)
            }
        }
    }

    /// Writes a value; false, and nothing written, when the record has none.
    @inline(__always)
    private func write(
        _ value: AccessLogCode.Value, _ record: UnsafePointer<RequestRecord>, _ texts: borrowing AccessLogTexts,
        _ names: borrowing NameTable, _ emit: UInt64, _ pool: UnsafeRawBufferPointer, _ writer: inout LineWriter
    ) -> Bool {
        let isJSON = code.style != .text
        switch value {
        case .time(let isEmit): unsafe writer.iso(isEmit ? emit : record.pointee.startUnixNanoseconds)
        case .text(let first, let second, let maxBytes):
            // A connection has a server name in that slot.
            if unsafe first == .scheme && record.pointee.protocolVersion == .tcp { return false }
            if texts.write(first, maxBytes, isJSON: isJSON, to: &writer) { return true }
            guard let second else { return false }
            return texts.write(second, maxBytes, isJSON: isJSON, to: &writer)
        case .serverName:
            let isTunnel = unsafe record.pointee.protocolVersion == .tcp
            if isTunnel, texts.write(.serverName, .max, isJSON: isJSON, to: &writer) { return true }
            return unsafe texts.write(.serverName, of: .downstream, record, isJSON: isJSON, to: &writer)
        case .connection(let text, let end): return unsafe texts.write(text, of: end, record, isJSON: isJSON, to: &writer)
        case .connectionTime(let text, let end, let index):
            guard let bytes = unsafe texts.connectionText(text, of: end, record), bytes.count == 8 else { return false }
            let time = unsafe UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
            if let index { writeTime(time, code.patterns[Int(index)], isLocal: false, &writer) } else { writer.iso(time) }
        case .duration(let from, let to, let divisor):
            let start = unsafe from.value(record)
            let end = unsafe to.value(record)
            guard start != RequestTimes.absent, end != RequestTimes.absent, end >= start else { return false }
            // A constant divisor is a multiplication.
            writer.decimal(divisor == 1_000_000 ? (end &- start) / 1_000_000 : (end &- start) / divisor)
        case .endpoint(let which, let part):
            switch which {
            case .downstreamRemote: return unsafe writer.endpoint(record.pointee.downstreamRemote, part, isJSON: isJSON)
            case .downstreamLocal: return unsafe writer.endpoint(record.pointee.downstreamLocal, part, isJSON: isJSON)
            case .upstreamRemote: return unsafe writer.endpoint(record.pointee.upstreamRemote, part, isJSON: isJSON)
            case .upstreamLocal: return unsafe writer.endpoint(record.pointee.upstreamLocal, part, isJSON: isJSON)
            }
        case .protocolVersion:
            return unsafe write(record.pointee.protocolVersion, &writer)
        case .responseCode: unsafe writer.decimal(UInt64(record.pointee.responseCode))
        case .responseFlags(let isLong):
            if unsafe record.pointee.flags.isEmpty {
                writer.byte(UInt8(ascii: "-"))
            } else {
                unsafe writer.flags(record.pointee.flags, isLong: isLong)
            }
        case .responseCodeDetails:
            // Of a connection they are why it was ended.
            if unsafe record.pointee.details == .rbacAccessDenied && record.pointee.protocolVersion == .tcp { return false }
            if unsafe record.pointee.details == .transportFailureBeforeResponse {
                if unsafe writeFailedTransport(record, texts, &writer) { return true }
            }
            return unsafe writeDetails(record, names, pool, &writer)
        case .terminationDetails:
            // Envoy tells here why it ended a connection: a policy, or that TLS did not come about.
            guard unsafe record.pointee.details == .rbacAccessDenied && record.pointee.protocolVersion == .tcp else {
                return unsafe texts.write(.failureReason, of: .downstream, record, isJSON: code.style != .text, to: &writer)
            }
            return unsafe writeDetails(record, names, pool, &writer)
        case .bytesReceived: unsafe writer.decimal(record.pointee.requestBodyBytes)
        case .bytesSent: unsafe writer.decimal(record.pointee.responseBodyBytes)
        case .requestHeaderBytes: unsafe writer.decimal(UInt64(record.pointee.requestHeaderBytes))
        case .responseHeaderBytes: unsafe writer.decimal(UInt64(record.pointee.responseHeaderBytes))
        case .cluster: return unsafe names.write(record.pointee.cluster, isJSON: isJSON, to: &writer)
        case .route: return unsafe names.write(record.pointee.route, isJSON: isJSON, to: &writer)
        case .attemptCount:
            guard unsafe record.pointee.attemptCount > 0 else { return false }
            unsafe writer.decimal(UInt64(record.pointee.attemptCount))
        case .traceID:
            let id = unsafe record.pointee.traceID
            guard !id.isNone else { return false }
            if id.high != 0 { writer.hexadecimal16(id.high) }
            writer.hexadecimal16(id.low)
        case .spanID:
            guard unsafe !record.pointee.spanID.isNone else { return false }
            unsafe writer.hexadecimal16(record.pointee.spanID.rawValue)
        case .grpcStatus(let form): return unsafe write(grpcStatus: record.pointee.grpcStatus, form, &writer)
        case .shadow(let part):
            let value = unsafe record.pointee.shadow.value(part)
            guard let word = value.word else { return names.write(value.name, isJSON: isJSON, to: &writer) }
            writer.ascii(word)
        case .hostsAttempted(let part): return unsafe writeHosts(record, texts, part, &writer)
        case .upstreamProtocol:
            guard unsafe record.pointee.protocolVersion != .tcp else { return false }
            return unsafe write(record.pointee.upstreamProtocol, &writer)
        case .accessLogType:
            unsafe writeType(record, texts, &writer)
        case .transportFailureReason:
            if unsafe texts.write(.failureReason, of: .upstream, record, isJSON: isJSON, to: &writer) { return true }
            // What is known without TLS; the details say the same.
            guard let error = unsafe record.pointee.details.connectError else { return false }
            writer.ascii(error)
        case .pathWithoutQuery(let first, let second, let maxBytes):
            return texts.writePathWithoutQuery(first, second, maxBytes, isJSON: isJSON, to: &writer)
        case .query(let maxBytes): return texts.writeQuery(maxBytes, isJSON: isJSON, to: &writer)
        case .queryParameter(let index, let maxBytes):
            return texts.writeQueryParameter(code.patterns[Int(index)], maxBytes, isJSON: isJSON, to: &writer)
        case .pattern(let index, let isEmit, let isLocal):
            unsafe writeTime(isEmit ? emit : record.pointee.startUnixNanoseconds, code.patterns[Int(index)], isLocal: isLocal, &writer)
        }
        return true
    }

    @inline(__always)
    private func writeDetails(
        _ record: UnsafePointer<RequestRecord>, _ names: borrowing NameTable, _ pool: UnsafeRawBufferPointer, _ writer: inout LineWriter
    ) -> Bool {
        let text = unsafe code.details[Int(record.pointee.details.rawValue)]
        if text.isEmpty { return false }
        unsafe writer.constant(pool, text.lowerBound, text.upperBound)
        // As Envoy tells which rule refused it, or why its token was.
        guard let brackets = unsafe record.pointee.details.brackets else { return true }
        writer.byte(brackets.open)
        if unsafe !names.write(record.pointee.policy, isJSON: code.style != .text, to: &writer) { writer.ascii("none") }
        writer.byte(brackets.close)
        return true
    }

    @inline(never)
    private func writeType(_ record: UnsafePointer<RequestRecord>, _ texts: borrowing AccessLogTexts, _ writer: inout LineWriter) {
        if unsafe record.pointee.protocolVersion != .tcp { return writer.ascii("DownstreamEnd") }
        // A connection that was refused; Envoy's listeners log under this type.
        let isRefused = unsafe texts.connectionText(.failureReason, of: .downstream, record) != nil
        if isRefused { writer.ascii("NotSet") } else { writer.ascii("TcpConnectionEnd") }
    }

    /// The details of a request whose endpoint refused TLS, or was refused, with the reason among them, as Envoy has them.
    @inline(never)
    private func writeFailedTransport(
        _ record: UnsafePointer<RequestRecord>, _ texts: borrowing AccessLogTexts, _ writer: inout LineWriter
    ) -> Bool {
        guard unsafe texts.connectionText(.failureReason, of: .upstream, record) != nil else { return false }
        writer.ascii("upstream_reset_before_response_started{remote_connection_failure|")
        _ = unsafe texts.write(.failureReason, of: .upstream, record, isJSON: code.style != .text, to: &writer)
        writer.byte(UInt8(ascii: "}"))
        return true
    }

    @inline(never)
    private func write(grpcStatus code: UInt8, _ form: AccessLogOperator.GRPCStatusForm, _ writer: inout LineWriter) -> Bool {
        // 255 = none was seen.
        guard code != 255 else { return false }
        let names = form == .snake ? AccessLogOperator.GRPCStatusForm.snakeNames : AccessLogOperator.GRPCStatusForm.camelNames
        if form == .number || Int(code) >= names.count { writer.decimal(UInt64(code)) } else { writer.utf8(names[Int(code)]) }
        return true
    }

    @inline(__always)
    private func write(_ version: RequestProtocol, _ writer: inout LineWriter) -> Bool {
        switch version {
        case .http10: writer.ascii("HTTP/1.0")
        case .http11: writer.ascii("HTTP/1.1")
        case .http2: writer.ascii("HTTP/2")
        case .tcp: return false
        }
        return true
    }

    /// By the words of Envoy's documentation, "all upstream hosts that were attempted": 1.40 prints the last alone, and none when no
    /// connection to it came about.
    @inline(never)
    private func writeHosts(
        _ record: UnsafePointer<RequestRecord>, _ texts: borrowing AccessLogTexts, _ part: AccessLogOperator.Part,
        _ writer: inout LineWriter
    ) -> Bool {
        var isFirst = true
        for index in 0..<Int(unsafe record.pointee.earlierAttempts) {
            let attempt = texts.attempt(index)
            if attempt.endpoint.family == .absent { continue }
            if !isFirst { writer.byte(UInt8(ascii: ",")) }
            isFirst = !writer.endpoint(attempt.endpoint, part, isJSON: code.style != .text) && isFirst
        }
        guard unsafe record.pointee.upstreamRemote.family != .absent else { return !isFirst }
        if !isFirst { writer.byte(UInt8(ascii: ",")) }
        return unsafe writer.endpoint(record.pointee.upstreamRemote, part, isJSON: code.style != .text)
    }

    @inline(never)
    private func writeTime(_ unixNanoseconds: UInt64, _ pattern: [UInt8], isLocal: Bool, _ writer: inout LineWriter) {
        var scratch: [UInt8] = []
        let zone = isLocal ? LocalZone.shared.reading(at: unixNanoseconds / 1_000_000_000) : .utc
        AccessLogTime.append(unixNanoseconds, pattern: pattern, zone: zone, to: &scratch)
        if code.style == .text {
            for byte in scratch { writer.byte(byte) }
        } else {
            unsafe scratch.withUnsafeBytes { unsafe writer.escaped($0, readable: $0.count, isJSON: true) }
        }
    }
}
