internal import EventLoops
internal import Glibc
internal import HTTP
public import Primitives

/// Why a call came to nothing.
public enum HTTPClientError: Error, Sendable, CustomStringConvertible {
    case connect(SocketEndpoint, String)
    case timedOut
    case connectionClosed
    /// The peer's answer was no HTTP, or larger than allowed.
    case badResponse(String)

    public var description: String {
        switch self {
        case .connect(let endpoint, let reason): "cannot connect to \(endpoint): \(reason)"
        case .timedOut: "no answer in time"
        case .connectionClosed: "the connection closed before the answer was complete"
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
    /// For connecting, and between any two bytes. Milliseconds; -1 = for ever.
    public var timeoutMilliseconds: Int32 = 10_000
    public var bodyBytesMax = 64 << 20

    public init(endpoint: SocketEndpoint) { self.endpoint = endpoint }

    /// Sends a request and collects the answer. `Host` is the endpoint unless given.
    public func send(
        _ method: String, _ target: String, headers: [(name: String, value: String)] = [], body: [UInt8] = []
    ) throws(HTTPClientError) -> HTTPClientResponse {
        var collected: [UInt8] = []
        let limit = bodyBytesMax
        var response = unsafe try stream(method, target, headers: headers, body: body) { bytes in
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
        receive: (UnsafeRawBufferPointer) -> Bool
    ) throws(HTTPClientError) -> HTTPClientResponse {
        let fd: Int32
        do throws(SystemError) {
            fd = try Socket.connect(to: endpoint)
        } catch {
            throw .connect(endpoint, error.description)
        }
        defer { Socket.close(fd) }
        try wait(fd, Int16(POLLOUT))
        let failure = Socket.pendingError(fd)
        if failure != 0 { throw .connect(endpoint, unsafe String(cString: strerror(failure))) }
        var request = ByteBuffer()
        request.append(string: "\(method) \(target) HTTP/1.1\r\n")
        if !headers.contains(where: { $0.name.lowercased() == "host" }) { request.append(string: "Host: \(endpoint)\r\n") }
        for header in headers { request.append(string: "\(header.name): \(header.value)\r\n") }
        if !body.isEmpty || method == "POST" { request.append(string: "Content-Length: \(body.count)\r\n") }
        request.append("Connection: close\r\n\r\n")
        unsafe body.withUnsafeBytes { unsafe request.append($0) }
        while !request.isEmpty {
            switch unsafe Socket.write(fd, request.readable) {
            case .bytes(let count): request.consume(count)
            case .wouldBlock: try wait(fd, Int16(POLLOUT))
            case .endOfStream, .failed: throw .connectionClosed
            }
        }
        return unsafe try read(fd, isHEAD: method == "HEAD", receive)
    }

    private func wait(_ fd: Int32, _ events: Int16) throws(HTTPClientError) {
        var descriptor = pollfd(fd: fd, events: events, revents: 0)
        while true {
            let count = unsafe poll(&descriptor, 1, timeoutMilliseconds)
            if count > 0 { return }
            if count == 0 { throw .timedOut }
            if errno != EINTR { throw .connectionClosed }
        }
    }

    /// Bytes kept of the body of an answer that is no success.
    static let refusalBytesMax = 64 * 1024

    private func read(
        _ fd: Int32, isHEAD: Bool, _ receiveBody: (UnsafeRawBufferPointer) -> Bool
    ) throws(HTTPClientError) -> HTTPClientResponse {
        var refusal: [UInt8] = []
        var isSuccess = true
        func receive(_ bytes: UnsafeRawBufferPointer) -> Bool {
            if isSuccess { return unsafe receiveBody(bytes) }
            unsafe refusal.append(contentsOf: bytes.prefix(Self.refusalBytesMax - refusal.count))
            return refusal.count < Self.refusalBytesMax
        }
        func complete(_ response: HTTPClientResponse) -> HTTPClientResponse {
            var response = response
            response.body = refusal
            return response
        }
        var input = ByteBuffer()
        var head = MessageHead()
        var scan = HeadScan()
        let limits = HTTPLimits()
        var response: HTTPClientResponse?
        var framing = BodyFraming.none
        var remaining: UInt64 = 0
        var decoder = ChunkedDecoder()
        while true {
            if response == nil, !input.isEmpty {
                switch unsafe HeadParser.parseResponse(input.readable, scan: &scan, limits: limits, into: &head) {
                case .incomplete: break
                case .failed(let error): throw .badResponse("\(error.reason)")
                case .complete:
                    scan = HeadScan()
                    if head.statusCode >= 200 {
                        framing = BodyFraming.response(head, toHEAD: isHEAD)
                        if case .length(let length) = framing { remaining = length }
                        isSuccess = head.statusCode < 300
                        response = HTTPClientResponse(
                            status: head.statusCode,
                            headers: (0..<head.fieldCount).map { index in
                                unsafe (
                                    String(decoding: head.name(at: index), as: UTF8.self).lowercased(),
                                    String(decoding: head.value(at: index), as: UTF8.self)
                                )
                            })
                    }
                    input.consume(head.byteCount)
                    continue
                }
            }
            if let response {
                switch framing {
                case .none: return complete(response)
                case .length:
                    let count = Int(min(UInt64(input.count), remaining))
                    if count > 0, unsafe !receive(UnsafeRawBufferPointer(rebasing: input.readable[..<count])) { return complete(response) }
                    input.consume(count)
                    remaining -= UInt64(count)
                    if remaining == 0 { return complete(response) }
                case .untilClose:
                    if !input.isEmpty, unsafe !receive(input.readable) { return complete(response) }
                    input.consume(input.count)
                case .chunked:
                    var isWaiting = false
                    while !isWaiting {
                        let (consumed, event) = unsafe decoder.next(input.readable, limits: limits)
                        input.consume(consumed)
                        switch event {
                        case .needMore: isWaiting = true
                        case .data(let count):
                            if unsafe !receive(UnsafeRawBufferPointer(rebasing: input.readable[..<count])) { return complete(response) }
                            input.consume(count)
                        case .trailers: return complete(response)
                        case .malformed: throw .badResponse("malformed chunk")
                        }
                    }
                }
            }
            let room = unsafe UnsafeMutableRawBufferPointer(start: input.reserve(64 * 1024), count: 64 * 1024)
            switch unsafe Socket.read(fd, into: room) {
            case .bytes(let count): input.commit(count)
            case .wouldBlock: try wait(fd, Int16(POLLIN))
            case .endOfStream:
                if let response, framing == .untilClose { return complete(response) }
                throw .connectionClosed
            case .failed: throw .connectionClosed
            }
        }
    }
}
