internal import EventLoops
internal import HTTP
internal import Primitives
internal import Routing
internal import TelemetryModel

/// Answers that the proxy gives itself, with Envoy's flags, details and bodies.
extension ProxyWorker {
    /// Refuses bytes that are no request: status, reason, close (RFC 9112 2.2, 3, 5, 6).
    mutating func refuse(_ downstreamID: SlotID, _ error: HeadError, _ bytes: UnsafeRawBufferPointer) {
        let details: ResponseCodeDetails =
            switch error {
            case .headTooLarge: .requestHeadersTooLarge
            case .tooManyFields: .tooManyRequestHeaders
            case .targetTooLong: .requestURITooLong
            case .missingHost: .missingHostHeader
            case .unsupportedVersion: .lowVersion
            case .unsupportedTransferEncoding, .malformedTransferEncoding: .unsupportedTransferEncoding
            default: .http1CodecError
            }
        handle.statistics.add(handle.statistics.protocolErrors)
        unsafe answerUnread(downstreamID, error.status, details, body: error.reason, bytes)
    }

    /// Answers a request whose head could not be read, with a record of as much of it as arrived, and closes the connection. `bytes` begin with the request.
    mutating func answerUnread(
        _ downstreamID: SlotID, _ status: UInt16, _ details: ResponseCodeDetails, body: StaticString, _ bytes: UnsafeRawBufferPointer
    ) {
        guard let connection = unsafe downstreams.pointer(downstreamID) else { return }
        guard let id = exchanges.reuse() ?? exchanges.insert(Exchange()), let exchange = unsafe exchanges.pointer(id) else {
            closeDownstream(downstreamID)
            return
        }
        unsafe exchange.pointee.begin(downstream: downstreamID, stream: 0, start: now)
        unsafe enterEpoch(exchange)
        unsafe connection.pointee.exchange = id
        handle.statistics.add(handle.statistics.requestsTotal)
        unsafe exchange.pointee.record.startUnixNanoseconds = unix(now)
        unsafe exchange.pointee.record.downstreamRemote = connection.pointee.remote
        unsafe exchange.pointee.record.downstreamLocal = connection.pointee.local
        unsafe exchange.pointee.record.side = listeners[connection.pointee.listener].plan.side
        let listener = unsafe listeners[connection.pointee.listener].index
        if listener >= 0 { unsafe exchange.pointee.record.labels = tables.listener(listener).labels }
        if unsafe needsRecord(exchange) { unsafe recordGlimpse(exchange, bytes) }
        reply(id, status, details, [.downstreamProtocolError], body: body, closes: true)
    }

    /// The texts of a record (`RequestText`) as far as they were read.
    private mutating func recordGlimpse(_ exchange: UnsafeMutablePointer<Exchange>, _ bytes: UnsafeRawBufferPointer) {
        let glimpse = unsafe RequestGlimpse(bytes)
        let most = limits.recordTextBytesMax
        func text(_ place: Range<Int>) -> UnsafeRawBufferPointer? { place.isEmpty ? nil : unsafe UnsafeRawBufferPointer(rebasing: bytes[place]) }
        unsafe exchange.pointee.append(text: text(glimpse.method), upTo: most)
        unsafe exchange.pointee.append(text: nil, upTo: most)
        unsafe exchange.pointee.append(text: text(glimpse.target), upTo: most)
        unsafe exchange.pointee.append(text: text(glimpse.host), upTo: most)
        for _ in 4..<Int(RequestText.firstCaptured) + plan.requestHeaders.count { unsafe exchange.pointee.append(text: nil, upTo: most) }
    }

