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
