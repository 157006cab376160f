internal import EventLoops
internal import HTTP
internal import Primitives
internal import Synchronization

/// Requests coming in: read, collected, handed to the handler.
extension ServiceLoop {
    /// Reads and serves as long as there is something and somebody to serve it.
    mutating func proceed(_ id: SlotID) {
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        var reads = 0
        unsafe serve(id, connection)
        while unsafe connection.pointee.isReadable && !connection.pointee.isClosed && canRead(connection) {
            if reads == limits.readsPerTurnMax {
                resumed.append(id)
                return
            }
            reads += 1
            switch unsafe Socket.read(connection.pointee.fd, into: scratch) {
            case .bytes(let count):
                if unsafe connection.pointee.isLingering {
                    unsafe connection.pointee.lingeredBytes += count
                    if unsafe connection.pointee.lingeredBytes > 1 << 20 { close(id) }
                    continue
                }
                if unsafe count < limits.readBytes && !connection.pointee.sawHangUp { unsafe connection.pointee.isReadable = false }
                let bytes = unsafe UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(scratch)[..<count])
                // Body bytes skip the input buffer.
                var used = 0
                if unsafe connection.pointee.state == .body && connection.pointee.input.isEmpty {
                    used = unsafe takeBody(id, connection, bytes)
                    if used < 0 { continue }
                }
                if used < count { unsafe connection.pointee.input.append(UnsafeRawBufferPointer(rebasing: bytes[used...])) }
                unsafe serve(id, connection)
            case .wouldBlock:
                unsafe connection.pointee.isReadable = false
            case .endOfStream:
                unsafe connection.pointee.isReadable = false
                unsafe connection.pointee.isEndOfStream = true
                let isAnswering = unsafe connection.pointee.state == .handling || !connection.pointee.output.isEmpty
                if isAnswering { unsafe connection.pointee.keepsAlive = false } else { close(id) }
            case .failed:
                close(id)
            }
        }
    }

    private func canRead(_ connection: UnsafeMutablePointer<ServiceConnection>) -> Bool {
        switch unsafe connection.pointee.state {
        case .head, .body: true
        case .closing: unsafe connection.pointee.isLingering
        // While a request is handled the next may wait in the kernel; a streamed answer watches for its reader leaving.
        case .handling: false
        case .streaming: true
        }
    }

    /// Parses what is in `input` until more is needed or a request is being handled.
    private mutating func serve(_ id: SlotID, _ connection: UnsafeMutablePointer<ServiceConnection>) {
        while unsafe !connection.pointee.isClosed && !connection.pointee.input.isEmpty {
            switch unsafe connection.pointee.state {
            case .head:
                guard unsafe takeHead(id, connection) else { return }
            case .body:
                let used = unsafe takeBody(id, connection, connection.pointee.input.readable)
                if used < 0 { return }
                if unsafe connection.pointee.isClosed { return }
                unsafe connection.pointee.input.consume(used)
                if used == 0 { return }
            case .streaming:
                // A reader of a stream has nothing more to ask.
                unsafe connection.pointee.input.clear()
                return
            case .handling, .closing:
                return
            }
        }
    }

    /// Parses a head; false when more bytes are needed or the request was refused.
    private mutating func takeHead(_ id: SlotID, _ connection: UnsafeMutablePointer<ServiceConnection>) -> Bool {
        switch unsafe HeadParser.parseRequest(connection.pointee.input.readable, scan: &connection.pointee.scan, limits: limits.http, into: &head) {
        case .incomplete:
            // From the first byte: a client that sends one byte now and then would otherwise stay for ever.
            if unsafe !connection.pointee.isHeadBegun {
                unsafe connection.pointee.isHeadBegun = true
                setDeadline(id, after: limits.headerTimeoutNanoseconds)
            }
            return false
        case .failed(let error):
            // Nothing is known of what was asked, whatever the request before was.
            unsafe connection.pointee.isHEAD = false
            refuse(id, error.status, "\(error.reason)")
            return false
        case .complete:
            break
        }
        statistics.add(statistics.requestsTotal)
        unsafe connection.pointee.scan = HeadScan()
        unsafe connection.pointee.isHeadBegun = false
        let method = unsafe String(decoding: head.method, as: UTF8.self)
        unsafe connection.pointee.isHEAD = method == "HEAD"
        guard let target = unsafe RequestTarget.parse(head.target, method: head.method), target.form == .origin || target.form == .absolute else {
            refuse(id, 400, "malformed request target (RFC 9112 3.2)")
            return false
        }
        unsafe connection.pointee.method = method
        unsafe connection.pointee.path = target.path.isEmpty ? "/" : String(decoding: head.target[target.path], as: UTF8.self)
        unsafe connection.pointee.query = target.query.isEmpty ? "" : String(decoding: head.target[target.query].dropFirst(), as: UTF8.self)
        unsafe connection.pointee.fields.removeAll(keepingCapacity: true)
        for index in 0..<head.fieldCount {
            unsafe connection.pointee.fields.append(
                (String(decoding: head.name(at: index), as: UTF8.self).lowercased(), String(decoding: head.value(at: index), as: UTF8.self)))
        }
        unsafe connection.pointee.isHTTP10 = head.minorVersion == 0
        unsafe connection.pointee.keepsAlive = head.keepsAlive && !isDraining
        unsafe connection.pointee.framing = BodyFraming.request(head)
        unsafe connection.pointee.decoder = ChunkedDecoder()
        unsafe connection.pointee.isInTrailers = false
        unsafe connection.pointee.body.clear(keeping: limits.bodyBytesKept)
        if case .length(let length) = unsafe connection.pointee.framing {
            unsafe connection.pointee.remaining = length
            if length > UInt64(limits.bodyBytesMax) {
                refuse(id, 413, "the body has \(length) bytes; \(limits.bodyBytesMax) are accepted")
                return false
            }
        }
        let hasBody = unsafe connection.pointee.framing != .none
        // An HTTP/1.0 client does not know 1xx and would take it for the answer (RFC 9110 10.1.1).
        let expects = unsafe head.minorVersion > 0 && head.value(of: .expect).map { unsafe ASCII.equal($0, ignoringCase: "100-continue") } ?? false
        unsafe connection.pointee.input.consume(head.byteCount)
        if hasBody {
            unsafe connection.pointee.state = .body
            setDeadline(id, after: limits.stallTimeoutNanoseconds)
            if expects {
                unsafe connection.pointee.output.append("HTTP/1.1 100 Continue\r\n\r\n")
                flush(id)
            }
        } else {
            unsafe handle(id, connection)
        }
        return true
    }

    /// Takes body bytes; hands the request over when they are all there. Returns how many were used, -1 when the request was refused.
    private mutating func takeBody(
        _ id: SlotID, _ connection: UnsafeMutablePointer<ServiceConnection>, _ bytes: UnsafeRawBufferPointer
    ) -> Int {
        setDeadline(id, after: limits.stallTimeoutNanoseconds)
        var offset = 0
        if case .length = unsafe connection.pointee.framing {
            let count = Int(min(UInt64(bytes.count), unsafe connection.pointee.remaining))
            guard unsafe keep(id, connection, UnsafeRawBufferPointer(rebasing: bytes[..<count])) else { return -1 }
            unsafe connection.pointee.remaining -= UInt64(count)
            if unsafe connection.pointee.remaining == 0 { unsafe handle(id, connection) }
            return count
        }
        while offset < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[offset...])
            if unsafe connection.pointee.isInTrailers {
                switch unsafe HeadParser.parseTrailers(rest, scan: &connection.pointee.trailerScan, limits: limits.http, into: &head) {
                case .incomplete: return offset
                case .failed(let error):
                    refuse(id, error.status, "\(error.reason)")
                    return -1
                case .complete:
                    unsafe handle(id, connection)
                    return offset + head.byteCount
                }
            }
            let (consumed, event) = unsafe connection.pointee.decoder.next(rest, limits: limits.http)
            offset += consumed
            switch event {
            case .needMore: return offset
            case .data(let count):
                guard unsafe keep(id, connection, UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])) else { return -1 }
                offset += count
            case .trailers:
                unsafe connection.pointee.isInTrailers = true
                unsafe connection.pointee.trailerScan = HeadScan()
            case .malformed:
                refuse(id, 400, "malformed chunk (RFC 9112 7.1)")
                return -1
            }
        }
        return offset
    }

    private mutating func keep(
        _ id: SlotID, _ connection: UnsafeMutablePointer<ServiceConnection>, _ bytes: UnsafeRawBufferPointer
    ) -> Bool {
        if unsafe connection.pointee.body.count + bytes.count > limits.bodyBytesMax {
            refuse(id, 413, "the body is too large; \(limits.bodyBytesMax) bytes are accepted")
            return false
        }
        if bodyBytes + bytes.count > limits.bodiesBytesMax {
            refuse(id, 503, "too many request bodies at once; try again", headers: [("Retry-After", "1")])
            return false
        }
        if unsafe connection.pointee.body.isEmpty, case .length(let length) = unsafe connection.pointee.framing {
            // One allocation of the right size, but never on the word of a client that has sent next to nothing.
            _ = unsafe connection.pointee.body.reserve(min(Int(length), 1 << 20))
        }
        unsafe connection.pointee.body.append(bytes)
        unsafe connection.pointee.countedBytes += bytes.count
        bodyBytes += bytes.count
        return true
    }

    private mutating func handle(_ id: SlotID, _ connection: UnsafeMutablePointer<ServiceConnection>) {
        unsafe connection.pointee.state = .handling
        let request = unsafe ServiceRequest(
            method: connection.pointee.method, path: connection.pointee.path, query: connection.pointee.query,
            listener: connection.pointee.listener, peer: connection.pointee.peer, fields: connection.pointee.fields,
            bytes: connection.pointee.body.readable)
        let responder = unsafe Responder(
            mailbox: mailbox, request: RequestID(connection: id, number: connection.pointee.requestNumber), presence: connection.pointee.presence)
        let outcome = handler.handle(request, responder)
        unsafe bodyBytes -= connection.pointee.countedBytes
        unsafe connection.pointee.countedBytes = 0
        unsafe connection.pointee.body.clear(keeping: limits.bodyBytesKept)
        if case .respond(let response) = outcome {
            responder.settle()
            respond(id, response)
        }
    }
}
