import EventLoops
import Glibc
import Primitives
import Testing

@Suite struct SocketTests {
    private func option(_ fd: Int32, _ level: Int32, _ name: Int32) -> Int32 {
        var value: Int32 = -1
        var length = socklen_t(MemoryLayout<Int32>.size)
        return unsafe getsockopt(fd, level, name, &value, &length) == 0 ? value : -1
    }

    /// Records, access logs and PROXY headers name these addresses; a swapped byte order would name a stranger.
    @Test(arguments: [loopback, SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: 0)])
    func bothSidesKnowWhoTheOtherIs(_ address: SocketEndpoint) throws {
        let pair = try TCPPair(address)
        #expect(pair.peer == Socket.localEndpoint(pair.client))
        #expect(Socket.peerEndpoint(pair.server) == pair.peer)
        #expect(Socket.peerEndpoint(pair.client) == Socket.localEndpoint(pair.server))
        #expect(pair.peer.addressText == address.addressText)
        #expect(pair.peer.port != 0)
    }

    /// The look at a port before the workers listen; whoever could connect to it would be reset.
    @Test func checksAPortWithoutListeningOnIt() throws {
        let listener = try Socket.listen(on: loopback, reusePort: true)
        let taken = Socket.localEndpoint(listener)
        #expect(throws: SystemError.self) { try Socket.checkListenable(taken) }
        Socket.close(listener: listener, on: taken)
        try Socket.checkListenable(taken)
    }

    /// A dual-stack listener's IPv4 client is IPv4: `::ffff:127.0.0.1` in a log or a rate limit's key would be a second client.
    @Test func showsAnIPv4ClientOfADualStackListenerAsIPv4() throws {
        let listener = try Socket.listen(on: SocketEndpoint(ipv6High: 0, ipv6Low: 0, port: 0), reusePort: false)
        defer { Socket.close(listener) }
        let port = Socket.localEndpoint(listener).port
        let client = try Socket.connect(to: loopback.with(port: port))
        defer { Socket.close(client) }
        try #require(isReady(listener, POLLIN))
        guard case .connection(let fd, let peer) = Socket.accept(listener) else {
            Issue.record("no connection")
            return
        }
        defer { Socket.close(fd) }
        #expect(peer == Socket.localEndpoint(client))
        #expect(peer.family == .ipv4)
        #expect(Socket.localEndpoint(fd) == loopback.with(port: port))
    }

    @Test func anEmptyListenerHasNoConnection() throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        defer { Socket.close(listener) }
        guard case .none = Socket.accept(listener) else {
            Issue.record("a connection from nowhere")
            return
        }
    }

    /// "Connection refused" must reach the retry policy as such and not as a time-out.
    @Test func aRefusedConnectionSaysSo() throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        let endpoint = Socket.localEndpoint(listener)
        Socket.close(listener)
        let fd = try Socket.connect(to: endpoint)
        defer { Socket.close(fd) }
        #expect(isReady(fd, POLLOUT))
        #expect(Socket.pendingError(fd) == ECONNREFUSED)
        #expect(Socket.pendingError(fd) == 0, "an error is told once")
    }

    /// The start-up message depends on it: which call, and why.
    @Test func aTakenPortIsAnErrorUnlessShared() throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        defer { Socket.close(listener) }
        let error = #expect(throws: SystemError.self) { _ = try Socket.listen(on: Socket.localEndpoint(listener), reusePort: true) }
        #expect(error?.code == EADDRINUSE)
        #expect(error?.description == "bind: Address already in use")
        let shared = try Socket.listen(on: loopback, reusePort: true)
        defer { Socket.close(shared) }
        let second = try Socket.listen(on: Socket.localEndpoint(shared), reusePort: true)
        #expect(Socket.localEndpoint(second) == Socket.localEndpoint(shared))
        Socket.close(second)
    }

    /// A descriptor inherited by an access-log pipe's shell would keep a port taken after we ended; one that blocks would stop the loop.
    @Test func everySocketIsNonBlockingAndNotInherited() throws {
        let listener = try Socket.listen(on: loopback, reusePort: false)
        defer { Socket.close(listener) }
        let pair = try TCPPair()
        for fd in [listener, pair.client, pair.server] {
            #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
            #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        }
        // Small messages of a request must not wait for the acknowledgement of others (Nagle).
        for fd in [pair.client, pair.server] { #expect(option(fd, Int32(IPPROTO_TCP), TCP_NODELAY) == 1) }
    }

    /// Nothing was redirected here: an original destination would send the request to it instead of to its route.
    @Test(arguments: [loopback, SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: 0)])
    func aDirectConnectionHasNoOriginalDestination(_ address: SocketEndpoint) throws {
        let pair = try TCPPair(address)
        let found = Socket.originalDestination(pair.server)
        // With connection tracking the kernel answers with the address itself, which `classify` treats as absent.
        #expect(found.family == .absent || found == Socket.localEndpoint(pair.server))
    }

    /// `connectionPool.tcp.tcpKeepalive` exists because a firewall forgets silent connections: unset options would be found out in
    /// production.
    @Test func keepAliveOptionsReachTheKernel() throws {
        let pair = try TCPPair()
        let usualInterval = option(pair.client, Int32(IPPROTO_TCP), TCP_KEEPINTVL)
        #expect(option(pair.client, SOL_SOCKET, SO_KEEPALIVE) == 0)
        Socket.keepAlive(pair.client, probes: 3, idleSeconds: 61, intervalSeconds: 0)
        #expect(option(pair.client, SOL_SOCKET, SO_KEEPALIVE) == 1)
        #expect(option(pair.client, Int32(IPPROTO_TCP), TCP_KEEPCNT) == 3)
        #expect(option(pair.client, Int32(IPPROTO_TCP), TCP_KEEPIDLE) == 61)
        #expect(option(pair.client, Int32(IPPROTO_TCP), TCP_KEEPINTVL) == usualInterval, "0 leaves the system's value")
    }

    /// A truncated answer that ends like a complete one would be taken for complete.
    @Test func aResetIsToldFromAnEnd() throws {
        let polite = try TCPPair()
        #expect(send(polite.server, [1, 2]).count == 2)
        polite.close(polite.server)
        eventually("bytes, then the end") { receive(polite.client, 1).1 == [1] }
        #expect(receive(polite.client).1 == [2])
        eventually("an orderly end") { receive(polite.client).0.isEnd }

        let rude = try TCPPair()
        rude.reset(rude.server)
        #expect(isReady(rude.client, POLLIN))
        #expect(receive(rude.client).0.failure == ECONNRESET)
    }

    @Test func afterAHalfCloseTheOtherDirectionGoesOn() throws {
        let pair = try TCPPair()
        Socket.shutdownWrite(pair.client)
        #expect(isReady(pair.server, POLLIN))
        #expect(receive(pair.server).0.isEnd)
        #expect(send(pair.server, [9]).count == 1)
        #expect(isReady(pair.client, POLLIN))
        #expect(receive(pair.client).1 == [9])
    }

    /// Writing to a peer that left is an everyday event; the default would be a signal that ends the process.
    @Test func writingToNobodyIsAValue() throws {
        let pair = try TCPPair()
        pair.reset(pair.client)
        eventually("the write fails") { send(pair.server, [1]).failure != nil }
        #expect(receive(pair.server).0.count == nil)
        #expect(send(pair.server, [1]).failure == EPIPE)
    }

    /// Heads and bodies are written with one call; a partial write that was miscounted would repeat or drop bytes.
    @Test func twoPiecesArriveAsOneStreamUnderBackPressure() throws {
        let pair = try TCPPair()
        pair.narrow()
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
        var sent = 0
        var got: [UInt8] = []
        var blocked = 0
        eventually("all bytes came") {
            while sent < bytes.count {
                let middle = sent + (bytes.count - sent) / 3
                let result = unsafe bytes.withUnsafeBytes { all in
                    unsafe Socket.write(
                        pair.client, UnsafeRawBufferPointer(rebasing: all[sent..<middle]), UnsafeRawBufferPointer(rebasing: all[middle...]))
                }
                guard let count = result.count else {
                    blocked += result.isWouldBlock ? 1 : 0
                    break
                }
                sent += count
            }
            while case .bytes = { () -> TransferResult in
                let (result, piece) = receive(pair.server)
                got += piece
                return result
            }() {}
            return got.count == bytes.count
        }
        let isSame = got == bytes  // A difference of a million bytes takes `#expect` for ever to describe.
        #expect(isSame)
        #expect(blocked > 0, "the socket took everything at once, which tests nothing")
    }

    @Test func reportsTheDescriptorAsAFailureWhenItIsNone() {
        #expect(receive(-1).0.failure == EBADF)
        #expect(send(-1, [1]).failure == EBADF)
        #expect(Socket.pendingError(-1) == EBADF)
        #expect(Socket.localEndpoint(-1).family == .absent)
        #expect(Socket.peerEndpoint(-1).family == .absent)
    }
}
