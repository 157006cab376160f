import EventLoops
import Glibc
import Primitives
import Testing

/// Waits until `condition` holds; the deadline is far beyond what a busy machine needs.
func eventually(_ what: Comment, within seconds: Double = 20, _ condition: () -> Bool) {
    let end = SystemClock.monotonicNow() + UInt64(seconds * 1e9)
    while !condition() {
        guard SystemClock.monotonicNow() < end else {
            Issue.record(what)
            return
        }
        sched_yield()
        _ = poll(nil, 0, 1)
    }
}

let loopback = SocketEndpoint(ipv4: 0x7F00_0001, port: 0)

/// Whether poll(2) reports `events` of a descriptor, waiting up to `milliseconds` for them.
func isReady(_ fd: Int32, _ events: Int32, milliseconds: Int32 = 20_000) -> Bool {
    var waiting = pollfd(fd: fd, events: Int16(events), revents: 0)
    return unsafe poll(&waiting, 1, milliseconds) > 0
}

/// Whether the number names an open descriptor of this process.
func isOpen(_ fd: Int32) -> Bool { fcntl(fd, F_GETFD) >= 0 }

/// The reading and the writing end of a pipe that no child gets.
func pipeOfThisProcess() -> [Int32] {
    var ends: [Int32] = [-1, -1]
    _ = unsafe pipe(&ends)
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return ends
}

/// Both ends of one TCP connection over loopback, closed with it.
final class TCPPair {
    let client: Int32
    let server: Int32
    let peer: SocketEndpoint
    /// Ends that a test has closed itself; their numbers may be somebody else's by now.
    private var closed: Set<Int32> = []

    init(_ endpoint: SocketEndpoint = loopback) throws {
        let listener = try Socket.listen(on: endpoint, reusePort: false)
        defer { Socket.close(listener) }
        client = try Socket.connect(to: Socket.localEndpoint(listener))
        try #require(isReady(listener, POLLIN))
        guard case .connection(let fd, let peer) = Socket.accept(listener) else { throw Failure.noConnection }
        server = fd
        self.peer = peer
        try #require(isReady(client, POLLOUT))
        try #require(Socket.pendingError(client) == 0)
    }

    /// Small buffers from the client to the server, so that "would block" comes soon.
    func narrow() {
        var bytes: Int32 = 32 * 1024
        unsafe setsockopt(client, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        unsafe setsockopt(server, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }

    func close(_ end: Int32) {
        if closed.insert(end).inserted { Socket.close(end) }
    }

    func reset(_ end: Int32) {
        if closed.insert(end).inserted { Socket.reset(end) }
    }

    deinit {
        close(client)
        close(server)
    }

    enum Failure: Error { case noConnection }
}

func send(_ fd: Int32, _ bytes: [UInt8]) -> TransferResult { unsafe bytes.withUnsafeBytes { unsafe Socket.write(fd, $0) } }

/// One read of up to `count` bytes.
func receive(_ fd: Int32, _ count: Int = 65536) -> (TransferResult, [UInt8]) {
    var piece = [UInt8](repeating: 0, count: count)
    let result = unsafe piece.withUnsafeMutableBytes { unsafe Socket.read(fd, into: $0) }
    guard case .bytes(let got) = result else { return (result, []) }
    return (result, Array(piece[..<got]))
}

extension TransferResult {
    var count: Int? {
        if case .bytes(let count) = self { return count }
        return nil
    }

    var isWouldBlock: Bool { if case .wouldBlock = self { true } else { false } }
    var isEnd: Bool { if case .endOfStream = self { true } else { false } }
    var failure: Int32? {
        if case .failed(let code) = self { return code }
        return nil
    }
}
