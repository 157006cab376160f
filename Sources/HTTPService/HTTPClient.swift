internal import EventLoops
internal import Glibc
internal import HTTP
public import Primitives
public import TLS

/// Why a call came to nothing.
public enum HTTPClientError: Error, Sendable, CustomStringConvertible {
    case connect(SocketEndpoint, String)
    case timedOut
    case connectionClosed
    /// The peer's answer was no HTTP, or larger than allowed.
    case badResponse(String)
    /// TLS failed: what of it, and why.
    case tls(SocketEndpoint, TLSFailureKind, String)

    public var description: String {
        switch self {
        case .connect(let endpoint, let reason): "cannot connect to \(endpoint): \(reason)"
        case .timedOut: "no answer in time"
        case .connectionClosed: "the connection closed before the answer was complete"
        case .tls(let endpoint, _, let reason): "TLS with \(endpoint): \(reason)"
        case .badResponse(let reason): "the answer cannot be used: \(reason)"
        }
    }
}

public struct HTTPClientResponse: Sendable {
    public var status: UInt16
    public var headers: [(name: String, value: String)]
    public var body: [UInt8] = []

    /// The first value of a field, by its lower-case name.
    public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// One HTTP/1.1 request on one connection, blocking the calling thread: for command lines and tools, never for a loop.
public struct HTTPClient: Sendable {
    public var endpoint: SocketEndpoint
    /// What `Host` says, where a request's fields do not; nil = the endpoint.
    public var host: String?
    /// Nil = plaintext.
    public var tls: ClientTLS?
    /// For connecting, for each step of a TLS handshake, and between any two bytes. Milliseconds; -1 = for ever.
    public var timeoutMilliseconds: Int32 = 10_000
    /// When the whole call is given up, however busy the peer is; nil = never.
    public var deadline: MonotonicInstant?
    public var bodyBytesMax = 64 << 20

    public init(endpoint: SocketEndpoint, tls: ClientTLS? = nil) {
        self.endpoint = endpoint
        self.tls = tls
    }

    /// Sends a request and collects the answer. `Host` is `host` or the endpoint unless given. `contexts`: of the calling thread, if it
    /// asks again and again.
    public func send(
        _ method: String, _ target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        contexts: ClientContexts? = nil
    ) throws(HTTPClientError) -> HTTPClientResponse {
        var collected: [UInt8] = []
        let limit = bodyBytesMax
        var response = unsafe try stream(method, target, headers: headers, body: body, contexts: contexts) { bytes in
            unsafe collected.append(contentsOf: bytes)
            return collected.count <= limit
        }
        if collected.count > limit { throw .badResponse("more than \(limit) bytes") }
        if response.body.isEmpty { response.body = collected }
        return response
    }

    /// Sends a request and hands over the body of a success as it comes, until it ends or `receive` returns false. The body of any other
    /// answer is in the response.
    public func stream(
        _ method: String, _ target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        contexts: ClientContexts? = nil, receive: (UnsafeRawBufferPointer) -> Bool
    ) throws(HTTPClientError) -> HTTPClientResponse {
        let host = headers.first { $0.name.lowercased() == "host" }?.value ?? host ?? "\(endpoint)"
        var fields = headers.filter { $0.name.lowercased() != "host" }
        fields.append(("Connection", "close"))
        let request = BlockingRequest(method, target, host: host, fields: fields, body: body)
        var connection = try connect(contexts)
        var response = HTTPClientResponse(status: 0, headers: [])
        var refusal: [UInt8] = []
        do throws(BlockingConnection.Failure) {
            try connection.send(request, wait: wait)
            _ = unsafe try connection.receive(
                wait: wait,
                head: { head in
                    response = HTTPClientResponse(head)
                    return true
                },
                body: { bytes in
                    if response.isSuccess { return unsafe receive(bytes) }
                    unsafe refusal.append(contentsOf: bytes.prefix(Self.refusalBytesMax - refusal.count))
                    return refusal.count < Self.refusalBytesMax
                })
        } catch {
            throw failure(error)
        }
        response.body = refusal
        return response
    }

    /// Bytes kept of the body of an answer that is no success.
    static let refusalBytesMax = 64 * 1024

    private func connect(_ contexts: ClientContexts?) throws(HTTPClientError) -> BlockingConnection {
        do throws(BlockingConnection.Failure) {
            return try BlockingConnection(to: endpoint, tls: tls, contexts: contexts, limits: HTTPLimits(), wait: wait)
        } catch {
            guard case .broken(let failure) = error else { throw failure(error) }
            throw .connect(endpoint, failure.call == "connect" ? unsafe String(cString: strerror(failure.code)) : failure.description)
        }
    }

    private func failure(_ failure: BlockingConnection.Failure) -> HTTPClientError {
        switch failure {
        case .closed, .broken: .connectionClosed
        case .malformed(let reason): .badResponse(reason)
        case .timedOut: .timedOut
        case .tls(let kind, let reason): .tls(endpoint, kind, reason)
        }
    }

    private func wait(_ descriptor: Int32, _ direction: BlockingConnection.Direction) -> Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(direction == .input ? POLLIN : POLLOUT), revents: 0)
        while true {
            let patience = patience
            guard patience != 0 else { return false }
            let count = unsafe poll(&waiting, 1, patience)
            if count >= 0 || errno != EINTR { return count > 0 }
        }
    }

    /// Milliseconds that the next step may take; 0 = the time of the call is over.
    private var patience: Int32 {
        guard let deadline else { return timeoutMilliseconds }
        let now = SystemClock.monotonicNow()
        let left = deadline > now ? Int32(clamping: deadline.nanoseconds(since: now) / 1_000_000 + 1) : 0
        return timeoutMilliseconds < 0 ? left : min(left, timeoutMilliseconds)
    }
}

extension HTTPClientResponse {
    init(_ head: borrowing MessageHead) {
        status = head.statusCode
        headers = []
        for index in 0..<head.fieldCount {
            headers.append((head.nameBytes(at: index).text.lowercased(), head.bytes(at: index).text))
        }
    }

    var isSuccess: Bool { status < 300 }
}
