internal import Glibc
internal import TLS

/// A directory whose files are ours alone: 0600, made anew and renamed into place, on disk before the call returns.
///
/// Files that belong together are staged in a directory of their own; its rename to `next` is the moment from which the new set counts.
/// Whoever opens the directory finishes what stands in `next`, and forgets what stands in `next.new`.
struct PrivateDirectory {
    static let staged = "next"
    static let unfinished = "next.new"
    static let lockName = "lock"
    /// Tries to get the lock, 50 ms apart.
    private static let lockTriesMax = 100

    let path: String
    /// Names of files that are replaced together.
    let members: [String]
    /// For tests: how many of the steps that change something are still done; the one after them fails, as if the process had ended there.
    var stepsLeft: Int?

    init(_ path: String, members: [String] = AuthorityFile.allCases.map(\.rawValue), stepsLeft: Int? = nil) {
        self.path = path
        self.members = members
        self.stepsLeft = stepsLeft
    }

    // MARK: Opening

    /// Makes it, 0700, where it is missing.
    mutating func make() throws(AuthorityError) {
        try step()
        guard unsafe mkdir(path, 0o700) == 0 || errno == EEXIST else { throw refusal("make", path) }
    }

    var exists: Bool { unsafe access(path, F_OK) == 0 }

    /// The lock, and what was staged finished. Nil = the directory may only be read, and nothing is staged.
    mutating func lock() throws(AuthorityError) -> DirectoryLock? {
        let file = "\(path)/\(Self.lockName)"
        let descriptor = unsafe open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            guard [EROFS, EACCES, EPERM].contains(errno), unsafe access("\(path)/\(Self.staged)", F_OK) != 0 else {
                throw refusal("open", file)
            }
            return nil
        }
        let held = DirectoryLock(descriptor)
        for _ in 0..<Self.lockTriesMax where !held.isHeld {
            held.attempt()
            if !held.isHeld { usleep(50_000) }
        }
        guard held.isHeld else { throw AuthorityError(.system, "\(path) is in use by another skein for 5 seconds now: try again") }
        try forgetUnfinished()
        try finishStaged()
        return held
    }

    // MARK: Reading

    /// Nil = there is no such file.
    func read(_ name: String, bytesMax: Int) throws(AuthorityError) -> [UInt8]? {
        let file = "\(path)/\(name)"
        let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw refusal("read", file)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 16 << 10)
        defer { Wiping.wipe(&part) }
        while bytes.count <= bytesMax {
            let count = unsafe part.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return bytes }
            guard count > 0 else { throw refusal("read", file) }
            bytes += part[..<count]
        }
        Wiping.wipe(&bytes)
        throw AuthorityError(.directory, "\(file) has more than \(bytesMax) bytes")
    }

    /// Permission bits; nil = there is no such file. The empty name is the directory's own.
    func mode(_ name: String) -> UInt32? {
        var status = stat()
        guard unsafe stat(name.isEmpty ? path : "\(path)/\(name)", &status) == 0 else { return nil }
        return status.st_mode & 0o7777
    }

    // MARK: Writing

    /// Replaces one file.
    mutating func write(_ name: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(AuthorityError) {
        let new = "\(path)/.\(name).new"
        try step()
        unsafe unlink(new)
        try create(new, bytes, mode: mode)
        try rename(new, "\(path)/\(name)")
    }

    /// Adds to a file behind its first `length` bytes; what stands there, the half of a line perhaps, is cut off.
    mutating func append(_ name: String, _ bytes: [UInt8], at length: Int) throws(AuthorityError) {
        let file = "\(path)/\(name)"
        try step()
        let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw refusal("write", file) }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(length)) == 0, lseek(descriptor, 0, SEEK_END) == off_t(length) else {
            throw refusal("write", file)
        }
        try step()
        try fill(descriptor, bytes, file)
        try synchronize(path)
    }

    /// Replaces all of these, or none.
    mutating func replace(_ files: [(name: String, bytes: [UInt8])]) throws(AuthorityError) {
        try forgetUnfinished()
        let new = "\(path)/\(Self.unfinished)"
        try step()
        guard unsafe mkdir(new, 0o700) == 0 else { throw refusal("make", new) }
        for (name, bytes) in files {
            try step()
            try create("\(new)/\(name)", bytes, mode: 0o600)
        }
        try synchronize(new)
        try rename(new, "\(path)/\(Self.staged)")
        try finishStaged()
    }

    /// Moves a staged set into place. Done twice, or by another process after this one's end, it comes to the same.
    private mutating func finishStaged() throws(AuthorityError) {
        let from = "\(path)/\(Self.staged)"
        guard unsafe access(from, F_OK) == 0 else { return }
        for file in members where unsafe access("\(from)/\(file)", F_OK) == 0 {
            try rename("\(from)/\(file)", "\(path)/\(file)")
        }
        try step()
        guard unsafe rmdir(from) == 0 else { throw refusal("remove", from) }
        try synchronize(path)
    }

    private mutating func forgetUnfinished() throws(AuthorityError) {
        let from = "\(path)/\(Self.unfinished)"
        guard unsafe access(from, F_OK) == 0 else { return }
        try step()
        for file in members { unsafe unlink("\(from)/\(file)") }
        guard unsafe rmdir(from) == 0 else { throw refusal("remove", from) }
    }

    // MARK: Calls of the system

    private func create(_ file: String, _ bytes: [UInt8], mode: UInt32) throws(AuthorityError) {
        let descriptor = unsafe open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw refusal("write", file) }
        defer { close(descriptor) }
        try fill(descriptor, bytes, file)
    }

    private func fill(_ descriptor: Int32, _ bytes: [UInt8], _ file: String) throws(AuthorityError) {
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { all in
                unsafe Glibc.write(descriptor, all.baseAddress.map { unsafe $0 + done }, all.count - done)
            }
            guard count > 0 || errno == EINTR else { throw refusal("write", file) }
            done += max(count, 0)
        }
        guard fsync(descriptor) == 0 else { throw refusal("write", file) }
    }

    private mutating func rename(_ from: String, _ to: String) throws(AuthorityError) {
        try step()
        guard unsafe Glibc.rename(from, to) == 0 else { throw refusal("rename", from) }
        try synchronize(path)
    }

    private func synchronize(_ directory: String) throws(AuthorityError) {
        let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw refusal("open", directory) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw refusal("write", directory) }
    }

    private mutating func step() throws(AuthorityError) {
        guard let left = stepsLeft else { return }
        guard left > 0 else { throw AuthorityError(.system, "stopped by a test") }
        stepsLeft = left - 1
    }

    private func refusal(_ attempt: String, _ file: String) -> AuthorityError {
        let code = errno
        return AuthorityError(.system, "cannot \(attempt) \(file): \(unsafe String(cString: strerror(code)))")
    }
}

/// The lock of a directory, among processes. It ends with the object, or with the process.
final class DirectoryLock {
    private let descriptor: Int32
    private(set) var isHeld = false

    init(_ descriptor: Int32) { self.descriptor = descriptor }

    /// A child that is being started may have a copy of the descriptor.
    deinit {
        if isHeld { _ = flock(descriptor, LOCK_UN) }
        close(descriptor)
    }

    func attempt() { isHeld = flock(descriptor, LOCK_EX | LOCK_NB) == 0 }
}
