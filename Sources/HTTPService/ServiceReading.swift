internal import EventLoops
internal import HTTP
internal import Primitives
internal import Synchronization

/// Requests coming in: bytes to events, events to exchanges, exchanges to the handler.
extension ServiceLoop {
    /// Reads as long as there is something, and room for it.
    mutating func proceed(_ id: SlotID) {
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        markDirty(id)
        if unsafe connection.pointee.isParked { unsafe feed(id, connection, UnsafeRawBufferPointer(start: nil, count: 0)) }
        var reads = 0
        while unsafe connection.pointee.isReadable && !connection.pointee.isClosed && wantsRead(connection) {
            if reads == limits.readsPerTurnMax {
                resumed.append(id)
                return
            }
            reads += 1
            switch unsafe Socket.read(connection.pointee.fd, into: scratch) {
            case .bytes(let count):
                if unsafe count < limits.readBytes && !connection.pointee.sawHangUp { unsafe connection.pointee.isReadable = false }
                if unsafe connection.pointee.isLingering || connection.pointee.http.isDeaf {
                    unsafe connection.pointee.droppedBytes += count
                    if unsafe connection.pointee.droppedBytes > limits.droppedBytesMax { close(id) }
                    continue
                }
                unsafe connection.pointee.activeAt = now
                unsafe feed(id, connection, UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<count]))
            case .wouldBlock:
                unsafe connection.pointee.isReadable = false
            case .endOfStream:
                unsafe connection.pointee.isReadable = false
                unsafe endInput(id, connection)
            case .failed:
                close(id)
            }
        }
    }

    /// A client that does not take what it asked for is not asked for more.
    private func wantsRead(_ connection: ConnectionPointer) -> Bool {
        if unsafe connection.pointee.isLingering { return true }
        return unsafe !connection.pointee.isEnding && !connection.pointee.isBlocked && connection.pointee.http.wantsRead
    }

    /// A client of HTTP/1.1 that asked several things and half-closes still gets its answers. One of a streamed answer has left, or will
    /// not be missed.
    private mutating func endInput(_ id: SlotID, _ connection: ConnectionPointer) {
        unsafe connection.pointee.isEndOfStream = true
        let streams = unsafe connection.pointee.exchanges.contains { unsafe exchanges.pointer($0)?.pointee.phase == .streaming }
        if unsafe connection.pointee.isLingering || streams || !connection.pointee.http.receiveEnd() { return close(id) }
        unsafe connection.pointee.headBeganAt = nil
        unsafe takeEvents(id, connection, UnsafeRawBufferPointer(start: nil, count: 0), begins: false)
    }

    /// Gives `bytes` to the connection, behind those that it has not taken, and acts on what it tells.
    private mutating func feed(_ id: SlotID, _ connection: ConnectionPointer, _ bytes: UnsafeRawBufferPointer) {
        if unsafe connection.pointee.input.isEmpty {
            let taken = unsafe pass(id, connection, bytes)
            if taken < bytes.count { unsafe connection.pointee.input.append(UnsafeRawBufferPointer(rebasing: bytes[taken...])) }
        } else {
            unsafe connection.pointee.input.append(bytes)
            let taken = unsafe pass(id, connection, connection.pointee.input.readable)
            unsafe connection.pointee.input.consume(taken)
        }
        if unsafe connection.pointee.input.isEmpty { unsafe connection.pointee.input.clear(keeping: 0) }
        unsafe connection.pointee.isParked = unsafe !connection.pointee.input.isEmpty && !connection.pointee.http.wantsRead
        let isPartial = unsafe !connection.pointee.input.isEmpty && !connection.pointee.isParked && connection.pointee.http.isAtHead
        if !isPartial {
            unsafe connection.pointee.headBeganAt = nil
        } else if unsafe connection.pointee.headBeganAt == nil {
            // From the first byte: a client that sends one byte now and then would otherwise stay for ever.
            unsafe connection.pointee.headBeganAt = now
            setTimer(id, at: now + limits.headerTimeoutNanoseconds)
        }
    }

    /// Returns how many of the bytes were taken.
    private mutating func pass(_ id: SlotID, _ connection: ConnectionPointer, _ bytes: UnsafeRawBufferPointer) -> Int {
        var offset = 0
        while offset < bytes.count, unsafe !connection.pointee.isClosed && !connection.pointee.isEnding {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            let (taken, outcome) = unsafe connection.pointee.http.receive(rest, now: now)
            // Resets that these bytes have earned go out first: a request that broke a rule in the same breath is then gone before it was
            // begun (CVE-2025-8671).
            if unsafe connection.pointee.output.count < limits.writeBytesMax {
                unsafe _ = connection.pointee.http.fill(&connection.pointee.output, bytesMax: limits.writeBytesMax)
            }
            offset += taken
            switch outcome {
            case .fine: unsafe takeEvents(id, connection, rest, begins: true)
            case .ended(let flooded):
                unsafe takeEvents(id, connection, rest, begins: false)
                if flooded { statistics.add(statistics.floods) }
                unsafe connection.pointee.isEnding = true
            case .refused(let refusal):
                unsafe takeEvents(id, connection, rest, begins: true)
                unsafe answer(connection, refusal)
            }
            if taken == 0 { break }
        }
        return unsafe connection.pointee.isClosed || connection.pointee.isEnding ? bytes.count : offset
    }

    /// `begins`: false where new requests would not be answered any more.
    mutating func takeEvents(
        _ id: SlotID, _ connection: ConnectionPointer, _ bytes: UnsafeRawBufferPointer, begins: Bool
    ) {
        var index = 0
        while unsafe index < inbox.pointee.events.count && !connection.pointee.isClosed {
            let event = unsafe inbox.pointee.events[index]
            index += 1
            // A request's later events may have come in before it had its exchange.
            let exchange = unsafe slot(event.token != 0 ? event.token : connection.pointee.http.token(stream: event.stream))
            switch event.kind {
            case .head:
                let block = unsafe inbox.pointee.block(of: event)
                if block.isRequest {
                    if begins { unsafe begin(id, connection, event.stream, block) }
                } else {
                    keepTrailers(exchange, block)
                }
            case .data:
                let start = Int(event.start)
                unsafe connection.pointee.http.consume(Int(event.count), stream: event.stream)
                unsafe takeBody(exchange, connection, UnsafeRawBufferPointer(rebasing: bytes[start..<start + Int(event.count)]))
            case .end: unsafe requestEnded(exchange, connection)
            case .closed: finish(exchange)
            case .goAway: break
            }
        }
        unsafe inbox.pointee.clear()
    }

    // MARK: A request's beginning

    private mutating func begin(_ id: SlotID, _ connection: ConnectionPointer, _ stream: Int32, _ block: HTTP2Block) {
        // Reset in the same breath (CVE-2023-44487): nothing was begun, so nothing need be undone.
        guard unsafe connection.pointee.http.isOpen(stream: stream) else { return }
        statistics.add(statistics.requestsTotal)
        unsafe connection.pointee.headBeganAt = nil
        guard let exchangeID = exchanges.insert(ServiceExchange(connection: id, stream: stream, now: now)) else {
            unsafe answer(connection, HTTP1Connection.Refusal(stream: stream, status: 503, reason: "too many requests at once; try again"))
            return
        }
        guard let exchange = unsafe exchanges.pointer(exchangeID) else { return }
        unsafe connection.pointee.exchanges.append(exchangeID)
        unsafe connection.pointee.http.attach(token: token(exchangeID), stream: stream)
        unsafe swap(&exchange.pointee.body, &connection.pointee.spareBody)
        unsafe head.load(block, from: inbox.pointee)
        unsafe exchange.pointee.method = String(decoding: head.method, as: UTF8.self)
        if block.isTooLarge { return refuse(exchangeID, 431, "\(HeadError.headTooLarge.reason)") }
        guard let target = unsafe RequestTarget.parse(head.target, method: head.method), target.form == .origin || target.form == .absolute else {
            return refuse(exchangeID, 400, "malformed request target (RFC 9112 3.2)")
        }
        unsafe exchange.pointee.path = target.path.isEmpty ? "/" : String(decoding: head.target[target.path], as: UTF8.self)
        unsafe exchange.pointee.query = target.query.isEmpty ? "" : String(decoding: head.target[target.query].dropFirst(), as: UTF8.self)
        unsafe exchange.pointee.fields = fields()
        unsafe open(exchangeID, exchange, connection, endsStream: block.endsStream)
    }

    private func fields() -> [(name: String, value: String)] {
        (0..<head.fieldCount).map { index in
            let name = unsafe String(decoding: head.name(at: index), as: UTF8.self)
            return unsafe (name.lowercased(), String(decoding: head.value(at: index), as: UTF8.self))
        }
    }

    /// Asks the handler what to do about the body, and the client for it where it waits to be asked.
    private mutating func open(
        _ id: SlotID, _ exchange: ExchangePointer, _ connection: ConnectionPointer, endsStream: Bool
    ) {
        let length = head.contentLength ?? 0
        let expects = unsafe head.value(of: .expect).map { unsafe ASCII.equal($0, ignoringCase: "100-continue") } ?? false
        let request = unsafe request(exchange, connection, UnsafeRawBufferPointer(start: nil, count: 0))
        switch handler.open(request) {
        case .collect: break
        case .read(let reader): unsafe exchange.pointee.reader = reader
        case .respond(let response): return respond(id, response)
        }
        if length > UInt64(limits.bodyBytesMax) {
            return refuse(id, 413, "the body has \(length) bytes; \(limits.bodyBytesMax) are accepted")
        }
        // One allocation of the right size, but never on the word of a client that has sent next to nothing.
        if unsafe length > 0 && exchange.pointee.reader == nil {
            unsafe _ = exchange.pointee.body.reserve(min(Int(clamping: length), 1 << 20))
        }
        if !endsStream {
            if expects { unsafe connection.pointee.http.submitContinue(stream: exchange.pointee.stream) }
            unsafe setTimer(exchange.pointee.connection, at: now + limits.stallTimeoutNanoseconds)
        }
    }

    private func request(
        _ exchange: ExchangePointer, _ connection: ConnectionPointer, _ body: UnsafeRawBufferPointer
    ) -> ServiceRequest {
        unsafe ServiceRequest(
            method: exchange.pointee.method, path: exchange.pointee.path, query: exchange.pointee.query,
            listener: connection.pointee.listener, peer: connection.pointee.peer, isHTTP2: connection.pointee.http.isHTTP2,
            fields: exchange.pointee.fields, trailerFields: exchange.pointee.trailers, bytes: body)
    }

    // MARK: Its body and end

    private mutating func takeBody(_ id: SlotID, _ connection: ConnectionPointer, _ bytes: UnsafeRawBufferPointer) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe exchange.pointee.phase == .receiving else { return }
        unsafe exchange.pointee.activeAt = now
        if let reader = unsafe exchange.pointee.reader {
            if let response = unsafe reader.receive(bytes) { return respond(id, response) }
            return unsafe count(id, exchange, connection, reader.heldBytes)
        }
        if unsafe exchange.pointee.body.count + bytes.count > limits.bodyBytesMax {
            return refuse(id, 413, "the body is too large; \(limits.bodyBytesMax) bytes are accepted")
        }
        unsafe exchange.pointee.body.append(bytes)
        unsafe count(id, exchange, connection, exchange.pointee.body.count)
    }

    /// Counts the bytes held for a body, and refuses it when they are too many together with others'.
    private mutating func count(
        _ id: SlotID, _ exchange: ExchangePointer, _ connection: ConnectionPointer, _ held: Int
    ) {
        let more = unsafe held - exchange.pointee.countedBytes
        unsafe exchange.pointee.countedBytes = held
        unsafe connection.pointee.bodyBytes += more
        bodyBytes += more
        if held > limits.bodyBytesMax {
            refuse(id, 413, "the body is too large; \(limits.bodyBytesMax) bytes are accepted")
        } else if unsafe bodyBytes > limits.bodiesBytesMax || connection.pointee.bodyBytes > limits.connectionBodiesBytesMax {
            refuse(id, 503, "too many request bodies at once; try again", headers: [("Retry-After", "1")])
        }
    }

    private mutating func keepTrailers(_ id: SlotID, _ block: HTTP2Block) {
        guard let exchange = unsafe exchanges.pointer(id), unsafe exchange.pointee.phase == .receiving else { return }
        unsafe head.load(block, from: inbox.pointee)
        if block.isTooLarge { return refuse(id, 431, "\(HeadError.headTooLarge.reason)") }
        unsafe exchange.pointee.trailers = fields()
    }

    private mutating func requestEnded(_ id: SlotID, _ connection: ConnectionPointer) {
        guard let exchange = unsafe exchanges.pointer(id) else { return }
        unsafe exchange.pointee.isReceived = true
        guard unsafe exchange.pointee.phase == .receiving else { return }
        unsafe exchange.pointee.phase = .handling
        let responder = unsafe Responder(mailbox: mailbox, request: id, presence: exchange.pointee.presence)
        let outcome: ServiceOutcome
        if let reader = unsafe exchange.pointee.reader {
            outcome = reader.end(responder)
        } else {
            let request = unsafe request(exchange, connection, exchange.pointee.body.readable)
            outcome = handler.handle(request, responder)
        }
        unsafe bodyBytes -= forgetBody(exchange, connection)
        if case .respond(let response) = outcome {
            responder.settle()
            respond(id, response)
        }
    }

    /// Gives back what a body took; returns how many bytes were counted for it.
    func forgetBody(_ exchange: ExchangePointer, _ connection: ConnectionPointer) -> Int {
        let counted = unsafe exchange.pointee.countedBytes
        unsafe connection.pointee.bodyBytes -= counted
        unsafe exchange.pointee.countedBytes = 0
        unsafe exchange.pointee.reader = nil
        unsafe exchange.pointee.body.clear(keeping: limits.bodyBytesKept)
        if unsafe exchange.pointee.body.capacity > connection.pointee.spareBody.capacity {
            unsafe swap(&exchange.pointee.body, &connection.pointee.spareBody)
        }
        return counted
    }

    /// The request and its answer are done with, or the client has taken the request back.
    mutating func finish(_ id: SlotID) {
        guard let (_, connection) = unsafe both(id) else { return }
        if let index = unsafe connection.pointee.exchanges.firstIndex(of: id) { unsafe connection.pointee.exchanges.remove(at: index) }
        release(id)
    }

    mutating func release(_ id: SlotID) {
        guard let (exchange, connection) = unsafe both(id) else { return }
        unsafe bodyBytes -= forgetBody(exchange, connection)
        unsafe connection.pointee.answerBytes -= exchange.pointee.answerBytes
        unsafe exchange.pointee.presence.leave()
        exchanges.remove(id)
    }
}
