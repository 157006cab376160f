internal import Glibc

/// Held by the one process that serves an authority, as long as it does; `skein ca` needs the other lock, for a moment each time.
public final class ServingLock: Sendable {
    private static let name = "serve.lock"

    private let descriptor: Int32

    /// Throws when another process has it.
    public init(_ path: String) throws(AuthorityError) {
        let file = "\(path)/\(Self.name)"
        guard unsafe access(path, F_OK) == 0 else {
            throw AuthorityError(.input, "\(path) is not there: skein ca init --directory \(path) makes an authority")
        }
        descriptor = unsafe open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw AuthorityError(.system, "cannot open \(file): \(unsafe String(cString: strerror(errno)))") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw AuthorityError(.system, "\(path) is served by another process already")
        }
    }

    deinit {
        _ = flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}

/// What an authority's files are now: another value = somebody has changed it. A value.
public struct AuthorityStamp: Hashable, Sendable {
    private var parts: [Int64] = []

    public init(of path: String) {
        for file in [AuthorityFile.certificate, .chain, .roots, .lists] {
            var status = stat()
            guard unsafe stat("\(path)/\(file.rawValue)", &status) == 0 else {
                parts.append(0)
                continue
            }
            parts += [Int64(clamping: status.st_ino), Int64(status.st_size), Int64(status.st_mtim.tv_sec), Int64(status.st_mtim.tv_nsec)]
        }
    }
}
