import Glibc

/// The data directory under an exclusive lock, released by `unlock()` or the end of the process.
///
/// The lock is `flock` on `skein.lock`, which holds the owner's process id for people; the kernel drops it when the process dies,
/// however it dies.
final class DataDirectory: Sendable {
    let path: String
    /// -1 once released.
    private let lockFD: Monitor<Int32>

    init(_ path: String) throws(StoreError) {
        self.path = path
        var prefix = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            prefix += "/" + part
            if unsafe mkdir(prefix, 0o700) != 0, errno != EEXIST { throw .directory(path: path, errorNumber: errno) }
        }
        let fd = unsafe open(path + "/skein.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard fd >= 0 else { throw .directory(path: path, errorNumber: errno) }
        guard flock(fd, LOCK_EX | LOCK_NB) == 0 else {
            let holder = DataDirectory.readHolder(fd)
            _ = Glibc.close(fd)
            throw .locked(directory: path, holder: holder)
        }
        let text = Array("\(getpid())\n".utf8)
        let written = unsafe ftruncate(fd, 0) == 0 ? text.withUnsafeBytes { unsafe pwrite(fd, $0.baseAddress, $0.count, 0) } : -1
        // A full disk must not keep the store from opening; only the holder's name is lost.
        guard written == text.count || written >= 0 || errno == ENOSPC || errno == EDQUOT else {
            let number = errno
            _ = Glibc.close(fd)
            throw .directory(path: path, errorNumber: number)
        }
        lockFD = Monitor(fd)
    }

    deinit { unlock() }

    func unlock() {
        lockFD.withLock { fd in
            guard fd >= 0 else { return }
            // Closing alone would leave it locked as long as a child that is being started has a copy of the descriptor.
            _ = flock(fd, LOCK_UN)
            _ = Glibc.close(fd)
            fd = -1
        }
    }

    var databasePath: String { path + "/skein.db" }

    private static func readHolder(_ fd: Int32) -> Int32? {
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(fd, $0.baseAddress, $0.count, 0) }
        guard count > 0 else { return nil }
        return Int32(String(decoding: bytes[..<count].prefix { $0 >= 48 && $0 <= 57 }, as: UTF8.self))
    }

    /// The smallest page of SQLite's. What is smaller was cut, and SQLite would take an empty file for a new one.
    static let databaseBytesMin: UInt64 = 512

    /// Why the database cannot be what was written, seen from its size alone; nil = it may be, or there is none.
    var stub: String? {
        guard DataDirectory.exists(databasePath) else {
            return DataDirectory.fileBytes(databasePath + "-wal") == 0 ? nil : "\(databasePath) is missing, and only its log is there"
        }
        let bytes = DataDirectory.fileBytes(databasePath)
        return bytes < Self.databaseBytesMin ? "\(databasePath) has \(bytes) bytes, which is no database" : nil
    }

    /// Renames the database and its logs out of the way; returns its new path, or nil when nothing could be moved.
    func quarantine(now: UInt64) -> String? {
        let name = "\(databasePath).corrupt-\(now)"
        var moved = false
        for suffix in ["", "-wal", "-shm"] where unsafe rename(databasePath + suffix, name + suffix) == 0 { moved = true }
        return moved ? name : nil
    }

    /// Deletes a database that opening has made and never filled, so that it is not taken for damage later.
    func removeUnfilled() {
        guard DataDirectory.fileBytes(databasePath) == 0 else { return }
        for suffix in ["", "-wal", "-shm"] { _ = unsafe unlink(databasePath + suffix) }
    }

    static func exists(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0
    }

    static func fileBytes(_ path: String) -> UInt64 {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? UInt64(max(0, status.st_size)) : 0
    }
}
