@testable import skein
import Testing

@Suite struct ListeningUsersTests {
    /// Lines as the kernel writes them: a listener of user 1337, a connection from its port, another port, and one that is cut.
    private let table = """
          sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 4242 1 0000000000000000 100 0 0 10 0
           1: 0100007F:3A99 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 20 4 30 10 -1
           2: 00000000:3A9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     7        0 4244 1 0000000000000000 100 0 0 10 0
           3: 00000000:3A99 00000000:0000 0A
        """
    private let table6 = """
          sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
           0: 00000000000000000000000000000000:3A99 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1338        0 4245 1 0 100 0 0 10 0
        """

    /// The wrong user would have the proxy's own connections captured, which go round for ever.
    @Test func findsTheUserOfAListener() {
        #expect(ListeningUsers.parse(table, port: 15001) == [1337])
        #expect(ListeningUsers.parse(table6, port: 15001) == [1338])
        #expect(ListeningUsers.parse(table, port: 15006) == [7])
        #expect(ListeningUsers.parse(table, port: 1) == [] && ListeningUsers.parse("", port: 1) == [])
    }
}
