import EventLoops
import Glibc
@testable import MeshRuntime
import Primitives
import Testing

@Suite struct PortHolderTests {
    /// Lines as the kernel writes them: a listener of user 1337, a connection from its port, another port, and one that is cut.
    private let table = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 4242 1 0000000000000000 100 0 0 10 0
           1: 0100007F:3A99 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 20 4 30 10 -1
           2: 00000000:3A9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 4244 1 0000000000000000 100 0 0 10 0
           3: 00000000:3A99 00000000:0000 0A
        """
    private let table6 = """
          sl  local_address                         remote_address                        st tx_queue rx_queue tr \
        tm->when retrnsmt   uid  timeout inode
           0: 00000000000000000000000000000000:3A99 00000000000000000000000000000000:0000 0A 00000000:00000000 \
        00:00000000 00000000  1338        0 4245 1 0 100 0 0 10 0
        """

    /// The wrong user would have the proxy's own connections captured, which go round for ever.
    @Test func findsTheUserOfAListener() {
        #expect(PortHolder.parse(table, port: 15001).map(\.userID) == [1337])
        #expect(
            PortHolder.parse(table6, port: 15001) == [PortHolder.Row(address: String(repeating: "0", count: 32), userID: 1338, inode: 4245)]
        )
        #expect(PortHolder.parse(table, port: 15006).map(\.isWildcard) == [true])
        #expect(PortHolder.parse(table, port: 1) == [] && PortHolder.parse("", port: 1) == [])
    }

    /// "Address already in use" sends people to netstat; the name of the process sends them to the right window.
    @Test(arguments: [SocketEndpoint(ipv4: 0x7F00_0001, port: 0), SocketEndpoint(ipv6High: 0, ipv6Low: 1, port: 0)])
    func namesTheProcessThatListens(_ address: SocketEndpoint) throws {
        let fd = try Socket.listen(on: address, reusePort: false)
        defer { close(fd) }
        let endpoint = address.with(port: Socket.localEndpoint(fd).port)
        let holders = PortHolder.of(endpoint)
        #expect(holders.map(\.processID) == [getpid()] && holders[0].userID == getuid())
        #expect(holders[0].description.hasPrefix("process \(getpid()) (") && !holders[0].command.isEmpty)
        // The same port of another address is another socket.
        #expect(PortHolder.of(SocketEndpoint(ipv4: 0x7F00_0099, port: endpoint.port)).isEmpty)
    }
}