    /// Refuses a request whose body turned out malformed.
    mutating func refuseBody(_ id: SlotID, _ status: UInt16, _ reason: StaticString) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        handle.statistics.add(handle.statistics.protocolErrors)
        unsafe exchange.pointee.record.flags.insert(.downstreamProtocolError)
        if unsafe exchange.pointee.flags.contains(.responseStarted) {
            cutResponse(id)
        } else {
            let details: ResponseCodeDetails = unsafe exchange.pointee.isHTTP2Downstream ? .http2ProtocolError : .http1CodecError
            reply(id, status, details, [.downstreamProtocolError], body: reason, closes: true)
        }
    }

    /// Answers a request locally and ends its exchange. `closes`: the connection cannot be used further.
    mutating func reply(
        _ id: SlotID, _ status: UInt16, _ details: ResponseCodeDetails, _ flags: ResponseFlags, body: StaticString, closes: Bool
    ) {
        unsafe answer(id, status, details, flags, body: UnsafeRawBufferPointer(start: body.utf8Start, count: body.utf8CodeUnitCount), closes: closes)
    }

    /// As `reply`, with a body that the configuration holds.
    mutating func answer(
        _ id: SlotID, _ status: UInt16, _ details: ResponseCodeDetails, _ flags: ResponseFlags, body: UnsafeRawBufferPointer, closes: Bool
    ) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        let downstreamID = unsafe exchange.pointee.downstream
        unsafe abandonAttempt(id, exchange)
        if unsafe exchange.pointee.flags.contains(.isShadow) {
            finish(id)
            return
        }
        if unsafe exchange.pointee.flags.contains(.isTCP) {
            unsafe exchange.pointee.record.details = details
            unsafe exchange.pointee.record.flags.formUnion(flags)
            finish(id)
            closeDownstream(downstreamID)
            return
        }
        unsafe exchange.pointee.record.responseCode = status
        unsafe exchange.pointee.record.details = details
        unsafe exchange.pointee.record.flags.formUnion(flags)
        if unsafe closes || isDraining || !exchange.pointee.flags.contains(.requestComplete) {
            // The rest of a body that nobody wants would have to be read before the next request; closing is cheaper for both.
            unsafe exchange.pointee.flags.remove(.keepsAlive)
        }
        unsafe exchange.pointee.record.times.downstreamSendBegin = now.nanoseconds(since: exchange.pointee.start)
        unsafe exchange.pointee.flags.insert(.responseStarted)
        if unsafe exchange.pointee.isHTTP2Downstream {
            unsafe replyHTTP2(exchange, status, body)
            completeExchange(id, upstreamReusable: false)
            return
        }
        localReplyScratch.clear()
        localReplyScratch.append("HTTP/1.1 ")
        localReplyScratch.append(decimal: UInt64(status))
        localReplyScratch.append(byte: UInt8(ascii: " "))
        localReplyScratch.append(StatusText.reason(status))
        localReplyScratch.append("\r\n")
        let fieldsStart = localReplyScratch.count
        // A 204 has no length (RFC 9110 8.6).
        if status != 204 {
            localReplyScratch.append("Content-Length: ")
            localReplyScratch.append(decimal: UInt64(body.count))
            localReplyScratch.append("\r\n")
        }
        if body.count > 0, unsafe !addsContentType(exchange) { localReplyScratch.append("Content-Type: text/plain\r\n") }
        if unsafe exchange.pointee.flags.contains(.hasLocation) {
            localReplyScratch.append("Location: ")
            unsafe localReplyScratch.append(answerScratch.readable)
            localReplyScratch.append("\r\n")
        }
        dateCache.append(to: &localReplyScratch, unixNanoseconds: unix(now))
        localReplyScratch.append("Server: skein\r\n")
        if unsafe exchange.pointee.flags.contains(.isOverloaded) { localReplyScratch.append("X-Envoy-Overloaded: true\r\n") }
        // The head is put together as an upstream's; there may be a part of another's response in `assembly`.
        swap(&assembly, &localReplyScratch)
        unsafe finishFields(exchange, from: fieldsStart)
        swap(&assembly, &localReplyScratch)
        if unsafe !exchange.pointee.flags.contains(.keepsAlive) {
            localReplyScratch.append("Connection: close\r\n")
        } else if unsafe exchange.pointee.flags.contains(.isHTTP10) {
            localReplyScratch.append("Connection: keep-alive\r\n")
        }
        localReplyScratch.append("\r\n")
        unsafe exchange.pointee.record.responseHeaderBytes = UInt32(clamping: localReplyScratch.count)
        if unsafe !exchange.pointee.flags.contains(.isHEAD) {
            unsafe localReplyScratch.append(body)
            unsafe exchange.pointee.record.responseBodyBytes = UInt64(body.count)
        }
        unsafe sendDownstream(downstreamID, localReplyScratch.readable)
        // A client that was already gone has taken the exchange with it.
        guard let connection = unsafe downstreams.pointer(downstreamID), unsafe connection.pointee.exchange == id else { return }
        completeExchange(id, upstreamReusable: false)
    }

    /// Adds `date` to the HTTP/2 header section being put together.
    mutating func addDate() {
        localReplyScratch.clear()
        dateCache.append(to: &localReplyScratch, unixNanoseconds: unix(now))
        // Without `Date: ` and the line's end.
        unsafe fieldList.add("date", copying: UnsafeRawBufferPointer(rebasing: localReplyScratch.readable[6..<35]))
    }

    private mutating func replyHTTP2(_ exchange: UnsafeMutablePointer<Exchange>, _ status: UInt16, _ body: UnsafeRawBufferPointer) {
        guard let session = unsafe downstreamSession(exchange) else { return }
        let stream = unsafe exchange.pointee.downstreamStream
        let isGRPC = unsafe exchange.pointee.flags.contains(.isGRPC)
        fieldList.begin()
        fieldList.add(":status", decimal: isGRPC ? 200 : UInt64(status))
        if isGRPC {
            // A gRPC client reads its status where it expects it: trailers-only (gRPC over HTTP/2, "Responses").
            let local = unsafe exchange.pointee.localGRPCStatus
            let code = local == 255 ? GRPCStatus.code(forHTTP: status) : local
            unsafe exchange.pointee.record.responseCode = 200
            unsafe exchange.pointee.record.grpcStatus = code
            fieldList.add("content-type", "application/grpc")
            fieldList.add("grpc-status", decimal: UInt64(code))
            if body.count > 0 { unsafe fieldList.add("grpc-message", body) }
        } else {
            if status != 204 { fieldList.add("content-length", decimal: UInt64(body.count)) }
            if body.count > 0, unsafe !addsContentType(exchange) { fieldList.add("content-type", "text/plain") }
        }
        addDate()
        fieldList.add("server", "skein")
        if unsafe exchange.pointee.flags.contains(.isOverloaded) { fieldList.add("x-envoy-overloaded", "true") }
        if unsafe exchange.pointee.flags.contains(.hasLocation) { unsafe fieldList.add("location", copying: answerScratch.readable) }
        unsafe finishHTTP2Fields(exchange)
        unsafe exchange.pointee.record.responseHeaderBytes = UInt32(clamping: fieldList.byteCount)
        let hasBody = unsafe !isGRPC && body.count > 0 && !exchange.pointee.flags.contains(.isHEAD)
        let stopsPeer = unsafe !exchange.pointee.flags.contains(.requestComplete)
        guard unsafe session.pointee.submitResponse(fieldList, stream: stream, hasBody: hasBody, stopsPeer: stopsPeer) else {
            // The configuration adds more than can be sent: the client must not wait for it.
            unsafe session.pointee.reset(stream: stream, code: HTTP2ErrorCode.internalError)
            return
        }
        if hasBody {
            unsafe session.pointee.append(body, stream: stream)
            unsafe exchange.pointee.record.responseBodyBytes = UInt64(body.count)
        }
        unsafe session.pointee.end(stream: stream, trailers: UnsafeRawBufferPointer(start: nil, count: 0), stopsPeer: stopsPeer)
    }
}

