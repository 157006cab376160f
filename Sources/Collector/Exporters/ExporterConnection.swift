internal import EventLoops
internal import Glibc
internal import HTTP
internal import Primitives

/// An HTTP/1.1 connection to a server that takes telemetry: one POST at a time, with a deadline for everything.
///
/// Confined to its exporter's thread, which it makes wait (on the socket and on `wake`).
struct ExporterConnection: ~Copyable {
    enum Failure: Error {
        /// Nobody answers at any address of the name.
        case connect(String)
        /// The connection broke, or the answer was no HTTP.
        case broken(String)
        case timedOut
    }

    struct Answer {
        var status: UInt16
        /// Of a `Retry-After` in seconds; dates are ignored.
        var retryAfterSeconds: UInt64?
    }

    let host: String
    let port: UInt16
    private var descriptor: Int32 = -1
    /// Which of the name's addresses to try first: the next one after a failure.
    private var firstAddress = 0
    private var input = ByteBuffer()
    private var head = MessageHead()
    private let limits = HTTPLimits()
    /// Answers have a few bytes; a larger body is not read, and costs the connection.
    static let bodyBytesMax = 1 << 20

    init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    deinit { if descriptor >= 0 { Socket.close(descriptor) } }

    mutating func disconnect() {
        if descriptor >= 0 { Socket.close(descriptor) }
        descriptor = -1
        input.release()
    }

    /// Sends the pieces of one request and reads its answer. `deadline` is asked again and again, because a shutdown shortens it.
    mutating func exchange(
        _ head: [UInt8], _ body: [UInt8], connectDeadline: MonotonicInstant, deadline: () -> MonotonicInstant
    ) throws(Failure) -> Answer {
        let isReused = descriptor >= 0
        do throws(Failure) {
            return try attempt(head, body, connectDeadline, deadline)
        } catch {
            disconnect()
            // A kept connection may have been closed by the server at any time before this: that is no failure of the server.
            guard isReused, case .broken = error else { throw error }
        }
        do throws(Failure) {
            return try attempt(head, body, connectDeadline, deadline)
        } catch {
            disconnect()
            throw error
        }
    }

    private mutating func attempt(
        _ head: [UInt8], _ body: [UInt8], _ connectDeadline: MonotonicInstant, _ deadline: () -> MonotonicInstant
    ) throws(Failure) -> Answer {
        if descriptor < 0 { try connect(until: min(connectDeadline, deadline())) }
        input.clear()
        try send(head, deadline)
        try send(body, deadline)
        return try receive(deadline)
    }

    private mutating func connect(until deadline: MonotonicInstant) throws(Failure) {
        // Resolved for every connection, so that a server that moved is found.
        let addresses: [SocketEndpoint]
        switch Resolver.addresses(of: host, port: port) {
        case .success(let found): addresses = found
        case .failure(let error): throw .connect(error.description)
        }
        var reason = "no address"
        for step in addresses.indices {
            let address = addresses[(firstAddress + step) % addresses.count]
            do throws(SystemError) {
                let fd = try Socket.connect(to: address)
                let isReady = wait(fd, POLLOUT, until: deadline)
                // Asking takes the error away: once only.
                let code = Socket.pendingError(fd)
                if isReady, code == 0 {
                    descriptor = fd
                    firstAddress = (firstAddress + step) % addresses.count
                    return
                }
                reason = "\(address): \(code == 0 ? "no answer in time" : SystemError(call: "connect", code: code).description)"
                Socket.close(fd)
            } catch {
                reason = "\(address): \(error)"
            }
        }
        firstAddress &+= 1
        throw .connect(reason)
    }

    private func send(_ bytes: [UInt8], _ deadline: () -> MonotonicInstant) throws(Failure) {
        var sent = 0
        while sent < bytes.count {
            let result = unsafe bytes.withUnsafeBytes { unsafe Socket.write(descriptor, UnsafeRawBufferPointer(rebasing: $0[sent...])) }
            switch result {
            case .bytes(let count): sent += count
            case .wouldBlock: guard wait(descriptor, POLLOUT, deadline) else { throw .timedOut }
            case .endOfStream: throw .broken("the server closed the connection")
            case .failed(let code): throw .broken(SystemError(call: "send", code: code).description)
            }
        }
    }

