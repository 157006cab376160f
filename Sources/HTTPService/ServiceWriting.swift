internal import EventLoops
internal import HTTP
internal import Primitives
internal import Streams
internal import Synchronization

/// Answers going out: whole, streamed, or refusals.
extension ServiceLoop {
    mutating func respond(_ id: SlotID, _ response: ServiceResponse) {
        guard let connection = connection(of: id), exchanges[id].phase == .receiving || exchanges[id].phase == .handling else { return }
        let waiting = connections[connection].answerBytes
        if waiting > 0 && waiting + response.body.count > limits.connectionAnswersBytesMax {
            return refuse(id, 503, "too many answers wait to be taken on this connection; try again", headers: [("Retry-After", "1")])
        }
        let hasBody = begin(id, connection, response, isStreamed: false)
        exchanges[id].phase = .answered
        guard hasBody else { return }
        exchanges[id].answerBytes = response.body.count
        connections[connection].answerBytes += response.body.count
        let stream = exchanges[id].stream
        unsafe response.body.withUnsafeBytes { unsafe connections[connection].http.append($0, stream: stream) }
        write(response.trailers)
        unsafe connections[connection].http.end(stream: stream, trailers: lines.readable, stopsPeer: !exchanges[id].isReceived)
    }

    /// Writes the head. True when a body follows: not to HEAD, 204 and 304, behind which bytes would be read as the next answer (RFC 9112
    /// 6.3).
    private mutating func begin(_ id: SlotID, _ connection: SlotID, _ response: ServiceResponse, isStreamed: Bool) -> Bool {
        let body: HTTPServerConnection.ResponseBody
        if exchanges[id].method == "HEAD" {
            body = .omitted(length: isStreamed ? nil : UInt64(response.body.count))
        } else if response.status == 204 || response.status == 304 {
            body = .omitted(length: nil)
        } else if isStreamed || !response.trailers.isEmpty {
            body = .unknown
        } else {
            body = response.body.isEmpty ? .none : .length(UInt64(response.body.count))
        }
        write(response.headers)
        _ = unsafe connections[connection].http.submitResponse(
            status: response.status, lines: lines.readable, body: body, stream: exchanges[id].stream, stopsPeer: !exchanges[id].isReceived)
        markDirty(connection)
        exchanges[id].activeAt = now
        setTimer(connection, at: now + limits.stallTimeoutNanoseconds)
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
        guard connection(of: id) != nil else { return }
        statistics.add(statistics.requestsRefused)
        let response = exchanges[id].reader?.refuse(reason, isRetryable: status == 503)
        forgetBody(id)
        respond(id, response ?? .text(status, reason, headers: headers))
    }

    /// Answers what never became an exchange.
    mutating func answer(_ id: SlotID, _ refusal: HTTP1Connection.Refusal) {
        statistics.add(statistics.requestsRefused)
        let exchange = slot(connections[id].http.token(stream: refusal.stream))
        if exchanges.contains(exchange) {
            guard exchanges[exchange].phase == .receiving else { return }
            // Its answer is a whole one also where the request was HEAD: nobody knows what it was.
            forgetBody(exchange)
            exchanges[exchange].phase = .answered
        }
        var text = "\(refusal.reason)\n"
        write([("Content-Type", "text/plain; charset=utf-8")])
        _ = unsafe connections[id].http.submitResponse(
            status: refusal.status, lines: lines.readable, body: .length(UInt64(text.utf8.count)), stream: refusal.stream, stopsPeer: true)
        text.withUTF8 { unsafe connections[id].http.append(UnsafeRawBufferPointer($0), stream: refusal.stream) }
        unsafe connections[id].http.end(stream: refusal.stream, trailers: UnsafeRawBufferPointer(start: nil, count: 0), stopsPeer: true)
    }

    /// The last responder went without an answer. A stream that has begun cannot become an error any more: it breaks off.
    mutating func abandon(_ id: SlotID) {
        guard exchanges.contains(id) else { return }
        switch exchanges[id].phase {
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
        guard let connection = connection(of: id) else { return }
        let isAlone = connections[connection].http.reset(stream: exchanges[id].stream, code: HTTP2ErrorCode.internalError)
        guard isAlone else { return close(connection) }
        markDirty(connection)
        finish(id)
    }

    // MARK: Streams

    /// The connection of a request in this phase; nil = the request has gone, or has come further.
    private func connection(of id: SlotID, in phase: ServiceExchange.Phase) -> SlotID? {
        guard let connection = connection(of: id), exchanges[id].phase == phase else { return nil }
        return connection
    }

    mutating func beginStream(_ id: SlotID, _ response: ServiceResponse) {
        guard let connection = connection(of: id, in: .handling) else { return }
        exchanges[id].phase = begin(id, connection, response, isStreamed: true) ? .streaming : .answered
    }

    mutating func writeStream(_ id: SlotID, _ bytes: [UInt8]) {
        guard let connection = connection(of: id, in: .streaming), !bytes.isEmpty else { return }
        let stream = exchanges[id].stream
        let waiting = connections[connection].http.waiting(stream: stream) + connections[connection].stream.output.count
        if waiting + bytes.count > limits.streamBacklogBytesMax {
            statistics.add(statistics.streamsCut)
            return cut(id)
        }
        unsafe bytes.withUnsafeBytes { unsafe connections[connection].http.append($0, stream: stream) }
        markDirty(connection)
    }

    mutating func endStream(_ id: SlotID) {
        guard let connection = connection(of: id, in: .streaming) else { return }
        exchanges[id].phase = .answered
        unsafe connections[connection].http.end(
            stream: exchanges[id].stream, trailers: UnsafeRawBufferPointer(start: nil, count: 0), stopsPeer: !exchanges[id].isReceived)
        markDirty(connection)
    }

    // MARK: Bytes

    /// Sends what a connection has to send, as far as the kernel takes it, and ends it when that was all.
    mutating func settle(_ id: SlotID) {
        guard isOpen(id), !connections[id].isBlocked else { return }
        while true {
            if connections[id].stream.isFlushed {
                inbox.contents.shelf.lend(&connections[id].stream.output)
                if case .ended = connections[id].fill(bytesMax: limits.writeBytesMax) { connections[id].isEnding = true }
                takeEvents(id)
                if connections[id].stream.isFlushed { break }
            }
            let (progress, hasMoved) = connections[id].flush()
            if hasMoved { connections[id].activeAt = now }
            switch progress {
            case .flushed: continue
            case .blocked:
                connections[id].isBlocked = true
                // The client's time begins now: until here the answer may have been ours to wait for.
                connections[id].activeAt = now
                setTimer(id, at: now + limits.stallTimeoutNanoseconds)
                return
            case .failed: return close(id)
            }
        }
        inbox.contents.shelf.take(back: &connections[id].stream.output)
        if connections[id].isEnding || connections[id].http.isFinished { return endOutput(id) }
        let goesOn = connections[id].http.wantsRead && (connections[id].stream.isReadable || connections[id].isParked)
        if goesOn { resumed.append(id) }
        if connections[id].exchanges.isEmpty { setTimer(id, at: now + limits.idleTimeoutNanoseconds) }
    }

    /// Closing on unread bytes would reset the connection and destroy the answer.
    private mutating func endOutput(_ id: SlotID) {
        if connections[id].isLingering { return }
        if connections[id].stream.isEnded { return close(id) }
        connections[id].isLingering = true
        connections[id].input.release()
        connections[id].stream.lookAgain()
        connections[id].stream.shutdownWrite()
        connections[id].activeAt = now
        setTimer(id, at: now + limits.lingerNanoseconds)
        resumed.append(id)
    }
}
