internal import EventLoops
internal import HTTP
internal import Primitives
internal import Streams
internal import Synchronization

/// Requests coming in: bytes to events, events to exchanges, exchanges to the handler.
extension ServiceLoop {
    /// Reads as long as there is something, and room for it.
    mutating func proceed(_ id: SlotID) {
        guard isOpen(id) else { return }
        if connections[id].opening == .handshake, !goOn(id, handshakes.proceed(&connections[id], now: now)) { return }
        markDirty(id)
        if connections[id].isParked { unsafe feed(id, UnsafeRawBufferPointer(start: nil, count: 0)) }
        var reads = 0
        while isOpen(id), connections[id].stream.isReadable, connections[id].wantsRead {
            if reads == limits.readsPerTurnMax {
                resumed.append(id)
                return
            }
            reads += 1
            switch unsafe connections[id].stream.read(into: scratch) {
            case .bytes(let count): unsafe take(id, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<count]))
            case .wouldBlock: break
            case .endOfStream: endInput(id)
            case .failed: close(id)
            }
        }
    }

    /// Acts on what came of a connection's beginning. True = requests can come.
    private mutating func goOn(_ id: SlotID, _ outcome: ServiceHandshakes.Outcome) -> Bool {
        switch outcome {
        case .waiting: return false
        case .open:
            connections[id].activeAt = now
            return true
        case .answer(let text):
            connections[id].stream.output.append(string: text)
            connections[id].isEnding = true
            markDirty(id)
            return false
        case .close:
            close(id)
            return false
        }
    }

    private mutating func take(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) {
        if connections[id].opening == .firstBytes {
            let outcome = unsafe handshakes.begin(&connections[id], bytes, now: now)
            // Behind a handshake that is done there is nothing in these bytes that the session has not taken.
            guard goOn(id, outcome), connections[id].stream.agreement == nil else { return }
        }
        if connections[id].isLingering || connections[id].http.isDeaf {
            connections[id].droppedBytes += bytes.count
            if connections[id].droppedBytes > limits.droppedBytesMax { close(id) }
            return
        }
        connections[id].activeAt = now
        unsafe feed(id, bytes)
    }

    /// A client of HTTP/1.1 that asked several things and half-closes still gets its answers. One of a streamed answer has left, or will
    /// not be missed.
    private mutating func endInput(_ id: SlotID) {
        var streams = false
        for exchange in connections[id].exchanges where exchanges.contains(exchange) && exchanges[exchange].phase == .streaming {
            streams = true
        }
        if connections[id].isLingering || streams || !connections[id].http.receiveEnd() { return close(id) }
        connections[id].headBeganAt = nil
        takeEvents(id)
    }

    /// Gives `bytes` to the connection, behind those that it has not taken, and acts on what it tells.
    private mutating func feed(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) {
        if connections[id].input.isEmpty {
            let taken = unsafe pass(id, bytes)
            if taken < bytes.count { unsafe connections[id].input.append(UnsafeRawBufferPointer(rebasing: bytes[taken...])) }
        } else {
            unsafe connections[id].input.append(bytes)
            let taken = unsafe pass(id, connections[id].input.readable)
            connections[id].input.consume(taken)
        }
        if connections[id].input.isEmpty { connections[id].input.clear(keeping: 0) }
        connections[id].isParked = !connections[id].input.isEmpty && !connections[id].http.wantsRead
        let isPartial = !connections[id].input.isEmpty && !connections[id].isParked && connections[id].http.isAtHead
        if !isPartial {
            connections[id].headBeganAt = nil
        } else if connections[id].headBeganAt == nil {
            // From the first byte: a client that sends one byte now and then would otherwise stay for ever.
            connections[id].headBeganAt = now
            setTimer(id, at: now + limits.headerTimeoutNanoseconds)
        }
    }

    /// Returns how many of the bytes were taken.
    private mutating func pass(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) -> Int {
        var offset = 0
        while offset < bytes.count, !connections[id].isClosed, !connections[id].isEnding {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let (taken, outcome) = unsafe connections[id].http.receive(rest, now: now)
            // Resets that these bytes have earned go out first: a request that broke a rule in the same breath is then gone before it was
            // begun (CVE-2025-8671).
            if connections[id].stream.output.count < limits.writeBytesMax { _ = connections[id].fill(bytesMax: limits.writeBytesMax) }
            offset += taken
            switch outcome {
            case .fine: unsafe takeEvents(id, rest, begins: true)
            case .ended(let flooded):
                unsafe takeEvents(id, rest, begins: false)
                if flooded { statistics.add(statistics.floods) }
                connections[id].isEnding = true
            case .refused(let refusal):
                unsafe takeEvents(id, rest, begins: true)
                answer(id, refusal)
            }
            if taken == 0 { break }
        }
        return connections[id].isClosed || connections[id].isEnding ? bytes.count : offset
    }

    /// Acts on what a connection told without having been given bytes. No requests begin: they would not be answered any more.
    mutating func takeEvents(_ id: SlotID) { unsafe takeEvents(id, UnsafeRawBufferPointer(start: nil, count: 0), begins: false) }

    /// `begins`: false where new requests would not be answered any more.
    private mutating func takeEvents(_ id: SlotID, _ bytes: UnsafeRawBufferPointer, begins: Bool) {
        var index = 0
        while index < inbox.contents.events.count && !connections[id].isClosed {
            let event = inbox.contents.events[index]
            index += 1
            // A request's later events may have come in before it had its exchange.
            let exchange = slot(event.token != 0 ? event.token : connections[id].http.token(stream: event.stream))
            switch event.kind {
            case .head:
                let block = inbox.contents.block(of: event)
                if block.isRequest {
                    if begins { begin(id, event.stream, block) }
                } else {
                    keepTrailers(exchange, block)
                }
            case .data:
                let start = Int(event.start)
                connections[id].http.consume(Int(event.count), stream: event.stream)
                unsafe takeBody(exchange, UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(event.count)]))
            case .end: requestEnded(exchange)
            case .closed: finish(exchange)
            case .goAway: break
            }
        }
        inbox.contents.clear()
    }

    // MARK: A request's beginning

    private mutating func begin(_ id: SlotID, _ stream: Int32, _ block: HeadSection) {
        // Reset in the same breath (CVE-2023-44487): nothing was begun, so nothing need be undone.
        guard connections[id].http.isOpen(stream: stream) else { return }
        statistics.add(statistics.requestsTotal)
        connections[id].headBeganAt = nil
        guard let exchange = exchanges.insert(ServiceExchange(connection: id, stream: stream, now: now)) else {
            answer(id, HTTP1Connection.Refusal(stream: stream, status: 503, reason: "too many requests at once; try again"))
            return
        }
        connections[id].exchanges.append(exchange)
        connections[id].http.attach(token: token(exchange), stream: stream)
        swap(&exchanges[exchange].body, &connections[id].spareBody)
        unsafe inbox.load(block, into: &head)
        exchanges[exchange].method = head.methodBytes.text
        if block.isTooLarge { return refuse(exchange, 431, "\(HeadError.headTooLarge.reason)") }
        let target = RequestTarget.parse(head.targetBytes, method: head.methodBytes)
        guard let target, target.form == .origin || target.form == .absolute else {
            return refuse(exchange, 400, "malformed request target (RFC 9112 3.2)")
        }
        exchanges[exchange].path = target.path.isEmpty ? "/" : head.targetBytes[target.path].text
        exchanges[exchange].query = target.query.isEmpty ? "" : head.targetBytes[target.query].from(1).text
        exchanges[exchange].fields = fields()
        // What HTTP/1.1 says in `Host` (RFC 9113 8.3.1).
        let authority = head.bytes(head.authority).text
        if !authority.isEmpty { exchanges[exchange].fields.insert(("host", authority), at: 0) }
        open(exchange, endsStream: block.endsStream)
    }

    private func fields() -> [(name: String, value: String)] {
        (0..<head.fieldCount).map { index in
            (head.nameBytes(at: index).text.lowercased(), head.bytes(at: index).text)
        }
    }

    /// Asks the handler what to do about the body, and the client for it where it waits to be asked.
    private mutating func open(_ id: SlotID, endsStream: Bool) {
        let connection = exchanges[id].connection
        let length = head.contentLength ?? 0
        let expects = head.bytes(of: .expect)?.equals(ignoringCase: "100-continue") ?? false
        let request = unsafe request(id, UnsafeRawBufferPointer(start: nil, count: 0))
        switch handler.open(request) {
        case .collect: break
        case .read(let reader): exchanges[id].reader = reader
        case .respond(let response): return respond(id, response)
        }
        if length > UInt64(limits.bodyBytesMax) {
            return refuse(id, 413, "the body has \(length) bytes; \(limits.bodyBytesMax) are accepted")
        }
        // One allocation of the right size, but never on the word of a client that has sent next to nothing.
        if length > 0 && exchanges[id].reader == nil {
            unsafe _ = exchanges[id].body.reserve(min(Int(clamping: length), 1 << 20))
        }
        if !endsStream {
            if expects { connections[connection].http.submitContinue(stream: exchanges[id].stream) }
            setTimer(connection, at: now + limits.stallTimeoutNanoseconds)
        }
    }

    private func request(_ id: SlotID, _ body: UnsafeRawBufferPointer) -> ServiceRequest {
        let connection = exchanges[id].connection
        return unsafe ServiceRequest(
            method: exchanges[id].method, path: exchanges[id].path, query: exchanges[id].query,
            listener: connections[connection].listener, peer: connections[connection].peer, client: connections[connection].client,
            asksClient: handshakes.asksClients(connections[connection].listener), isHTTP2: connections[connection].http.isHTTP2,
            fields: exchanges[id].fields, trailerFields: exchanges[id].trailers, bytes: body)
    }

    // MARK: Its body and end

    private mutating func takeBody(_ id: SlotID, _ bytes: UnsafeRawBufferPointer) {
        guard exchanges.contains(id), exchanges[id].phase == .receiving else { return }
        exchanges[id].activeAt = now
        if let reader = exchanges[id].reader {
            if let response = unsafe reader.receive(bytes) { return respond(id, response) }
            return count(id, reader.heldBytes)
        }
        if exchanges[id].body.count + bytes.count > limits.bodyBytesMax {
            return refuse(id, 413, "the body is too large; \(limits.bodyBytesMax) bytes are accepted")
        }
        unsafe exchanges[id].body.append(bytes)
        count(id, exchanges[id].body.count)
    }

    /// Counts the bytes held for a body, and refuses it when they are too many together with others'.
    private mutating func count(_ id: SlotID, _ held: Int) {
        let connection = exchanges[id].connection
        let more = held - exchanges[id].countedBytes
        exchanges[id].countedBytes = held
        connections[connection].bodyBytes += more
        bodyBytes += more
        if held > limits.bodyBytesMax {
            refuse(id, 413, "the body is too large; \(limits.bodyBytesMax) bytes are accepted")
        } else if bodyBytes > limits.bodiesBytesMax || connections[connection].bodyBytes > limits.connectionBodiesBytesMax {
            refuse(id, 503, "too many request bodies at once; try again", headers: [("Retry-After", "1")])
        }
    }

    private mutating func keepTrailers(_ id: SlotID, _ block: HeadSection) {
        guard exchanges.contains(id), exchanges[id].phase == .receiving else { return }
        unsafe inbox.load(block, into: &head)
        if block.isTooLarge { return refuse(id, 431, "\(HeadError.headTooLarge.reason)") }
        exchanges[id].trailers = fields()
    }

    private mutating func requestEnded(_ id: SlotID) {
        guard exchanges.contains(id) else { return }
        exchanges[id].isReceived = true
        guard exchanges[id].phase == .receiving else { return }
        exchanges[id].phase = .handling
        let responder = Responder(mailbox: mailbox, request: id, presence: exchanges[id].presence)
        let outcome: ServiceOutcome
        if let reader = exchanges[id].reader {
            outcome = reader.end(responder)
        } else {
            let request = unsafe request(id, exchanges[id].body.readable)
            outcome = handler.handle(request, responder)
        }
        forgetBody(id)
        if case .respond(let response) = outcome {
            responder.settle()
            respond(id, response)
        }
    }

    /// Gives back what a body took, and what was counted for it.
    mutating func forgetBody(_ id: SlotID) {
        guard let connection = connection(of: id) else { return }
        bodyBytes -= exchanges[id].countedBytes
        connections[connection].bodyBytes -= exchanges[id].countedBytes
        exchanges[id].countedBytes = 0
        exchanges[id].reader = nil
        exchanges[id].body.clear(keeping: limits.bodyBytesKept)
        if exchanges[id].body.capacity > connections[connection].spareBody.capacity {
            swap(&exchanges[id].body, &connections[connection].spareBody)
        }
    }

    /// The request and its answer are done with, or the client has taken the request back.
    mutating func finish(_ id: SlotID) {
        guard let connection = connection(of: id) else { return }
        if let index = connections[connection].exchanges.firstIndex(of: id) { connections[connection].exchanges.remove(at: index) }
        release(id)
    }

    mutating func release(_ id: SlotID) {
        guard let connection = connection(of: id) else { return }
        forgetBody(id)
        connections[connection].answerBytes -= exchanges[id].answerBytes
        exchanges[id].presence.leave()
        exchanges.remove(id)
    }
}
