internal import Primitives

/// Watched files that are looked at now and then.
struct SettledFiles {
    enum Look {
        /// It is not time yet.
        case early
        /// Nothing has changed, or what changes has not settled.
        case same
        case changed
    }

    /// Between two looks, nanoseconds.
    private static let intervalNanoseconds: UInt64 = 2_000_000_000

    private var files: WatchedFiles
    private var nextLook = MonotonicInstant(nanoseconds: 0)

    /// To be made before the files are read, so that no change between is missed. A file may be missing.
    init(_ paths: [String]) { files = WatchedFiles(paths) }

    mutating func look(now: MonotonicInstant) -> Look {
        guard now >= nextLook else { return .early }
        nextLook = now + Self.intervalNanoseconds
        return files.haveSettledChange() ? .changed : .same
    }
}
