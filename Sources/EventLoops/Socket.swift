internal import CSystem
public import Primitives

/// What one read or write on a non-blocking socket came to.
public enum TransferResult: Sendable, BitwiseCopyable {
    /// Bytes moved, at least one.
    case bytes(Int)
    case wouldBlock
    /// Read only: the peer sends no more.
    case endOfStream
    /// The connection is gone; the errno value.
    case failed(Int32)
}

/// What one accept came to.
public enum AcceptResult {
    case connection(fd: Int32, peer: SocketEndpoint)
    case none
    /// No descriptor or memory left (EMFILE, ENFILE, ENOBUFS, ENOMEM): stop accepting for a moment.
    case exhausted(Int32)
}

/// System calls of stream sockets, TCP and Unix domain, with their outcomes as values. Descriptors are plain numbers here; their owner
/// closes them with `close`.
public enum Socket {
    /// Pending connections the kernel holds for a listener.
    public static let listenBacklog: Int32 = 4096

    /// A non-blocking listener; `close(listener:on:)` ends it. With `reusePort`, every worker listens on the same port and the kernel
    /// spreads connections. A path has one listener, of which every caller gets a descriptor (`UnixListeners`).
    public static func listen(on endpoint: SocketEndpoint, reusePort: Bool) throws(SystemError) -> Int32 {
        if endpoint.family == .unix { return try UnixListeners.open(endpoint) }
        if let inherited = ListenerTable.claim(endpoint) { return inherited }
        let fd = try bind(endpoint, reusePort: reusePort)
        guard CSystem.listen(fd, listenBacklog) == 0 else { throw failure(closing: fd, "listen") }
        ListenerTable.note(fd, on: endpoint.port == 0 ? localEndpoint(fd) : endpoint)
        return fd
    }

    /// Throws when nobody could listen on a TCP port without SO_REUSEPORT. It does not listen itself: a connection that came meanwhile
    /// would be reset.
    public static func checkListenable(_ endpoint: SocketEndpoint) throws(SystemError) {
        close(try bind(endpoint, reusePort: false))
    }

