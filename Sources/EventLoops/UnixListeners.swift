internal import CSystem
internal import Glibc
internal import Primitives
internal import Synchronization

/// Listeners on paths. SO_REUSEPORT does nothing for them, so all loops of the process accept from one socket: whoever comes first opens
/// it, everybody gets a descriptor of it, and whoever goes last removes its file. Any thread; a lock is held for some system calls,
/// between requests only.
///
/// The file's mode is what the process's umask leaves of 0777, as for every program that binds one.
enum UnixListeners {
    private struct Listener {
        /// Ours, so that the socket lives as long as somebody holds a descriptor.
        var fd: Int32
        var holders: Int
        /// Of the socket's file; nil for an abstract name.
        var file: FileIdentity?
    }

    /// What a path leads to, so that nobody else's file is removed.
    private struct FileIdentity: Equatable {
        var device: UInt64
        var inode: UInt64
        var isSocket: Bool

        /// Nil when nothing is there. A symbolic link is itself, not what it points to: bind(2) would not follow it either.
        init?(_ path: String) {
            var status = stat()
            guard unsafe lstat(path, &status) == 0 else { return nil }
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
            isSocket = status.st_mode & S_IFMT == S_IFSOCK
        }
    }

    private static let listeners = Mutex<[SocketEndpoint: Listener]>([:])

    static func open(_ endpoint: SocketEndpoint) throws(SystemError) -> Int32 {
        try listeners.withLock { listeners throws(SystemError) in
            var listener = if let known = listeners[endpoint] { known } else { try bind(endpoint) }
            let fd = fcntl(listener.fd, F_DUPFD_CLOEXEC, 0)
            guard fd >= 0 else {
                let error = SystemError(call: "dup", code: skein_errno())
                if listener.holders == 0 { end(listener, endpoint) }
                throw error
            }
            listener.holders += 1
            listeners[endpoint] = listener
            return fd
        }
    }

    static func close(_ fd: Int32, _ endpoint: SocketEndpoint) {
        listeners.withLock { listeners in
            Socket.close(fd)
            guard var listener = listeners[endpoint] else { return }
            listener.holders -= 1
            if listener.holders == 0 { end(listener, endpoint) }
            listeners[endpoint] = listener.holders == 0 ? nil : listener
        }
    }

    /// Removes the file first, so that clients that come now are told that there is none.
    private static func end(_ listener: Listener, _ endpoint: SocketEndpoint) {
        let path = endpoint.addressText
        ListenerTable.forget(listener.fd)
        // Whoever took the listener over goes on with the file.
        if !ListenerTable.isHandedOver, let file = listener.file, FileIdentity(path) == file { unsafe _ = unlink(path) }
        Socket.close(listener.fd)
    }

    private static func bind(_ endpoint: SocketEndpoint) throws(SystemError) -> Listener {
        let path = endpoint.addressText
        let isAbstract = path.hasPrefix("@")
        if let inherited = ListenerTable.claim(endpoint) {
            return Listener(fd: inherited, holders: 0, file: isAbstract ? nil : FileIdentity(path))
        }
        let fd = socket(AF_UNIX, Socket.streamType, 0)
        guard fd >= 0 else { throw SystemError(call: "socket", code: skein_errno()) }
        func bound() -> Int32 {
            let result = unsafe Socket.withSystemAddress(endpoint) { unsafe skein_bind(fd, $0, $1) }
            return result == 0 ? 0 : skein_errno()
        }
        var code = bound()
        if code == EADDRINUSE, !isAbstract {
            do throws(SystemError) {
                try removeStale(path, endpoint)
            } catch {
                Socket.close(fd)
                throw error
            }
            code = bound()
        }
        guard code == 0 else {
            Socket.close(fd)
            throw SystemError(call: "bind", code: code, advice: advice(code))
        }
        guard CSystem.listen(fd, Socket.listenBacklog) == 0 else { throw Socket.failure(closing: fd, "listen") }
        ListenerTable.note(fd, on: endpoint)
        return Listener(fd: fd, holders: 0, file: isAbstract ? nil : FileIdentity(path))
    }

    private static func advice(_ code: Int32) -> String {
        switch code {
        case ENOENT: "its directory does not exist: create it"
        case ENOTDIR: "what should be its directory is a file"
        case EACCES, EPERM, EROFS: "this user may not create a file there: change the directory's permissions, or write another path"
        case EADDRINUSE: "another process listens there: stop it, or write another path"
        default: ""
        }
    }

    /// Removes the file of a socket that nobody accepts from, as a process leaves it that was killed. Whatever else is there stays, and
    /// is an error.
    ///
    /// Somebody who has bound the path and does not listen yet looks the same; between two processes that start at one moment on one path
    /// either may win.
    private static func removeStale(_ path: String, _ endpoint: SocketEndpoint) throws(SystemError) {
        guard let file = FileIdentity(path) else { return }
        guard file.isSocket else {
            throw SystemError(
                call: "bind", code: EADDRINUSE, advice: "what is there is no socket and is left alone: remove it, or write another path")
        }
        do throws(SystemError) {
            Socket.close(try Socket.connect(to: endpoint))
        } catch {
            if error.code == ENOENT { return }
            if error.code == EACCES || error.code == EPERM {
                throw SystemError(
                    call: "bind", code: EADDRINUSE,
                    advice:
                        "this user may not connect to the socket that is there, so it is left alone: remove it if nobody listens, or "
                            + "write another path")
            }
            guard error.code == ECONNREFUSED else { throw SystemError(call: "bind", code: EADDRINUSE, advice: advice(EADDRINUSE)) }
            guard FileIdentity(path) == file else { return }
            guard unsafe unlink(path) == 0 || skein_errno() == ENOENT else {
                throw SystemError(
                    call: "unlink", code: skein_errno(),
                    advice: "nobody listens on the socket that is there: remove it, or write another path")
            }
            return
        }
        throw SystemError(call: "bind", code: EADDRINUSE, advice: advice(EADDRINUSE))
    }
}
