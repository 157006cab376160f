internal import EventLoops
internal import HTTP
internal import Primitives
internal import Synchronization

/// Answers going out: whole, streamed, or refusals.
extension ServiceLoop {
    mutating func respond(_ id: SlotID, _ response: ServiceResponse) {
        guard let (exchange, connection) = unsafe both(id) else { return }
        guard unsafe exchange.pointee.phase == .receiving || exchange.pointee.phase == .handling else { return }
        let waiting = unsafe connection.pointee.answerBytes
        if waiting > 0 && waiting + response.body.count > limits.connectionAnswersBytesMax {
            return refuse(id, 503, "too many answers wait to be taken on this connection; try again", headers: [("Retry-After", "1")])
        }
        let hasBody = unsafe begin(id, exchange, connection, response, isStreamed: false)
        unsafe exchange.pointee.phase = .answered
        if hasBody {
            unsafe exchange.pointee.answerBytes = response.body.count
            unsafe connection.pointee.answerBytes += response.body.count
            let stream = unsafe exchange.pointee.stream
            unsafe response.body.withUnsafeBytes { unsafe connection.pointee.http.append($0, stream: stream) }
            write(response.trailers)
            unsafe connection.pointee.http.end(stream: stream, trailers: lines.readable, stopsPeer: !exchange.pointee.isReceived)
        }
    }

    /// Writes the head. True when a body follows: not to HEAD, 204 and 304, behind which bytes would be read as the next answer (RFC 9112
    /// 6.3).
    private mutating func begin(
        _ id: SlotID, _ exchange: ExchangePointer, _ connection: ConnectionPointer,
        _ response: ServiceResponse, isStreamed: Bool
    ) -> Bool {
        let body: HTTPServerConnection.ResponseBody
        if unsafe exchange.pointee.method == "HEAD" {
            body = .omitted(length: isStreamed ? nil : UInt64(response.body.count))
        } else if response.status == 204 || response.status == 304 {
            body = .omitted(length: nil)
        } else if isStreamed || !response.trailers.isEmpty {
            body = .unknown
        } else {
            body = response.body.isEmpty ? .none : .length(UInt64(response.body.count))
        }
        write(response.headers)
        unsafe _ = connection.pointee.http.submitResponse(
            status: response.status, lines: lines.readable, body: body, stream: exchange.pointee.stream,
            stopsPeer: !exchange.pointee.isReceived)
        unsafe markDirty(exchange.pointee.connection)
        unsafe exchange.pointee.activeAt = now
        unsafe setTimer(exchange.pointee.connection, at: now + limits.stallTimeoutNanoseconds)
        switch body {
        case .none, .omitted: return false
        case .length, .unknown: return true
        }
    }

    private mutating func write(_ fields: [(name: String, value: String)]) {
        lines.clear()
        for field in fields {
            lines.append(string: field.name)
            lines.append(": ")
            lines.append(string: field.value)
            lines.append("\r\n")
        }
    }

    /// Answers a request whose body is of no interest.
    mutating func refuse(_ id: SlotID, _ status: UInt16, _ reason: String, headers: [(name: String, value: String)] = []) {
        guard let (exchange, connection) = unsafe both(id) else { return }
        statistics.add(statistics.requestsRefused)
        let response = unsafe exchange.pointee.reader?.refuse(reason, isRetryable: status == 503)
        unsafe bodyBytes -= forgetBody(exchange, connection)
        respond(id, response ?? .text(status, reason, headers: headers))
    }

    /// Answers what never became an exchange.
    mutating func answer(_ connection: ConnectionPointer, _ refusal: HTTP1Connection.Refusal) {
        statistics.add(statistics.requestsRefused)
        let exchange = unsafe slot(connection.pointee.http.token(stream: refusal.stream))
        if let known = unsafe exchanges.pointer(exchange), unsafe known.pointee.phase != .receiving { return }
        // Its answer is a whole one also where the request was HEAD: nobody knows what it was.
        unsafe bodyBytes -= exchanges.pointer(exchange).map { unsafe forgetBody($0, connection) } ?? 0
        unsafe exchanges.pointer(exchange)?.pointee.phase = .answered
        let text = "\(refusal.reason)\n"
        write([("Content-Type", "text/plain; charset=utf-8")])
        unsafe _ = connection.pointee.http.submitResponse(
            status: refusal.status, lines: lines.readable, body: .length(UInt64(text.utf8.count)), stream: refusal.stream, stopsPeer: true)
        var bytes = text
        bytes.withUTF8 { unsafe connection.pointee.http.append(UnsafeRawBufferPointer($0), stream: refusal.stream) }
        unsafe connection.pointee.http.end(stream: refusal.stream, trailers: UnsafeRawBufferPointer(start: nil, count: 0), stopsPeer: true)
    }

