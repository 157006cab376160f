internal import EventLoops
internal import Glibc
internal import Primitives

// The least that a proxy in this language can do, for `Tools/bench`: bytes from each client go unread to a connection of its own to the
// backend, and back. No parsing, no routing, no telemetry. What Skein costs above this is what its work costs.
//
//   Floor LISTEN-PORT BACKEND-PORT

guard CommandLine.arguments.count == 3, let port = UInt16(CommandLine.arguments[1]), let backend = UInt16(CommandLine.arguments[2]) else {
    print("usage: Floor LISTEN-PORT BACKEND-PORT")
    exit(64)
}

let loopback: UInt64 = 0x7F00_0001
var listening = SocketEndpoint(ipv4: UInt32(loopback), port: port)
var target = SocketEndpoint(ipv4: UInt32(loopback), port: backend)
let poller = try Poller()
let listener = try Socket.listen(on: listening, reusePort: true)
try poller.add(readable: listener, token: UInt64(listener))
/// The other end of each descriptor; -1 = none.
var peers = [Int32](repeating: -1, count: 65_536)
let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 64)

@MainActor func closePair(_ fd: Int32) {
    let peer = peers[Int(fd)]
    peers[Int(fd)] = -1
    Socket.close(fd)
    if peer >= 0 {
        peers[Int(peer)] = -1
        Socket.close(peer)
    }
}

while true {
    let count = poller.wait(timeoutMilliseconds: -1)
    for index in 0..<count {
        let (token, events) = poller.event(index)
        let fd = Int32(truncatingIfNeeded: token)
        if fd == listener {
            guard case .connection(let client, _) = Socket.accept(listener), let upstream = try? Socket.connect(to: target) else {
                continue
            }
            peers[Int(client)] = upstream
            peers[Int(upstream)] = client
            try poller.add(stream: client, token: UInt64(client))
            try poller.add(stream: upstream, token: UInt64(upstream))
            continue
        }
        guard !events.isDisjoint(with: [.readable, .readHangUp]), peers[Int(fd)] >= 0 else { continue }
        switch unsafe Socket.read(fd, into: buffer) {
        case .bytes(let bytes):
            // The load of the bench fits the socket's buffer; a forwarder for real use would keep what does not.
            _ = unsafe Socket.write(peers[Int(fd)], UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<bytes]))
        case .wouldBlock: break
        case .endOfStream, .failed: closePair(fd)
        }
    }
}
