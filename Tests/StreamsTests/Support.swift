import EventLoops
import Glibc
import Primitives
import Streams
import Testing

/// Waits until `condition` holds; the deadline is far beyond what a busy machine needs.
func eventually(_ what: Comment, within seconds: Double = 20, _ condition: () -> Bool) {
    let end = SystemClock.monotonicNow() + UInt64(seconds * 1e9)
    while !condition() {
        guard SystemClock.monotonicNow() < end else {
            Issue.record(what)
            return
        }
        _ = poll(nil, 0, 1)
    }
}

/// One end of a connection: a stream, closed with it.
final class End {
    var stream: ByteStream

    init(_ descriptor: Int32, layer: (any TransportLayer)? = nil) { stream = ByteStream(descriptor: descriptor, layer: layer) }

    deinit { stream.close() }

    var isReadable: Bool { stream.isReadable }
    var isEnded: Bool { stream.isEnded }
    var isClosed: Bool { stream.isClosed }
    var sawHangUp: Bool { stream.sawHangUp }
    var isBusy: Bool { stream.isBusy }
    var isFlushed: Bool { stream.isFlushed }
    var isSpliced: Bool { stream.isSpliced }

    /// One read into a buffer of `count` bytes.
    func read(_ count: Int = 65536) -> (result: TransferResult, bytes: [UInt8]) {
        var piece = [UInt8](repeating: 0, count: count)
        let result = unsafe piece.withUnsafeMutableBytes { unsafe stream.read(into: $0) }
        guard case .bytes(let got) = result else { return (result, []) }
        return (result, Array(piece[..<got]))
    }

    @discardableResult
    func write(_ bytes: [UInt8]) -> ByteStream.Progress { unsafe bytes.withUnsafeBytes { unsafe stream.write($0) } }

    func abandon(scratchBytes: Int = 4096) {
        var scratch = [UInt8](repeating: 0, count: scratchBytes)
        unsafe scratch.withUnsafeMutableBytes { unsafe stream.abandon(dropping: $0) }
    }

    /// Waits for input and notes it, as a poller would.
    func await(_ events: ReadyEvents = .readable) {
        var waiting = pollfd(fd: stream.descriptor, events: Int16(POLLIN), revents: 0)
        #expect(unsafe poll(&waiting, 1, 20_000) > 0)
        stream.note(events)
    }

    /// Small buffers, so that "would block" comes soon. Of a pair, both ends are to be narrowed.
    func narrow() {
        var bytes: Int32 = 16 * 1024
        unsafe setsockopt(stream.descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        unsafe setsockopt(stream.descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// Two ends of a Unix socket.
func socketPair() throws -> (End, End) {
    var ends: [Int32] = [-1, -1]
    let kind = Int32(bitPattern: SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    try #require(unsafe socketpair(AF_UNIX, kind, 0, &ends) == 0)
    return (End(ends[0]), End(ends[1]))
}

/// Two ends of a TCP connection over loopback: the client's and the server's.
func tcpPair() throws -> (End, End) {
    let listener = try Socket.listen(on: SocketEndpoint(ipv4: 0x7F00_0001, port: 0), reusePort: false)
    defer { Socket.close(listener) }
    let client = End(try Socket.connect(to: Socket.localEndpoint(listener)))
    var waiting = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
    try #require(unsafe poll(&waiting, 1, 20_000) > 0)
    guard case .connection(let descriptor, _) = Socket.accept(listener) else { throw NoConnection() }
    #expect(client.stream.pendingError == 0)
    return (client, End(descriptor))
}

struct NoConnection: Error {}

/// A layer in memory: what it gives comes in records, as over TLS, and it takes as much as it is told to.
final class MemoryLayer: TransportLayer {
    /// Records that the peer has sent; a read gives bytes of one of them.
    var records: [[UInt8]] = []
    var isEnded = false
    /// What each write takes, in this order; nil = would block. Everything, when the list is empty.
    var takes: [Int?] = []
    private(set) var written: [UInt8] = []
    private(set) var shutdowns = 0
    /// One entry for each close: whether it resets.
    private(set) var closes: [Bool] = []
    var peerIdentity: PeerIdentity?

    func read(into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        guard let record = records.first else { return isEnded ? .endOfStream : .wouldBlock }
        let count = min(buffer.count, record.count)
        unsafe buffer.copyBytes(from: record[..<count])
        records[0].removeFirst(count)
        if records[0].isEmpty { records.removeFirst() }
        return .bytes(count)
    }

    func write(_ bytes: UnsafeRawBufferPointer) -> TransferResult {
        var room = bytes.count
        if !takes.isEmpty {
            guard let limit = takes.removeFirst() else { return .wouldBlock }
            room = min(room, limit)
        }
        unsafe written += bytes.prefix(room)
        return .bytes(room)
    }

    var hasPending: Bool { !records.isEmpty }
    func shutdownWrite() { shutdowns += 1 }
    func close(resets: Bool) { closes.append(resets) }
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
