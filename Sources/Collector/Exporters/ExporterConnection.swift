internal import EventLoops
internal import Glibc
internal import HTTP
internal import HTTPService
internal import Primitives

/// A connection to a server that takes telemetry: one POST at a time over HTTP/1.1, with a deadline for everything, TLS' handshake
/// included. It is kept from one to
/// the next where the server keeps it.
///
/// Confined to its exporter's thread, which it makes wait.
struct ExporterConnection: ~Copyable {
    enum Failure: Error {
        /// Nobody answers at any address of the name.
        case connect(String)
        /// The connection broke, or the answer was no HTTP.
        case broken(String)
        case timedOut
    }

    struct Answer {
        var status: UInt16 = 0
        /// Of a `Retry-After` in seconds; dates are ignored.
        var retryAfterSeconds: UInt64?
        /// Where it was asked for and came whole.
        var body: [UInt8] = []
    }

    /// Keep the bodies of answers.
    var readsAnswers = false

    let host: String
    let port: UInt16
    /// Nil = plaintext.
    let tls: ClientTLS?
    private let contexts = ClientContexts()
    private var connection: BlockingConnection?
    /// Which of the name's addresses to try first: the next one after a failure.
    private var firstAddress = 0
    /// Answers have a few bytes; a larger body is not read, and costs the connection.
    static let bodyBytesMax = 1 << 20

    init(host: String, port: UInt16, tls: ClientTLS?) {
        self.host = host
        self.port = port
        self.tls = tls
    }

    mutating func disconnect() { connection = nil }

    /// Sends one request and reads its answer. `deadline` is asked again and again, because a shutdown shortens it.
    mutating func exchange(
        _ request: BlockingRequest, connectDeadline: MonotonicInstant, deadline: () -> MonotonicInstant
    ) throws(Failure) -> Answer {
        let isReused = connection != nil
        do throws(Failure) {
            return try attempt(request, connectDeadline, deadline)
        } catch {
            // A kept connection may have been closed by the server at any time before this: that is no failure of the server.
            guard isReused, case .broken = error else { throw error }
        }
        return try attempt(request, connectDeadline, deadline)
    }

    /// The connection is kept only after a whole answer.
    private mutating func attempt(
        _ request: BlockingRequest, _ connectDeadline: MonotonicInstant, _ deadline: () -> MonotonicInstant
    ) throws(Failure) -> Answer {
        var used = if let kept = connection.take() { kept } else { try connect(until: min(connectDeadline, deadline())) }
        func wait(_ descriptor: Int32, _ direction: BlockingConnection.Direction) -> Bool { Self.wait(descriptor, direction, deadline) }
        do throws(BlockingConnection.Failure) {
            try used.send(request, wait: wait)
        } catch {
            throw Self.failure(error, "the server closed the connection")
        }
        var answer: Answer?
        var bodyBytes = 0
        var kept: [UInt8] = []
        let readsAnswers = readsAnswers
        do throws(BlockingConnection.Failure) {
            _ = unsafe try used.receive(
                wait: wait,
                head: { head in
                    answer = Answer(head)
                    return Self.isWorthReading(BodyFraming.response(head, toHEAD: false))
                },
                body: { bytes in
                    bodyBytes += bytes.count
                    if readsAnswers, bodyBytes <= Self.bodyBytesMax { unsafe kept.append(contentsOf: bytes) }
                    return bodyBytes <= Self.bodyBytesMax
                })
        } catch {
            // What counts has been said; a broken body costs the connection.
            switch error {
            case .closed where answer != nil, .malformed where answer != nil: break
            default: throw Self.failure(error, "the server closed the connection before its answer")
            }
        }
        guard var answer else { throw .broken("the server closed the connection before its answer") }
        if used.isReusable {
            answer.body = kept
            used.next()
            connection = consume used
        }
        return answer
    }

    /// A body is read for the connection's sake only.
    private static func isWorthReading(_ framing: BodyFraming) -> Bool {
        switch framing {
        case .none, .chunked: true
        case .length(let count): count <= UInt64(bodyBytesMax)
        case .untilClose: false
        }
    }

    private static func failure(_ failure: BlockingConnection.Failure, _ closed: String) -> Failure {
        switch failure {
        case .closed: .broken(closed)
        case .broken(let error): .broken(error.description)
        case .malformed(let reason): .broken("malformed answer: \(reason)")
        case .tls(_, let reason): .broken("TLS: \(reason)")
        case .timedOut: .timedOut
        }
    }

    private mutating func connect(until deadline: MonotonicInstant) throws(Failure) -> BlockingConnection {
        // Resolved for every connection, so that a server that moved is found.
        let addresses: [SocketEndpoint]
        switch Resolver.addresses(of: host, port: port) {
        case .success(let found): addresses = found
        case .failure(let error): throw .connect(error.description)
        }
        var reason = "no address"
        for step in addresses.indices {
            let address = addresses[(firstAddress + step) % addresses.count]
            do throws(BlockingConnection.Failure) {
                let made = try BlockingConnection(to: address, tls: tls, contexts: contexts, limits: HTTPLimits()) {
                    Self.wait($0, $1, until: deadline)
                }
                firstAddress = (firstAddress + step) % addresses.count
                return made
            } catch {
                let why = switch error {
                case .broken(let failure): failure.description
                case .tls(_, let text): "TLS: \(text)"
                default: "no answer in time"
                }
                reason = "\(address): \(why)"
            }
        }
        firstAddress &+= 1
        throw .connect(reason)
    }

    /// Waits in slices, because `deadline` may come nearer while we wait.
    private static func wait(
        _ descriptor: Int32, _ direction: BlockingConnection.Direction, _ deadline: () -> MonotonicInstant
    ) -> Bool {
        while true {
            let now = SystemClock.monotonicNow()
            let end = deadline()
            if now >= end { return false }
            if wait(descriptor, direction, until: min(end, now + 50_000_000)) { return true }
        }
    }

    private static func wait(_ descriptor: Int32, _ direction: BlockingConnection.Direction, until deadline: MonotonicInstant) -> Bool {
        while true {
            var waiting = pollfd(fd: descriptor, events: Int16(direction == .input ? POLLIN : POLLOUT), revents: 0)
            let left = deadline.nanoseconds(since: SystemClock.monotonicNow())
            if unsafe poll(&waiting, 1, left == 0 ? 0 : Int32(clamping: left / 1_000_000 + 1)) > 0 { return true }
            if left == 0 { return false }
        }
    }
}

extension ExporterConnection.Answer {
    init(_ head: borrowing MessageHead) {
        status = head.statusCode
        retryAfterSeconds = head.bytes(named: "retry-after").flatMap { UInt64($0.text) }
    }
}