    private mutating func receive(_ deadline: () -> MonotonicInstant) throws(Failure) -> Answer {
        while true {
            var scan = HeadScan()
            while true {
                let result = unsafe HeadParser.parseResponse(input.readable, scan: &scan, limits: limits, into: &head)
                if result == .complete { break }
                if case .failed(let error) = result { throw .broken("malformed answer: \(error.reason)") }
                guard try fill(deadline) else { throw .broken("the server closed the connection before its answer") }
            }
            let status = head.statusCode
            let keepsAlive = head.keepsAlive
            let framing = BodyFraming.response(head, toHEAD: false)
            let answer = Answer(status: status, retryAfterSeconds: retryAfter())
            input.consume(head.byteCount)
            if status < 200 { continue }
            let isWhole = try discardBody(framing, deadline)
            if !keepsAlive || !isWhole || !input.isEmpty { disconnect() }
            return answer
        }
    }

    private func retryAfter() -> UInt64? {
        for index in 0..<head.fieldCount {
            guard unsafe String(decoding: head.name(at: index), as: UTF8.self).lowercased() == "retry-after" else { continue }
            return unsafe UInt64(String(decoding: head.value(at: index), as: UTF8.self))
        }
        return nil
    }

    /// False when the body has not been read to its end and the connection is of no further use.
    private mutating func discardBody(_ framing: BodyFraming, _ deadline: () -> MonotonicInstant) throws(Failure) -> Bool {
        switch framing {
        case .none: return true
        case .untilClose: return false
        case .length(let length):
            guard length <= UInt64(Self.bodyBytesMax) else { return false }
            var left = Int(length)
            while true {
                let taken = min(left, input.count)
                input.consume(taken)
                left -= taken
                if left == 0 { return true }
                guard try fill(deadline) else { return false }
            }
        case .chunked:
            var decoder = ChunkedDecoder()
            var bodyBytes = 0
            while bodyBytes <= Self.bodyBytesMax {
                let (consumed, event) = unsafe decoder.next(input.readable, limits: limits)
                input.consume(consumed)
                switch event {
                case .needMore: guard try fill(deadline) else { return false }
                case .data(let count):
                    input.consume(count)
                    bodyBytes += count
                case .trailers:
                    var scan = HeadScan()
                    while true {
                        let result = unsafe HeadParser.parseTrailers(input.readable, scan: &scan, limits: limits, into: &head)
                        if case .failed = result { return false }
                        if result == .complete { break }
                        guard try fill(deadline) else { return false }
                    }
                    input.consume(head.byteCount)
                    return true
                case .malformed: return false
                }
            }
            return false
        }
    }

    /// Reads more into `input`; false at the end of the stream.
    private mutating func fill(_ deadline: () -> MonotonicInstant) throws(Failure) -> Bool {
        let piece = 16 * 1024
        while true {
            let room = unsafe UnsafeMutableRawBufferPointer(start: input.reserve(piece), count: piece)
            switch unsafe Socket.read(descriptor, into: room) {
            case .bytes(let count):
                input.commit(count)
                return true
            case .endOfStream: return false
            case .wouldBlock: guard wait(descriptor, POLLIN, deadline) else { throw .timedOut }
            case .failed(let code): throw .broken(SystemError(call: "recv", code: code).description)
            }
        }
    }

    /// Waits in slices, because `deadline` may come nearer while we wait.
    private func wait(_ fd: Int32, _ events: Int32, _ deadline: () -> MonotonicInstant) -> Bool {
        while true {
            let now = SystemClock.monotonicNow()
            let end = deadline()
            if now >= end { return false }
            if wait(fd, events, until: min(end, now + 50_000_000)) { return true }
        }
    }

    private func wait(_ fd: Int32, _ events: Int32, until deadline: MonotonicInstant) -> Bool {
        while true {
            var waiting = pollfd(fd: fd, events: Int16(events), revents: 0)
            let left = deadline.nanoseconds(since: SystemClock.monotonicNow())
            if unsafe poll(&waiting, 1, left == 0 ? 0 : Int32(clamping: left / 1_000_000 + 1)) > 0 { return true }
            if left == 0 { return false }
        }
    }
}
