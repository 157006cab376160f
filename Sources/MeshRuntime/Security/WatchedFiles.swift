internal import Glibc

/// Notices that files which somebody else writes have changed, and waits until they stay as they are. A value.
struct WatchedFiles {
    /// What a file is now; another value = read it again. All zero = there is none.
    private struct Stamp: Hashable {
        var inode: UInt64 = 0
        var size: Int64 = 0
        var seconds: Int64 = 0
        var nanoseconds: Int64 = 0

        init(_ path: String) {
            var status = stat()
            guard unsafe stat(path, &status) == 0 else { return }
            inode = UInt64(status.st_ino)
            size = Int64(status.st_size)
            seconds = Int64(status.st_mtim.tv_sec)
            nanoseconds = Int64(status.st_mtim.tv_nsec)
        }
    }

    private let paths: [String]
    private var stamps: [Stamp]
    private var isSettling = false

    /// Files that are missing now are watched too. What they are now is known to the caller.
    init(_ paths: [String]) {
        self.paths = paths
        stamps = paths.map { Stamp($0) }
    }

    /// Whether they have changed since, and have stayed the same for one more look. Costs one system call for each.
    mutating func haveSettledChange() -> Bool {
        let seen = paths.map { Stamp($0) }
        guard seen == stamps else {
            stamps = seen
            isSettling = true
            return false
        }
        defer { isSettling = false }
        return isSettling
    }
}
