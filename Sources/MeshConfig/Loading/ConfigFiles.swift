import Glibc

/// The file system's side of loading, and of `--fix`: regular files and directories, symbolic links followed (Kubernetes
/// mounts ConfigMaps as links). Blocks.
enum ConfigFiles {
    struct Problem: Error {
        var message: String
        var isLimit = false
    }

    enum Listing {
        case file
        /// Names within the directory, sorted by bytes.
        case directory(Identity, files: [String], subdirectories: [String])
    }

    /// Tells a directory from another, whatever path leads to it.
    struct Identity: Hashable {
        var device: UInt64
        var inode: UInt64
    }

    static func list(_ path: String) -> Result<Listing, Problem> {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return .failure(Problem(message: "cannot be read: \(lastError())")) }
        if status.st_mode & S_IFMT != S_IFDIR { return .success(.file) }
        let identity = Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        guard let directory = unsafe opendir(path) else { return .failure(Problem(message: "cannot be listed: \(lastError())")) }
        defer { unsafe closedir(directory) }
        var files: [String] = []
        var subdirectories: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name.hasPrefix(".") { continue }
            if self.kind("\(path)/\(name)") == S_IFDIR {
                subdirectories.append(name)
            } else if name.hasSuffix(".yaml") || name.hasSuffix(".yml") {
                files.append(name)
            }
        }
        let byBytes = { (left: String, right: String) in left.utf8.lexicographicallyPrecedes(right.utf8) }
        return .success(.directory(identity, files: files.sorted(by: byBytes), subdirectories: subdirectories.sorted(by: byBytes)))
    }

    static func read(_ path: String, limit: Int) -> Result<[UInt8], Problem> {
        let descriptor = unsafe open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(Problem(message: "cannot be opened: \(lastError())")) }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return .failure(Problem(message: "is not a regular file"))
        }
        if status.st_size > limit {
            return .failure(Problem(message: "has \(status.st_size) bytes; at most \(limit) are read. Split it.", isLimit: true))
        }
        var result: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while result.count <= limit {
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count == 0 { return .success(result) }
            if count < 0 {
                if errno == EINTR { continue }
                return .failure(Problem(message: "cannot be read: \(lastError())"))
            }
            result += chunk[..<count]
        }
        return .failure(Problem(message: "has more than \(limit) bytes; at most that many are read. Split it.", isLimit: true))
    }

    /// Puts a text in the place of a regular file at once: a reader sees the one or the other, and after a failure the file is as it was.
    /// Symbolic links are followed; mode and, where allowed, owner are kept.
    static func replace(_ path: String, by bytes: [UInt8]) -> Result<Void, Problem> {
        guard let resolved = unsafe realpath(path, nil) else { return .failure(Problem(message: "cannot be written: \(lastError())")) }
        defer { unsafe free(resolved) }
        let target = unsafe String(cString: resolved)
        var status = stat()
        guard unsafe stat(target, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return .failure(Problem(message: "cannot be written: it is not a regular file"))
        }
        // What may not be written is not replaced either, even where the directory would allow it.
        guard unsafe access(target, W_OK) == 0 else { return .failure(Problem(message: "cannot be written: \(lastError())")) }
        let temporary = "\(target).skein-\(getpid())"
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return .failure(Problem(message: "cannot be written: \(temporary): \(lastError())")) }
        var problem: String?
        if !writeAll(descriptor, bytes) { problem = lastError() }
        _ = fchown(descriptor, status.st_uid, status.st_gid)
        if problem == nil, fchmod(descriptor, status.st_mode & 0o7777) != 0 { problem = lastError() }
        if problem == nil, fsync(descriptor) != 0 { problem = lastError() }
        close(descriptor)
        if problem == nil, unsafe rename(temporary, target) != 0 { problem = lastError() }
        guard let problem else { return .success(()) }
        unsafe unlink(temporary)
        return .failure(Problem(message: "cannot be written: \(problem)"))
    }

    private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private static func kind(_ path: String) -> mode_t? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return status.st_mode & S_IFMT
    }

    private static func lastError() -> String { unsafe String(cString: strerror(errno)) }
}
