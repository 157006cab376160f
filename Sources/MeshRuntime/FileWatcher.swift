internal import Glibc

/// Notices changed configuration files by their identity, size and time of change (which, other than that of modification, no copying tool sets
/// back, and which also tells of a file that may be read only now). Polled: it works on every file system, mounted secrets and
/// editors' rename tricks included, and costs a few system calls a second.
struct FileWatcher {
    private struct Signature: Equatable {
        var path: String
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
    }

    private let paths: [String]
    private var last: [Signature]
    /// Files looked at; a directory with more is watched up to here.
    static let filesMax = 10_000

    init(paths: [String]) {
        self.paths = paths
        last = Self.scan(paths)
    }

    /// Whether anything differs from the last call.
    mutating func hasChanged() -> Bool {
        let now = Self.scan(paths)
        defer { last = now }
        return now != last
    }

    private static func scan(_ paths: [String]) -> [Signature] {
        var found: [Signature] = []
        for path in paths {
            guard let own = signature(path) else { continue }
            found.append(own)
            guard let directory = unsafe opendir(path) else { continue }
            defer { unsafe closedir(directory) }
            while let entry = unsafe readdir(directory), found.count < filesMax {
                let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
                }
                if name.hasSuffix(".yaml") || name.hasSuffix(".yml"), let file = signature(path + "/" + name) { found.append(file) }
            }
        }
        return found.sorted { $0.path < $1.path }
    }

    private static func signature(_ path: String) -> Signature? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return Signature(
            path: path, device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            seconds: status.st_ctim.tv_sec, nanoseconds: status.st_ctim.tv_nsec)
    }
}
