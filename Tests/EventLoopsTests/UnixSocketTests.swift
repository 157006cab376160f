@testable import EventLoops
import Glibc
import Primitives
import Testing

/// An empty directory of its own, gone with its last user.
private final class Directory {
    let path: String

    init() throws {
        var template = Array("/tmp/skein-unix-XXXXXX".utf8CString)
        guard unsafe mkdtemp(&template) != nil else { throw TCPPair.Failure.noConnection }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func endpoint(_ name: String = "s") throws -> SocketEndpoint { try SocketEndpoint(unixPath: "\(path)/\(name)") }
    func has(_ name: String = "s") -> Bool { unsafe access("\(path)/\(name)", F_OK) == 0 }

    deinit { unsafe _ = system("rm -rf '\(path)'") }
}

private func listen(_ endpoint: SocketEndpoint) throws(SystemError) -> Int32 { try Socket.listen(on: endpoint, reusePort: true) }

/// A plain listener of somebody who is not in our registry, as another process is.
private func foreignListener(_ path: String) throws -> Int32 {
    let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    try #require(fd >= 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let isAbstract = path.hasPrefix("@")
    unsafe withUnsafeMutableBytes(of: &address.sun_path) {
        unsafe $0.copyBytes(from: isAbstract ? [0] + path.utf8.dropFirst() : Array(path.utf8))
    }
    let bound = unsafe withUnsafePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe bind(fd, $0, socklen_t(isAbstract ? 2 + path.utf8.count : MemoryLayout<sockaddr_un>.size))
        }
    }
    try #require(bound == 0 && Glibc.listen(fd, 10) == 0)
    return fd
}

/// As a process that was killed leaves it: a file that nobody listens behind. Closing alone is not enough: a child that another test is
/// starting has a copy of the descriptor until it is the new program.
private func leaveStale(_ path: String) throws {
    let fd = try foreignListener(path)
    try #require(shutdown(fd, Int32(SHUT_RDWR)) == 0)
    close(fd)
}

@Suite struct UnixSocketTests {
    private func exchange(_ endpoint: SocketEndpoint) throws {
        let listener = try listen(endpoint)
        defer { Socket.close(listener: listener, on: endpoint) }
        let client = try Socket.connect(to: endpoint)
        defer { Socket.close(client) }
        #expect(isReady(client, POLLOUT))
        #expect(Socket.pendingError(client) == 0)
        guard case .connection(let server, let peer) = Socket.accept(listener) else {
            Issue.record("no connection")
            return
        }
        defer { Socket.close(server) }
        #expect(peer.family == .absent, "who connects has no name")
        #expect(Socket.localEndpoint(client).family == .absent)
        #expect(send(client, [1, 2, 3]).count == 3)
        #expect(receive(server).1 == [1, 2, 3])
        Socket.shutdownWrite(client)
        #expect(receive(server).0.isEnd)
        #expect(send(server, [4]).count == 1, "the other half is still there")
        #expect(receive(client).1 == [4])
        for fd in [listener, client, server] {
            #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
            #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        }
    }

    @Test func bytesGoThroughAFile() throws {
        let directory = try Directory()
        try exchange(directory.endpoint())
        #expect(!directory.has(), "the last to close removes it")
    }

    @Test func bytesGoThroughAnAbstractName() throws {
        let directory = try Directory()
        let endpoint = try SocketEndpoint(unixPath: "@" + directory.path)
        try exchange(endpoint)
        // Until then a child that another test is starting may have a copy of the listener.
        eventually("nobody listens") { (try? Socket.connect(to: endpoint)).map(Socket.close) == nil }
    }

    /// `sun_path` has 108 bytes: the longest path there is must neither be cut nor run over.
    @Test func theLongestPathIsWhole() throws {
        let directory = try Directory()
        let name = String(repeating: "n", count: UnixPathTable.pathBytesMax - directory.path.utf8.count - 1)
        let listener = try listen(directory.endpoint(name))
        #expect(directory.has(name))
        Socket.close(listener: listener, on: try directory.endpoint(name))
        try exchange(SocketEndpoint(unixPath: "@" + String(name.prefix(60)) + directory.path))
    }

    /// Each is a connection that does not come about, and told apart: what is missing is another mistake than what is forbidden.
    @Test func aConnectionThatFailsSaysHow() throws {
        let directory = try Directory()
        func code(_ endpoint: SocketEndpoint) -> Int32 {
            do throws(SystemError) {
                Socket.close(try Socket.connect(to: endpoint))
                return 0
            } catch {
                return error.code
            }
        }
        #expect(code(try directory.endpoint("missing")) == ENOENT)
        try leaveStale(directory.path + "/stale")
        #expect(code(try directory.endpoint("stale")) == ECONNREFUSED)
        #expect(code(try SocketEndpoint(unixPath: "@" + directory.path + "/nobody")) == ECONNREFUSED)
        #expect(UnixConnectError(SystemError(call: "connect", code: ENOENT)) == .missing)
        #expect(UnixConnectError(SystemError(call: "connect", code: ECONNREFUSED)) == .refused)
        #expect(UnixConnectError(SystemError(call: "connect", code: EACCES)) == .forbidden)
        #expect(UnixConnectError(SystemError(call: "connect", code: EAGAIN)) == .backlogFull)
        #expect(UnixConnectError(SystemError(call: "socket", code: EMFILE)) == nil)
    }

    /// Unlike TCP's, a full backlog refuses at once; waiting for the descriptor to turn writable would be for ever.
    @Test func aFullBacklogRefusesAtOnce() throws {
        let directory = try Directory()
        let endpoint = try directory.endpoint()
        let listener = try listen(endpoint)
        defer { Socket.close(listener: listener, on: endpoint) }
        #expect(Glibc.listen(listener, 1) == 0)
        var clients: [Int32] = []
        defer { for fd in clients { Socket.close(fd) } }
        var code: Int32 = 0
        for _ in 0..<10 where code == 0 {
            do throws(SystemError) { clients.append(try Socket.connect(to: endpoint)) } catch { code = error.code }
        }
        #expect(code == EAGAIN)
        #expect(!clients.isEmpty)
    }
}

@Suite struct UnixListenerTests {
    /// Workers come and go at reloads in any order: the file is there as long as anyone listens, and gone after the last.
    @Test func allLoopsShareOneSocket() throws {
        let directory = try Directory()
        let endpoint = try directory.endpoint()
        let first = try listen(endpoint)
        let second = try listen(endpoint)
        #expect(first != second)
        Socket.close(listener: first, on: endpoint)
        #expect(directory.has())
        let client = try Socket.connect(to: endpoint)
        defer { Socket.close(client) }
        guard case .connection(let fd, _) = Socket.accept(second) else {
            Issue.record("no connection")
            return
        }
        Socket.close(fd)
        Socket.close(listener: second, on: endpoint)
        #expect(!directory.has())
        let again = try listen(endpoint)
        #expect(directory.has())
        Socket.close(listener: again, on: endpoint)
    }

