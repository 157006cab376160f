internal import EventLoops
internal import HTTP
internal import Primitives
internal import Synchronization

/// Answers going out: whole, streamed, or refusals.
extension ServiceLoop {
    mutating func respond(_ id: SlotID, _ response: ServiceResponse) {
        guard let connection = unsafe connections.pointer(id), unsafe connection.pointee.state == .handling else { return }
        // The client shall not send its next request into a closed connection.
        if isDraining { unsafe connection.pointee.keepsAlive = false }
        unsafe writeHead(connection, response, isStreamed: false)
        // Bytes behind an answer that has no body would be read as the next answer (RFC 9112 6.3).
        let hasBody = unsafe !connection.pointee.isHEAD && response.status != 204 && response.status != 304
        if hasBody { unsafe response.body.withUnsafeBytes { unsafe connection.pointee.output.append($0) } }
        unsafe answered(id, connection)
    }

    private func writeHead(_ connection: UnsafeMutablePointer<ServiceConnection>, _ response: ServiceResponse, isStreamed: Bool) {
        unsafe connection.pointee.output.append("HTTP/1.1 ")
        unsafe connection.pointee.output.append(decimal: UInt64(response.status))
        unsafe connection.pointee.output.append(string: " \(ServiceLoop.reason(response.status))\r\n")
        for header in response.headers { unsafe connection.pointee.output.append(string: "\(header.name): \(header.value)\r\n") }
        if isStreamed {
            if unsafe !connection.pointee.isHTTP10 { unsafe connection.pointee.output.append("Transfer-Encoding: chunked\r\n") }
        } else if response.status != 204 && response.status != 304 {
            unsafe connection.pointee.output.append("Content-Length: ")
            unsafe connection.pointee.output.append(decimal: UInt64(response.body.count))
            unsafe connection.pointee.output.append("\r\n")
        }
        if unsafe !connection.pointee.keepsAlive {
            unsafe connection.pointee.output.append("Connection: close\r\n")
        } else if unsafe connection.pointee.isHTTP10 {
            unsafe connection.pointee.output.append("Connection: keep-alive\r\n")
        }
        unsafe connection.pointee.output.append("\r\n")
    }

    /// The answer is in `output`: write it and go on with the connection.
    private mutating func answered(_ id: SlotID, _ connection: UnsafeMutablePointer<ServiceConnection>) {
        unsafe connection.pointee.requestNumber += 1
        if unsafe connection.pointee.keepsAlive && !isDraining {
            unsafe connection.pointee.state = .head
            setDeadline(id, after: limits.idleTimeoutNanoseconds)
            unsafe connection.pointee.isReadable = true
            resumed.append(id)
        } else {
            unsafe connection.pointee.state = .closing
            setDeadline(id, after: limits.stallTimeoutNanoseconds)
        }
        flush(id)
    }

    mutating func flush(_ id: SlotID) {
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        while unsafe !connection.pointee.output.isEmpty {
            let piece = unsafe UnsafeRawBufferPointer(rebasing: connection.pointee.output.readable.prefix(limits.writeBytesMax))
            switch unsafe Socket.write(connection.pointee.fd, piece) {
            case .bytes(let count):
                unsafe connection.pointee.output.consume(count)
                if unsafe connection.pointee.state == .closing { setDeadline(id, after: limits.stallTimeoutNanoseconds) }
            case .wouldBlock: return
            case .endOfStream, .failed:
                close(id)
                return
            }
        }
        unsafe connection.pointee.output.clear(keeping: 16 * 1024)
        if unsafe connection.pointee.state == .closing && !connection.pointee.isLingering {
            if unsafe connection.pointee.isEndOfStream {
                close(id)
                return
            }
            // Closing on unread bytes would reset the connection and destroy the answer.
            unsafe connection.pointee.isLingering = true
            unsafe connection.pointee.isReadable = true
            unsafe Socket.shutdownWrite(connection.pointee.fd)
            setDeadline(id, after: 2_000_000_000)
            resumed.append(id)
        }
    }

    /// Answers a request that will not be read further, and closes.
    mutating func refuse(_ id: SlotID, _ status: UInt16, _ reason: String, headers: [(name: String, value: String)] = []) {
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        statistics.add(statistics.requestsRefused)
        unsafe bodyBytes -= connection.pointee.countedBytes
        unsafe connection.pointee.countedBytes = 0
        unsafe connection.pointee.body.release()
        unsafe connection.pointee.input.release()
        unsafe connection.pointee.keepsAlive = false
        unsafe connection.pointee.state = .handling
        respond(id, .text(status, reason, headers: headers))
    }

    /// The last responder went without an answer. A stream that has begun cannot become an error any more: it breaks off.
    mutating func abandon(_ id: SlotID) {
        guard let connection = unsafe connections.pointer(id), unsafe !connection.pointee.isClosed else { return }
        statistics.add(statistics.requestsAbandoned)
        if unsafe connection.pointee.state == .streaming {
            close(id)
        } else {
            respond(id, .text(500, "the request was given up without an answer"))
        }
    }

    // MARK: Streams

    mutating func beginStream(_ id: SlotID, _ response: ServiceResponse) {
        guard let connection = unsafe connections.pointer(id), unsafe connection.pointee.state == .handling else { return }
        unsafe connection.pointee.keepsAlive = unsafe connection.pointee.keepsAlive && !connection.pointee.isHTTP10
        unsafe writeHead(connection, response, isStreamed: true)
        unsafe connection.pointee.state = .streaming
        unsafe connection.pointee.isReadable = true
        resumed.append(id)
        flush(id)
    }

    mutating func writeStream(_ id: SlotID, _ bytes: [UInt8]) {
        guard let connection = unsafe connections.pointer(id), unsafe connection.pointee.state == .streaming, !bytes.isEmpty else { return }
        if unsafe connection.pointee.output.count + bytes.count > limits.streamBacklogBytesMax {
            statistics.add(statistics.streamsCut)
            close(id)
            return
        }
        let isChunked = unsafe !connection.pointee.isHTTP10
        if isChunked {
            unsafe connection.pointee.output.append(hexadecimal: UInt64(bytes.count))
            unsafe connection.pointee.output.append("\r\n")
        }
        unsafe bytes.withUnsafeBytes { unsafe connection.pointee.output.append($0) }
        if isChunked { unsafe connection.pointee.output.append("\r\n") }
        flush(id)
    }

    mutating func endStream(_ id: SlotID) {
        guard let connection = unsafe connections.pointer(id), unsafe connection.pointee.state == .streaming else { return }
        if unsafe !connection.pointee.isHTTP10 { unsafe connection.pointee.output.append("0\r\n\r\n") }
        unsafe answered(id, connection)
    }

    static func reason(_ status: UInt16) -> String {
        switch status {
        case 200: "OK"
        case 202: "Accepted"
        case 204: "No Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 304: "Not Modified"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 503: "Service Unavailable"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}