    /// The last responder went without an answer. A stream that has begun cannot become an error any more: it breaks off.
    mutating func abandon(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        switch unsafe exchange.pointee.phase {
        case .receiving, .answered: return
        case .handling:
            statistics.add(statistics.requestsAbandoned)
            respond(id, .text(500, "the request was given up without an answer"))
        case .streaming:
            statistics.add(statistics.requestsAbandoned)
            cut(id)
        }
    }

    /// Breaks an answer off.
    mutating func cut(_ id: SlotID) {
        guard let (exchange, connection) = unsafe both(id) else { return }
        let connectionID = unsafe exchange.pointee.connection
        let isAlone = unsafe connection.pointee.http.reset(stream: exchange.pointee.stream, code: HTTP2ErrorCode.internalError)
        guard isAlone else { return close(connectionID) }
        markDirty(connectionID)
        finish(id)
    }

    // MARK: Streams

    mutating func beginStream(_ id: SlotID, _ response: ServiceResponse) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe exchange.pointee.phase == .handling,
            let connection = unsafe connections.pointer(exchange.pointee.connection)
        else { return }
        let hasBody = unsafe begin(id, exchange, connection, response, isStreamed: true)
        unsafe exchange.pointee.phase = hasBody ? .streaming : .answered
    }

    mutating func writeStream(_ id: SlotID, _ bytes: [UInt8]) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe exchange.pointee.phase == .streaming, !bytes.isEmpty,
            let connection = unsafe connections.pointer(exchange.pointee.connection)
        else { return }
        let stream = unsafe exchange.pointee.stream
        let waiting = unsafe connection.pointee.http.waiting(stream: stream) + connection.pointee.output.count
        if waiting + bytes.count > limits.streamBacklogBytesMax {
            statistics.add(statistics.streamsCut)
            return cut(id)
        }
        unsafe bytes.withUnsafeBytes { unsafe connection.pointee.http.append($0, stream: stream) }
        unsafe markDirty(exchange.pointee.connection)
    }

    mutating func endStream(_ id: SlotID) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe exchange.pointee.phase == .streaming,
            let connection = unsafe connections.pointer(exchange.pointee.connection)
        else { return }
        unsafe exchange.pointee.phase = .answered
        unsafe connection.pointee.http.end(
            stream: exchange.pointee.stream, trailers: UnsafeRawBufferPointer(start: nil, count: 0),
            stopsPeer: !exchange.pointee.isReceived)
        unsafe markDirty(exchange.pointee.connection)
    }

    // MARK: Bytes

    /// Sends what a connection has to send, as far as the kernel takes it, and ends it when that was all.
    mutating func settle(_ id: SlotID) {
        guard let connection = unsafe connections.pointer(id) else { return }
        if unsafe connection.pointee.isClosed || connection.pointee.isBlocked { return }
        while true {
            if unsafe connection.pointee.output.isEmpty {
                if case .ended = unsafe connection.pointee.http.fill(&connection.pointee.output, bytesMax: limits.writeBytesMax) {
                    unsafe connection.pointee.isEnding = true
                }
                unsafe takeEvents(id, connection, UnsafeRawBufferPointer(start: nil, count: 0), begins: false)
                if unsafe connection.pointee.output.isEmpty { break }
            }
            let piece = unsafe UnsafeRawBufferPointer(rebasing: connection.pointee.output.readable.prefix(limits.writeBytesMax))
            switch unsafe Socket.write(connection.pointee.fd, piece) {
            case .bytes(let count):
                unsafe connection.pointee.output.consume(count)
                unsafe connection.pointee.activeAt = now
            case .wouldBlock:
                unsafe connection.pointee.isBlocked = true
                // The client's time begins now: until here the answer may have been ours to wait for.
                unsafe connection.pointee.activeAt = now
                setTimer(id, at: now + limits.stallTimeoutNanoseconds)
                return
            case .endOfStream, .failed: return close(id)
            }
        }
        unsafe connection.pointee.output.clear(keeping: 16 * 1024)
        if unsafe connection.pointee.isEnding || connection.pointee.http.isFinished { return unsafe endOutput(id, connection) }
        let goesOn = unsafe connection.pointee.http.wantsRead && (connection.pointee.isReadable || connection.pointee.isParked)
        if goesOn { resumed.append(id) }
        if unsafe connection.pointee.exchanges.isEmpty { setTimer(id, at: now + limits.idleTimeoutNanoseconds) }
    }

    /// Closing on unread bytes would reset the connection and destroy the answer.
    private mutating func endOutput(_ id: SlotID, _ connection: ConnectionPointer) {
        if unsafe connection.pointee.isLingering { return }
        if unsafe connection.pointee.isEndOfStream { return close(id) }
        unsafe connection.pointee.isLingering = true
        unsafe connection.pointee.isReadable = true
        unsafe connection.pointee.input.release()
        unsafe Socket.shutdownWrite(connection.pointee.fd)
        unsafe connection.pointee.activeAt = now
        setTimer(id, at: now + limits.lingerNanoseconds)
        resumed.append(id)
    }
}
