import EventLoops
import Glibc
import HTTP
import HTTPService
import Primitives
import TLS
import Testing

/// What tests do with connections of clients.
enum SecureClient {
    static func wait(_ descriptor: Int32, _ direction: BlockingConnection.Direction) -> Bool {
        var waiting = pollfd(fd: descriptor, events: Int16(direction == .input ? POLLIN : POLLOUT), revents: 0)
        return unsafe poll(&waiting, 1, 20_000) > 0
    }

    /// The status of the answer to a request.
    static func ask(_ connection: inout BlockingConnection, _ path: String = "/") throws -> UInt16 {
        var status: UInt16 = 0
        try connection.send(BlockingRequest("GET", path, host: "x"), wait: wait)
        _ = unsafe try connection.receive(
            wait: wait,
            head: { head in
                status = head.statusCode
                return true
            }, body: { _ in true })
        return status
    }
}

/// A client of TLS whose bytes reach the server one at a time: its session writes into a pair of sockets, from which they are carried.
final class SlicedClient {
    private let raw: RawClient
    private let session: TLSSession
    /// The session's end, and ours.
    private var pair: [Int32] = [-1, -1]
    private var carried = 0
    private var plain: [UInt8] = []

    init(_ endpoint: SocketEndpoint, _ settings: TLSSettings) throws {
        raw = try RawClient(endpoint)
        try #require(unsafe socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
        let now = Int64(clamping: SystemClock.unixNanoseconds() / 1_000_000_000)
        session = try #require(
            try TLSSession(TLSContext(.client, settings), descriptor: pair[0], expecting: .host("127.0.0.1"), now: now))
    }

    deinit { for end in pair { close(end) } }

    func shakeHands() -> Bool {
        var progress = TLSSession.Progress.wantsReadable
        eventually("the handshake is done") {
            progress = session.handshake()
            carry()
            return progress == .done || progress == .failed
        }
        carry()
        return progress == .done
    }

    func send(_ bytes: [UInt8]) {
        _ = unsafe bytes.withUnsafeBytes { unsafe session.write($0) }
        carry()
    }

    /// Until `condition` holds of what has been received.
    func wait(until condition: (String) -> Bool) {
        var piece = [UInt8](repeating: 0, count: 20_000)
        eventually("the answer comes") {
            carry()
            if case .bytes(let count) = unsafe piece.withUnsafeMutableBytes({ unsafe session.read(into: $0) }) { plain += piece[..<count] }
            return condition(String(decoding: plain, as: UTF8.self))
        }
    }

    func endWithoutNotice() { raw.close() }

    /// Carries what waits, both ways.
    private func carry() {
        var byte: UInt8 = 0
        while unsafe read(pair[1], &byte, 1) == 1 { raw.send([byte]) }
        raw.wait { _ in true }
        let new = Array(raw.received[carried...])
        carried = raw.received.count
        if !new.isEmpty { _ = unsafe new.withUnsafeBytes { unsafe write(pair[1], $0.baseAddress, $0.count) } }
    }
}
