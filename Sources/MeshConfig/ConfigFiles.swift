import Glibc

/// The file system's side of loading: regular files and one level of directories, symbolic links followed (Kubernetes
/// mounts ConfigMaps as links). Blocks.
enum ConfigFiles {
    struct Problem: Error {
        var message: String
        var isLimit = false
    }

    enum Listing {
        case file
        /// Names within the directory, sorted by bytes.
        case directory(files: [String], subdirectories: [String])
    }

    static func list(_ path: String) -> Result<Listing, Problem> {
        guard let kind = kind(path) else { return .failure(Problem(message: "cannot be read: \(lastError())")) }
        if kind != S_IFDIR { return .success(.file) }
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
        return .success(.directory(files: files.sorted(by: byBytes), subdirectories: subdirectories.sorted(by: byBytes)))
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

    private static func kind(_ path: String) -> mode_t? {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        return status.st_mode & S_IFMT
    }

    private static func lastError() -> String { unsafe String(cString: strerror(errno)) }
}