    private static func bind(_ endpoint: SocketEndpoint, reusePort: Bool) throws(SystemError) -> Int32 {
        let fd = socket(family(endpoint), streamType, 0)
        guard fd >= 0 else { throw SystemError(call: "socket", code: skein_errno()) }
        setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
        if reusePort { setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1) }
        // An IPv6 wildcard listener takes IPv4 as well, as Istio's dual-stack listeners do.
        if endpoint.family == .ipv6 { setOption(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 0) }
        let bound = unsafe withSystemAddress(endpoint) { unsafe skein_bind(fd, $0, $1) }
        guard bound == 0 else { throw failure(closing: fd, "bind") }
        return fd
    }

    /// Closes what `listen` gave.
    public static func close(listener fd: Int32, on endpoint: SocketEndpoint) {
        if endpoint.family == .unix {
            UnixListeners.close(fd, endpoint)
        } else {
            ListenerTable.forget(fd)
            close(fd)
        }
    }

    public static func accept(_ listener: Int32) -> AcceptResult {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let fd = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe skein_accept4(listener, $0, &length, Int32(bitPattern: SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue))
            }
        }
        if fd >= 0 {
            if storage.ss_family != sa_family_t(AF_UNIX) { setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
            return .connection(fd: fd, peer: endpoint(from: storage))
        }
        switch skein_errno() {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted(skein_errno())
        // Everything else (EAGAIN, ECONNABORTED, network errors of that one connection) concerns no later connection.
        default: return .none
        }
    }

    /// Begins a connection; it is established when the descriptor turns writable and `pendingError` is 0. One to a path is established at
    /// once or fails at once, with EAGAIN when the listener's backlog is full (unix(7)).
    public static func connect(to endpoint: SocketEndpoint) throws(SystemError) -> Int32 {
        let fd = socket(family(endpoint), streamType, 0)
        guard fd >= 0 else { throw SystemError(call: "socket", code: skein_errno()) }
        if endpoint.family != .unix { setOption(fd, Int32(IPPROTO_TCP), TCP_NODELAY, 1) }
        let result = unsafe withSystemAddress(endpoint) { unsafe skein_connect(fd, $0, $1) }
        guard result == 0 || skein_errno() == EINPROGRESS else { throw failure(closing: fd, "connect") }
        return fd
    }

    /// Has the system probe a silent TCP connection (tcp(7)); 0 = the system's value.
    public static func keepAlive(_ fd: Int32, probes: Int32, idleSeconds: Int32, intervalSeconds: Int32) {
        setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
        if probes > 0 { setOption(fd, Int32(IPPROTO_TCP), TCP_KEEPCNT, probes) }
        if idleSeconds > 0 { setOption(fd, Int32(IPPROTO_TCP), TCP_KEEPIDLE, idleSeconds) }
        if intervalSeconds > 0 { setOption(fd, Int32(IPPROTO_TCP), TCP_KEEPINTVL, intervalSeconds) }
    }

    /// The error that ended an attempt to connect; 0 = none.
    public static func pendingError(_ fd: Int32) -> Int32 {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard unsafe getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length) == 0 else { return skein_errno() }
        return value
    }

    /// Whether an error of a connection says that nobody listens there, or that nobody answered.
    public static func isRefusal(_ error: Int32) -> Bool { error == ECONNREFUSED }
    public static func isTimeout(_ error: Int32) -> Bool { error == ETIMEDOUT }

    @unsafe @inline(__always)
    public static func read(_ fd: Int32, into buffer: UnsafeMutableRawBufferPointer) -> TransferResult {
        let count = unsafe skein_recv(fd, buffer.baseAddress, buffer.count)
        if count > 0 { return .bytes(count) }
        if count == 0 { return .endOfStream }
        return outcome()
    }

    @unsafe @inline(__always)
    public static func write(_ fd: Int32, _ bytes: UnsafeRawBufferPointer) -> TransferResult {
        let count = unsafe skein_send(fd, bytes.baseAddress, bytes.count)
        return count >= 0 ? .bytes(count) : outcome()
    }

    /// Writes two pieces with one call.
    @unsafe
    public static func write(_ fd: Int32, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> TransferResult {
        var pieces: (iovec, iovec) = unsafe (
            iovec(iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count),
            iovec(iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress), iov_len: second.count)
        )
        let count = unsafe withUnsafeMutablePointer(to: &pieces) { pointer in
            unsafe pointer.withMemoryRebound(to: iovec.self, capacity: 2) { vector in
                var message = unsafe msghdr()
                unsafe message.msg_iov = vector
                unsafe message.msg_iovlen = 2
                return unsafe sendmsg(fd, &message, Int32(MSG_NOSIGNAL))
            }
        }
        return count >= 0 ? .bytes(count) : outcome()
    }

    /// Tells the peer that no more will be sent.
    public static func shutdownWrite(_ fd: Int32) { _ = shutdown(fd, Int32(SHUT_WR)) }

    public static func close(_ fd: Int32) { _ = CSystem.close(fd) }

    /// Closes with a reset, so that the peer cannot mistake a truncated message for a complete one. A Unix socket knows none: its peer
    /// sees a plain end.
    public static func reset(_ fd: Int32) {
        var value = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close(fd)
    }

    public static func localEndpoint(_ fd: Int32) -> SocketEndpoint {
        unsafe named(fd) { unsafe skein_getsockname($0, $1, $2) }
    }

    /// Where the client meant to go when the kernel redirected its connection to us (netfilter REDIRECT); absent otherwise.
    public static func originalDestination(_ fd: Int32) -> SocketEndpoint {
        let four = unsafe named(fd) { unsafe skein_original_destination($0, 0, $1, $2) }
        if four.family != .absent { return four }
        return unsafe named(fd) { unsafe skein_original_destination($0, 1, $1, $2) }
    }

    public static func peerEndpoint(_ fd: Int32) -> SocketEndpoint {
        unsafe named(fd) { unsafe skein_getpeername($0, $1, $2) }
    }

    private static func named(
        _ fd: Int32, _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketEndpoint {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe call(fd, $0, &length) }
        }
        return result == 0 ? endpoint(from: storage) : SocketEndpoint()
    }

    static var streamType: Int32 {
        Int32(bitPattern: SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    }

    static func outcome() -> TransferResult {
        let code = skein_errno()
        return code == EAGAIN || code == EINTR ? .wouldBlock : .failed(code)
    }

    static func failure(closing fd: Int32, _ call: String) -> SystemError {
        let error = SystemError(call: call, code: skein_errno())
        close(fd)
        return error
    }

    private static func setOption(_ fd: Int32, _ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        unsafe setsockopt(fd, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    private static func family(_ endpoint: SocketEndpoint) -> Int32 {
        switch endpoint.family {
        case .unix: AF_UNIX
        case .ipv6: AF_INET6
        case .ipv4, .absent: AF_INET
        }
    }

    static func withSystemAddress(
        _ endpoint: SocketEndpoint, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        if endpoint.family == .unix { return unsafe withUnixAddress(endpoint.unixPath, body) }
        if endpoint.family == .ipv6 {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = endpoint.port.bigEndian
            unsafe withUnsafeMutableBytes(of: &address.sin6_addr) {
                unsafe $0.storeBytes(of: endpoint.high.bigEndian, as: UInt64.self)
                unsafe $0.storeBytes(of: endpoint.low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return unsafe withUnsafePointer(to: &address) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = endpoint.port.bigEndian
        address.sin_addr.s_addr = UInt32(truncatingIfNeeded: endpoint.low).bigEndian
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// unix(7): a path ends with a NUL, an abstract name begins with one and is as long as the length says.
    private static func withUnixAddress(
        _ path: UnsafeRawBufferPointer, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // The rest of it is zero.
        let isAbstract = unsafe path.first == UInt8(ascii: "@")
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { room in
            unsafe room.copyMemory(from: UnsafeRawBufferPointer(rebasing: path.prefix(room.count - 1)))
            if isAbstract { unsafe room[0] = 0 }
        }
        let length = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: address.sun_path) + path.count + (isAbstract ? 0 : 1)
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, socklen_t(length)) }
        }
    }

    /// Absent for a Unix socket, whose name belongs to the listener's plan; whoever connects to one has none.
    static func endpoint(from storage: sockaddr_storage) -> SocketEndpoint {
        let addressFamily = storage.ss_family
        return unsafe withUnsafeBytes(of: storage) { bytes in
            if addressFamily == sa_family_t(AF_INET) {
                let address = unsafe bytes.loadUnaligned(as: sockaddr_in.self)
                return SocketEndpoint(ipv4: UInt32(bigEndian: address.sin_addr.s_addr), port: UInt16(bigEndian: address.sin_port))
            }
            guard addressFamily == sa_family_t(AF_INET6) else { return SocketEndpoint() }
            let port = unsafe UInt16(bigEndian: bytes.loadUnaligned(as: sockaddr_in6.self).sin6_port)
            // sin6_addr lies 8 bytes into sockaddr_in6.
            let high = unsafe UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let low = unsafe UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            // A v4-mapped peer of a dual-stack listener is shown as what it is.
            if high == 0, low >> 32 == 0xFFFF { return SocketEndpoint(ipv4: UInt32(truncatingIfNeeded: low), port: port) }
            return SocketEndpoint(ipv6High: high, ipv6Low: low, port: port)
        }
    }
}
