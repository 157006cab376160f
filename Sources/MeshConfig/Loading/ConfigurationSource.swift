/// Where a configuration is read from: files, directories, and standard input where a path is `-`.
public struct ConfigurationSource: Sendable, ExpressibleByArrayLiteral {
    public var paths: [String]
    /// Whether subdirectories are read as well.
    public var isRecursive: Bool
    /// What stands for the path `-`, shown as `<stdin>`.
    public var standardInput: [UInt8]

    public init(_ paths: [String], isRecursive: Bool = false, standardInput: [UInt8] = []) {
        self.paths = paths
        self.isRecursive = isRecursive
        self.standardInput = standardInput
    }

    public init(arrayLiteral paths: String...) { self.init(paths) }

    /// The same, read otherwise.
    public func with(paths: [String]) -> ConfigurationSource {
        ConfigurationSource(paths, isRecursive: isRecursive, standardInput: standardInput)
    }

    /// Every directory and file that would be read now, at most `max` of them. Blocks on the file system.
    public func places(max: Int) -> [String] {
        var found: [String] = []
        var walk = DirectoryWalk(isRecursive: isRecursive)
        for path in paths where path != "-" {
            walk.visit(path) { place in
                if found.count < max, case .unreadable = place { return }
                if found.count < max { found.append(place.path) }
            }
        }
        return found
    }
}

/// Goes through a file, or a directory's `*.yaml` and `*.yml` files in the order of their names' bytes, and, when asked, its subdirectories
/// after them. A directory is read once, however many links lead to it.
struct DirectoryWalk {
    enum Place {
        case file(String)
        /// A directory; `files` of its own are to come.
        case directory(String, files: Int)
        /// A subdirectory that nobody asked for, or that is too deep.
        case skipped(String, reason: String)
        case unreadable(String, ConfigFiles.Problem)

        var path: String {
            switch self {
            case .file(let path), .directory(let path, _), .skipped(let path, _), .unreadable(let path, _): path
            }
        }
    }

    /// Subdirectories inside one another.
    static let depthMax = 32

    let isRecursive: Bool
    private var seen: Set<ConfigFiles.Identity> = []

    init(isRecursive: Bool) { self.isRecursive = isRecursive }

    mutating func visit(_ path: String, _ take: (Place) -> Void) { visit(path, depth: 0, take) }

    private mutating func visit(_ path: String, depth: Int, _ take: (Place) -> Void) {
        switch ConfigFiles.list(path) {
        case .failure(let problem): take(.unreadable(path, problem))
        case .success(.file): take(.file(path))
        case .success(.directory(let identity, let files, let subdirectories)):
            if isRecursive, !seen.insert(identity).inserted { return }
            take(.directory(path, files: files.count))
            let base = path.hasSuffix("/") ? path : path + "/"
            for name in files { take(.file(base + name)) }
            for name in subdirectories {
                if !isRecursive {
                    take(.skipped(base + name, reason: "a subdirectory is not read; name it as well, or read subdirectories with -R"))
                } else if depth >= Self.depthMax {
                    take(.skipped(base + name, reason: "is deeper than \(Self.depthMax) directories and not read"))
                } else {
                    visit(base + name, depth: depth + 1, take)
                }
            }
        }
    }
}
