internal import CSystem
internal import Glibc
internal import Primitives

/// One end of the conversation in which a process hands its listening sockets to its successor: messages of text over a Unix socket of the
/// abstract namespace (unix(7)), descriptors beside them. Both ends must belong to one user. Blocks for `patienceSeconds` at most.
public struct TakeoverChannel: ~Copyable {
    private let fd: FileDescriptor
    /// The other process.
    public let processID: Int32

    /// Bytes of one message.
    static let messageBytesMax = 60_000
    /// Sockets sent beside one message; the shim's bound.
    private static let socketsPerMessage = 64
    /// How long an answer may take.
    public static let patienceSeconds = 10

    private init(_ fd: consuming FileDescriptor, _ processID: Int32) {
        self.fd = fd
        self.processID = processID
    }

    /// Nil when nobody listens under this name, or somebody of another user.
    public static func connect(to name: String) -> TakeoverChannel? {
        guard let fd = try? FileDescriptor(checking: socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue), 0), "socket"),
            let address = try? SocketEndpoint(unixPath: "@" + name)
        else { return nil }
        guard unsafe Socket.withSystemAddress(address, { unsafe skein_connect(fd.rawValue, $0, $1) }) == 0 else { return nil }
        return checked(fd)
    }

    /// The next caller; nil when there is none of this user.
    public static func accept(_ door: borrowing FileDescriptor) -> TakeoverChannel? {
        let fd = skein_accept4(door.rawValue, nil, nil, Int32(bitPattern: SOCK_CLOEXEC.rawValue))
        return fd < 0 ? nil : checked(FileDescriptor(owning: fd))
    }

    /// Listens under a name; nil when it is taken.
    public static func door(_ name: String) -> FileDescriptor? {
        let type = Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        guard let fd = try? FileDescriptor(checking: socket(AF_UNIX, type, 0), "socket"),
            let address = try? SocketEndpoint(unixPath: "@" + name),
            unsafe Socket.withSystemAddress(address, { unsafe skein_bind(fd.rawValue, $0, $1) }) == 0, CSystem.listen(fd.rawValue, 4) == 0
        else { return nil }
        return fd
    }

    private static func checked(_ fd: consuming FileDescriptor) -> TakeoverChannel? {
        var user: UInt32 = .max
        var process: Int32 = 0
        guard unsafe skein_peer_user(fd.rawValue, &user, &process) == 0, user == getuid() else { return nil }
        var patience = timeval(tv_sec: patienceSeconds, tv_usec: 0)
        let length = socklen_t(MemoryLayout<timeval>.size)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] { unsafe _ = setsockopt(fd.rawValue, SOL_SOCKET, option, &patience, length) }
        return TakeoverChannel(fd, process)
    }

    /// False when the other end has gone.
    public func send(_ text: String) -> Bool { send(text, []) }

    private func send(_ text: String, _ descriptors: [Int32]) -> Bool {
        let bytes = Array(text.utf8)
        return unsafe bytes.withUnsafeBytes { bytes in
            unsafe descriptors.withUnsafeBufferPointer { list in
                unsafe skein_send_descriptors(fd.rawValue, bytes.baseAddress, bytes.count, list.baseAddress, Int32(list.count))
                    == bytes.count
            }
        }
    }

    /// The next message; nil when none comes in time or the other end has gone.
    public func receive() -> String? { receiveAll()?.text }

    private func receiveAll() -> (text: String, descriptors: [Int32])? {
        var bytes = [UInt8](repeating: 0, count: Self.messageBytesMax)
        var descriptors = [Int32](repeating: -1, count: Self.socketsPerMessage)
        var count: Int32 = 0
        let received = unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe descriptors.withUnsafeMutableBufferPointer { list in
                unsafe skein_receive_descriptors(fd.rawValue, bytes.baseAddress, bytes.count, list.baseAddress, &count)
            }
        }
        guard received > 0 else { return nil }
        return (
            String(decoding: bytes[..<received], as: UTF8.self),
            Array(descriptors[..<Int(max(0, min(count, Int32(Self.socketsPerMessage))))]))
    }

    /// Sends every socket that this process listens on: messages of one address a line, then `end`.
    public func sendListeners() -> Bool {
        let all = ListenerTable.snapshot
        for start in stride(from: 0, to: all.count, by: Self.socketsPerMessage) {
            let part = all[start..<min(start + Self.socketsPerMessage, all.count)]
            guard send(part.map { "\($0.endpoint)" }.joined(separator: "\n"), part.map(\.fd)) else { return false }
        }
        return send("end")
    }

    /// Takes them, for whoever listens on their addresses; how many, or nil when the conversation broke off.
    public func receiveListeners() -> Int? {
        var count = 0
        while let (text, descriptors) = receiveAll() {
            if text == "end" { return count }
            let addresses = text.split(separator: "\n").map(String.init)
            for (index, fd) in descriptors.enumerated() {
                guard index < addresses.count, let endpoint = SocketEndpoint(listenerText: addresses[index]) else {
                    close(fd)
                    continue
                }
                ListenerTable.inherit(fd, on: endpoint)
                count += 1
            }
        }
        return nil
    }
}

extension SocketEndpoint {
    /// Reads what `description` writes: `IP:PORT`, `[IP]:PORT` or a path.
    init?(listenerText text: String) {
        if text.hasPrefix("/") || text.hasPrefix("@") {
            guard let path = try? SocketEndpoint(unixPath: text) else { return nil }
            self = path
            return
        }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        self.init(address: text[..<colon].filter { $0 != "[" && $0 != "]" }, port: port)
    }
}
