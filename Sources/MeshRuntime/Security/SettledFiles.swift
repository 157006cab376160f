internal import Glibc
internal import Primitives

/// Files that others replace. A change counts once the files have stayed the same for one more look, so that none is read half-written.
struct SettledFiles {
    enum Look {
        /// It is not time yet.
        case early
        /// Nothing has changed, or what changes has not settled.
        case same
        case changed
    }

    /// What a file is now; another value = it was replaced or written to.
    private struct Stamp: Equatable {
        var inode: UInt64 = 0
        var size: Int64 = 0
        var seconds: Int64 = 0
        var nanoseconds: Int64 = 0
    }

    /// Between two looks, nanoseconds.
    private static let intervalNanoseconds: UInt64 = 2_000_000_000

    private let paths: [String]
    private var stamps: [Stamp]
    private var isSettling = false
    private var nextLook = MonotonicInstant(nanoseconds: 0)

    /// To be made before the files are read, so that no change between is missed. A file may be missing.
    init(_ paths: [String]) {
        self.paths = paths
        stamps = paths.map(Self.stamp)
    }

    mutating func look(now: MonotonicInstant) -> Look {
        guard now >= nextLook else { return .early }
        nextLook = now + Self.intervalNanoseconds
        let seen = paths.map(Self.stamp)
        guard seen == stamps else {
            stamps = seen
            isSettling = true
            return .same
        }
        guard isSettling else { return .same }
        isSettling = false
        return .changed
    }

    private static func stamp(_ path: String) -> Stamp {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return Stamp() }
        return Stamp(
            inode: UInt64(status.st_ino), size: Int64(status.st_size), seconds: Int64(status.st_mtim.tv_sec),
            nanoseconds: Int64(status.st_mtim.tv_nsec))
    }
}