/// gRPC's status codes where HTTP has its own (gRPC "http-grpc-status-mapping").
enum GRPCStatus {
    /// The HTTP status that a gRPC code amounts to (Envoy's Grpc::Utility).
    static func http(_ code: UInt8) -> UInt16 {
        switch code {
        case 0: 200
        case 1: 499
        case 3, 9, 11: 400
        case 4: 504
        case 5: 404
        case 6, 10: 409
        case 7: 403
        case 8: 429
        case 12: 501
        case 14: 503
        case 16: 401
        default: 500
        }
    }

    static func code(forHTTP status: UInt16) -> UInt8 {
        switch status {
        case 400, 431: 13
        case 401: 16
        case 403: 7
        case 408: 4
        case 404: 12
        case 429, 502, 503, 504: 14
        default: 2
        }
    }
}

/// Reason phrases (RFC 9110 15).
enum StatusText {
    static func reason(_ status: UInt16) -> StaticString {
        switch status {
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 414: "URI Too Long"
        case 409: "Conflict"
        case 410: "Gone"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 415: "Unsupported Media Type"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Unknown"
        }
    }
}

/// The `Date` line, formatted once a second (RFC 9110 5.6.7).
struct DateCache {
    private var second: UInt64 = .max
    private var line = InlineArray<37, UInt8>(repeating: 0)

    /// Appends `Date: Sun, 06 Nov 1994 08:49:37 GMT` and its line end.
    mutating func append(to buffer: inout ByteBuffer, unixNanoseconds: UInt64) {
        let now = unixNanoseconds / 1_000_000_000
        if now != second {
            second = now
            format()
        }
        let out = unsafe buffer.reserve(37).assumingMemoryBound(to: UInt8.self)
        for index in 0..<37 { unsafe out[index] = line[index] }
        buffer.commit(37)
    }

    private mutating func format() {
        let days = Int(second / 86_400)
        let time = Int(second % 86_400)
        // Civil date from days since 1970, with years that begin in March.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthIndex = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthIndex + 2) / 5 + 1
        let month = monthIndex < 10 ? monthIndex + 3 : monthIndex - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        var position = 0
        func put(_ text: StaticString, from start: Int = 0, _ count: Int, _ line: inout InlineArray<37, UInt8>, _ position: inout Int) {
            for index in 0..<count {
                line[position] = unsafe text.utf8Start[start + index]
                position += 1
            }
        }
        func put(_ value: Int, digits: Int, _ line: inout InlineArray<37, UInt8>, _ position: inout Int) {
            var rest = value
            for index in stride(from: digits - 1, through: 0, by: -1) {
                line[position + index] = 48 + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            position += digits
        }
        put("Date: ", 6, &line, &position)
        put("ThuFriSatSunMonTueWed", from: days % 7 * 3, 3, &line, &position)
        put(", ", 2, &line, &position)
        put(day, digits: 2, &line, &position)
        put(" ", 1, &line, &position)
        put("JanFebMarAprMayJunJulAugSepOctNovDec", from: (month - 1) * 3, 3, &line, &position)
        put(" ", 1, &line, &position)
        put(year, digits: 4, &line, &position)
        put(" ", 1, &line, &position)
        put(time / 3600, digits: 2, &line, &position)
        put(":", 1, &line, &position)
        put(time / 60 % 60, digits: 2, &line, &position)
        put(":", 1, &line, &position)
        put(time % 60, digits: 2, &line, &position)
        put(" GMT\r\n", 6, &line, &position)
    }
}
