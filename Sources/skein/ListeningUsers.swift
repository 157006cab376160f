internal import Foundation

/// Who listens on a TCP port of this network namespace, by the kernel's own table (proc(5), `/proc/net/tcp`): how `skein capture` knows the
/// proxy's user without being told.
enum ListeningUsers {
    private static let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
    /// `st` of a listening socket (TCP_LISTEN).
    private static let listening = "0A"

    static func of(port: UInt16) -> Set<UInt32> {
        tables.reduce(into: []) { users, path in
            if let table = try? String(contentsOfFile: path, encoding: .utf8) { users.formUnion(parse(table, port: port)) }
        }
    }

    /// Columns: `sl local_address rem_address st queues timer retrnsmt uid ...`; the port is hexadecimal behind the address's colon.
    static func parse(_ table: String, port: UInt16) -> Set<UInt32> {
        var users: Set<UInt32> = []
        for line in table.split(separator: "\n").dropFirst() {
            let columns = line.split(separator: " ")
            guard columns.count > 7, columns[3] == listening, let local = columns[1].split(separator: ":").last, UInt16(local, radix: 16) == port,
                let user = UInt32(columns[7])
            else { continue }
            users.insert(user)
        }
        return users
    }
}
