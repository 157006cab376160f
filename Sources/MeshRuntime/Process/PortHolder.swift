internal import Glibc
public import Primitives

/// Who listens on a TCP port of this network namespace: from the kernel's own table and the processes' descriptors (proc(5)).
public struct PortHolder: Sendable, Equatable {
    /// User that opened the listener.
    public var userID: UInt32
    /// Nil when it is another user's process, into which only root may look.
    public var processID: Int32?
    /// Its command line, at most `commandMax` characters.
    public var command: String

    static let commandMax = 120
    /// Processes looked at.
    static let processesMax = 20_000

    /// `process 4711 (skein run -c mesh), user demo`.
    public var description: String {
        let user = unsafe getpwuid(userID).map { unsafe String(cString: $0.pointee.pw_name) } ?? "\(userID)"
        guard let processID else { return "a process of user \(user)" }
        return "process \(processID) (\(command)), user \(user)"
    }

    /// The holders of what `endpoint` conflicts with: the same address, or all addresses.
    public static func of(_ endpoint: SocketEndpoint) -> [PortHolder] {
        var holders: [PortHolder] = []
        for path in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
            for row in parse(ProcessFiles.text(path), port: endpoint.port) where row.isWildcard || row.address == hexadecimal(endpoint) {
                let process = processID(ofSocket: row.inode)
                let holder = PortHolder(userID: row.userID, processID: process, command: process.map(command) ?? "")
                if !holders.contains(holder) { holders.append(holder) }
            }
        }
        return holders
    }

    /// `127.0.0.1:15001 is held by process 4711 (…)`: the first of these ports that another process has, as far as this user may see.
    static func sentence(_ endpoints: [SocketEndpoint]) -> String? {
        endpoints.lazy.compactMap { endpoint in
            PortHolder.of(endpoint).first { $0.processID != getpid() }.map { "\(endpoint) is held by \($0.description)" }
        }.first
    }

    struct Row: Equatable {
        /// As the table has it: hexadecimal, each 32 bits in the machine's byte order.
        var address: String
        var userID: UInt32
        var inode: UInt64

        var isWildcard: Bool { address.allSatisfy { $0 == "0" } }
    }

    /// Listening sockets of a port. Columns: `sl local_address rem_address st queues timer retrnsmt uid timeout inode …`.
    static func parse(_ table: String, port: UInt16) -> [Row] {
        table.split(separator: "\n").dropFirst().compactMap { line in
            let columns = line.split(separator: " ")
            // 0A is TCP_LISTEN.
            guard columns.count > 9, columns[3] == "0A", let user = UInt32(columns[7]), let inode = UInt64(columns[9]) else { return nil }
            let local = columns[1].split(separator: ":")
            guard local.count == 2, UInt16(local[1], radix: 16) == port else { return nil }
            return Row(address: String(local[0]), userID: user, inode: inode)
        }
    }

    /// Users that listen on a port, whatever the address.
    public static func users(ofPort port: UInt16) -> Set<UInt32> {
        ["/proc/self/net/tcp", "/proc/self/net/tcp6"].reduce(into: []) { users, path in
            users.formUnion(parse(ProcessFiles.text(path), port: port).map(\.userID))
        }
    }

    private static func hexadecimal(_ endpoint: SocketEndpoint) -> String {
        func word(_ value: UInt32) -> String {
            let text = String(value.byteSwapped, radix: 16, uppercase: true)
            return String(repeating: "0", count: 8 - text.count) + text
        }
        switch endpoint.family {
        case .ipv4: return word(UInt32(truncatingIfNeeded: endpoint.low))
        case .ipv6:
            return [endpoint.high >> 32, endpoint.high, endpoint.low >> 32, endpoint.low].map { word(UInt32(truncatingIfNeeded: $0)) }
                .joined()
        case .unix, .absent: return ""
        }
    }

    private static func processID(ofSocket inode: UInt64) -> Int32? {
        let wanted = "socket:[\(inode)]"
        return ProcessFiles.names(in: "/proc").compactMap { Int32($0) }.prefix(processesMax).first { process in
            let folder = "/proc/\(process)/fd"
            return ProcessFiles.names(in: folder).contains { ProcessFiles.target(of: "\(folder)/\($0)") == wanted }
        }
    }

    /// Command line of a process, for a message; empty when it is gone.
    static func command(_ process: Int32) -> String {
        let words = ProcessFiles.text("/proc/\(process)/cmdline").split(separator: "\0")
        let text = words.joined(separator: " ")
        let shown = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? " " : Character($0) }
        return String(shown.prefix(commandMax)) + (text.count > commandMax ? "…" : "")
    }
}

/// Small files of proc(5); what cannot be read is empty.
private enum ProcessFiles {
    /// Bytes read of one file.
    static let bytesMax = 16 << 20

    static func text(_ path: String) -> String {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count < bytesMax {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func names(in path: String) -> [String] {
        guard let directory = unsafe opendir(path) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            names.append(name)
        }
        return names
    }

    static func target(of link: String) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = unsafe buffer.withUnsafeMutableBytes { bytes -> Int in
            guard let start = bytes.baseAddress else { return 0 }
            return unsafe readlink(link, start.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : ""
    }
}
