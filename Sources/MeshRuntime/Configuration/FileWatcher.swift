internal import Glibc
internal import MeshConfig

/// Notices changed configuration files by their identity, size and time of change (which, other than that of modification, no copying
/// tool sets back, and which also tells of a file that may be read only now). Polled: it works on every file system, mounted secrets and
/// editors' rename tricks included, and costs a few system calls a second.
///
/// A file that is being written changes from look to look. So a change counts only when two looks in a row saw the same.
struct FileWatcher {
    private struct Signature: Equatable {
        var path: String
        var device: UInt64
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int
    }

    private let source: ConfigurationSource
    /// What was there when it was last said that something changed.
    private var known: [Signature]
    /// The last look.
    private var last: [Signature]
    /// Files looked at; a directory with more is watched up to here.
    static let filesMax = 10_000

    init(_ source: ConfigurationSource) {
        self.source = source
        known = Self.scan(source)
        last = known
    }

    /// Whether something differs from what was known, and stands still since the last call.
    mutating func hasSettledChange() -> Bool {
        let now = Self.scan(source)
        defer { last = now }
        guard now != known, now == last else { return false }
        known = now
        return true
    }

    /// Takes what is there now as known.
    mutating func take() {
        known = Self.scan(source)
        last = known
    }

    private static func scan(_ source: ConfigurationSource) -> [Signature] {
        source.places(max: filesMax).compactMap(signature).sorted { $0.path < $1.path }
    }

    private static func signature(_ path: String) -> Signature? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return Signature(
            path: path, device: UInt64(status.st_dev), inode: UInt64(status.st_ino), size: Int64(status.st_size),
            seconds: status.st_ctim.tv_sec, nanoseconds: status.st_ctim.tv_nsec)
    }
}