    @Test func aStaleFileIsReplaced() throws {
        let directory = try Directory()
        try leaveStale(directory.path + "/s")
        let endpoint = try directory.endpoint()
        let listener = try listen(endpoint)
        Socket.close(try Socket.connect(to: endpoint))
        Socket.close(listener: listener, on: endpoint)
        #expect(!directory.has())
    }

    private func failure(_ endpoint: SocketEndpoint) -> String {
        do throws(SystemError) {
            Socket.close(listener: try listen(endpoint), on: endpoint)
            return ""
        } catch {
            return "\(error)"
        }
    }

    /// Taking a living server's file away would cut it off from its clients, and nobody would know why.
    @Test func aLivingSocketIsLeftAlone() throws {
        let directory = try Directory()
        let fd = try foreignListener(directory.path + "/s")
        defer { close(fd) }
        #expect(
            failure(try directory.endpoint())
                == "bind: Address already in use; another process listens there: stop it, or write another path")
        #expect(directory.has())
        Socket.close(try Socket.connect(to: try directory.endpoint()))
    }

    /// Not even an empty file, a link or a directory is ours to remove.
    @Test func whatIsNoSocketIsLeftAlone() throws {
        let directory = try Directory()
        let expected = "bind: Address already in use; what is there is no socket and is left alone: remove it, or write another path"
        unsafe close(open(directory.path + "/file", O_CREAT | O_WRONLY, 0o600))
        #expect(failure(try directory.endpoint("file")) == expected)
        #expect(directory.has("file"))
        unsafe #expect(symlink("nowhere", directory.path + "/link") == 0)
        #expect(failure(try directory.endpoint("link")) == expected)
        var status = stat()
        unsafe #expect(lstat(directory.path + "/link", &status) == 0)
        unsafe #expect(mkdir(directory.path + "/directory", 0o700) == 0)
        #expect(failure(try directory.endpoint("directory")) == expected)
        #expect(directory.has("directory"))
    }

    @Test func aMissingDirectorySaysSo() throws {
        let directory = try Directory()
        #expect(failure(try directory.endpoint("no/s")) == "bind: No such file or directory; its directory does not exist: create it")
        unsafe close(open(directory.path + "/file", O_CREAT | O_WRONLY, 0o600))
        #expect(failure(try directory.endpoint("file/s")) == "bind: Not a directory; what should be its directory is a file")
    }

    @Test func anAbstractNameThatIsTakenSaysSo() throws {
        let directory = try Directory()
        let name = "@" + directory.path
        let fd = try foreignListener(name)
        defer { close(fd) }
        #expect(failure(try SocketEndpoint(unixPath: name)).hasPrefix("bind: Address already in use; another process listens there"))
    }

    /// Somebody put another file in its place: it is theirs.
    @Test func anothersFileIsNotRemoved() throws {
        let directory = try Directory()
        let endpoint = try directory.endpoint()
        let listener = try listen(endpoint)
        unsafe #expect(unlink(directory.path + "/s") == 0)
        try leaveStale(directory.path + "/s")
        Socket.close(listener: listener, on: endpoint)
        #expect(directory.has())
    }

    /// A connection to a shared listener wakes one loop, not all; and whoever takes one goes to the end of the line.
    @Test func oneConnectionWakesOneLoop() throws {
        let directory = try Directory()
        let endpoint = try directory.endpoint()
        let listeners = try [listen(endpoint), listen(endpoint)]
        defer { for fd in listeners { Socket.close(listener: fd, on: endpoint) } }
        let first = try Poller()
        let second = try Poller()
        try first.add(sharedListener: listeners[0], token: 1)
        try second.add(sharedListener: listeners[1], token: 2)
        let client = try Socket.connect(to: endpoint)
        defer { Socket.close(client) }
        // Both see it when they look: it waits in one queue.
        #expect(first.wait(timeoutMilliseconds: 20_000) == 1)
        guard case .connection(let fd, _) = Socket.accept(listeners[0]) else {
            Issue.record("no connection")
            return
        }
        Socket.close(fd)
        first.remove(listeners[0])
        try first.add(sharedListener: listeners[0], token: 1)
        #expect(first.wait(timeoutMilliseconds: 0) == 0)
        guard case .none = Socket.accept(listeners[1]) else {
            Issue.record("one connection was accepted twice")
            return
        }
    }
}
